"""One daemon thread of this process, from first use to the end; a forked child has its own."""

from __future__ import annotations

import atexit
import os
import threading
from multiprocessing import parent_process, util
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

SHUTDOWN_SECONDS: Final = 2.0
"""How long the end of a program waits for what is done last."""

# As in logwell_otel._process: after the finalizers of queues and managers.
_EXIT_PRIORITY: Final = -100
_SECONDS_AFTER_FAILURE: Final = 60.0

T = TypeVar("T")


class PerProcess(Generic[T]):
    """One object for each process: what a parent's other threads hold is no use in a child.

    By comparing process ids, which also holds when C code forks. Without a lock, which
    might have been held at the fork.

    Args:
        make: Makes one. What it makes is dropped when two threads come at once.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}
        self._latest: tuple[int, T] | None = None

    def get(self) -> T:
        """Return this process's."""
        pid = os.getpid()
        latest = self._latest
        if latest is not None and latest[0] == pid:
            return latest[1]
        found = self._made.setdefault(pid, self._make())
        self._latest = pid, found
        return found


class Background:
    """Calls `tick` in a thread until told to stop, then `at_end`.

    Args:
        name: Of the thread.
        tick: Does what is due; returns the seconds until more is.
        at_end: Called once when stopped, with the seconds there are for it.
    """

    def __init__(
        self, name: str, tick: Callable[[], float], at_end: Callable[[float], object]
    ) -> None:
        self._name = name
        self._tick = tick
        self._at_end = at_end
        self._pid = os.getpid()
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._seconds_left = SHUTDOWN_SECONDS
        self._begun = False
        self.failures = 0
        """Calls of `tick` or `at_end` that raised."""

    def ensure(self) -> None:
        """Start the thread if it was not started yet. Never waits for another caller."""
        # Whoever gets the lock keeps it: it is for starting, which is done once.
        if self._begun or not self._starting.acquire(blocking=False):
            return
        self._begun = True
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return  # no more threads at interpreter exit: rates stay as they are
        self._thread = thread
        # Children of multiprocessing do not run atexit, but finalizers.
        if parent_process() is not None:
            util.Finalize(self, self.shutdown, exitpriority=_EXIT_PRIORITY)
        atexit.register(self.shutdown)

    @property
    def runs(self) -> bool:
        """Whether the thread was started and has not ended."""
        return self._thread is not None and self._thread.is_alive()

    def shutdown(self, timeout: float = SHUTDOWN_SECONDS) -> None:
        """Have what is done last done, and end the thread. A second call does nothing.

        Args:
            timeout: Seconds to wait at most.
        """
        # A child inherits its parent's exit hooks.
        if self._pid != os.getpid() or self._stop.is_set():
            return
        self._begun = True
        self._seconds_left = timeout
        self._stop.set()
        atexit.unregister(self.shutdown)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                seconds = self._tick()
            except Exception:  # noqa: BLE001 - counted; the thread goes on, and so do the rates
                self.failures += 1
                seconds = _SECONDS_AFTER_FAILURE
            self._stop.wait(seconds)
        try:
            self._at_end(self._seconds_left)
        except Exception:  # noqa: BLE001 - counted; there is nothing after the end
            self.failures += 1
