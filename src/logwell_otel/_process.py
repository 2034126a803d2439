"""What belongs to one process: forks, exits, and the threads of this package.

A server that preloads its application forks with an exporter in it, and its children must
neither share the parent's connection nor wait for a lock that one of the parent's threads
held. What is made here once per process is held in a `PerProcess`, and a thread is a
`Worker` in such an object; nothing else in this package asks for the process id, registers
a hook at forks or at exit, or starts a thread.
"""

from __future__ import annotations

import _thread
import atexit
import logging
import os
import signal
import sys
import threading
import time
import weakref
from _thread import allocate_lock, get_ident, start_new_thread
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from logwell_otel._clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

T = TypeVar("T")


class _WeakCallback:
    """A bound method whose object is not kept alive; calling this gives it, or None.

    `weakref.WeakMethod` prints an exception where it is collected together with the object, as
    happens when the interpreter ends.
    """

    def __init__(self, callback: Callable[[], object]) -> None:
        method: Any = callback
        self._owner = weakref.ref(method.__self__)
        self._function = method.__func__

    def __call__(self) -> Callable[[], object] | None:
        owner = self._owner()
        return None if owner is None else MethodType(self._function, owner)


# Forks.

_LONGEST_WAIT: Final = 5.0
"""Seconds a fork waits. Only then, should the import wait for what the forking thread holds."""

_importing = threading.RLock()
_held = threading.local()
_resting: weakref.WeakSet[Rests] = weakref.WeakSet()
_in_child: list[_WeakCallback] = []
_hooks: list[_ExitHook] = []
_without_multiprocessing: list[_ExitHook] = []
"""Hooks that multiprocessing, which nobody has imported yet, has not been told of."""


@contextmanager
def not_forking() -> Iterator[None]:
    """Forks wait until what runs inside is over. For imports in threads of ours only.

    A child forked in the middle of an import has the module for ever as far as it had come:
    `import httpcore` then succeeds with half of it, for the application too. Seen with a
    program that logs and forks right after its start.
    """
    with _importing:
        yield


def after_fork_in_child(callback: Callable[[], object]) -> None:
    """Have `callback` called in every child right after its fork.

    Not where C code forks without Python's knowledge, as uWSGI does: what must hold there
    too compares process ids, as `PerProcess` does.

    Args:
        callback: A bound method, whose object is not kept alive. What it raises is
            dropped: Python would print a traceback for every fork.
    """
    _in_child[:] = [known for known in _in_child if known() is not None]
    _in_child.append(_WeakCallback(callback))


class PerProcess(Generic[T]):
    """One object for each process: what a parent's other threads hold is no use in a child.

    It compares process ids, which also holds where C code forks. It takes no lock, since
    that might have been held at the fork. A parent's object is kept in the child without
    being touched: a finaliser that closes a TLS connection would end the parent's session.

    Args:
        make: Makes one. What it makes is dropped when two threads come at once.
        remake: Makes one in a child, by default as `make` does.
        at_fork: True makes the child's right after the fork, not when it is first used.
    """

    def __init__(
        self,
        make: Callable[[], T],
        *,
        remake: Callable[[], T] | None = None,
        at_fork: bool = False,
    ) -> None:
        self._make = make
        self._remake = remake or make
        self._made: dict[int, T] = {}
        self._latest: tuple[int, T] | None = None
        if at_fork:
            after_fork_in_child(self.get)

    def get(self) -> T:
        """Return this process's object."""
        pid = os.getpid()
        latest = self._latest
        if latest is not None and latest[0] == pid:
            return latest[1]
        make = self._remake if self._made else self._make
        found = self._made.setdefault(pid, make())
        self._latest = pid, found
        return found


class Rests(Protocol):
    """What `rest_at_forks` takes."""

    def rest(self) -> bool:
        """Called before each fork; True if `resume` is to be called after it."""

    def resume(self) -> None:
        """Called after the fork, in the parent only."""


def rest_at_forks(thing: Rests) -> None:
    """Have `thing` let go of what cannot be carried through a fork. It is not kept alive."""
    _resting.add(thing)


