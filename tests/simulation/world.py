"""A world: applications that log through the exporter, and all that happens to them.

Import `simulation.stdlib` first and have it import the exporter.
"""

from __future__ import annotations

import errno
import math
import os
import pickle
import random
import re
import shutil
import signal
import sqlite3
import tempfile
import warnings
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from logwell_otel import LogwellLogExporter
from logwell_otel._config.options import Config
from logwell_otel._delivery.engine import Dependencies
from simulation import machine as machines
from simulation import stdlib
from simulation.machine import Machine, Process
from simulation.network import Network, Record, Wire, number_of, ranges
from simulation.promises import Promises
from support.records import record as otel_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logwell_otel.health import Health
    from simulation.machine import Task
    from simulation.plan import Plan

KEY = "lw_" + "k" * 32
ENDPOINT = "http://127.0.0.1:3000"
SEVERITIES = {"debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}
TICK = 5.0
"""Simulated seconds between two looks of the world at what it is promised."""


class Verdict(NamedTuple):
    """What came of a world."""

    seed: int
    findings: list[str]
    text: str
    """The world, its history and the findings, for people."""
    seconds: float
    """Simulated."""


class Chance(random.Random):
    """What the exporter draws from. Seeded anew in a child, it stays the simulation's."""

    def seed(self, a: Any = None, version: int = 2) -> None:
        super().seed(self.random() if a is None else a, version)


class Call(NamedTuple):
    """One call that an application makes."""

    what: str
    began: float
    until: float
    task: Task


class App:
    """One process that logs.

    Attributes:
        handed: Records in the order in which `export` was given them.
        returned: Those for which it has returned.
        calls: Those that have not returned.
        health: The latest there is.
        ended: How and when it ended.
        clean: Whether it ended by a shutdown that returned.
    """

    def __init__(self, world: World, name: str, *, spooled: bool, began: float) -> None:
        plan = world.plan
        self.world = world
        self.name = name
        self.process = Process(name, world.rng.uniform(10, 1e6))
        self.rng = random.Random(world.rng.random())
        self.spooled = spooled
        self.began = began
        self.handed: list[Record] = []
        self.returned: list[Record] = []
        self.calls: list[Call] = []
        self.health: Health | None = None
        self.reported: dict[int, float] = {}
        self.set_aside: dict[int, float] = {}
        self.ended: tuple[str, float] | None = None
        self.clean = False
        self.told_to_end = False
        self.forks = 0
        self.children = 0
        self.shutdown_at = math.inf
        self.overdue = False
        self.exporter: LogwellLogExporter | None = None
        self.options: dict[str, Any] = {
            "service": "shop",
            "timeout": plan.timeout,
            "max_queue_bytes": plan.max_queue_bytes,
        }
        if spooled:
            self.options |= {"spool_dir": str(world.directory), "spool_max_age": plan.max_age}

    @property
    def alive(self) -> bool:
        return self.ended is None

    def start(self) -> None:
        self.process.main = self.world.machine.spawn(self.process, "main", self._main)

    def _main(self) -> None:
        world = self.world
        try:
            self._live()
        except SystemExit:  # while it starts, or of a second SIGTERM
            world.note(f"{self.name} handles SIGTERM")
        world.end(self, "exited")

    def _hear(self, text: str) -> None:
        self.world.note(f"{self.name} says: {text}")
        if (found := re.match(r"One entry is set aside: .* '(r\d+) ", text)) is not None:
            self.set_aside[int(found[1][1:])] = self.world.machine.now

    def _live(self) -> None:
        world = self.world
        dependencies = Dependencies(
            transport=lambda _: Wire(world.network, self.process),
            rng=Chance(self.rng.random()),
            say=self._hear,
        )
        self.exporter = LogwellLogExporter._from_config(  # noqa: SLF001 - with dependencies
            Config.resolve(endpoint=ENDPOINT, api_key=KEY, **self.options), dependencies
        )
        world.machine.spawn(self.process, "monitor", self._watch)
        callers = [
            world.machine.spawn(self.process, f"caller {number}", self._log)
            for number in range(1, world.plan.callers)
        ]
        seconds = self.rng.choice([2.0, 10.0, 30.0])
        try:
            self._log()
            for task in callers:
                while not task.done:
                    world.machine.block(task.joined)
            while not self.told_to_end:
                world.machine.sleep(1.0)
        except SystemExit:
            seconds = 5.0
            world.note(f"{self.name} handles SIGTERM")
        self._shut_down(seconds)
        handed = -1
        while handed != len(self.handed):  # a signal handler may log all the while
            handed = len(self.handed)
            self._look()
        self.clean = True

    # What it does.

    def _log(self) -> None:
        plan, machine, rng = self.world.plan, self.world.machine, self.rng
        until = min(plan.busy_until, self.began + plan.life)
        self.export(1)  # what the spool holds is looked for by a process that logs
        while machine.now < until:
            self.export(rng.choice(plan.batches))
            if rng.random() < plan.flushes:
                self.flush(rng.choice(plan.flush_seconds))
            machine.sleep(min(rng.expovariate(1 / plan.pause), until - machine.now))
            if self.forks and machine.current is self.process.main and not self.world.forking:
                self.forks -= 1
                fork(self)

    def export(self, count: int, size: int | None = None) -> None:
        """Log `count` records at once."""
        assert self.exporter is not None
        world = self.world
        records = [world.new_record(self, size) for _ in range(count)]
        batch = [world.otel(record) for record in records]
        self.handed += records
        allowed = world.promises.export_seconds(self)
        with self._call(f"export {ranges(records)}", allowed) as told:
            try:
                told.append(self.exporter.export(batch).name)
                self.returned += records
                if told[0] == "FAILURE":  # it says itself that something may be gone
                    world.promises.unsure(records)
            except SystemExit:
                world.promises.unsure(records)
                raise

    def flush(self, seconds: float) -> None:
        """Flush, and hold the exporter to its word."""
        assert self.exporter is not None
        world = self.world
        before, began = list(self.returned), world.machine.now
        # Without threads it is the call that sends, and a request that is cut off may be stored.
        request = world.plan.timeout if self.process.no_threads else 0.0
        with self._call(f"flush of {seconds:g} s", seconds + request + 0.1) as told:
            stored = self.exporter.force_flush(int(seconds * 1000))
            told.append(str(stored))
        world.promises.flushed(self, before, began, seconds, stored=stored)

    def _shut_down(self, seconds: float) -> None:
        assert self.exporter is not None
        self.shutdown_at = self.world.machine.now
        allowed = self.world.promises.shutdown_seconds(self, seconds)
        with self._call(f"shutdown of {seconds:g} s", allowed):
            self.exporter.shutdown(seconds * 1000)

    @contextmanager
    def _call(self, what: str, allowed: float) -> Iterator[list[str]]:
        machine = self.world.machine
        call = Call(what, machine.now, machine.now + allowed, machine.current)
        self.calls.append(call)
        told: list[str] = []
        try:
            yield told
        except SystemExit:
            told.append("SystemExit")
            raise
        except Exception as error:
            if self.process.dead:
                raise
            self.world.find(f"{self.name}: {what} raised {type(error).__name__}: {error}")
        finally:
            self.calls.remove(call)
        took = machine.now - call.began
        said = f" -> {told[0]}" if told else ""
        self.world.note(f"{self.name} {what}{said}, {took * 1000:.0f} ms")
        if machine.now > call.until and not self.overdue:
            self.world.find(f"{self.name}: {what} took {took:.2f} s; {allowed:.2f} s are promised")

    def become(self, name: str) -> None:
        """This is a child of a fork: what its parent did is not its own."""
        self.name = self.process.name = name
        self.handed, self.returned, self.calls = [], [], []
        self.reported, self.set_aside, self.health, self.forks = {}, {}, None, 0
        self.process.armed.clear()
        self.process.signals.clear()
        # The system's chance is not its parent's: its owner in the spool is another one.
        stdlib.use_chance(random.Random(f"tokens {self.world.plan.seed} {name}"))
        self.began = self.world.machine.now
        for other in self.world.apps:
            if other is not self and other.alive:
                other.ended = "elsewhere", self.began

    def live_as_child(self) -> None:
        """What a child does: it logs, and ends in one way or another."""
        world, rng = self.world, self.rng
        for _ in range(rng.choice([0, 1, 3])):
            self.export(rng.choice([1, 3]))
            world.machine.sleep(rng.expovariate(1.0))
        if rng.random() < 0.3:
            self.flush(rng.choice([0.1, 2.0]))
        if rng.random() < 0.7:
            self._shut_down(rng.choice([2.0, 10.0]))
            self.clean = True
        self._look()
        self.ended = ("exited" if self.clean else "killed"), world.machine.now
        world.note(f"{self.name} {self.ended[0]}")
        world.promises.ended(self, world.on_disk() if self.spooled else {})

    def handle_signal(self) -> None:
        """A handler that logs, in the middle of whatever the main task does."""
        self.world.note(f"{self.name} handles a signal, and logs")
        if self.exporter is not None:
            self.export(1)

    def handle_sigterm(self) -> None:
        """A handler that exits, but not in the middle of a fork, as `World.kill`."""
        if self.world.forking is self:
            again = partial(self.process.signal, self.handle_sigterm)
            self.process.arm(50, again, on_main=True)
        else:
            raise SystemExit(0)

    def _watch(self) -> None:
        while True:
            self.world.machine.sleep(self.rng.expovariate(1 / 3.0))
            self._look()

    def _look(self) -> None:
        if self.exporter is not None:
            self.health = self.exporter.health()
            self.world.promises.account(self, self.health)


# Forks. The child is a process of the operating system, with all of the world in it; the parent
# waits until it has ended, and takes over what the child knows. To both, the other stands still.

_CHILD_SECONDS = 30
"""Real seconds after which a child is killed that does not end."""


def fork(app: App) -> None:
    """Fork, in the middle of whatever the other tasks of the process do."""
    world = app.world
    app.children += 1
    world.note(f"{app.name} forks")
    reader, writer = os.pipe()
    world.forking = app
    logged = len(world.records)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which are none
        child = os.fork()
    if child == 0:
        signal.alarm(_CHILD_SECONDS)
        try:
            _live_as_child(app, writer, logged)
        finally:
            os._exit(1)
    world.forking = None
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if status or not told:
        world.find(f"{app.name}.{app.children} did not end by itself (status {status})")
        return
    world.take_over(pickle.loads(told))


def _live_as_child(app: App, writer: int, logged: int) -> None:
    world, machine = app.world, app.world.machine
    # A signal may have come already, in the child's first moments, and its handler have logged.
    world.promises.unsure([one for number, one in world.records.items() if number > logged])
    app.become(f"{app.name}.{app.children}")
    world.forking = None
    world.lines.clear()

    def tell() -> None:
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(world.state(), pipe)
        os._exit(0)

    def watch() -> None:
        while not world.findings:
            machine.sleep(TICK)
            world.promises.tick()
        tell()

    machine.spawn(machine.world, "watch", watch)
    try:
        app.live_as_child()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        world.find(f"{app.name} ended by {type(error).__name__}: {error}")
    tell()


class World:
    """Runs a plan.

    Args:
        plan: What there is and what happens.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = random.Random(f"world {plan.seed}")
        self.lines: list[str] = []
        self.findings: list[str] = []
        self.records: dict[int, Record] = {}
        self.apps: list[App] = []
        self.machine = Machine(
            random.Random(f"order {plan.seed}"), preemption=plan.preemption, failed=self._died
        )
        self.network = Network(
            self.machine,
            random.Random(f"network {plan.seed}"),
            plan.troubles,
            self.records,
            per_minute=plan.per_minute,
            usual=plan.timeout,
            note=self.note,
        )
        self.promises = Promises(self)
        self.directory = Path()
        self.disk_wrong_until = -math.inf
        self.calm_at = math.inf
        self.forking: App | None = None

    # History.

    def note(self, text: str) -> None:
        """Write a line of history."""
        shown = text.replace(str(self.directory), "<spool>")
        self.lines.append(f"[{self.machine.now:9.3f}] {shown}")

    def find(self, text: str) -> None:
        """A promise is broken. The first one counts: others may follow from it."""
        if not self.findings:
            self.note(f"FINDING: {text}")
            self.findings.append(text)

    def _died(self, task: Task, error: BaseException) -> None:
        self.find(f"the thread {task} died of {type(error).__name__}: {error}")

    # What it is made of.

    def new_record(self, app: App, size: int | None = None) -> Record:
        """A record that nobody has logged before."""
        plan, rng = self.plan, app.rng
        words = frozenset(word for word, share in plan.words.items() if rng.random() < share)
        level = rng.choice(plan.levels)
        record = Record(len(self.records) + 1, app.name, level, words, self.machine.now)
        record.size = rng.choice(plan.sizes) if size is None else size
        self.records[record.number] = record
        self.promises.handed(record)
        return record

    def otel(self, record: Record) -> Any:
        """As a processor hands it over."""
        text = " ".join([repr(record), *sorted(record.words), ""])
        return otel_record(
            text.ljust(record.size, "."),
            severity_number=_severity(record.level),
            severity_text=record.level.upper(),
            attributes={},
        )

    def start(self) -> App:
        """Start a process."""
        app = App(self, f"p{len(self.apps) + 1}", spooled=self.plan.spooled, began=self.machine.now)
        self.apps.append(app)
        self.note(f"{app.name} starts")
        app.start()
        return app

    def end(self, app: App, how: str) -> None:
        """A process is no more: the kernel lets go of what it had."""
        if app.ended is not None:
            return
        app.ended = how, self.machine.now
        self.note(f"{app.name} {how}")
        self.machine.kill(app.process)
        stdlib.close_all(app.process)
        self.promises.ended(app, self.on_disk() if app.spooled else {})

    def on_disk(self) -> dict[int, str]:
        """Where each record lies in the spool, by its number: what anybody can read there."""
        found: dict[int, str] = {}
        for path in sorted(self.directory.glob("*.db")):
            with suppress(sqlite3.Error):
                found |= _records_in(path)
        return found

    def state(self) -> dict[str, Any]:
        """What a child tells its parent."""
        network = self.network
        return {
            "lines": self.lines,
            "findings": self.findings,
            "records": self.records,
            "repeated": [record.number for record in network.repeated],
            "counts": (network.accepted, network.rejected, network.requests),
            "promises": self.promises.known(),
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """What a child told."""
        self.lines += state["lines"]
        self.findings += state["findings"]
        for number, record in state["records"].items():
            if number in self.records:
                vars(self.records[number]).update(vars(record))
            else:
                self.records[number] = record
        network = self.network
        network.repeated[:] = [self.records[number] for number in state["repeated"]]
        network.accepted, network.rejected, network.requests = state["counts"]
        self.promises.take_over(state["promises"])

    # What happens.

    def run(self) -> Verdict:
        """Let it happen."""
        with tempfile.TemporaryDirectory(dir=_MEMORY, prefix="world-") as directory:
            self.directory = Path(directory) / "spool"
            before = machines.use(self.machine)
            stdlib.use_chance(random.Random(f"tokens {self.plan.seed}"))
            stdlib.disk.__init__()  # type: ignore[misc] # a new one, in the place of the old
            try:
                self._happen()
                self.promises.finish()
            finally:
                self._clear_away()
                machines.use(before)
                machines.forget_threads()
        return Verdict(self.plan.seed, self.findings, self.text(), self.machine.now)

    def _happen(self) -> None:
        for at, action in self.plan.timeline(self):
            self._wait_until(at)
            if self.findings:
                return
            action()
        self._wait_until(self.plan.ends_at)
        self.calm_at = self.machine.now
        if not any(app.alive for app in self.apps):
            self.start()
        for app in self.apps:
            app.process.armed.clear()
        self.note("all that passes is over")
        self.promises.calm()
        until = self.machine.now + self.promises.patience
        while self.machine.now < until and not self.findings and not self._is_quiet():
            self._wait_until(self.machine.now + TICK)
        self.promises.quiet()
        if not self.findings and self.plan.probes:
            self._probe()
        for app in self.apps:
            app.told_to_end = True
        until = self.machine.now + 60.0
        while self.machine.now < until and any(app.alive for app in self.apps):
            self._wait_until(self.machine.now + 1.0)
            if self.findings:
                return

    def _is_quiet(self) -> bool:
        return (
            self.machine.now > self.calm_at + 2 * TICK
            and not self.promises.waiting()
            and not any(app.calls for app in self.apps if app.alive)
        )

    def _probe(self) -> None:
        """Long after everything, requests are full again."""
        app = next((app for app in self.apps if app.alive), None)
        if app is None:
            return
        probe: list[Record] = []

        def burst() -> None:
            first = len(app.handed)
            app.export(200, size=1000)
            probe[:] = app.handed[first:]

        def settled(records: list[Record]) -> bool:
            return all(record.settled for record in records)

        for _ in range(self.plan.probes):
            self._wait_until(self.machine.now + 120.0)
            before = self.network.requests
            self.machine.spawn(app.process, "probe", burst)
            until = self.machine.now + 60.0
            self._wait_until(self.machine.now + 1.0)
            while self.machine.now < until and not self.findings and not settled(probe):
                self._wait_until(self.machine.now + 1.0)
        if not self.findings:
            self.promises.probed(app, probe, self.network.requests - before)

    def _wait_until(self, instant: float) -> None:
        while self.machine.now < instant and not self.findings:
            self.machine.sleep(min(TICK, instant - self.machine.now))
            self.promises.tick()

    def kill(self, app: App) -> None:
        """`kill -9`, but not in the middle of a fork, whose hooks swallow every exception."""
        if self.forking is app:
            app.process.arm(50, partial(self.kill, app))
        else:
            self.end(app, "killed")

    def set_disk(self, trouble: str, seconds: float) -> None:
        """Have the disk be full, read-only or hang for a while; "well" ends that."""
        self.note(f"the disk is {trouble}" + (f" for {seconds:.1f} s" if seconds else ""))
        self.disk_wrong_until = max(self.disk_wrong_until, self.machine.now + seconds)
        if trouble == "hanging":
            stdlib.disk.hangs_until = self.machine.now + seconds
        else:
            stdlib.disk.error = {
                "full": ("database or disk is full", errno.ENOSPC),
                "read-only": ("attempt to write a readonly database", errno.EROFS),
                "well": None,
            }[trouble]

    def step_clock(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.note(f"the wall clock is set {seconds:+.0f} s")
        self.machine.wall_offset += seconds

    def _clear_away(self) -> None:
        for app in self.apps:
            self.machine.kill(app.process)
            with suppress(OSError, sqlite3.Error):
                stdlib.close_all(app.process)
        for _ in range(100_000):
            if not self.machine.tasks:
                break
            self.machine.sleep(0.001)
        shutil.rmtree(self.directory, ignore_errors=True)

    def text(self) -> str:
        """All of it, for people."""
        findings = [f"FINDING: {text}" for text in self.findings] or ["no finding"]
        return "\n".join([str(self.plan), *self.lines, *findings, ""])


_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


def _severity(level: str) -> Any:
    from logwell_otel._otel import SeverityNumber

    return SeverityNumber(SEVERITIES[level])


def _records_in(path: Path) -> dict[int, str]:
    """The records in a spool's database, by the name of the table that they lie in."""
    found: dict[int, str] = {}
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0)
    try:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        for table in tables:
            columns = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
            if "body" not in columns:
                continue
            for (body,) in db.execute(f"SELECT body FROM {table} WHERE body IS NOT NULL"):
                for entry in _entries(bytes(body)):
                    number = number_of(entry["message"])
                    if number is not None:
                        found[number] = table
    finally:
        db.close()
    return found


def _entries(body: bytes) -> list[dict[str, Any]]:
    decoded = msgspec.json.decode(body)
    return decoded if isinstance(decoded, list) else [decoded]
