from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, cast

import pytest

from logwell_otel._buffer.flusher import Flusher

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel._buffer.outbox import Outbox


class Box:
    """As much of an outbox as a flusher sees; something happens at the worst moment."""

    waiting = False

    def __init__(self) -> None:
        self.looks = 0
        self.failures: list[Exception] = []
        self.looked_again = threading.Event()
        self.at_the_end_of_a_look: Callable[[], object] = lambda: None

    def look_after_disk(self) -> None:
        self.looks += 1
        if self.looks > 1:
            self.looked_again.set()

    def spill_if_due(self, seconds: float) -> None:
        pass

    @property
    def in_memory(self) -> bool:
        # Nothing is there, and before that can be acted upon, something is.
        action, self.at_the_end_of_a_look = self.at_the_end_of_a_look, lambda: None
        action()
        return False


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def flusher(box: Box) -> Flusher:
    return Flusher(cast("Outbox", box), lambda: None, box.failures.append)


def test_what_comes_while_it_goes_to_sleep_wakes_it(box: Box, flusher: Flusher) -> None:
    """Slept through for 5 s otherwise, and a `kill -9` may cost one."""
    box.at_the_end_of_a_look = flusher.wake
    flusher.wake()
    assert box.looked_again.wait(4.0)
    flusher.stop()


def test_it_ends_at_once_when_it_is_stopped_while_it_goes_to_sleep(
    box: Box, flusher: Flusher
) -> None:
    stopping = threading.Thread(target=flusher.stop)

    def stop() -> None:
        stopping.start()
        while not flusher._worker.stopping:  # noqa: SLF001 - a moment that cannot be seen from outside
            time.sleep(0.001)
        time.sleep(0.02)  # and it has woken a flusher that it takes to be asleep

    box.at_the_end_of_a_look = stop
    began = time.monotonic()
    flusher.wake()
    while stopping.ident is None:
        time.sleep(0.001)
    stopping.join()
    assert time.monotonic() - began < 4  # 5 otherwise


def test_a_look_that_raises_is_followed_by_others(box: Box, flusher: Flusher) -> None:
    """The thread once ended, and with it the second that a `kill -9` may cost at most."""
    error = OSError("Stale file handle")

    def fail() -> None:
        box.at_the_end_of_a_look = flusher.wake
        raise error

    box.look_after_disk, look = fail, box.look_after_disk  # type: ignore[method-assign]
    flusher.tick()
    assert box.failures == [error]
    box.look_after_disk = look  # type: ignore[method-assign]
    flusher.wake()
    assert box.looked_again.wait(4.0)
    flusher.stop()