def keep_for_ever(thing: object) -> None:
    """Have a parent's `thing` not finalised in this child, not at its end either.

    To close a database would end the parent's locks, and may meet descriptors that are files
    of the child's own by now.
    """
    import ctypes  # noqa: PLC0415 - in such a child only

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _before_fork() -> None:
    _held.in_a_thread = get_ident() != threading.main_thread().ident
    _held.by_us = _importing.acquire(timeout=_LONGEST_WAIT)
    _held.resting = [thing for thing in list(_resting) if thing.rest()]


def _after_fork_in_parent() -> None:
    for thing in _held.resting:
        thing.resume()
    if _held.by_us:
        _importing.release()


def _after_fork_in_child() -> None:
    global _importing  # noqa: PLW0603 - the old one may be held by a thread that does not exist here
    _importing = threading.RLock()
    for known in _in_child:
        if (callback := known()) is not None:
            # See `after_fork_in_child`. A PerProcess tries again when it is used.
            with suppress(Exception):
                callback()
    if "multiprocessing.util" in sys.modules:
        for hook in _without_multiprocessing:
            hook.tell_multiprocessing()
        _without_multiprocessing.clear()
        # A child of such a child, by `os.fork`, leaves by its parent's `os._exit` when it
        # returns; finalizers know whose they are, and those of the parent do not run in it.
        if _is_child_of_multiprocessing():
            for hook in _hooks:
                hook.finalize_here()
    if "celery.signals" in sys.modules:
        _tell_celery()
    # A greenlet's locals end with the greenlet.
    if _held.in_a_thread and not {"gevent", "eventlet"} & sys.modules.keys():
        _held.end = _EndOfForkedThread()


class _EndOfForkedThread:
    """Delivers at the end of a child that was forked on a thread, and lets it end.

    Such a child has that thread alone, and no interpreter that ends in order: when the thread
    returns the process is gone, without exit handlers, unless another thread lives on. Ours
    would, for ever. This is one of the thread's locals, which end with it.
    """

    def __del__(self) -> None:
        if sys.is_finalizing():
            return
        # The others are what the process goes on for, and may log. To join one makes Python see
        # one more: this thread, which it has forgotten by now, and which cannot be joined.
        seen: set[threading.Thread] = set()
        while others := {*threading.enumerate()} - seen:
            seen |= others
            for thread in others:
                if not _is_workers(thread):
                    with suppress(AssertionError, RuntimeError):
                        thread.join()
        for hook in _hooks:
            with suppress(Exception):  # the next one is called all the same
                hook.at_process_end()
        for thread in threading.enumerate():
            if worker := _is_workers(thread):
                worker.stop()


if hasattr(os, "register_at_fork"):  # Not on Windows, which has no fork.
    # Once, as hooks cannot be taken back. This module is imported before any processor of
    # the SDK's is made, so that a child has an engine of its own when the processor
    # restarts its thread there.
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


_hooks_ran_in = os.getpid()


