"""The parts of the standard library that the exporter meets the world by, on a simulated one.

The exporter is imported with these in place of `threading`, `time`, `os`, `secrets` and
`sqlite3`: so all of it is simulated, whatever its modules are called and however they are cut.
"""

from __future__ import annotations

import _thread
import importlib
import inspect
import os
import pkgutil
import secrets
import sqlite3
import sys
import threading
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

from simulation import machine as machines
from simulation.machine import running

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from simulation.machine import Machine, Process

_BUSY_SECONDS = 0.005
"""How long a statement waits before it tries again for a lock that another process has."""


class Substitute(ModuleType):
    """A module with some names of its own; all others are the real one's."""

    def __init__(self, real: ModuleType, **own: Any) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(own)
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


# Threads.


def _threading() -> Substitute:
    """The standard library's own Condition, Event and Semaphore, on simulated locks.

    Its own: what its classes do with a lock while a signal handler comes is what is looked for.
    """
    own: dict[str, Any] = {
        "Lock": machines.Lock,
        "RLock": machines.RLock,
        "Thread": machines.Thread,
        "current_thread": machines.current_thread,
        "main_thread": machines.main_thread,
        "get_ident": machines.get_ident,
        "get_native_id": machines.get_ident,
    }
    space = {**vars(threading), **own, "_allocate_lock": machines.Lock, "_time": _monotonic}
    for kind in (threading.Condition, threading.Event, threading.Semaphore):
        source = compile(inspect.getsource(kind), threading.__file__, "exec")
        exec(source, space)
        own[kind.__name__] = space[kind.__name__]
    source = compile(inspect.getsource(threading.BoundedSemaphore), threading.__file__, "exec")
    exec(source, space)
    own["BoundedSemaphore"] = space["BoundedSemaphore"]
    return Substitute(threading, **own)


def _start_new_thread(function: Any, arguments: tuple[Any, ...]) -> int:
    thread = machines.Thread(target=lambda: function(*arguments), daemon=True)
    thread.start()
    return thread.ident or 0


def _low_level_threads() -> Substitute:
    return Substitute(
        _thread,
        allocate_lock=machines.Lock,
        get_ident=machines.get_ident,
        start_new_thread=_start_new_thread,
    )


# Clocks.


def _monotonic() -> float:
    machine = running()
    if machine is None:
        return time.monotonic()
    return machine.now + machine.current.process.monotonic_offset


def _wall() -> float:
    machine = running()
    return time.time() if machine is None else machine.now + machine.wall_offset


def _sleep(seconds: float) -> None:
    machine = running()
    assert machine is not None, "nobody sleeps while modules are imported"
    machine.sleep(seconds)


def _time() -> Substitute:
    return Substitute(
        time,
        monotonic=_monotonic,
        perf_counter=_monotonic,
        time=_wall,
        sleep=_sleep,
        monotonic_ns=lambda: int(_monotonic() * 1e9),
        perf_counter_ns=lambda: int(_monotonic() * 1e9),
        time_ns=lambda: int(_wall() * 1e9),
        clock_gettime=_clock_gettime,
        clock_gettime_ns=lambda number: int(_clock_gettime(number) * 1e9),
    )


def _clock_gettime(number: int) -> float:
    return _wall() if number == time.CLOCK_REALTIME else _monotonic()


# Disks.


class Disk:
    """How the disk is: set by the world, asked before every statement and file.

    Attributes:
        error: What every change is refused with, as text and number; None for none.
        hangs_until: Simulated seconds until which nothing on it comes back.
    """

    def __init__(self) -> None:
        self.error: tuple[str, int] | None = None
        self.hangs_until = 0.0

    def ask(self, machine: Machine, *, changes: bool) -> None:
        """Wait while it hangs.

        Raises:
            sqlite3.OperationalError: It takes no change.
        """
        machine.point()
        while machine.now < self.hangs_until:
            machine.sleep(self.hangs_until - machine.now)
        if changes and self.error is not None:
            raise sqlite3.OperationalError(self.error[0])


disk = Disk()
_CHANGES = ("INSERT", "UPDATE", "DELETE", "REPLACE", "BEGIN IMMEDIATE", "CREATE", "DROP", "ALTER")


