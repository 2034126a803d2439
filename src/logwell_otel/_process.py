"""What belongs to one process: forks, exits, and the threads of this package.

A server that preloads its application forks with an exporter in it, and its children must
neither share the parent's connection nor wait for a lock that one of the parent's threads
held. What is made here once per process is held in a `PerProcess`, and a thread is a
`Worker` in such an object; nothing else in this package asks for the process id, registers
a hook at forks or at exit, or starts a thread.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

# Forks.

_LONGEST_WAIT: Final = 5.0
"""Seconds a fork waits. Only then, should the import wait for what the forking thread holds."""

_importing = threading.RLock()
_held = threading.local()
_resting: weakref.WeakSet[Rests] = weakref.WeakSet()
_in_child: list[weakref.WeakMethod[Callable[[], object]]] = []
_at_child_exit: list[weakref.WeakMethod[Callable[[], object]]] = []


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
    _in_child.append(weakref.WeakMethod(callback))


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
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        # Its children drop all finalizers that there are and then run these.
        for known in _at_child_exit:
            if (callback := known()) is not None:
                util.register_after_fork(callback.__self__, _Finalizing(known))  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):  # Not on Windows, which has no fork.
    # Once, as hooks cannot be taken back. This module is imported before any processor of
    # the SDK's is made, so that a child has an engine of its own when the processor
    # restarts its thread there.
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


# Exits. Children of multiprocessing leave by `os._exit`: atexit does not run there. Their
# own finalizers do, when a child ends by returning, by an exception or by `Pool.close()`.
# Nothing runs when it is killed, as `Pool.terminate()` does.

_EXIT_PRIORITY: Final = -100
"""After the finalizers of queues and managers, which may still log."""


def at_exit(callback: Callable[[], object]) -> None:
    """Have `callback` called at the end of this process, whether multiprocessing made it or not.

    Args:
        callback: A bound method, whose object is not kept alive.
    """
    known = weakref.WeakMethod(callback)
    if _is_child_of_multiprocessing():
        # Exit handlers run there as well from Python 3.13 on: one of the two, not both.
        _Finalizing(known)()
    else:
        atexit.register(_call_in, os.getpid(), known)


def at_exit_of_children(callback: Callable[[], object]) -> None:
    """Have `callback` called at the end of this process, if multiprocessing made it, and of its.

    Args:
        callback: A bound method, whose object is not kept alive.
    """
    known = weakref.WeakMethod(callback)
    if _is_child_of_multiprocessing():
        _Finalizing(known)()
    _at_child_exit[:] = [other for other in _at_child_exit if other() is not None]
    _at_child_exit.append(known)


class _Finalizing:
    """Registers a finalizer with multiprocessing, which calls this in its children."""

    def __init__(self, callback: weakref.WeakMethod[Callable[[], object]]) -> None:
        self._callback = callback

    def __call__(self, _owner: object = None) -> None:
        from multiprocessing import util  # noqa: PLC0415 - there already in its children

        arguments = os.getpid(), self._callback
        util.Finalize(None, _call_in, args=arguments, exitpriority=_EXIT_PRIORITY)


def _is_child_of_multiprocessing() -> bool:
    # Imported by whoever makes such a child, in it as well; not by us.
    process: Any = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _call_in(pid: int, known: weakref.WeakMethod[Callable[[], object]]) -> None:
    # A forked child inherits its parent's exit hooks.
    if pid == os.getpid() and (callback := known()) is not None:
        callback()


# Threads.


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
        self._starting = threading.RLock()
        self._wakeup = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failures = 0

    @property
    def running(self) -> bool:
        """True while the thread lives."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """True from `stop` on."""
        return self._stop.is_set()

    def is_current_thread(self) -> bool:
        """True on the thread itself, where its callbacks run."""
        return self._thread is threading.current_thread()

    def start(self) -> bool:
        """Start the thread if there is none. False if that is impossible."""
        if self.running:
            return True
        if self._stop.is_set() or not self._threads:
            return False
        with self._starting:
            thread = self._thread
            if thread is not None and (thread.ident is None or thread.is_alive()):
                return True
            if self._stop.is_set():
                return False
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                # "can't create new thread at interpreter shutdown" (Python 3.12 and later),
                # or the system has no more.
                self._thread = None
                return False
            return True

    def wake(self) -> bool:
        """Have `step` called now. Starts the thread if there is none; False if it cannot."""
        if not self.start():
            return False
        self._wakeup.set()
        return True

    def stop(self) -> None:
        """Have no further step begun, and the thread end. Waits for nothing."""
        self._stop.set()
        self._wakeup.set()

    def join(self, timeout: float) -> bool:
        """Wait until the thread has ended; `timeout` in seconds.

        Returns:
            True if it has, or was never started; False on the thread itself.
        """
        thread = self._thread
        if thread is None:
            return True
        if thread is threading.current_thread():
            return False
        thread.join(timeout)
        return not thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            wait = self._contained(self._step)
            if wait == 0:
                continue  # there is more to do, and waiting for an event costs as much
            if not self._stop.is_set():
                self._wakeup.wait(wait)
            self._wakeup.clear()
        if self._finish is not None:
            self._contained(self._finish)

    def _contained(self, function: Callable[[], T]) -> T | float:
        try:
            return function()
        except Exception:  # noqa: BLE001 - counted; without this thread nothing is done any more
            self.failures += 1
            return self._after_failure

    def __repr__(self) -> str:
        return f"<Worker {self._name} {'running' if self.running else 'not running'}>"
