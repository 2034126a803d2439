"""Simulated time, and tasks that take turns in it as threads would, in an order that a seed gives.

A task is a thread of the operating system that waits until it is given the turn; one runs at a
time, until it waits for something or is preempted at a lock. So product code needs no change to
be simulated, and its threads, callers and signal handlers meet in every order that locks allow.
What is not simulated: being preempted between two byte codes where no lock is taken.
"""

from __future__ import annotations

import _thread
import heapq
import itertools
import math
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

STEP = 1e-6
"""Seconds that each lock costs: so time goes on in a loop that waits for nothing."""


class Killed(GeneratorExit):
    """The task's process is no more.

    A `GeneratorExit`, the one exception beside an interrupt that code which contains everything
    lets through.
    """


class Armed:
    """Something that happens when so many locks have been taken or let go."""

    def __init__(self, left: int, action: Callable[[], object], on_main: bool) -> None:
        self.left = left
        self.action = action
        self.on_main = on_main


class Process:
    """What ends together: tasks, file descriptors and databases.

    Attributes:
        dead: Its tasks run no more.
        monotonic_offset: What its monotonic clock is ahead of simulated time.
        descriptors: Files that it opened with `os.open`.
        databases: Connections of SQLite; called to close them as a kill would.
        signals: Handlers to run on its main task.
        no_threads: True while it can start no thread.
        losses: By process id of the operating system, what the exporter counts once a process.
    """

    def __init__(self, name: str, monotonic_offset: float = 0.0) -> None:
        self.name = name
        self.dead = False
        self.monotonic_offset = monotonic_offset
        self.descriptors: set[int] = set()
        self.databases: dict[int, Callable[[], object]] = {}
        self.signals: deque[Callable[[], object]] = deque()
        self.armed: list[Armed] = []
        self.no_threads = False
        self.losses: dict[int, object] = {}
        self.main: Task | None = None

    def arm(self, points: int, action: Callable[[], object], *, on_main: bool = False) -> None:
        """Have `action` happen after so many locks that are taken or let go, now for 0.

        Args:
            points: How many.
            action: What happens.
            on_main: Only those of the main task count, which then is in the middle of it.
        """
        if points == 0:
            action()
        else:
            self.armed.append(Armed(points, action, on_main))

    def signal(self, handler: Callable[[], object]) -> None:
        """Have the main task run `handler`, in the middle of whatever it does or waits for."""
        self.signals.append(handler)
        if self.main is not None:
            self.main.machine.interrupt(self.main)


class Task:
    """A thread of a simulated process."""

    def __init__(self, machine: Machine, process: Process, name: str) -> None:
        self.machine = machine
        self.process = process
        self.name = name
        self.turn = _thread.allocate_lock()
        self.turn.acquire()
        self.done = False
        self.ident = next(machine.numbers)
        self.joined = Waiters()
        self.thread = 0  # the operating system's
        # Of what it waits for.
        self.sleep = 0
        self.woken = True
        self.waiters: Waiters | None = None

    def __repr__(self) -> str:
        return f"{self.process.name}/{self.name}"


class Waiters:
    """Tasks that wait for one thing, first come first served."""

    def __init__(self) -> None:
        self.tasks: deque[Task] = deque()


