"""The thread that looks after the disk while the sender waits for an answer.

Only with a spool. A request may hang for its whole time-out; what is unacknowledged must
be on disk after a second all the same.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from logwell_otel.spilling import UNACKNOWLEDGED_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel.outbox import Outbox

THREAD_NAME: Final = "LogwellKeeper"
_TICK: Final = 0.2
_IDLE_TICK: Final = 5.0


class Keeper:
    """Spills what waits too long, and takes over what dead processes left.

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
        self._stop = threading.Event()
        self._busy = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> bool:
        """Something was handed over. Starts the thread if there is none; False if it cannot."""
        self._busy.set()
        if self._thread is not None and self._thread.is_alive():
            return True
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return True
            if self._stop.is_set() or not self._threads:
                return False
            thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False  # the interpreter is at its end, or the system has no more
            self._thread = thread
            return True

    def _run(self) -> None:
        while True:
            # Cleared before looking, so that nothing is slept through: neither what is
            # handed over meanwhile nor the end.
            self._busy.clear()
            if self._stop.is_set():
                return
            self.tick()
            if self._outbox.in_memory:
                self._stop.wait(_TICK)
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

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._stop.set()
        self._busy.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)
