"""Any sequence of calls: order, content and the counters' sum, against a model in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from support.spool import World, entries, entry, numbers

if TYPE_CHECKING:
    from logwell_otel._buffer.spool import Spool, SpooledChunk

MAX_BYTES = 40_000
MAX_AGE = 4800.0
SPAN = MAX_AGE / 48


class SpoolMachine(RuleBasedStateMachine):
    """The model: which numbers wait, in order, and when each was stored.

    Numbers rise with time, so whatever is dropped must be the lowest waiting.
    """

    spool: Spool

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.world = World(Path(self.temporary.name))
        self.next = 0
        self.waiting: list[int] = []
        self.in_hand: list[SpooledChunk] = []
        self.born: dict[int, float] = {}
        self.dropped = 0

    @initialize()
    def begin(self) -> None:
        self.spool = self.world.open(max_bytes=MAX_BYTES, max_age=MAX_AGE)

    def teardown(self) -> None:
        while (chunk := self.spool.take()) is not None:
            self.waiting = self.waiting[chunk.count :]
            self.spool.done(chunk)
        assert self.waiting == []
        self.world.__exit__()
        self.temporary.cleanup()

    def forget_dropped(self) -> list[int]:
        counters = self.spool.counters
        total = counters.dropped_overflow + counters.dropped_age
        count, self.dropped = total - self.dropped, total
        dropped, self.waiting = self.waiting[:count], self.waiting[count:]
        assert len(dropped) == count
        return dropped

    @rule(count=st.integers(1, 130), size=st.integers(0, 60))
    def store(self, count: int, size: int) -> None:
        self.spool.store(entries(self.next, count, size))
        new = range(self.next, self.next + count)
        self.next += count
        self.waiting += new
        self.born |= dict.fromkeys(new, self.world.mono)
        self.forget_dropped()

    @precondition(lambda self: len(self.in_hand) < 2)
    @rule()
    def take(self) -> None:
        chunk = self.spool.take()
        if chunk is None:
            assert self.waiting == []
            return
        assert 1 <= chunk.count <= 100
        taken, self.waiting = self.waiting[: chunk.count], self.waiting[chunk.count :]
        assert numbers(chunk) == taken
        self.in_hand.append(chunk)

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        self.spool.done(self.pick(data))

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        chunk = self.pick(data)
        self.spool.give_back(chunk)
        self.waiting = sorted(self.waiting + numbers(chunk))

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def replace(self, data: st.DataObject) -> None:
        chunk = self.pick(data)
        kept = data.draw(st.lists(st.sampled_from(chunk.entries), unique=True))
        rest = self.spool.replace(chunk, sorted(kept, key=lambda one: numbers([one])))
        if rest.count:
            self.in_hand.append(rest)

    def pick(self, data: st.DataObject) -> SpooledChunk:
        return self.in_hand.pop(data.draw(st.integers(0, len(self.in_hand) - 1)))

    @rule(seconds=st.floats(0.001, MAX_AGE / 3))
    def time_passes(self, seconds: float) -> None:
        self.world.sleep(seconds)

    @rule()
    def expire(self) -> None:
        returned = self.spool.expire()
        dropped = self.forget_dropped()
        assert returned == len(dropped)
        now = self.world.mono
        # A second of grace: on disk the age is kept in milliseconds.
        assert all(now - self.born[number] > MAX_AGE - SPAN - 1 for number in dropped)
        assert all(now - self.born[number] < MAX_AGE + 1 for number in self.waiting)

    @rule(killed=st.booleans())
    def restart(self, killed: bool) -> None:
        if not killed:
            self.spool.close()
        self.waiting = sorted(
            self.waiting + [number for chunk in self.in_hand for number in numbers(chunk)]
        )
        self.in_hand = []
        self.dropped = 0
        self.world.sleep(0.002)
        self.spool = self.world.restart(max_bytes=MAX_BYTES, max_age=MAX_AGE)
        assert self.spool.counters.adopted == len(self.waiting)

    @rule()
    def adopt(self) -> None:
        assert self.spool.adopt() == 0

    @invariant()
    def everything_adds_up(self) -> None:
        counters = self.spool.counters
        assert min(vars(counters).values()) >= 0
        assert counters.came_in == counters.went_out + counters.entries_held
        in_hand = sum(chunk.count for chunk in self.in_hand)
        assert counters.entries_held == len(self.waiting) + in_hand
        assert counters.set_aside == counters.gone == 0
        sizes = [path.stat().st_size for path in self.world.files()]
        assert counters.bytes_used == sum(sizes) <= MAX_BYTES


SpoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSpool = SpoolMachine.TestCase


def test_the_model_knows_its_numbers() -> None:
    assert numbers([entry(7), entry(8, size=60)]) == [7, 8]
