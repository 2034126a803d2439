"""What was given up is kept in the spool for a person, and takes nobody's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logwell_otel._buffer.outbox import Outbox
from logwell_otel._diagnostics import Notices
from logwell_otel._storage import DiskError
from support.spool import FULL, Disk, World, chunk, chunks, drain, told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from logwell_otel._buffer.spool import Spool

DAY = 86_400.0
ROWS = "SELECT project, reason, count, bytes, body FROM dead ORDER BY id"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def outbox(spool: Spool, said: list[str]) -> Outbox:
    return Outbox(1_000_000, spool, notices=Notices(None, None, say=said.append))


@pytest.mark.parametrize("stored", [False, True])
def test_a_chunk_that_is_given_up_lies_there_instead_of_its_rows(
    world: World, stored: bool
) -> None:
    box = outbox(world.open(), [])
    assert box.keeps_dead_letters
    box.put([chunk(0, 3)])
    if stored:
        box.spill()
    taken = box.take()
    assert taken is not None
    body = taken.body()
    assert box.settle(taken, dropped="poison", dead_letter=taken)
    held = box.holdings()
    assert (held.entries, held.counters.dropped) == (0, {"poison": 3})
    assert world.query(ROWS) == [("0123456789abcdef", "poison", 3, len(body), body)]
    assert world.query("SELECT count(*) FROM chunks") == [(0,)]


def test_some_entries_of_a_chunk_can_be_kept(world: World) -> None:
    box = outbox(world.open(), [])
    box.put([chunk(0, 3)])
    box.spill()
    taken = box.take()
    assert taken is not None
    assert box.settle(taken, accepted=2, refused=1, dead_letter=chunk(1))
    counters = box.holdings().counters
    assert (counters.accepted, counters.refused, counters.dropped) == (2, 1, {})
    ((_, reason, count, _, body),) = world.query(ROWS)
    assert (reason, count, body) == ("refused", 1, chunk(1).body())
    assert world.query("SELECT count(*) FROM chunks") == [(0,)]


def test_without_a_spool_it_is_only_counted() -> None:
    box = Outbox(1_000_000)
    assert not box.keeps_dead_letters
    box.put([chunk(0, 3)])
    taken = box.take()
    assert taken is not None
    assert box.settle(taken, dropped="poison", dead_letter=taken)
    assert box.holdings().counters.dropped == {"poison": 3}


def test_a_disk_that_refuses_is_said_and_nothing_is_sent_again(world: World) -> None:
    disk, said = Disk(), list[str]()
    spool = world.open(connect=disk.connect)
    notices = Notices(None, None, say=said.append)
    box = Outbox(1_000_000, spool, notices=notices)
    box.put([chunk(0, 2)])
    box.spill()
    taken = box.take()
    assert taken is not None
    disk.error = FULL
    assert box.settle(taken, dropped="poison", dead_letter=taken)
    notices.dispatch()
    assert said[-1].endswith(
        "disk is full. 2 entries given up (poison) were not kept as a dead letter."
    )
    assert box.holdings().counters.dropped == {"poison": 2}
    disk.error = None
    assert spool.take() is None
    world.look(spool)
    assert world.query("SELECT (SELECT count(*) FROM chunks), (SELECT count(*) FROM dead)") == [
        (0, 0)
    ]


def test_nobody_sends_them_and_nobody_inherits_them(world: World) -> None:
    spool = world.open()
    spool.bury(chunk(0), "poison")
    spool.close()
    heir = world.open()
    assert world.look(heir) == {}
    assert heir.take() is None
    assert heir.entries() == 0
    assert len(world.query(ROWS)) == 1


def test_they_give_way_to_what_waits_the_oldest_first(world: World) -> None:
    busy, other = world.open(max_bytes=1_000_000), world.open(max_bytes=1_000_000)
    for number in range(5):
        other.bury(chunk(number, size=100_000), "poison")
    for number in range(10, 17):
        busy.store([chunk(number, size=100_000)])
    assert [row[4] for row in world.query(ROWS)] == [
        chunk(number, size=100_000).body() for number in (3, 4)
    ]
    for number in range(17, 19):
        busy.store([chunk(number, size=100_000)])
    assert world.query(ROWS) == []
    assert told(busy) == told(other) == {}
    assert drain(busy) == list(range(10, 19))


def test_they_never_take_the_place_of_what_waits(world: World) -> None:
    spool = world.open(max_bytes=1_000_000)
    spool.store(chunks(0, 9, size=100_000))
    for number in range(10, 15):
        spool.bury(chunk(number, size=50_000), "poison")
    assert world.query(
        "SELECT sum(bytes) <= 1000000 FROM (SELECT bytes FROM chunks UNION ALL "
        "SELECT bytes FROM dead)"
    ) == [(1,)]
    assert told(spool) == {}
    assert drain(spool) == list(range(9))


def test_those_of_another_project_are_not_touched(world: World) -> None:
    world.open(project="a" * 16).bury(chunk(0, size=400_000), "poison")
    spool = world.open(project="b" * 16, max_bytes=1_000_000)
    spool.store(chunks(0, 8, size=100_000))
    spool.bury(chunk(9, size=300_000), "poison")
    assert [row[0] for row in world.query(ROWS)] == ["a" * 16]


def test_they_are_as_old_as_the_spool_lets_them(world: World) -> None:
    spool = world.open(max_age=DAY)
    spool.bury(chunk(0), "poison")
    world.sleep(DAY - 30)
    world.look(spool)
    assert len(world.query(ROWS)) == 1
    world.sleep(30)
    assert world.look(spool) == {}
    assert world.query(ROWS) == []


def test_they_follow_a_key_that_was_read_again(world: World) -> None:
    project = "a" * 16
    spool = world.open(project_now=lambda: project)
    spool.bury(chunk(0), "poison")
    project = "b" * 16
    spool.store([chunk(1)])
    assert [row[0] for row in world.query(ROWS)] == ["b" * 16]


def test_a_closed_spool_keeps_none(world: World) -> None:
    spool = world.open()
    spool.close()
    with pytest.raises(DiskError, match="closed"):
        spool.bury(chunk(0), "poison")
