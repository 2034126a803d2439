"""The thread that looks after the spool, beside the sender.

What is unacknowledged must be on disk in time, also while a request hangs for its whole
time-out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from logwell_otel._buffer.outbox import UNACKNOWLEDGED_SECONDS
from logwell_otel._diagnostics import contained
from logwell_otel._process import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel._buffer.outbox import Outbox

THREAD_NAME: Final = "LogwellFlusher"
_TICK: Final = 0.15
_IDLE_TICK: Final = 5.0
_WRITE: Final = 0.2
"""Seconds left for writing, and for a thread that has to wait for its turn: with 0.1 one of 100
kills on a machine with seven times the work of its cores cost 40 ms more than was promised."""


class Flusher:
    """The thread that spills what waits too long, and takes over what dead processes left.

    Args:
        outbox: What to look after.
        found: Called when there is something to send that was not there before.
        failed: Called with what a look raised. The next look is taken all the same.
        threads: False never starts the thread.
    """

    def __init__(
        self,
        outbox: Outbox,
        found: Callable[[], object],
        failed: Callable[[Exception], object],
        *,
        threads: bool = True,
    ) -> None:
        self._outbox = outbox
        self._found = found
        self._failed = failed
        self._idle = True
        self._worker = Worker(THREAD_NAME, self._step, threads=threads)

    def wake(self) -> bool:
        """Something was handed over. Starts the thread if there is none; False if it cannot."""
        if not self._idle:
            return self._worker.start()  # it looks in a moment anyway
        self._idle = False
        return self._worker.wake()

    def hurry(self) -> bool:
        """Somebody waits for the disk; False if there is no thread, or it is this one."""
        worker = self._worker
        return not (worker.stopping or worker.is_current_thread()) and worker.wake()

    def _step(self) -> float:
        self.tick()
        # Before looking at what there is, so that nothing is slept through.
        self._idle = True
        if self._outbox.in_memory:
            self._idle = False
            return _TICK
        return _IDLE_TICK

    def tick(self) -> None:
        """Look once. Never raises for an `Exception`."""
        with contained(self._failed):
            # A tick earlier than promised, so that it is kept between two ticks as well.
            self._outbox.spill_if_due(UNACKNOWLEDGED_SECONDS - _TICK - _WRITE)
            self._outbox.look_after_disk()
            if self._outbox.waiting:
                self._found()

    def stop(self, timeout: float = 1.0) -> None:
        """End the thread, and wait for it for so many seconds."""
        self._worker.stop()
        self._worker.join(timeout)