def watch_forks() -> None:
    """Have `is_being_forked` wait for the hooks that are registered by now, whoever did that."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_hooks_ran)


def is_being_forked() -> bool:
    """True in a child whose hooks have not run yet: what it holds is its parent's.

    For signal handlers, which may run between two hooks.
    """
    return _hooks_ran_in != os.getpid()


def _hooks_ran() -> None:
    global _hooks_ran_in  # noqa: PLW0603 - of this process
    _hooks_ran_in = os.getpid()


# Exits. Children of multiprocessing leave by `os._exit`: atexit does not run there. Their
# own finalizers do, when a child ends by returning, by an exception or by `Pool.close()`.
# Nothing runs when it is killed, as `Pool.terminate()` does.

_EXIT_PRIORITY: Final = -100
"""After the finalizers of queues and managers, which may still log."""


def is_exiting() -> bool:
    """True once the interpreter is on its way out: exit callbacks run, or finalizers after them."""
    # It marks the main thread as ended just before it calls what `atexit` has.
    return not threading.main_thread().is_alive()


_at_last: list[weakref.WeakMethod[Callable[[], object]]] = []
_nothing_comes_after = False


def at_last(callback: Callable[[], object]) -> None:
    """Have `callback` called when the exit callbacks registered since our import have run.

    Args:
        callback: A bound method, whose object is not kept alive.
    """
    _at_last[:] = [known for known in _at_last if known() is not None]
    _at_last.append(weakref.WeakMethod(callback))


def exit_callbacks_end() -> None:
    """Call what `at_last` was given."""
    global _nothing_comes_after  # noqa: PLW0603 - of this process
    _nothing_comes_after = True
    for known in _at_last:
        if (callback := known()) is not None:
            with no_interrupt_at_exit():
                callback()


def nothing_comes_after() -> bool:
    """True if `at_last` calls nobody any more: what is to be done is done now or never."""
    return _nothing_comes_after


@contextmanager
def no_interrupt_at_exit() -> Iterator[None]:
    """Ctrl-C ends what runs inside, without a traceback once the interpreter is on its way out."""
    try:
        yield
    except KeyboardInterrupt:
        if not is_exiting():
            raise


def at_exit(callback: Callable[[], object]) -> None:
    """Have `callback` called at the end of this process, whether multiprocessing made it or not.

    Args:
        callback: A bound method, whose object is not kept alive.
    """
    _register(_of_this_process(callback))


def at_exit_of_children(callback: Callable[[], object]) -> None:
    """Have `callback` called at the end of this process, if multiprocessing made it, and of its.

    Args:
        callback: A bound method, whose object is not kept alive.
    """
    _register(_ExitHook(callback, _is_child_of_multiprocessing))


_last: Final[list[_ExitHook]] = []


def at_the_very_end(callback: Callable[[], object], *, after_others: bool = False) -> None:
    """Have `callback` called at exit after OpenTelemetry's providers, whatever became of those.

    Not in children of multiprocessing.

    Args:
        callback: A bound method, whose object is not kept alive.
        after_others: After those without it.
    """
    _last[:] = [hook for hook in _last if not hook.is_dead]
    _last.insert(len(_last) if after_others else 0, _of_this_process(callback))


class _End(logging.Handler):
    """`logging` closes it at exit, after everything that was registered since it was imported.

    Exit handlers run in the opposite order of their registration, and a provider may have
    registered its own before this package was imported, or after.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """It is attached to no logger."""

    def close(self) -> None:
        super().close()
        while _last:
            with suppress(Exception):  # the next one is called all the same
                _last.pop(0)()
        if is_exiting():
            _end_as_interrupted()


def _end_as_interrupted() -> None:
    """Have a program that Ctrl-C has ended tell so by its exit status, as without us.

    Python notes that in a flag, and resets it with each text that is run as code. Named tuples
    and dataclasses are made from such texts: when modules are imported at exit, as for the
    first request, the status would be 1 and no shell would know.
    """
    trace = getattr(sys, "last_traceback", None)
    if getattr(sys, "last_type", None) is not KeyboardInterrupt or trace is None:
        return
    # It has left the program. In an interactive one it has left a command, which told.
    if trace.tb_frame.f_back is None and not hasattr(sys, "ps1"):
        with suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102 - what sets the flag again


def _at_exit() -> None:
    global _end  # noqa: PLW0603 - `logging` does not keep it alive
    _end = _End()  # only now: `logging.config` forgets all handlers that there are


_end: _End | None = None
atexit.register(_at_exit)


class _ExitHook:
    """Calls back at the end of a process: once, whoever tells that it ends.

    Args:
        callback: A bound method.
        concerned: Whether it is to be called in this process.
    """

    def __init__(self, callback: Callable[[], object], concerned: Callable[[], bool]) -> None:
        self._callback = _WeakCallback(callback)
        self._concerned = concerned
        self._called_in: int | None = None

    def __call__(self) -> None:
        if self._concerned():
            self.at_process_end()

    def at_process_end(self) -> None:
        """Call back in a process that ends, whoever made it."""
        callback = self._callback()
        if callback is not None and self._called_in != os.getpid():
            self._called_in = os.getpid()
            callback()

    @property
    def is_dead(self) -> bool:
        """True if there is nothing left to call."""
        return self._callback() is None

    def tell_multiprocessing(self) -> None:
        """Be called at the end of children that multiprocessing makes, this process included.

        Those drop all finalizers that there are when they begin, and then call what is
        registered here: also in a child of a fork server, which imports the program after
        the fork and before it begins.
        """
        util: Any = sys.modules["multiprocessing.util"]
        if (callback := self._callback()) is not None:
            util.register_after_fork(callback.__self__, self.finalize_here)  # type: ignore[attr-defined]
        if _is_child_of_multiprocessing():
            self.finalize_here()

    def finalize_here(self, _owner: object = None) -> None:
        """Have multiprocessing call it at the end of this process."""
        util: Any = sys.modules["multiprocessing.util"]
        util.Finalize(None, self, exitpriority=_EXIT_PRIORITY)


