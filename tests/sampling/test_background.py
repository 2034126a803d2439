"""The thread behind a policy: started once, ended in time, never in the way."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from logwell_otel.sampling.background import Background, PerProcess

if TYPE_CHECKING:
    import pytest


def test_many_callers_start_one_thread() -> None:
    ticked = threading.Event()
    ended: list[float] = []

    def tick() -> float:
        ticked.set()
        return 3600.0

    background = Background("LogwellTest", tick, ended.append)
    begin = threading.Barrier(8)

    def ensure() -> None:
        begin.wait()
        background.ensure()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=ensure) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert ticked.wait(10)
    assert [thread.name for thread in threading.enumerate()].count("LogwellTest") == 1
    background.shutdown(10)
    background.shutdown(10)
    assert ended == [10]
    background.ensure()
    assert "LogwellTest" not in [thread.name for thread in threading.enumerate()]


def test_what_was_never_used_ends_without_a_thread() -> None:
    ended: list[float] = []
    background = Background("LogwellTest", lambda: 1.0, ended.append)
    background.shutdown()
    background.ensure()
    assert ended == []
    assert "LogwellTest" not in [thread.name for thread in threading.enumerate()]


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    background = Background("LogwellTest", lambda: 1.0, lambda _: None)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        background.ensure()
    background.ensure()
    background.shutdown()


def test_it_can_be_ended_from_within() -> None:
    over = threading.Event()

    def tick() -> float:
        background.shutdown()
        return 3600.0

    background = Background("LogwellTest", tick, lambda _: over.set())
    background.ensure()
    assert over.wait(10)


def test_one_object_for_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    own = PerProcess(object)
    first = own.get()
    assert own.get() is first
    monkeypatch.setattr("os.getpid", lambda: -1)
    second = own.get()
    assert second is not first
    assert own.get() is second
