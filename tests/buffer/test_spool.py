"""One process' rows: what goes in comes out, until it is settled."""

from __future__ import annotations

import gc
import os
import re
import sqlite3
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from logwell_otel._buffer.spool import Spool
from logwell_otel._encoding.chunk import RECOVERED, Rows
from logwell_otel._storage import DiskError, StorageError
from logwell_otel._wire import MAX_REQUEST_BYTES
from support.spool import (
    ENDPOINT,
    FULL,
    PROJECT,
    SERVICE,
    Disk,
    World,
    chunk,
    chunks,
    drain,
    numbers,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86_400.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def rows(spool: Spool) -> Rows:
    """The rows of the oldest chunk."""
    taken = spool.take()
    assert taken is not None
    assert taken.rows is not None
    return taken.rows


# In and out.


def test_chunks_come_back_in_order_and_are_gone_when_deleted(world: World) -> None:
    spool = world.open()
    spool.store([chunk(0, 60), chunk(60, 60)])
    spool.store([chunk(120, 3)])
    taken = spool.take()
    assert numbers(taken) == list(range(60))
    assert drain(spool) == list(range(123))
    assert spool.entries() == 0
    assert told(spool) == {}


def test_small_rows_travel_together_up_to_what_a_request_takes(world: World) -> None:
    """A request for each would be a storm after an outage: the server counts requests."""
    spool = world.open()
    for number in range(250):
        spool.store([chunk(number)])
    spool.store(chunks(250, 5, size=120_000))
    counts = []
    while (taken := spool.take()) is not None:
        counts.append(taken.count)
        assert len(taken.body()) <= MAX_REQUEST_BYTES
        assert taken.rows is not None
        spool.delete(taken.rows)
    assert counts == [100, 100, 54, 1]


def test_what_belongs_to_different_flushes_does_not_travel_together(world: World) -> None:
    spool = world.open()
    spool.store([chunk(0), chunk(1, generation=1)])
    assert numbers(spool.take()) == [0]


def test_what_was_claimed_does_not_part_what_lies_among_it(world: World) -> None:
    """Two processes in an outage: when one died, each of its small rows was a request."""
    spool, dead = world.open(), world.open()
    for number in range(0, 60, 2):
        spool.store([chunk(number)])
        dead.store([chunk(number + 1)])
    world.kill(dead)
    assert world.look(spool) == {"recovered": 30}
    own = spool.take()
    assert own is not None
    assert own.rows is not None
    assert numbers(own) == list(range(0, 60, 2))
    assert numbers(spool.take(own.rows.ids)) == list(range(1, 60, 2))


def test_what_is_in_flight_is_not_taken_again(world: World) -> None:
    spool = world.open()
    first, second = spool.store([chunk(0, 100), chunk(100, 100)])
    assert numbers(spool.take(first.ids)) == list(range(100, 200))
    assert spool.take({*first.ids, *second.ids}) is None


def test_pieces_take_the_place_of_a_chunk_and_its_age(world: World) -> None:
    spool = world.open(max_age=DAY)
    (whole,) = spool.store([chunk(0, 10)])
    world.sleep(DAY - 60)
    spool.store([chunk(0, 4), chunk(4, 6)], instead_of=whole)
    assert numbers(spool.take()) == list(range(10))
    world.sleep(61)
    assert world.look(spool) == {"spool_expired": 10}


def test_a_row_says_what_it_is(world: World) -> None:
    spool = world.open()
    spool.store([chunk(7, 2, generation=3)])
    (row,) = world.query("SELECT born, project, generation, count, bytes, body FROM chunks")
    assert row == (world.wall, "0123456789abcdef", 3, 2, len(row[5]), chunk(7, 2).body())
    assert world.query("SELECT * FROM about") == [("https://logs.example.com", "checkout")]


def test_after_an_outage_the_file_gives_its_space_back(world: World) -> None:
    spool = world.open()
    for first in range(0, 100, 10):
        spool.store(chunks(first, 10, size=100_000))
    assert sum(path.stat().st_size for path in world.directory.iterdir()) > 10_000_000
    assert len(drain(spool)) == 100
    world.look(spool)
    assert sum(path.stat().st_size for path in world.directory.iterdir()) < 200_000


def test_nothing_is_open_while_nothing_is_kept(world: World) -> None:
    spool = world.open()
    spool.store([chunk(0)])
    drain(spool)
    world.look(spool)
    assert spool._connection is None  # noqa: SLF001 - what a fork would have to care for


# Other processes.


def test_what_a_dead_process_left_is_ours_and_nobody_elses(world: World) -> None:
    dead = world.open()
    dead.store([chunk(0, 50), chunk(50, 80)])
    dead.take()
    world.kill(dead)
    first, second = world.open(), world.open()
    assert world.look(first) == {"recovered": 130}
    assert world.look(second) == {}
    taken = first.take()
    assert taken is not None
    assert taken.generation == RECOVERED
    assert drain(second) == []
    assert drain(first) == list(range(130))


def test_what_a_living_process_has_is_left_alone(world: World) -> None:
    living, other = world.open(), world.open()
    living.store([chunk(0)])
    assert world.look(other) == {}
    assert other.take() is None
    assert drain(living) == [0]


@pytest.mark.slow
@pytest.mark.parametrize("left", [3_000, 30_000])
def test_leftovers_are_claimed_bit_by_bit_and_cost_no_memory(world: World, left: int) -> None:
    """Thirty thousand cost a kilobyte each, once. Now nothing of a row is kept in memory."""
    dead = world.open()
    for first in range(0, left, 1_000):
        dead.store(chunks(first, 1_000))
    world.kill(dead)
    spool = world.open()
    world.sleep(11)
    looks, recovered = 1, 0
    tracemalloc.start()
    while spool.look():
        looks += 1
        recovered += told(spool)["recovered"]
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert recovered + told(spool).get("recovered", 0) == left
    assert looks > left / 1_000
    assert kept < 100_000
    assert peak < 500_000  # of 512 rows
    taken = spool.take()
    assert numbers(taken) == list(range(100))
    assert spool.entries() == left


def test_the_file_of_a_dead_token_is_cleared_away(world: World) -> None:
    for _ in range(3):
        spool = world.open()
        spool.store([chunk(0)])
        world.kill(spool)
    spool = world.open()
    world.look(spool)
    drain(spool)
    world.look(spool)
    assert len(list(world.directory.glob("*.owner"))) == 1


def test_a_token_whose_file_was_deleted_gets_another(world: World) -> None:
    """Others take its process for dead: what they have not claimed yet stays its own."""
    spool, other = world.open(), world.open()
    spool.store([chunk(0)])
    for path in world.directory.glob("*.owner"):
        path.unlink()
    world.look(spool)
    assert world.look(other) == {}
    assert drain(spool) == [0]


# Keys.


def test_rows_of_another_key_stay_and_are_said_once(world: World) -> None:
    """Two projects with one service name: the entries of one were sent with the other's key."""
    dead = world.open(project="a" * 16)
    dead.store([chunk(0, 3)])
    world.kill(dead)
    other = world.open(project="b" * 16)
    world.sleep(11)
    other.look()
    (change,) = other.changes()
    assert (change.reason, change.entries) == ("another_key", 0)
    assert change.text is not None
    assert "3 entries" in change.text
    assert f"logwell-otel spool send {world.directory} --any-key" in change.text
    assert world.look(other) == {}
    assert other.take() is None
    own = world.open(project="a" * 16)
    assert world.look(own) == {"recovered": 3}
    assert drain(own) == [0, 1, 2]


def test_rows_follow_a_key_that_was_read_again(world: World) -> None:
    project = "a" * 16
    spool = world.open(project_now=lambda: project)
    spool.store([chunk(0)])
    project = "b" * 16
    assert numbers(spool.take()) == [0]
    world.kill()
    successor = world.open(project="b" * 16)
    assert world.look(successor) == {"recovered": 1}


# Caps.


def test_the_oldest_waiting_rows_go_when_it_is_full(world: World) -> None:
    spool = world.open(max_bytes=1_000_000)
    (first,) = spool.store([chunk(0, size=100_000)])
    for number in range(1, 20):
        spool.store([chunk(number, size=100_000)], first.ids)
    lost = told(spool)["spool_overflow"]
    assert drain(spool) == [0, *range(lost + 1, 20)]
    assert 10 <= lost <= 11


def test_what_is_being_sent_is_never_evicted(world: World) -> None:
    spool = world.open(max_bytes=1_000_000)
    held = [row for stored in spool.store(chunks(0, 9, size=100_000)) for row in stored.ids]
    with pytest.raises(DiskError, match="full of entries that are being sent"):
        spool.store(chunks(9, 2, size=100_000), held)
    assert told(spool) == {}


def test_the_cap_is_for_all_processes_and_the_loser_counts(world: World) -> None:
    quiet, busy = world.open(max_bytes=1_000_000), world.open(max_bytes=1_000_000)
    quiet.store(chunks(0, 5, size=100_000))
    sent = rows(quiet)
    for number in range(5, 30):
        busy.store([chunk(number, size=100_000)])
    assert world.query("SELECT sum(bytes) <= 1000000 FROM chunks") == [(1,)]
    quiet.delete(sent)  # evicted while its answer was under way: it was accepted
    quiet.look()
    assert told(quiet) == {"spool_overflow": 5 - len(sent.ids)}
    assert told(busy)["spool_overflow"] == 25 - len(drain(busy))


def test_what_was_evicted_from_a_process_that_died_is_counted_by_its_heir(world: World) -> None:
    dead, busy = world.open(max_bytes=1_000_000), world.open(max_bytes=1_000_000)
    dead.store(chunks(0, 5, size=100_000))
    for number in range(5, 12):
        busy.store([chunk(number, size=100_000)])
    world.kill(dead)
    found = world.look(busy)
    assert found["recovered"] == 5
    assert found["spool_overflow"] + len(drain(busy)) == 12


# Age.


def test_what_is_too_old_is_dropped(world: World) -> None:
    spool = world.open(max_age=DAY)
    spool.store([chunk(0, 2)])
    world.sleep(DAY / 2)
    spool.store([chunk(2)])
    world.sleep(DAY / 2)
    assert world.look(spool) == {"spool_expired": 2}
    assert drain(spool) == [2]


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_what_is_stored_between_a_step_of_the_clock_and_the_next_look_is_not_older_for_it(
    world: World, step: float
) -> None:
    spool = world.open(max_age=3600.0)
    spool.store(chunks(0, 1))
    assert world.look(spool) == {}
    world.wall += step
    spool.store(chunks(1, 1))
    assert world.look(spool) == {}
    assert drain(spool) == [0, 1]


def test_a_clock_that_is_set_expires_nothing(world: World) -> None:
    """Devices without a battery start in 1970 and are set when they find the network."""
    world.wall = 0.0
    spool = world.open(max_age=DAY)
    spool.store([chunk(0)])
    world.wall += 50 * 365 * DAY
    assert world.look(spool) == {}
    world.wall -= 100 * 365 * DAY
    assert world.look(spool) == {}
    world.sleep(DAY)
    assert world.look(spool) == {"spool_expired": 1}


@pytest.mark.parametrize("wrong", [-50 * 365 * DAY, 9 * DAY])
def test_what_is_claimed_by_a_wrong_clock_gets_its_chance(world: World, wrong: float) -> None:
    dead = world.open(max_age=DAY)
    world.wall -= wrong
    dead.store([chunk(0)])
    world.kill(dead)
    world.wall += wrong
    spool = world.open(max_age=DAY)
    assert world.look(spool) == {"recovered": 1}
    assert world.look(spool) == {}
    world.sleep(3_500)
    assert world.look(spool) == {}
    assert drain(spool) == [0]


# The disk.


def test_a_disk_that_refuses_keeps_nothing_of_a_call(world: World) -> None:
    disk = Disk()
    spool = world.open(connect=disk.connect)
    spool.store([chunk(0)])
    disk.error = FULL
    with pytest.raises(DiskError, match="disk is full"):
        spool.store([chunk(1)])
    disk.error = None
    spool.store([chunk(2)])
    assert drain(spool) == [0, 2]


def test_what_cannot_be_deleted_is_not_taken_again_and_deleted_later(world: World) -> None:
    disk = Disk()
    spool = world.open(connect=disk.connect)
    spool.store([chunk(0, 100), chunk(100)])
    sent = rows(spool)
    disk.error = FULL
    with pytest.raises(DiskError):
        spool.delete(sent)
    assert numbers(spool.take()) == [100]
    assert spool.entries() == 1
    disk.error = None
    world.look(spool)
    assert world.query("SELECT sum(count) FROM chunks") == [(1,)]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_database_that_is_deleted_under_us_is_made_again(world: World, replaced: bool) -> None:
    spool = world.open()
    spool.store([chunk(0)])
    for path in world.directory.iterdir():
        path.unlink()
    if replaced:
        world.open().store([chunk(5)])
    spool.store([chunk(1)])
    assert told(spool) == {"spool_gone": -1}
    assert drain(spool) == [1]


def test_nothing_of_a_deleted_database_comes_back_from_its_log(world: World) -> None:
    spool = world.open()
    spool.store(chunks(0, 3))
    for path in world.directory.glob("*.db"):
        path.unlink()
    assert next(world.directory.glob("*.db-wal")).stat().st_size > 0
    assert spool.take() is None
    spool.store(chunks(10, 2))
    assert drain(spool) == [10, 11]


def test_a_directory_that_is_deleted_under_an_idle_spool_is_made_again(world: World) -> None:
    """After `find -type d -empty -delete` nothing went to disk any more."""
    spool = world.open()
    spool.store([chunk(0)])
    drain(spool)
    world.look(spool)
    for path in world.directory.iterdir():
        path.unlink()
    world.directory.rmdir()
    assert world.look(spool) == {}
    spool.store([chunk(1)])
    assert drain(spool) == [1]


@pytest.mark.parametrize("damage", ["head", "middle", "not a database", "empty"])
def test_a_damaged_database_is_set_aside_and_a_new_one_begun(world: World, damage: str) -> None:
    dead = world.open()
    for first in range(0, 100, 10):
        dead.store(chunks(first, 10, size=20_000))
    dead.close()
    size = world.database.stat().st_size
    with world.database.open("r+b") as file:
        if damage == "head":
            file.write(b"\xff" * 100)
        elif damage == "middle":
            file.seek(4096)
            file.write(b"\xff" * (size - 8192))
        elif damage == "not a database":
            file.truncate(0)
            file.write(b"hello" * 1000)
        else:
            file.truncate(0)
    spool = world.open()
    spool.store([chunk(1000)])
    world.look(spool)
    spool.store([chunk(1001)])
    found = drain(spool)
    assert found[-1] == 1001
    assert len(list(world.directory.glob("*.damaged"))) == 1
    assert world.query("PRAGMA integrity_check") == [("ok",)]


def test_damage_is_told_once_with_where_it_lies(world: World) -> None:
    spool = world.open()
    spool.store([chunk(0)])
    spool._disconnect()  # noqa: SLF001 - what is in its memory would hide the damage
    world.database.write_bytes(b"\xff" * 8192)
    spool.store([chunk(1)])
    (change,) = spool.changes()
    assert (change.reason, change.entries) == ("spool_unreadable", -1)
    assert change.text is not None
    assert "was set aside as" in change.text
    assert drain(spool) == [1]


@pytest.mark.parametrize(
    "change", ["DROP TABLE chunks", "DROP TABLE dead", "ALTER TABLE chunks DROP COLUMN generation"]
)
def test_a_database_that_somebody_has_changed_by_hand_is_damaged(world: World, change: str) -> None:
    spool = world.open()
    spool.store([chunk(0)])
    with sqlite3.connect(world.database) as db:
        db.execute("DROP INDEX held")
        db.execute(change)
    spool.store([chunk(1)])
    spool.bury(chunk(1), "refused")
    (damage, *_) = spool.changes()
    assert (damage.reason, damage.entries) == ("spool_unreadable", -1)
    spool.store([chunk(2)])
    assert drain(spool)[-1] == 2


def test_another_versions_database_is_refused_and_left_alone(world: World) -> None:
    world.open().store([chunk(0)])
    world.kill()
    db = sqlite3.connect(world.database)
    db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(StorageError, match="another version of logwell-otel"):
        world.open()
    assert world.query("SELECT count(*) FROM chunks") == [(1,)]


def test_a_closed_spool_leaves_all_to_the_next_process_at_once(world: World) -> None:
    spool = world.open()
    spool.store([chunk(0)])
    spool.close()
    with pytest.raises(DiskError, match="closed"):
        spool.store([chunk(1)])
    assert world.look(world.open()) == {"recovered": 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="files without an owner")
def test_a_spool_that_is_dropped_without_an_end_leaves_all_to_others(world: World) -> None:
    """Python 3.13 warns of connections that nobody closed, and warnings are errors here."""
    dropped = Spool(world.directory, endpoint=ENDPOINT, service=SERVICE, project=lambda: PROJECT)
    dropped.store([chunk(0)])
    del dropped
    gc.collect()
    assert not list(world.directory.glob("*.owner"))
    spool = world.open()
    assert world.look(spool) == {"recovered": 1}
    assert drain(spool) == [0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="files without an owner")
def test_full_sync_can_be_asked_for(world: World) -> None:
    spool = world.open(sync="full")
    spool.store([chunk(0)])
    db = spool._connection  # noqa: SLF001 - nothing else tells
    assert db is not None
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    spool.close()


# The page.

PAGE = Path(__file__).parents[2] / "docs" / "spool.md"


def test_the_tables_and_the_questions_of_the_page(world: World) -> None:
    tables, questions = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    spool = world.open()
    spool.store([chunk(0), chunk(1)])
    of_page = sqlite3.connect(":memory:")
    of_page.executescript(tables)
    shown = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    names = {name for (name,) in of_page.execute(shown)}
    assert names == {name for (name,) in world.query(shown)}
    for name in names:
        columns = f"SELECT name, type FROM pragma_table_info('{name}')"
        assert of_page.execute(columns).fetchall() == world.query(columns), name
    of_page.close()
    first, second, third = questions.split(";\n\n")
    ((_, project, count, *_),) = world.query(first)
    assert (project, count) == (PROJECT, 2)
    assert [message for _, message in world.query(second)] == ["0", "1"]
    assert world.query(third) == []