def _of_this_process(callback: Callable[[], object]) -> _ExitHook:
    here = os.getpid()
    # A forked child inherits its parent's exit hooks.
    return _ExitHook(callback, lambda: os.getpid() == here)


def _register(hook: _ExitHook) -> None:
    _hooks[:] = [other for other in _hooks if not other.is_dead]
    _hooks.append(hook)
    # For programs, for children that are spawned, and for all from Python 3.13 on.
    atexit.register(hook)
    if "celery.signals" in sys.modules:  # a process of its pool may come here after its fork
        _tell_celery()
    # Imported by whoever makes children; not by us.
    if "multiprocessing.util" in sys.modules:
        hook.tell_multiprocessing()
        return
    _without_multiprocessing[:] = [other for other in _without_multiprocessing if not other.is_dead]
    _without_multiprocessing.append(hook)


def _tell_celery() -> None:
    """Have Celery call exit hooks at the end of this process, if it is one of its pool's.

    Those leave by `os._exit` without any finalizers, and send this signal before:
    https://docs.celeryq.dev/en/stable/userguide/signals.html#worker-process-shutdown
    """
    signals: Any = sys.modules["celery.signals"]
    with suppress(Exception):  # another Celery; its processes' last second is lost
        # By id: a child that forks connects it once more.
        signals.worker_process_shutdown.connect(
            _celery_process_ends, weak=False, dispatch_uid="logwell_otel"
        )


def _celery_process_ends(**_: object) -> None:
    for hook in _hooks:
        hook.at_process_end()


def _is_child_of_multiprocessing() -> bool:
    process: Any = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


# Threads.
#
# gevent and eventlet replace the functions of `_thread` and `threading`. Where they do so
# before this module is imported, everything here is theirs and works together. After that,
# what was imported from the two by name is still the system's, and the rest must not be mixed
# with it: a `threading.Thread` would become a greenlet of a thread that runs no hub, and
# never run.


def is_patched_late() -> bool:
    """True if threads were replaced by greenlets after this module was imported."""
    return _thread.start_new_thread is not start_new_thread


class _SystemThread:
    """What a `Worker` needs of `threading.Thread`, made of what no patch has replaced."""

    def __init__(self, target: Callable[[], object]) -> None:
        self._target = target
        self.ident: int | None = None

    def start(self) -> None:
        self.ident = start_new_thread(self._target, ())


