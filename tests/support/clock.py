"""Clocks that stand still until a test moves them."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Monotonic and wall clock in one, moved by tests."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def sleep(self, seconds: float) -> None:
        self.now += max(0.0, seconds)


class NanosecondClock:
    """A monotonic clock that moves when told to, in milliseconds."""

    def __init__(self) -> None:
        self.now_ns = 5_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, milliseconds: float) -> None:
        self.now_ns += int(milliseconds * 1_000_000)


def run_together(*targets: Callable[[], object]) -> None:
    """Each target in a thread of its own; they take turns as often as the interpreter allows."""
    threads = [threading.Thread(target=target) for target in targets]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
