"""A process ends, by whatever way; the next one delivers what it left, once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from logwell_otel._buffer.spool import Spool, SpoolCounters
from support.spool import ENDPOINT, World, check_sum, drain, entries, entry, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def test_destination_stopped_subject_restarted_destination_back(world: World) -> None:
    # The persistence case of a public harness for log shippers, which some
    # well-known ones do not pass.
    spool = world.open()
    spool.store(entries(0, 250))
    chunk = spool.take()
    assert chunk is not None
    spool.give_back(chunk)
    spool.close()
    spool = world.open()
    assert spool.adopt() == 250
    assert drain(spool) == list(range(250))
    assert spool.counters == SpoolCounters(adopted=250, done=250)


def test_after_a_kill_everything_is_there_also_what_was_in_hand(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 130))
    assert numbers(spool.take()) == list(range(100))
    again = world.restart()
    assert again.counters == SpoolCounters(
        adopted=130, entries_held=130, bytes_held=again.counters.bytes_held
    )
    chunk = again.take()
    assert chunk is not None
    assert chunk.recovered
    again.give_back(chunk)
    assert drain(again) == list(range(130))


def test_nothing_is_buffered_in_the_process(world: World) -> None:
    # A writer closed without flush that lost what it had buffered.
    spool = world.open()
    for number in range(7):
        spool.store([entry(number)])
        assert world.file("*/*/*.open").read_bytes().count(b"\n") == number + 2


def test_many_restarts_keep_the_order(world: World) -> None:
    spool = world.open()
    for number in range(5):
        spool.store(entries(number * 150, 150))
        world.sleep(1)
        spool = world.restart()
    assert drain(spool) == list(range(750))


def test_what_was_recovered_goes_before_what_is_younger(world: World) -> None:
    world.open().store([entry(0)])
    world.kill()
    world.sleep(5)
    spool = world.open()
    spool.store([entry(1)])
    assert spool.adopt() == 1
    assert drain(spool) == [0, 1]


def test_file_numbers_are_compared_as_numbers(world: World) -> None:
    # Comparing them as text across a roll-over is a known way to lose or
    # reorder data. Here 99,999,999 is followed by a number of nine digits.
    world.open().store(entries(0, 100))
    world.kill()
    file = world.file("*/*/*.ndjson" if world.files("*/*/*.ndjson") else "*/*/*.open")
    file.rename(file.with_name("1800000000000-99999999-100.ndjson"))
    next_one = file.with_name("1800000000000-100000000-100.ndjson")
    next_one.write_bytes(b"logwell-spool 1\n" + b"\n".join(entries(100, 100)) + b"\n")
    spool = world.open()
    assert spool.adopt() == 200
    assert drain(spool) == list(range(200))


def test_a_wall_clock_set_back_neither_reorders_nor_drops(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 100))
    world.wall = 1000.0
    world.mono += 1
    spool.store(entries(100, 100))
    world.wall = 4_000_000_000.0
    world.mono += 1
    spool.store(entries(200, 100))
    assert spool.expire() == 0
    assert drain(spool) == list(range(300))


def test_a_file_from_the_future_counts_as_of_now(world: World) -> None:
    world.open().store(entries(0, 3))
    world.wall -= 10 * 86400
    spool = world.restart()
    assert spool.expire() == 0
    world.sleep(60)
    spool.store([entry(3)])
    assert numbers(spool.take()) == [0, 1, 2]
    spool = world.restart()
    world.sleep(48 * 3600 + 1)
    assert spool.expire() == 4


def test_the_dead_are_looked_for_at_once_and_then_every_ten_seconds(world: World) -> None:
    spool, other = world.open(), world.open()
    assert spool.adopt() == 0
    other.store([entry(1)])
    other.close()
    world.sleep(9.9)
    assert spool.adopt() == 0
    world.sleep(0.2)
    assert spool.adopt() == 1


def test_the_living_are_left_alone(world: World) -> None:
    living, other = world.open(), world.open()
    living.store(entries(0, 150))
    assert other.adopt() == 0
    assert other.take() is None
    assert drain(living) == list(range(150))


def test_nothing_remains_when_all_is_delivered(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 250))
    spool = world.restart()
    drain(spool)
    spool.close()
    assert [path.name for path in world.files("*/*")] == ["pool.json"]


def test_endpoints_and_services_never_mix(world: World) -> None:
    spool = world.open(service="a")
    spool.store([entry(1)])
    assert world.restart(service="b").take() is None
    elsewhere = Spool(world.directory, endpoint=ENDPOINT + ":8443", service="a")
    assert elsewhere.adopt() == 0
    elsewhere.close()
    assert drain(world.restart(service="a")) == [1]


def test_a_lock_file_without_a_directory_is_tidied_up(world: World) -> None:
    spool = world.open()
    stray = spool.path / "77-00000000.lock"
    stray.touch()
    assert spool.adopt() == 0
    assert not stray.exists()


def test_a_directory_without_a_lock_file_is_adopted(world: World) -> None:
    world.open().store(entries(0, 3))
    world.file("*/*.lock").unlink()
    assert drain(world.restart()) == [0, 1, 2]
    assert [path.suffix for path in world.files("*/*")] == ["", ".lock", ".json"]


def test_a_rescuer_killed_half_way_leaves_each_file_in_one_place(world: World) -> None:
    world.open().store(entries(0, 300))
    dead = world.file("*/*/*.open").parent
    world.kill()
    world.open().store([entry(999)])
    (rescuers,) = {path.parent for path in world.files()} - {dead}
    moved = world.files("*/*/*.ndjson")[0]
    moved.rename(rescuers / "1800000000000-00000077-100.ndjson")
    assert sorted(drain(world.restart())) == [*range(300), 999]


def test_what_is_not_a_spools_is_neither_read_nor_deleted(world: World) -> None:
    world.open().store([entry(1)])
    instance = world.file("*/*/*").parent
    note, stray = instance / "NOTE.txt", instance.parent / "lost+found"
    note.write_text("mine")
    stray.mkdir()
    (instance.parent / "1-zzzzzzzz.lock").touch()
    os.mkfifo(instance / "1800000000000-00000009-001.ndjson")
    spool = world.restart()
    assert drain(spool) == [1]
    assert note.read_text() == "mine"
    assert stray.is_dir()
    world.sleep(11)
    assert spool.adopt() == 0
    check_sum(spool)


def test_a_rewrite_that_was_cut_short_is_thrown_away(world: World) -> None:
    world.open().store(entries(0, 2))
    world.file("*/*/*").with_name("1800000000000-00000001.tmp").write_bytes(b"logwell-spool 1\n{")
    spool = world.restart()
    assert drain(spool) == [0, 1]
    assert spool.counters == SpoolCounters(adopted=2, done=2)
    assert world.files() == []


def test_a_file_begun_but_not_written_to_is_thrown_away(world: World) -> None:
    world.open().store(entries(0, 2))
    for number, start in enumerate([b"", b"logwell", b"logwell-spool 1\n"]):
        (world.files("*/*/*.open")[0].parent / f"1800000000000-0000009{number}.open").write_bytes(
            start
        )
    spool = world.restart()
    assert drain(spool) == [0, 1]
    assert spool.counters == SpoolCounters(adopted=2, done=2)


def test_settled_parts_of_a_chunk_killed_between_two_renames_are_counted(world: World) -> None:
    # `replace` renames the file first: killed there, its name says 1 and it holds 3.
    world.open().store(entries(0, 3))
    world.kill()
    file = world.file("*/*/*")
    file.rename(file.with_name("1800000000000-00000001-001.ndjson"))
    spool = world.open()
    assert spool.adopt() == 1
    assert drain(spool) == [0, 1, 2]
    assert spool.counters == SpoolCounters(adopted=3, done=3)