class Wakeup:
    """Wakes the one thread that waits for it. Never blocks whoever sets it.

    A lock that is held while there is nothing to do. `threading.Event.set` takes a lock of
    its own for a moment: a signal handler or a finalizer that logs just then, on the same
    thread, would wait for it for ever.
    """

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def set(self) -> None:
        """Have the thread go on, now or when it comes to wait."""
        if self._lock.locked():
            with suppress(RuntimeError):  # somebody else was quicker
                self._lock.release()

    def clear(self) -> None:
        """Forget that it is set."""
        self._lock.acquire(blocking=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, `timeout` seconds at most; it is not set any more then."""
        longest = threading.TIMEOUT_MAX
        return self._lock.acquire(timeout=-1 if timeout is None else min(timeout, longest))


_ABOUT_TO_START_SECONDS: Final = 0.5

_ours = threading.local()
_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


def _is_workers(thread: threading.Thread) -> Worker | None:
    """The worker whose thread it is."""
    return next((worker for worker in list(_workers) if worker.is_thread(thread)), None)


def is_on_worker() -> bool:
    """True on the thread of any `Worker`. That may be a greenlet, which signals interrupt too."""
    return getattr(_ours, "runs", False)


class Worker:
    """A thread that calls `step` until it is stopped, then `finish`. Belongs to one process.

    It is started by the first `start` or `wake`, and again should it have ended unasked. It
    is a daemon: the interpreter's exit must not wait for a server or a disk. What is to be
    done before the exit is done by whoever calls `stop` and `join`.

    Args:
        name: Of the thread.
        step: Does what is due; returns the seconds until it is called again: 0 at once,
            None when woken. What it raises is counted.
        finish: Called on the thread once it is stopped. What it raises is counted.
        after_failure: Seconds until the next step after one that raised.
        threads: False never starts the thread: its owner does the work.

    Attributes:
        failures: Calls of `step` and `finish` that raised.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float | None],
        *,
        finish: Callable[[], object] | None = None,
        after_failure: float = 1.0,
        threads: bool = True,
    ) -> None:
        self._name = name
        self._step = step
        self._finish = finish
        self._after_failure = after_failure
        self._threads = threads
        # Entered again where a signal handler logs while its thread starts this one.
        self._starting = RLock()
        self._wakeup = Wakeup()
        self._stopping = False
        self._about_to_start = False
        self._not_started = False
        self._thread: threading.Thread | _SystemThread | None = None
        # Held while it lives. Up to Python 3.12 a thread whose `join` a signal handler's
        # exception ends is taken for one that has ended.
        self._lives = allocate_lock()
        self.failures = 0
        _workers.add(self)

    def is_thread(self, thread: object) -> bool:
        """True for its own thread."""
        return self._thread is thread

    @property
    def running(self) -> bool:
        """True while the thread lives."""
        return self._thread is not None and self._lives.locked()

    @property
    def stopping(self) -> bool:
        """True from `stop` on."""
        return self._stopping

    def is_current_thread(self) -> bool:
        """True on the thread itself, where its callbacks run."""
        return self._thread is not None and self._thread.ident == get_ident()

    def start(self) -> bool:
        """Start the thread if there is none. False if that is impossible."""
        if self.running:
            return True
        # Once modules are torn down a thread would never come to run, and `start` waits for it.
        if self._stopping or not self._threads or sys.is_finalizing():
            return False
        with self._starting:
            thread = self._thread
            if thread is not None and (thread.ident is None or self._lives.locked()):
                return True
            if self.stopping:
                return False
            if is_patched_late():
                self._thread = _SystemThread(self._run)
            else:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._lives.acquire()
            try:
                self._thread.start()
            except RuntimeError:
                # "can't create new thread at interpreter shutdown" (Python 3.12 and later),
                # or the system has no more.
                self._thread = None
                self._lives.release()
                return False
            return True

    def wake(self) -> bool:
        """Have `step` called now. Starts the thread if there is none; False if it cannot."""
        if not self.start():
            return False
        self._wakeup.set()
        return True

    def wake_from_anywhere(self) -> bool:
        """As `wake`, for signal handlers and finalizers as well: takes no lock of Python's.

        `threading.Thread.start` takes one that all threads share, and a signal may come just
        when its thread holds it. So another thread, made without it, starts this one: soon,
        and not before this returns.

        Returns:
            False if there is no thread and none can be started, or none could the last time.
        """
        if not (self.running or self._about_to_start):
            if self._stopping or not self._threads or self._not_started or sys.is_finalizing():
                self._not_started = False  # it is tried again the next time
                return False
            try:
                self._about_to_start = True
                start_new_thread(self._start_soon, ())
            except BaseException as error:
                self._about_to_start = False
                if isinstance(error, RuntimeError):
                    return False  # as in `start`
                raise
        self._wakeup.set()
        return True

    def _start_soon(self) -> None:
        run = None
        try:
            self._not_started = not self.start()
            if self._not_started and self._threads and not sys.is_finalizing():
                run = self._adopt_this_thread()
        finally:
            self._about_to_start = False
        if run is not None:
            run()

    def _adopt_this_thread(self) -> Callable[[], None] | None:
        """Where the exit has begun, Python 3.12 starts no other any more."""
        with self._starting:
            if self._thread is not None:
                return None
            self._thread = thread = _SystemThread(self._run)
            self._lives.acquire()
            thread.ident = get_ident()
            self._not_started = False
            return self._run

    def stop(self) -> None:
        """Have no further step begun, and the thread end.

        Waits for nothing but a thread that is about to start, for a moment.
        """
        self._stopping = True
        until = monotonic() + _ABOUT_TO_START_SECONDS
        while self._about_to_start and monotonic() < until:
            time.sleep(0.001)
        self._wakeup.set()

    def join(self, timeout: float) -> bool:
        """Wait until the thread has ended; `timeout` in seconds.

        Returns:
            True if it has, or was never started; False on the thread itself.
        """
        with self._starting:
            thread = self._thread
        if thread is None:
            return True
        if thread.ident == get_ident():
            return False
        if not self._lives.acquire(timeout=timeout):
            return False
        self._lives.release()
        return True

    def _run(self) -> None:
        _ours.runs = True
        try:
            self._work()
        finally:
            self._lives.release()
        if is_patched_late() and not isinstance(self._thread, _SystemThread):
            # `threading` would look for it under the number of a greenlet and print a
            # traceback, which aborts a process whose interpreter is ending just then.
            Wakeup().wait()

    def _work(self) -> None:
        while not self._stopping:
            wait = self._contained(self._step)
            if wait == 0:
                continue  # there is more to do, and waiting for an event costs as much
            if not self._stopping:
                self._wakeup.wait(wait)
        if self._finish is not None:
            self._contained(self._finish)

    def _contained(self, function: Callable[[], T]) -> T | float:
        try:
            return function()
        except BaseException:  # noqa: BLE001 - counted; without this thread nothing is done any more
            self.failures += 1
            return self._after_failure

    def __repr__(self) -> str:
        return f"<Worker {self._name} {'running' if self.running else 'not running'}>"


