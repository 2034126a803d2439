"""SIGTERM, which ends a Python program without its exit callbacks: deliver first, then end by it.

Nothing changes where somebody handles the signal. Its default action alone, the end of the
process, gets something put in front, and the process still ends by the signal: supervisors
see the same status. The default action comes back in many programs: gunicorn's workers set
it before they set handlers of their own, uvicorn restores it when it has shut down and then
raises the signal again, asyncio restores it with each handler that is removed. So
`signal.signal` is wrapped: whoever sets `SIG_DFL` for SIGTERM gets this, and whoever asks
is told `SIG_DFL`.
"""

from __future__ import annotations

import os
import signal
import weakref
from _thread import allocate_lock, start_new_thread
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from logwell_otel._process import PerProcess, is_exiting

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
        signalled: SIGTERM has come.
        waiting: It is to end the process when the shutdowns are through.
    """

    def __init__(self) -> None:
        self.shutting_down = 0
        self.signalled = self.waiting = False


_state: Final = PerProcess(_State)


def deliver_on_sigterm(what: Delivers) -> None:
    """Have `what` shut down before SIGTERM ends this process or a forked child of it.

    Args:
        what: Not kept alive.
    """
    _delivers[:] = [known for known in _delivers if known() is not None]
    _delivers.append(weakref.ref(what))
    if signal.signal is not _signal:
        signal.signal, signal.getsignal = _signal, _getsignal
    if _get(signal.SIGTERM) in _DEFAULT:
        # Only the main thread may set handlers: elsewhere the next who sets the default does it.
        # Python itself is asked which one this is: eventlet's `current_thread` does not know.
        with suppress(ValueError):
            _set(signal.SIGTERM, _deliver_and_end)


@contextmanager
def shutting_down() -> Iterator[None]:
    """SIGTERM that comes meanwhile ends the process when this is over; a second one at once."""
    state = _state.get()
    state.shutting_down += 1
    try:
        yield
    finally:
        state.shutting_down -= 1
        if state.waiting and not state.shutting_down:
            os.kill(os.getpid(), signal.SIGTERM)


def _signal(signalnum: Any, handler: Any) -> Any:
    """`signal.signal`, with delivery in front of SIGTERM's default action."""
    if signalnum == signal.SIGTERM and handler in _DEFAULT:
        handler = _deliver_and_end
    return _shown(_set(signalnum, handler))


def _getsignal(signalnum: Any) -> Any:
    """`signal.getsignal`: the default action is told as what it is."""
    return _shown(_get(signalnum))


def _shown(handler: Any) -> Any:
    return signal.SIG_DFL if handler is _deliver_and_end else handler


_DEFAULT: Final = (signal.SIG_DFL,)


def _deliver_and_end(_signalnum: int, _frame: FrameType | None) -> None:
    state = _state.get()
    if not state.signalled:
        state.signalled = True
        if is_exiting():
            return  # the exit delivers, and is bounded; a second signal ends it
        if state.shutting_down:
            state.waiting = True  # for what may be interrupted here
            return
        if not _deliver(last=os.getpid() != 1):
            return
    _end()


def _end() -> None:
    """Do what SIGTERM does by default."""
    state = _state.get()
    # Linux ignores that for process 1 of a container, which has always lived on until it is
    # killed, and does so here.
    _set(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)
    state.signalled = state.waiting = False
    _set(signal.SIGTERM, _deliver_and_end)


def _deliver(*, last: bool) -> bool:
    """Deliver on a thread of its own: what is interrupted here may hold a lock that it takes.

    Returns:
        False if that one ends the process, since nobody can wait for it here.
    """
    done = allocate_lock()
    done.acquire()
    waiting = True

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
                _end()

    # No thread, or somebody waits no longer.
    with suppress(RuntimeError, KeyboardInterrupt):
        start_new_thread(work, ())
        try:
            done.acquire(timeout=LONGEST_DELIVERY + 1)
        except AssertionError:
            # What gevent and eventlet raise in their event loop, which runs signal handlers
            # where all greenlets wait. It has to go on, and the thread is one of those.
            waiting = False
    return waiting
