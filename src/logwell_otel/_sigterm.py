"""SIGTERM and SIGHUP, which end a program without its exit callbacks: deliver first, then end.

Nothing changes where somebody handles the signal. Its default action alone, the end of the
process, gets something put in front, and the process still ends by the signal: supervisors
see the same status. The default action comes back in many programs: gunicorn's workers set
it before they set handlers of their own, uvicorn restores it when it has shut down and then
raises the signal again, asyncio restores it with each handler that is removed. So
`signal.signal` is wrapped: whoever sets `SIG_DFL` for one of the two gets this, and whoever
asks is told `SIG_DFL`. SIGHUP is what a program gets whose terminal is closed.
"""

from __future__ import annotations

import os
import signal
import weakref
from _thread import allocate_lock, start_new_thread
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from logwell_otel._process import PerProcess, is_being_forked, is_exiting, is_on_worker, watch_forks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

LONGEST_DELIVERY: Final = 8.0
"""Seconds until the process ends at the latest: `docker stop` kills after ten."""

_set: Any = signal.signal
_get: Any = signal.getsignal


class Delivers(Protocol):
    """What has something to deliver: a processor."""

    def force_flush(self, timeout_millis: int) -> object:
        """Deliver what is held, and go on."""

    def shutdown(self, timeout_millis: float) -> object:
        """Deliver what is held, and account for the rest."""


_delivers: Final[list[weakref.ref[Delivers]]] = []


class _State:
    """How far the end of this process has come.

    Attributes:
        shutting_down: Shutdowns under way.
        signalled: One of the signals has come.
        waiting: The one that is to end the process when the shutdowns are through, or 0.
    """

    def __init__(self) -> None:
        self.shutting_down = self.waiting = 0
        self.signalled = False


_state: Final = PerProcess(_State)
_SIGNALS: Final = (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


def deliver_on_sigterm(what: Delivers) -> None:
    """Have `what` shut down before a signal ends this process or a forked child of it.

    Args:
        what: Not kept alive.
    """
    _delivers[:] = [known for known in _delivers if known() is not None]
    _delivers.append(weakref.ref(what))
    watch_forks()
    if signal.signal is not _signal:
        signal.signal, signal.getsignal = _signal, _getsignal
    for signalnum in _SIGNALS:
        if _get(signalnum) in _DEFAULT:
            # Only the main thread may set handlers: elsewhere the next who sets the default does
            # it. Python itself is asked which one this is: eventlet's `current_thread` does not
            # know.
            with suppress(ValueError):
                _set(signalnum, _deliver_and_end)


@contextmanager
def shutting_down() -> Iterator[None]:
    """A signal that comes meanwhile ends the process when this is over; a second one at once."""
    state = _state.get()
    state.shutting_down += 1
    try:
        yield
    finally:
        state.shutting_down -= 1
        if state.waiting and not state.shutting_down:
            os.kill(os.getpid(), state.waiting)


def _signal(signalnum: Any, handler: Any) -> Any:
    """`signal.signal`, with delivery in front of the default action."""
    if signalnum in _SIGNALS and handler in _DEFAULT:
        handler = _deliver_and_end
    return _shown(_set(signalnum, handler))


def _getsignal(signalnum: Any) -> Any:
    """`signal.getsignal`: the default action is told as what it is."""
    return _shown(_get(signalnum))


def _shown(handler: Any) -> Any:
    return signal.SIG_DFL if handler is _deliver_and_end else handler


_DEFAULT: Final = (signal.SIG_DFL,)


def _deliver_and_end(signalnum: int, _frame: FrameType | None) -> None:
    state = _state.get()
    if not state.signalled and not is_being_forked():
        state.signalled = True
        if is_exiting():
            return  # the exit delivers, and is bounded; a second signal ends it
        if state.shutting_down:
            state.waiting = signalnum  # for what may be interrupted here
            return
        if not _deliver(signalnum, last=os.getpid() != 1):
            return
    _end(signalnum)


def _end(signalnum: int) -> None:
    """Do what the signal does by default."""
    state = _state.get()
    # Linux ignores that for process 1 of a container, which has always lived on until it is
    # killed, and does so here.
    _set(signalnum, signal.SIG_DFL)
    signal.raise_signal(signalnum)
    state.signalled, state.waiting = False, 0
    _set(signalnum, _deliver_and_end)


def _deliver(signalnum: int, *, last: bool) -> bool:
    """Deliver on a thread of its own: what is interrupted here may hold a lock that it takes.

    Returns:
        False if that one ends the process, since nobody can wait for it here.
    """
    done = allocate_lock()
    done.acquire()
    # A greenlet that delivers cannot wait for itself: it is interrupted here, and goes on.
    waiting = not is_on_worker()

    def work() -> None:
        try:
            for known in _delivers:
                if (what := known()) is None:
                    continue
                with suppress(Exception):  # the process ends, whatever goes wrong
                    if last:
                        what.shutdown(LONGEST_DELIVERY * 1000)
                    else:
                        what.force_flush(int(LONGEST_DELIVERY * 1000))
        finally:
            done.release()
            if not waiting:
                _end(signalnum)

    try:
        start_new_thread(work, ())
    except RuntimeError:  # there can be none
        return True
    with suppress(KeyboardInterrupt):  # somebody waits no longer
        try:
            if waiting:
                done.acquire(timeout=LONGEST_DELIVERY + 1)
        except AssertionError:
            # What gevent and eventlet raise in their event loop, which runs signal handlers
            # where all greenlets wait. It has to go on, and the thread is one of those.
            waiting = False
    return waiting