# Calls that interrupt others on their own thread.

_MOST_KEPT_BACK: Final = 1000


class _KeptBack(threading.local):
    """A thread's calls that were kept back; None outside of one."""

    kept: list[Any] | None = None
    last = False


class Uninterrupted(Generic[T]):
    """Does a thread's calls one after the other, those that interrupt one of them as well.

    A signal handler and a finalizer run on the thread that they interrupt, between any two
    steps of it. What they log must not wait for a lock that this thread holds, and nothing
    here or in OpenTelemetry is made to be interrupted by itself. Such a call is kept back and
    made as soon as the interrupted one is over; what interrupts that again is dropped, or
    something that logs whenever something is logged would never end.

    Args:
        work: Does it.
        drop: Called with what is not done.
    """

    def __init__(self, work: Callable[[T], object], drop: Callable[[T], object]) -> None:
        self._work = work
        self._drop = drop
        self._thread = _KeptBack()

    @property
    def busy(self) -> bool:
        """True within a call on this thread."""
        return self._thread.kept is not None

    def __call__(self, item: T) -> None:
        """Do it, now or soon. Raises what `work` raises."""
        thread = self._thread
        kept: list[T] | None = thread.kept
        if kept is not None:
            if thread.last or len(kept) >= _MOST_KEPT_BACK:
                self._drop(item)
            else:
                kept.append(item)
            return
        thread.kept = kept = []
        try:
            self._work(item)
        finally:
            try:
                if kept:
                    self._make_up_for(kept)
            finally:
                thread.kept = None
                if kept:  # came just now, or after one that raised
                    for left in kept:
                        self._drop(left)

    def _make_up_for(self, kept: list[T]) -> None:
        self._thread.last = True
        try:
            while kept:
                self._work(kept.pop(0))
        finally:
            self._thread.last = False


def is_interruption() -> bool:
    """True if a signal handler or a finalizer is among the callers.

    Looks through the whole stack: for rare cases only.
    """
    handlers = {
        getattr(getattr(handler, "__func__", handler), "__code__", None)
        for handler in map(signal.getsignal, signal.valid_signals())
        if callable(handler)
    }
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as `logging` itself does
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_code in handlers:
            return True
        frame = frame.f_back
    return False


class Losses:
    """Records lost before they reached an exporter; counted in the health of every one."""

    def __init__(self) -> None:
        self.count = 0


losses: Final = PerProcess(Losses)


# Modules.

_STANDARD_LIBRARY: Final = Path(os.__file__).parent
_OURS: Final = frozenset({"anyio", "certifi", "h11", "httpcore", "idna", "msgspec", "socksio"})


def stands_in_the_way() -> str | None:
    """What of the program's own folder Python imports in the place of a module that we need.

    `http.py` beside a script is `http` for everything that the script imports. None where
    there is nothing of the kind.
    """
    folder = Path(sys.path[0] if sys.path else "")
    if folder == _STANDARD_LIBRARY:
        return None
    with suppress(OSError):  # the folder may be gone, or be a zip file
        for path in sorted(folder.iterdir()):
            is_module = path.suffix == ".py" or (path / "__init__.py").is_file()
            if is_module and path.stem in sys.stdlib_module_names | _OURS:
                return f"{path} stands in the place of the module {path.stem}: rename it"
    return None