class Machine:
    """The scheduler.

    Args:
        rng: Decides who runs next, and when a task is preempted.
        preemption: Locks between two preemptions, on average.
        failed: Called with a task and what it died of.

    Attributes:
        now: Simulated seconds since the beginning.
        wall_offset: What the wall clock is ahead of it.
        current: The task that runs.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        preemption: float,
        failed: Callable[[Task, BaseException], object],
    ) -> None:
        self.now = 0.0
        self.wall_offset = 1_800_000_000.0
        self.numbers = itertools.count(1)
        self._rng = rng
        self._preemption = preemption
        self._failed = failed
        self._points = 0
        self._ready: list[Task] = []
        self._timers: list[tuple[float, int, Task, int]] = []
        self._order = itertools.count()
        self.tasks: list[Task] = []
        self.world = Process("world")
        self.current = Task(self, self.world, "world")
        self.switches = 0

    # Tasks.

    def spawn(self, process: Process, name: str, target: Callable[[], object]) -> Task:
        """Start a task."""
        task = Task(self, process, name)
        self.tasks.append(task)
        _thread.start_new_thread(self._run, (task, target))
        self._ready.append(task)
        return task

    def _run(self, task: Task, target: Callable[[], object]) -> None:
        task.thread = _thread.get_ident()
        task.turn.acquire()
        try:
            if not task.process.dead:
                target()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is a finding
            if not task.process.dead:
                self._failed(task, error)
        task.done = True
        self.tasks.remove(task)
        self.wake_all(task.joined)
        following = self._next()
        self.current = following
        following.turn.release()

    def where(self, task: Task) -> str:
        """What a task is in the middle of: the exporter's functions, the innermost first."""
        frame = sys._current_frames().get(task.thread)  # noqa: SLF001 - there is no other way
        found: list[str] = []
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if "logwell_otel" in path.parts:
                found.append(f"{path.name}:{frame.f_lineno} {frame.f_code.co_name}")
            frame = frame.f_back
        return " < ".join(found)

    def kill(self, process: Process) -> None:
        """End a process at once, whatever its tasks are at.

        They unwind when their turn comes, with everything they touch refusing: what they still
        run is their own `finally`, which has nothing left to act on.
        """
        process.dead = True
        for task in self.tasks:
            if task.process is process and task is not self.current:
                self.interrupt(task)

    def alone(self) -> None:
        """In a child of a fork: the task that forked is the only one there."""
        self.tasks = [self.current]
        self._ready.clear()
        self._timers.clear()

    # Time and turns.

    def point(self, *, signals: bool = False) -> None:
        """The running task may be preempted or killed here, or handle a signal."""
        task = self.current
        process = task.process
        if process.dead:
            raise Killed
        self.now += STEP
        if process.armed:
            self._fire(process, task)
        if signals and process.signals and task is process.main:
            self._handle_signals(task)
        self._points -= 1
        if self._points <= 0:
            self._points = 1 + int(self._rng.expovariate(1 / self._preemption))
            self._ready.append(task)
            self._switch(task)

    def _fire(self, process: Process, task: Task) -> None:
        for armed in list(process.armed):
            if armed.on_main and task is not process.main:
                continue
            armed.left -= 1
            if armed.left <= 0:
                process.armed.remove(armed)
                armed.action()
        if process.dead:
            raise Killed

    def sleep(self, seconds: float) -> None:
        """Let the running task wait."""
        self.block(Waiters(), self.now + max(0.0, seconds))

    def block(self, waiters: Waiters, until: float = math.inf, *, signals: bool = True) -> bool:
        """Have the running task wait until it is woken; False if that is not before `until`."""
        task = self.current
        while True:
            if task.process.dead:
                raise Killed
            if signals and task.process.signals and task is task.process.main:
                self._handle_signals(task)
            task.sleep += 1
            task.woken = False
            task.waiters = waiters
            waiters.tasks.append(task)
            if until < math.inf:
                entry = (max(until, self.now), next(self._order), task, task.sleep)
                heapq.heappush(self._timers, entry)
            self._switch(task)
            if task.woken:
                return True
            if self.now >= until:
                return False
            # Interrupted: by a signal, which is handled, or by the end.

    def wake(self, waiters: Waiters) -> None:
        """Have the task go on that waits longest."""
        if waiters.tasks:
            task = waiters.tasks.popleft()
            task.woken = True
            self._unblock(task)

    def wake_all(self, waiters: Waiters) -> None:
        """Have all tasks go on that wait."""
        while waiters.tasks:
            self.wake(waiters)

    def interrupt(self, task: Task) -> None:
        """Have a task look whether there is a signal, or its process is dead."""
        if task.waiters is not None:
            task.waiters.tasks.remove(task)
            self._unblock(task)

    def _unblock(self, task: Task) -> None:
        task.waiters = None
        task.sleep += 1  # whose timer is of no use any more
        self._ready.append(task)

    def _handle_signals(self, task: Task) -> None:
        while task.process.signals:  # which may come while another one is handled
            task.process.signals.popleft()()

    def _switch(self, task: Task) -> None:
        following = self._next()
        if following is not task:
            self.switches += 1
            self.current = following
            following.turn.release()
            task.turn.acquire()
        if task.process.dead and task.process is not self.world:
            raise Killed

    def _next(self) -> Task:
        while True:
            while self._timers and (not self._ready or self._timers[0][0] <= self.now):
                at, _, task, sleep = heapq.heappop(self._timers)
                if task.sleep == sleep and task.waiters is not None:
                    self.now = max(self.now, at)
                    task.waiters.tasks.remove(task)
                    self._unblock(task)
            if self._ready:
                return self._ready.pop(self._rng.randrange(len(self._ready)))
            raise AssertionError("the world's own task waits without an end")


_machine: Machine | None = None


def running() -> Machine | None:
    """The machine whose task this is, None outside of a simulation."""
    return _machine


def use(machine: Machine | None) -> Machine | None:
    """Have `running` give that machine; gives the one before."""
    global _machine
    before, _machine = _machine, machine
    return before


