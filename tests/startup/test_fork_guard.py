"""A fork waits for an import of ours, for so long and no longer."""

from __future__ import annotations

import os
import threading
import time

import pytest

from logwell_otel import _process as fork_guard

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
]


def _fork() -> int:
    """Fork; the child exits with 0 if it can import under the guard itself."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            with fork_guard.not_forking():
                status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def _hold(seconds: float, released: threading.Event) -> threading.Thread:
    held = threading.Event()

    def work() -> None:
        with fork_guard.not_forking():
            held.set()
            released.wait(seconds)

    thread = threading.Thread(target=work)
    thread.start()
    assert held.wait(60)
    return thread


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_waits_until_the_import_is_over() -> None:
    began = time.monotonic()
    thread = _hold(0.1, threading.Event())
    assert _fork() == 0
    assert time.monotonic() - began >= 0.1
    thread.join()
    assert _fork() == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_guard, "_LONGEST_WAIT", 0.01)
    released = threading.Event()
    # Forking a large process can take longer than what one would like to wait here.
    thread = _hold(30, released)
    assert _fork() == 0
    assert thread.is_alive()
    released.set()
    thread.join()
    with fork_guard.not_forking():
        pass


def test_the_thread_that_imports_may_fork() -> None:
    with fork_guard.not_forking():
        assert _fork() == 0
