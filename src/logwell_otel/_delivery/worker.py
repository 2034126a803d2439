"""The thread that delivers: started by the first batch, ended by shutdown, one a process."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from logwell_otel._clock import monotonic
from logwell_otel._diagnostics import contained, described, entries, was
from logwell_otel._process import Worker, no_interrupt_at_exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel._buffer.outbox import Outbox
    from logwell_otel._delivery.delivery import Delivery
    from logwell_otel._diagnostics import Notices
    from logwell_otel.health import Health


THREAD_NAME: Final = "LogwellSender"

REQUEST_TIMEOUT_AT_SHUTDOWN: Final = 4.0
"""Seconds a request may take at most once shutdown has begun: a server that swallows
packets must not hold up the exit of a program. A request normally takes 20 to 45 ms."""

_STALLED_AFTER: Final = 4.5
"""Seconds without an answer after which shutdown stops waiting for the sender."""

_DISK_PATIENCE: Final = 0.4
"""Seconds that the disk gets then to take what is held: together less than 5 s."""

_AFTER_DEFECT: Final = 1.0
"""Seconds until the next step after one that raised."""

_PATIENCE: Final = 1.0
"""Seconds that shutdown goes on trying when requests begin to fail."""


class Sender:
    """Drives delivery, on a thread of its own where the interpreter still starts one.

    Args:
        delivery: What to drive.
        outbox: What it drains.
        notices: Told after every step, outside every lock.
        close: Called when delivery is over.
        clock: Monotonic clock, in seconds.
        sleep: Waits that many seconds where the thread does not.
        threads: False never starts the thread: flush and shutdown do the work.
    """

    def __init__(
        self,
        delivery: Delivery,
        outbox: Outbox,
        notices: Notices,
        *,
        close: Callable[[], None],
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], object] | None = None,
        threads: bool = True,
    ) -> None:
        self._delivery = delivery
        self._outbox = outbox
        self._notices = notices
        self._close = close
        self._clock = clock
        self._worker = Worker(THREAD_NAME, self._step, finish=self._finish, threads=threads)
        self._driving = threading.Lock()
        self._done = threading.Event()
        self._sleep = sleep or self._done.wait
        self._deadline = float("-inf")
        self._rests_until = float("-inf")
        self._expedite = False

    @property
    def running(self) -> bool:
        """True while the thread lives."""
        return self._worker.running

    @property
    def ended(self) -> bool:
        """True once shutdown is through, and nothing of it still hangs."""
        return self._done.is_set()

    def is_current_thread(self) -> bool:
        """True on the sender's own thread, where callbacks run."""
        return self._worker.is_current_thread()

    def wake(self) -> bool:
        """There is work. Starts the thread if there is none; False if that is impossible."""
        return self._worker.wake()

    def start_from_anywhere(self) -> None:
        """Have the thread started, soon, if there is none; takes no lock of Python's."""
        if not self.running:
            self._worker.wake_from_anywhere()

    def _step(self, *, force: bool = False) -> float | None:
        with self._driving:
            if self._expedite:
                self._expedite = False
                self._delivery.expedite()
            wait: float | None = _AFTER_DEFECT
            with contained(self._step_failed):
                wait = self._delivery.step(force=force)
        self._notices.dispatch()
        return wait

    def _step_failed(self, error: Exception) -> None:
        self._notices.say(
            f"The sender's step failed with {described(error)}. It is tried again. "
            "This is a defect of logwell-otel; please report it.",
            about="defect in a step",
        )

    def flush(self, timeout: float) -> bool:
        """Deliver what was handed over before now.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            True if all of it is stored, or was refused by the server for good; False after
            the timeout, when some was dropped, or on the sender's own thread, which cannot
            wait for itself.
        """
        mark = self._outbox.mark()
        if self._outbox.is_settled(mark) or self.is_current_thread():
            return self._outbox.wait_settled(mark, 0.0)
        deadline = self._clock() + timeout
        self._expedite = True
        if not self.wake():
            self._run_inline(deadline, lambda: self._outbox.is_settled(mark))
        return self._outbox.wait_settled(mark, max(0.0, deadline - self._clock()))

    def _run_inline(self, deadline: float, finished: Callable[[], bool]) -> None:
        while not finished():
            wait = self._step()
            remaining = deadline - self._clock()
            if wait is None or remaining <= 0 or self._done.is_set():
                return
            self._sleep(min(wait, remaining))

    def shutdown(self, timeout: float) -> None:
        """Drain and end: within `timeout` seconds, and much sooner where nothing answers."""
        began = self._clock()
        self._delivery.report_losses()
        self._outbox.close()
        self._delivery.request_timeout = min(
            self._delivery.request_timeout, REQUEST_TIMEOUT_AT_SHUTDOWN
        )
        self._deadline = began + timeout
        # A daemon thread ends with the interpreter: draining before that is the work of this
        # method, which OpenTelemetry's provider calls at exit.
        self._worker.stop()
        if self.is_current_thread():
            return  # a callback shuts down: the thread drains when the callback returns
        try:
            with no_interrupt_at_exit():
                if self.running:
                    self._wait_for_the_thread(began)
                else:
                    self._finish()
        finally:  # Ctrl-C ends the wait, and what is held is accounted for all the same
            accounted = False
            while not accounted:
                with no_interrupt_at_exit():  # people press it more than once
                    # A callback may be what holds up the sender: then none is called from here.
                    self._give_up(callbacks=self._done.is_set(), patience=_DISK_PATIENCE)
                    accounted = True

    def leave(self) -> None:
        """The end of the process, whatever became of `shutdown`: nothing is left uncounted."""
        self._worker.stop()
        self._outbox.close()
        self._give_up(callbacks=False, patience=_DISK_PATIENCE)

    def _wait_for_the_thread(self, began: float) -> None:
        while (wait := min(self._deadline, self._stalls_at(began)) - self._clock()) > 0:
            if self._done.wait(wait):
                return

    def _stalls_at(self, began: float) -> float:
        """When shutdown stops waiting for what does not answer."""
        alive_at = max(began, self._delivery.last_answer_at, self._rests_until)
        return alive_at + _STALLED_AFTER

    def deliver_late(self, timeout: float) -> bool:
        """Deliver on this thread what has come since `shutdown`, and give the rest up.

        Args:
            timeout: Seconds that it may take. With 0 everything is given up.

        Returns:
            True if nothing had to be given up.
        """
        deadline = self._clock() + timeout
        while (left := deadline - self._clock()) > 0:
            wait = self._step()
            if wait is None:
                break
            if wait > 0 and (wait >= left or self._delivery.resting):
                break
            time.sleep(wait)
        self._close()
        return not self._give_up(late=True)

    def _finish(self) -> None:
        if self._done.is_set():
            return
        try:
            self._drain(self._deadline)
        finally:
            self._give_up()
            self._done.set()
        with self._driving:
            self._close()

    def _drain(self, deadline: float) -> None:
        """Send what is held while that goes well; one attempt where it does not."""
        forced = tried = False
        patient_until: float | None = None
        began = self._clock()
        # Where the interpreter starts no more threads, the exit itself drains: nobody else
        # looks whether anything answers.
        while (remaining := deadline - self._clock()) > 0:
            until_stall = self._stalls_at(began) - self._clock()
            if until_stall <= 0:
                return
            self._delivery.request_timeout = min(REQUEST_TIMEOUT_AT_SHUTDOWN, until_stall)
            blocked = self._delivery.blocked_for()
            if blocked > 0:
                if patient_until is None and not self._delivery.resting:
                    patient_until = self._clock() + _PATIENCE
                if patient_until is not None and self._clock() + blocked < patient_until:
                    self._sleep(min(blocked, remaining))
                    continue
                if forced or (tried and patient_until is not None):
                    return
                forced = True
            wait = self._step(force=blocked > 0)
            if wait is None:
                return
            tried = tried or wait == 0
            if wait >= remaining:  # for the pace: then one attempt here, too
                if forced:
                    return
                forced = True
                self._step(force=True)
            elif wait > 0:
                if not self._delivery.waits_for_disk:
                    # The server is well and its limit is kept: no stall.
                    self._rests_until = self._clock() + wait
                self._sleep(wait)

    def _give_up(
        self, *, callbacks: bool = True, patience: float | None = None, late: bool = False
    ) -> int:
        lost, left = self._outbox.give_up("shutdown", patience=patience)
        if left and not late:
            self._notices.say(
                f"{entries(left)} left in the spool at shutdown, for the next process."
            )
        if lost:
            self._notices.say(
                f"{entries(lost)} {was(lost)} dropped at shutdown, since the server did not take "
                "them in time. With spool_dir (LOGWELL_SPOOL_DIR) they are kept for the next start."
            )
        self._delivery.say_losses(lost)
        self._notices.dispatch(callbacks=callbacks)
        return lost + left

    def __repr__(self) -> str:
        state = "running" if self.running else "done" if self._done.is_set() else "not started"
        return f"<Sender {state}>"


LONGEST_WAIT: Final = 30.0
"""Seconds that a server gets which accepts what it is sent."""

_LOOK: Final = 2.0
"""Seconds after which to look whether waiting is of any use."""

_LOOKS: Final = 2
"""Looks in a row that may see nothing accepted: a request may take its whole time-out."""


def flush_while_progressing(
    flush: Callable[[int], bool], health: Callable[[], Health], longest: float | None = None
) -> None:
    """Flush, up to 30 s for a server that accepts, 2 s for one that fails, 4 s for one that hangs.

    Args:
        flush: Flushes for that many milliseconds at most; True if nothing is held any more.
        health: How delivery is going.
        longest: Seconds in place of the 30.
    """
    until = monotonic() + (LONGEST_WAIT if longest is None else longest)
    accepted, idle = health().accepted, 0
    while idle < _LOOKS and (left := until - monotonic()) > 0:
        if flush(int(min(left, _LOOK) * 1000)):
            return
        now = health()
        if now.consecutive_failures:
            return
        idle = idle + 1 if now.accepted == accepted else 0
        accepted = now.accepted
