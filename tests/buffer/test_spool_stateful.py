"""Whatever happens to processes, clocks and disks: every entry is somewhere, once, and counted.

A hypothesis machine with two processes on one spool, each an outbox as an exporter has it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from logwell_otel._buffer.outbox import Outbox
from logwell_otel._diagnostics import Notices
from logwell_otel._encoding.chunk import Chunk
from support.spool import FULL, Disk, World, chunk, numbers

if TYPE_CHECKING:
    from logwell_otel._buffer.account import Holdings

MAX_BYTES = 60_000
ENTRY_BYTES = 3_000


class Process:
    """An outbox and its spool, and what this process knows of its entries.

    Attributes:
        in_flight: Chunks that delivery has taken.
    """

    def __init__(self, world: World) -> None:
        self.disk = Disk()
        self.said: list[str] = []
        self.spool = world.open(
            connect=self.disk.connect, max_bytes=MAX_BYTES, max_age=7 * 86_400.0
        )
        notices = Notices(None, None, clock=lambda: world.mono, say=self.said.append)
        self.outbox = Outbox(30_000, self.spool, notices=notices, clock=lambda: world.mono)
        self.in_flight: list[Chunk] = []
        self.alive = True


class Spools(RuleBasedStateMachine):
    """Puts, claims, settles, deaths, clock steps, full disks, damage, deletion."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self.world = World(Path(self._directory.name))
        self.processes = [Process(self.world), Process(self.world)]
        self.next = 0
        self.handed_over: set[int] = set()
        self.accepted: list[int] = []
        self.may_be_lost = self.damaged = False

    def teardown(self) -> None:
        """What is held is really there: all of it is delivered, and nothing else."""
        for process in self.processes:
            process.disk.error = None
            self.world.sleep(11)
            process.outbox.put_back(process.in_flight)
            held = process.outbox.holdings()
            found = 0
            while (taken := process.outbox.take()) is not None:
                self.accepted += numbers(taken)
                found += taken.count
                process.outbox.settle(taken, accepted=taken.count)
            if not self.damaged:
                # What a dead process left may be claimed only now.
                recovered = process.outbox.holdings().counters.recovered - held.counters.recovered
                assert found + self.evicted(process, held) == held.entries + recovered
            self.check(process)
            assert process.outbox.holdings().entries == 0
        if not self.may_be_lost:
            assert len(self.accepted) == len(set(self.accepted))
            dropped = sum(self.dropped(process) for process in self.processes)
            assert len(self.accepted) + dropped == len(self.handed_over)
        self.world.__exit__()
        self._directory.cleanup()

    @rule(who=st.integers(0, 1), count=st.integers(1, 5))
    def put(self, who: int, count: int) -> None:
        process = self.processes[who]
        process.outbox.put([chunk(self.next, count, ENTRY_BYTES)])
        self.handed_over |= set(range(self.next, self.next + count))
        self.next += count

    @rule(who=st.integers(0, 1))
    def spill(self, who: int) -> None:
        self.processes[who].outbox.spill()

    @rule(who=st.integers(0, 1))
    def look(self, who: int) -> None:
        self.world.sleep(11)
        self.processes[who].outbox.look_after_disk()

    @rule(who=st.integers(0, 1))
    def take(self, who: int) -> None:
        process = self.processes[who]
        if (taken := process.outbox.take()) is not None:
            process.in_flight.append(taken)

    @rule(who=st.integers(0, 1))
    def accept(self, who: int) -> None:
        process = self.processes[who]
        if process.in_flight:
            taken = process.in_flight.pop(0)
            self.accepted += numbers(taken)
            assert process.outbox.settle(taken, accepted=taken.count)

    @rule(who=st.integers(0, 1))
    def bury(self, who: int) -> None:
        process = self.processes[who]
        if process.in_flight:
            taken = process.in_flight.pop(0)
            assert process.outbox.settle(taken, dropped="poison", dead_letter=taken)

    @rule(who=st.integers(0, 1))
    def put_back(self, who: int) -> None:
        process = self.processes[who]
        process.outbox.put_back(process.in_flight)
        process.in_flight = []

    @rule(who=st.integers(0, 1))
    def split(self, who: int) -> None:
        process = self.processes[who]
        if process.in_flight and process.in_flight[0].count > 1:
            whole = process.in_flight.pop(0)
            entries = whole.entries()
            halves = [Chunk.of_entries(entries[:1]), Chunk.of_entries(entries[1:])]
            assert process.outbox.split(whole, halves)
            process.in_flight += halves

    @rule(who=st.integers(0, 1), tidy=st.booleans())
    def die(self, who: int, tidy: bool) -> None:
        process = self.processes[who]
        if tidy:
            lost, _ = process.outbox.give_up("shutdown")
            assert lost == 0 or process.disk.error is not None or self.may_be_lost
            self.check(process)
        else:
            self.world.kill(process.spool)
        # In memory it is lost; a chunk whose deletion the disk refused comes again.
        self.may_be_lost = True
        self.processes[who] = Process(self.world)

    @rule(seconds=st.sampled_from([-1e9, -86_400.0, 3_600.0, 86_400.0, 1e9]))
    def clock_is_set(self, seconds: float) -> None:
        self.world.wall = max(0.0, self.world.wall + seconds)

    @rule(who=st.integers(0, 1), full=st.booleans())
    def disk_fills_up(self, who: int, full: bool) -> None:
        self.processes[who].disk.error = FULL if full else None
        self.world.sleep(11)

    @precondition(lambda self: self.next > 20)
    @rule(damage=st.booleans())
    def somebody_is_at_the_files(self, damage: bool) -> None:
        for path in self.world.directory.glob("*.db"):
            if damage:
                path.write_bytes(b"\xff" * path.stat().st_size)
            else:
                path.unlink()
        self.may_be_lost = self.damaged = True

    def dropped(self, process: Process) -> int:
        return sum(process.outbox.holdings().counters.dropped.values())

    def evicted(self, process: Process, before: Holdings) -> int:
        """What the other process made room with, and this one had not heard of."""
        return self.dropped(process) - sum(before.counters.dropped.values())

    def check(self, process: Process) -> None:
        held = process.outbox.holdings()
        ledger = held.counters
        ended = ledger.accepted + ledger.refused + sum(ledger.dropped.values())
        assert ledger.handed_over + ledger.recovered == ended + held.entries, (ledger, held)
        assert min(held[1:]) >= 0
        assert held.bytes_on_disk >= 0

    @invariant()
    def every_account_sums(self) -> None:
        for process in self.processes:
            self.check(process)

    @invariant()
    def nothing_comes_from_nowhere(self) -> None:
        assert set(self.accepted) <= self.handed_over

    @invariant()
    def no_two_processes_send_the_same(self) -> None:
        flying: list[int] = []
        for process in self.processes:
            for taken in process.in_flight:
                flying += numbers(taken)
        if not self.may_be_lost:
            assert len(flying) == len(set(flying))
            assert not set(flying) & set(self.accepted)
            assert len(self.accepted) == len(set(self.accepted))


Spools.TestCase.settings = settings(stateful_step_count=40, print_blob=True)
TestSpools = pytest.mark.slow(Spools.TestCase)
