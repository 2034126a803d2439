"""Size and age: the oldest goes, is counted, and the directory is not walked for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel._buffer.spool import DEFAULT_MAX_AGE, DEFAULT_MAX_BYTES, SpoolCounters
from support.spool import World, check_sum, drain, entries, entry, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOUR = 3600.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def on_disk(world: World) -> int:
    return sum(path.stat().st_size for path in world.files())


def test_the_defaults_are_256_mib_and_48_hours() -> None:
    assert (DEFAULT_MAX_BYTES, DEFAULT_MAX_AGE) == (268_435_456, 172_800.0)


def test_over_the_cap_the_oldest_go_and_are_counted(world: World) -> None:
    spool = world.open(max_bytes=50_000)
    for first in range(0, 1000, 100):
        spool.store(entries(first, 100, size=99))
        check_sum(spool)
        assert spool.counters.bytes_held == on_disk(world) <= 50_000
    counters = spool.counters
    assert (counters.stored, counters.dropped_overflow, counters.entries_held) == (1000, 600, 400)
    assert drain(spool) == list(range(600, 1000))


def test_the_open_segment_goes_too_when_it_is_all_there_is(world: World) -> None:
    spool = world.open(max_bytes=10_000)
    spool.store(entries(0, 80, size=99))
    spool.store(entries(80, 50, size=99))
    assert spool.counters.dropped_overflow == 80
    assert drain(spool) == list(range(80, 130))
    check_sum(spool)


def test_what_does_not_fit_at_all_is_counted_and_drops_nothing_else(world: World) -> None:
    spool = world.open(max_bytes=5_000)
    spool.store([entry(0)])
    spool.store(entries(1, 100, size=99))
    assert spool.counters == SpoolCounters(
        stored=101, dropped_overflow=100, entries_held=1, bytes_held=47
    )
    assert drain(spool) == [0]


def test_a_chunk_in_hand_is_never_dropped(world: World) -> None:
    spool = world.open(max_bytes=10_500)
    spool.store(entries(0, 50, size=99))
    chunk = spool.take()
    assert chunk is not None
    spool.store(entries(50, 50, size=99))
    spool.store(entries(100, 50, size=99))
    assert spool.counters.dropped_overflow == 50
    spool.give_back(chunk)
    assert drain(spool) == [*range(50), *range(100, 150)]


def test_what_does_not_fit_beside_the_chunks_in_hand_is_counted(world: World) -> None:
    spool = world.open(max_bytes=8_000)
    spool.store(entries(0, 50, size=99))
    chunk = spool.take()
    assert chunk is not None
    spool.store([entry(50)])
    spool.store(entries(51, 50, size=99))
    assert spool.counters.dropped_overflow == 50
    spool.done(chunk)
    assert drain(spool) == [50]
    check_sum(spool)


def test_dropping_frees_the_room_for_good(world: World) -> None:
    # A size counter that went below zero blocked the writer of a known buffer.
    spool = world.open(max_bytes=20_000)
    for first in range(0, 3000, 30):
        spool.store(entries(first, 30, size=99))
        chunk = spool.take()
        assert chunk is not None
        (spool.done if first % 90 else spool.give_back)(chunk)
        check_sum(spool)
        assert spool.counters.bytes_held == on_disk(world)
    drain(spool)
    assert (spool.counters.bytes_held, spool.counters.entries_held) == (0, 0)


def test_the_cap_is_that_of_all_processes_of_the_pool(world: World) -> None:
    spools = [world.open(max_bytes=100_000) for _ in range(4)]
    for first in range(0, 4000, 20):
        spools[first // 20 % 4].store(entries(first, 20, size=99))
        assert on_disk(world) <= 100_000 * (1 + 1 / 32)
    for spool in spools:
        check_sum(spool)
        assert spool.counters.entries_held >= 150
    assert sum(spool.counters.dropped_overflow for spool in spools) > 2500


def test_a_process_that_begins_late_gets_its_part(world: World) -> None:
    greedy = world.open(max_bytes=100_000)
    for first in range(0, 2000, 100):
        greedy.store(entries(first, 100, size=99))
    late = world.open(max_bytes=100_000)
    for first in range(2000, 2500, 20):
        late.store(entries(first, 20, size=99))
    # An equal part, give or take a segment.
    assert 39_000 < late.counters.bytes_held <= 50_000
    greedy.adopt()  # its next look: there are two of us now
    assert on_disk(world) <= 100_000
    assert drain(greedy)[-1] == 1999
    check_sum(greedy)


def test_another_services_entries_do_not_count(world: World) -> None:
    world.open(service="a").store(entries(0, 100, size=99))
    spool = world.open(service="b", max_bytes=11_000)
    spool.store(entries(0, 100, size=99))
    assert spool.counters.dropped_overflow == 0


def test_what_is_adopted_is_held_to_the_cap(world: World) -> None:
    world.open().store(entries(0, 500, size=99))
    spool = world.restart(max_bytes=25_000)
    assert spool.counters.adopted == 500
    assert spool.counters.bytes_held <= 25_000
    assert drain(spool) == list(range(300, 500))
    check_sum(spool)


def test_set_aside_files_go_first(world: World) -> None:
    world.open().store(entries(0, 100, size=99))
    world.file("*/*/*").write_bytes(b"x" * 10_000)
    spool = world.restart(max_bytes=25_000)
    assert spool.take() is None
    assert spool.counters.set_aside_bytes == spool.counters.bytes_used > 0
    spool.store(entries(100, 100, size=99))
    assert spool.counters.set_aside_files == 1
    spool.store(entries(200, 100, size=99))
    assert spool.counters.set_aside_files == 0
    assert spool.counters.dropped_overflow == 0
    assert len(drain(spool)) == 200


def test_old_entries_are_dropped_and_counted(world: World) -> None:
    spool = world.open(max_age=48 * HOUR)
    spool.store(entries(0, 100))
    world.sleep(HOUR)
    spool.store(entries(100, 50))
    world.sleep(47.5 * HOUR)
    assert spool.expire() == 100
    assert spool.expire() == 0
    world.sleep(HOUR)
    assert spool.expire() == 50
    assert spool.counters == SpoolCounters(stored=150, dropped_age=150)
    assert world.files() == []


def test_age_goes_on_while_no_process_runs(world: World) -> None:
    world.open().store(entries(0, 100))
    world.sleep(24 * HOUR)
    spool = world.restart()
    spool.store(entries(100, 5))
    world.sleep(24.1 * HOUR)
    assert spool.expire() == 100
    assert drain(spool) == list(range(100, 105))


def test_a_trickle_is_not_dropped_with_the_oldest_of_its_segment(world: World) -> None:
    spool = world.open(max_age=48 * HOUR)
    for number in range(72):
        spool.store([entry(number)])
        spool.expire()
        world.sleep(HOUR)
    kept = drain(spool)
    assert kept == list(range(kept[0], 72))
    assert kept[0] in {72 - 48, 72 - 47}


def test_a_chunk_in_hand_does_not_age(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 3))
    chunk = spool.take()
    assert chunk is not None
    world.sleep(50 * HOUR)
    assert spool.expire() == 0
    spool.done(chunk)
    assert spool.counters == SpoolCounters(stored=3, done=3)


def test_set_aside_files_age_out(world: World) -> None:
    world.open().store(entries(0, 100))
    world.file("*/*/*").write_bytes(b"nonsense\n" * 10)
    world.sleep(HOUR)
    spool = world.restart()
    assert spool.take() is None
    world.sleep(46 * HOUR)
    spool.expire()
    assert len(world.files()) == 1
    spool = world.restart()
    assert spool.counters.set_aside_files == 1
    world.sleep(2 * HOUR)
    assert spool.expire() == 0
    assert world.files() == []
    assert spool.counters == SpoolCounters()


def test_the_directory_is_not_walked_at_every_write(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, other = world.open(max_bytes=10_000_000), world.open()
    other.store([entry(0)])
    walks = 0
    walk = os.scandir

    def counting(path: Any) -> Any:
        nonlocal walks
        walks += 1
        return walk(path)

    monkeypatch.setattr(os, "scandir", counting)
    for number in range(2000):
        spool.store([entry(number, size=499)])
        if number % 10 == 0 and (chunk := spool.take()):
            spool.give_back(chunk)
        spool.adopt()
        spool.expire()
    # 1 MB written, a tenth of the cap: the pool and two instances, for the
    # look at the start and for every 32nd part of the cap.
    assert walks <= 3 * 2 * 5
    assert numbers(spool.take())[0] == 0
