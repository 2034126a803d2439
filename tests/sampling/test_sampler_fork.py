"""A forked child decides for itself, whatever its parent's threads held."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from logwell_otel.sampling import Sampler

pytestmark = pytest.mark.process

if sys.platform == "win32":
    pytest.skip("there is no fork", allow_module_level=True)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_lock_held_at_the_fork_does_not_stop_the_child() -> None:
    holding, release = threading.Event(), threading.Event()

    sampler = Sampler({"info": 0.5})

    def hold() -> None:
        with sampler._lock.get():  # noqa: SLF001 - what a thread holds in the middle of a decision
            holding.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(10)
    child = os.fork()
    if child == 0:
        # Nothing of pytest's runs here, whatever happens.
        try:
            sampler.decide("info", "order 7 placed")
        except BaseException:  # noqa: BLE001
            os._exit(1)
        os._exit(0)
    until = time.monotonic() + 10
    ended, status = 0, -1
    while not ended and time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not ended:
        os.kill(child, 9)
        os.waitpid(child, 0)
    release.set()
    thread.join()
    assert (ended, status) == (child, 0)