class _Connection(sqlite3.Connection):
    """One whose statements take simulated time, and end with its process."""

    patience = 0.0
    process: Process | None = None

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return self._asked(sql, lambda: sqlite3.Connection.execute(self, sql, *parameters))

    def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return self._asked(sql, lambda: sqlite3.Connection.executemany(self, sql, *parameters))

    def executescript(self, sql: str) -> sqlite3.Cursor:
        return self._asked(sql, lambda: sqlite3.Connection.executescript(self, sql))

    def _asked(self, sql: str, statement: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        machine = running()
        if machine is None:
            return statement()
        disk.ask(machine, changes=sql.lstrip().upper().startswith(_CHANGES))
        until = machine.now + self.patience
        while True:
            try:
                return statement()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or machine.now >= until:
                    raise
            machine.sleep(_BUSY_SECONDS)

    def close(self) -> None:
        if self.process is not None:
            self.process.databases.pop(id(self), None)
        super().close()


def _connect(*arguments: Any, timeout: float = 5.0, **options: Any) -> sqlite3.Connection:
    machine = running()
    real: Any = sqlite3.connect
    # SQLite itself would wait in real time, with everybody else standing still.
    connection = real(*arguments, timeout=0, factory=_Connection, **options)
    assert isinstance(connection, _Connection)
    connection.patience = timeout
    if machine is not None:
        connection.process = machine.current.process
        connection.process.databases[id(connection)] = lambda: _break_off(connection)
    return connection


def _break_off(connection: sqlite3.Connection) -> None:
    """As a kill ends it: what is not committed never was, and nothing is tidied up."""
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
    sqlite3.Connection.close(connection)


def _open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    machine = running()
    if machine is not None:
        machine.point()
        while machine.now < disk.hangs_until:
            machine.sleep(disk.hangs_until - machine.now)
        if disk.error is not None and flags & os.O_CREAT:
            raise OSError(disk.error[1], os.strerror(disk.error[1]), str(path))
    descriptor = os.open(path, flags, mode, dir_fd=dir_fd)
    if machine is not None:
        machine.current.process.descriptors.add(descriptor)
    return descriptor


def _close(descriptor: int) -> None:
    machine = running()
    if machine is not None:
        process = machine.current.process
        if process.dead and descriptor not in process.descriptors:
            return  # closed by the kill; the number may be somebody else's
        process.descriptors.discard(descriptor)
    os.close(descriptor)


def close_all(process: Process) -> None:
    """What the kernel does when a process ends: files, and with them locks, are let go."""
    for descriptor in process.descriptors:
        os.close(descriptor)
    process.descriptors.clear()
    for break_off in list(process.databases.values()):
        break_off()
    process.databases.clear()


# Chance.

_chance: list[random.Random] = []


def use_chance(rng: random.Random) -> None:
    """Have tokens drawn from `rng`."""
    _chance[:] = [rng]


def _token_hex(size: int = 32) -> str:
    return _chance[0].randbytes(size).hex() if _chance else secrets.token_hex(size)


# Forks.


def _alone_in_child() -> None:
    machine = running()
    if machine is not None:
        machine.alone()


def _divide_losses() -> None:
    """Give each simulated process its own count of what never reached an exporter."""
    module: Any = sys.modules["logwell_otel._process"]

    def get() -> Any:
        machine = running()
        if machine is None:
            return module.Losses()
        losses = machine.current.process.losses
        return losses.setdefault(os.getpid(), module.Losses())  # a child of a fork has none

    module.losses.get = get


# All of it in place.


_imported: list[ModuleType] = []


def import_exporter() -> bool:
    """Import all of the exporter with these modules in place of the real ones; False if it is."""
    if _imported:
        return False
    if "logwell_otel" in sys.modules:
        raise RuntimeError("the exporter was imported before the simulation")
    # First, to come before what the exporter does in a child.
    os.register_at_fork(after_in_child=_alone_in_child)
    # What it imports itself has the real ones.
    for name in ("httpcore", "msgspec", "opentelemetry.sdk._logs.export", "certifi", "logging"):
        importlib.import_module(name)
    substitutes = {
        "threading": _threading(),
        "_thread": _low_level_threads(),
        "time": _time(),
        "os": Substitute(os, open=_open, close=_close),
        "sqlite3": Substitute(sqlite3, connect=_connect),
        "secrets": Substitute(secrets, token_hex=_token_hex),
    }
    real = {name: sys.modules[name] for name in substitutes}
    sys.modules.update(substitutes)
    try:
        package = importlib.import_module("logwell_otel")
        for module in pkgutil.walk_packages(package.__path__, "logwell_otel."):
            # Programs of their own, and what needs packages that not everybody has.
            if not module.name.startswith(("logwell_otel.cli", "logwell_otel.devserver")) and (
                not module.name.startswith(("logwell_otel.integrations", "logwell_otel.conf"))
                and not module.name.endswith("__main__")
            ):
                importlib.import_module(module.name)
        _divide_losses()
        _imported.append(package)
    finally:
        sys.modules.update(real)
    return True