class Lock:
    """As `threading.Lock`."""

    def __init__(self) -> None:
        self._held = False
        self._waiters = Waiters()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not self._take(blocking, timeout):
            return False
        machine = running()
        if machine is not None:
            try:
                machine.point(signals=True)
            except BaseException:
                self._let_go(machine)
                raise
        return True

    def _take(self, blocking: bool, timeout: float) -> bool:
        machine = running()
        if machine is None:
            assert not self._held
            self._held = True
            return True
        until = math.inf if timeout < 0 else machine.now + timeout
        while self._held:
            if not blocking or not machine.block(self._waiters, until):
                return False
        self._held = True
        return True

    def _let_go(self, machine: Machine) -> None:
        self._held = False
        machine.wake(self._waiters)

    def release(self) -> None:
        if not self._held:
            raise RuntimeError("release unlocked lock")
        machine = running()
        if machine is None:
            self._held = False
            return
        self._let_go(machine)
        machine.point()

    def locked(self) -> bool:
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    # What `threading.Condition` does around a wait, with no signal in between: a handler that
    # raised just there would be a test of the interpreter.

    def _is_owned(self) -> bool:
        return self._held

    def _release_save(self) -> None:
        self.release()

    def _acquire_restore(self, _: object = None) -> None:
        machine = running()
        assert machine is not None
        while self._held:
            machine.block(self._waiters, signals=False)
        self._held = True


class RLock:
    """As `threading.RLock`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._owner: object = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        machine = running()
        me: object = None if machine is None else machine.current
        if self._count and self._owner is me:
            self._count += 1
            return True
        # Both at once: a signal handler that comes next owns it, too.
        if not self._lock._take(blocking, timeout):  # noqa: SLF001 - of this module
            return False
        self._owner, self._count = me, 1
        if machine is not None:
            try:
                machine.point(signals=True)
            except BaseException:
                self._owner, self._count = None, 0
                self._lock._let_go(machine)  # noqa: SLF001 - as above
                raise
        return True

    def release(self) -> None:
        if not self._is_owned():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = None
            self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    # As of a lock.

    def _is_owned(self) -> bool:
        machine = running()
        return self._count > 0 and self._owner is (None if machine is None else machine.current)

    def _release_save(self) -> tuple[int, object]:
        state = self._count, self._owner
        self._count, self._owner = 0, None
        self._lock.release()
        return state

    def _acquire_restore(self, state: tuple[int, object]) -> None:
        self._lock._acquire_restore()  # noqa: SLF001 - of this module
        self._count, self._owner = state


class Thread:
    """As `threading.Thread`, in the process whose task makes it."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self.name = name or "Thread"
        self.daemon = daemon
        self._target = target
        self._args = args
        self._kwargs = kwargs or {}
        self._task: Task | None = None

    @property
    def ident(self) -> int | None:
        return None if self._task is None else self._task.ident

    native_id = ident

    def start(self) -> None:
        machine = running()
        assert machine is not None
        process = machine.current.process
        if process.no_threads:
            raise RuntimeError("can't start new thread")
        self._task = machine.spawn(process, self.name, self.run)
        _threads[self._task] = self
        machine.point()

    def run(self) -> None:
        if self._target is not None:
            self._target(*self._args, **self._kwargs)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.done

    def join(self, timeout: float | None = None) -> None:
        machine = running()
        task = self._task
        if machine is None or task is None:
            raise RuntimeError("cannot join thread before it is started")
        if task is machine.current:
            raise RuntimeError("cannot join current thread")
        until = math.inf if timeout is None else machine.now + max(0.0, timeout)
        while not task.done and machine.block(task.joined, until):
            pass


_threads: dict[Task, Thread] = {}


def forget_threads() -> None:
    """A world is over."""
    _threads.clear()


def current_thread() -> object:
    """As `threading.current_thread`: always the same object for one task."""
    machine = running()
    if machine is None:
        return None
    task = machine.current
    if task not in _threads:
        stranger = Thread(name=task.name)
        stranger._task = task  # noqa: SLF001 - one not made by a Thread
        _threads[task] = stranger
    return _threads[task]


def main_thread() -> object:
    """As `threading.main_thread`, which it is outside of a world: at the interpreter's exit."""
    machine = running()
    if machine is None:
        return threading.main_thread()
    if machine.current.process.main is None:
        return None
    main = machine.current.process.main
    if main is machine.current:
        return current_thread()
    if main not in _threads:
        stranger = Thread(name="MainThread")
        stranger._task = main  # noqa: SLF001 - as above
        _threads[main] = stranger
    return _threads[main]


def get_ident() -> int:
    """As `threading.get_ident`."""
    machine = running()
    return 0 if machine is None else machine.current.ident
