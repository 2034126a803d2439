"""The thread that looks after the spool, beside the sender.

What is unacknowledged must be on disk after a second, also while a request hangs for its
whole time-out.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from logwell_otel._buffer.outbox import UNACKNOWLEDGED_SECONDS
from logwell_otel._process import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel._buffer.outbox import Outbox

THREAD_NAME: Final = "LogwellFlusher"
_TICK: Final = 0.2
_IDLE_TICK: Final = 5.0


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
        self._threads = threads
        self._outbox = outbox
        self._found = found
        self._failed = failed
        self._stopping = False
        self._busy = Wakeup()
        self._urgent = Wakeup()
        # Entered again where a signal handler logs while its thread starts this one.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def _runs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> bool:
        """Something was handed over. Starts the thread if there is none; False if it cannot."""
        self._busy.set()
        if self._runs():
            return True
        with self._lock:
            if self._runs():
                return True
            if self._stopping or not self._threads:
                return False
            thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False  # the interpreter is at its end, or the system has no more
            self._thread = thread
            return True

    def hurry(self) -> bool:
        """Somebody waits for the disk; False if there is no thread, or it is this one."""
        if self._stopping or threading.current_thread() is self._thread or not self.wake():
            return False
        self._urgent.set()
        return True

    def _run(self) -> None:
        while True:
            # Cleared before looking, so that nothing is slept through: neither what is
            # handed over meanwhile nor the end.
            self._busy.clear()
            self._urgent.clear()
            if self._stopping:
                return
            self.tick()
            if self._outbox.in_memory:
                self._urgent.wait(_TICK)
            else:
                self._busy.wait(_IDLE_TICK)

    def tick(self) -> None:
        """Look once. Never raises for an `Exception`."""
        try:
            # A tick earlier than promised, so that it is kept between two ticks as well.
            self._outbox.spill_if_due(UNACKNOWLEDGED_SECONDS - 1.5 * _TICK)
            self._outbox.look_after_disk()
            if self._outbox.waiting:
                self._found()
        except Exception as error:  # noqa: BLE001 - without this thread nothing is kept in time
            self._failed(error)

    def stop(self, timeout: float = 1.0) -> None:
        """End the thread, and wait for it for so many seconds."""
        self._stopping = True
        self._urgent.set()
        self._busy.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
