"""What goes in comes out: order, sizes, settling."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from logwell_otel._buffer.spool import SpoolCounters, SpoolError, SpoolWriteError
from logwell_otel._wire import MAX_REQUEST_BYTES
from support.spool import World, check_sum, drain, entries, entry, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def test_entries_come_back_in_order_and_are_gone_when_done(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 3))
    spool.store(entries(3, 2))
    chunk = spool.take()
    assert chunk is not None
    assert chunk.entries == entries(0, 5)
    assert not chunk.recovered
    assert spool.take() is None
    spool.done(chunk)
    assert spool.counters == SpoolCounters(stored=5, done=5)
    assert world.files() == []


def test_a_file_is_a_line_with_the_version_and_an_entry_a_line(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 2))
    assert world.file("*/*/*.open").read_bytes() == (
        b'logwell-spool 1\n{"level":"info","message":"0"}\n{"level":"info","message":"1"}\n'
    )
    spool.close()
    assert world.file("*/*/*").name == "1800000000000-00000001-002.ndjson"


def test_a_trickle_is_gathered_into_full_chunks(world: World) -> None:
    # A file and later a request for each record would be a retry storm after
    # every outage: the server counts requests.
    spool = world.open()
    for number in range(1000):
        spool.store([entry(number)])
    assert len(world.files()) == 10
    chunks = [spool.take() for _ in range(10)]
    assert [chunk.count for chunk in chunks if chunk] == [100] * 10
    assert [number for chunk in chunks for number in numbers(chunk)] == list(range(1000))


def test_a_full_segment_is_filled_to_the_last_entry_and_byte(world: World) -> None:
    spool = world.open()
    for first in range(0, 240, 60):
        spool.store(entries(first, 60))
    spool.store(entries(240, 3, size=120_000))
    spool.store(entries(243, 3, size=120_000))
    counts = []
    while (chunk := spool.take()) is not None:
        assert chunk.size == len(b"[" + b",".join(chunk.entries) + b"]") <= MAX_REQUEST_BYTES
        counts.append(chunk.count)
    assert counts == [100, 100, 44, 2]


def test_a_chunk_of_exactly_a_request_is_one_file(world: World) -> None:
    spool = world.open()
    whole = [*entries(0, 3, size=124_999), entry(3, size=124_998)]
    spool.store(whole)
    chunk = spool.take()
    assert chunk is not None
    assert (chunk.count, chunk.size) == (4, MAX_REQUEST_BYTES)
    spool.store([entry(4, size=MAX_REQUEST_BYTES - 2)])
    chunk = spool.take()
    assert chunk is not None
    assert (chunk.count, chunk.size) == (1, MAX_REQUEST_BYTES)


@pytest.mark.parametrize(
    "bad", [b"", b'{"a":1}\n', b'{"a":\n1}', entry(0, size=MAX_REQUEST_BYTES - 1)]
)
def test_what_could_not_be_read_back_is_refused_before_anything_is_written(
    world: World, bad: bytes
) -> None:
    spool = world.open()
    with pytest.raises(ValueError, match="one line of JSON"):
        spool.store([entry(0), bad])
    assert spool.counters == SpoolCounters()
    assert world.files() == []


def test_storing_nothing_makes_no_file(world: World) -> None:
    spool = world.open()
    spool.store([])
    assert spool.take() is None
    assert world.files("*/*") == []


def test_given_back_chunks_come_again_before_younger_ones_in_whatever_order(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 350))
    first, second, third = spool.take(), spool.take(), spool.take()
    assert first and second and third  # noqa: PT018
    for chunk in (second, third, first):
        spool.give_back(chunk)
    assert drain(spool) == list(range(350))
    check_sum(spool)


def test_a_later_success_does_not_settle_an_earlier_failure(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 200))
    first, second = spool.take(), spool.take()
    assert first and second  # noqa: PT018
    spool.done(second)
    spool.give_back(first)
    assert spool.counters.entries_held == 100
    assert drain(world.restart()) == list(range(100))


def test_a_refused_delivery_stays_until_it_is_acknowledged(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 5))
    for _ in range(3):
        chunk = spool.take()
        assert numbers(chunk) == [0, 1, 2, 3, 4]
        assert chunk is not None
        spool.give_back(chunk)
    assert numbers(world.restart().take()) == [0, 1, 2, 3, 4]


def test_settling_twice_does_nothing(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 5))
    chunk = spool.take()
    assert chunk is not None
    spool.give_back(chunk)
    spool.done(chunk)
    assert spool.counters.entries_held == 5
    again = spool.take()
    assert again is not None
    spool.done(again)
    spool.done(again)
    spool.give_back(again)
    assert spool.replace(again, entries(0, 2)).count == 2
    assert spool.counters == SpoolCounters(stored=5, done=5)
    assert spool.take() is None


def test_storing_goes_on_while_a_chunk_is_in_hand(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 5))
    chunk = spool.take()
    assert chunk is not None
    spool.store(entries(5, 5))
    spool.give_back(chunk)
    assert drain(spool) == list(range(10))


def test_what_many_short_lived_processes_left_is_one_request(world: World) -> None:
    # A request for each of them would be a storm after the outage.
    for number in range(30):
        spool = world.open()
        spool.store(entries(number * 7, 7))
        spool.close()
        world.sleep(1)
    spool = world.open()
    spool.adopt()
    chunks = [spool.take() for _ in range(4)]
    assert [chunk and chunk.count for chunk in chunks] == [98, 98, 14, None]
    assert len(world.files()) == 30
    for chunk in chunks[1::-1]:
        assert chunk is not None
        spool.give_back(chunk)
    chunk = spool.take()
    assert numbers(chunk) == list(range(98))
    assert chunk is not None
    spool.done(chunk)
    assert len(world.files()) == 16
    assert drain(spool) == list(range(98, 196))
    assert spool.counters.done == 196
    check_sum(spool)


def test_small_files_are_joined_up_to_a_requests_bytes(world: World) -> None:
    for number in range(4):
        spool = world.open()
        spool.store([entry(number, size=125_000 - 2)])
        spool.close()
        world.sleep(1)
    # The fourth makes one byte more than a request of four may have.
    spool = world.open()
    spool.adopt()
    assert numbers(spool.take()) == [0, 1, 2, 3]
    assert spool.take() is None
    spool = world.open()
    spool.store([entry(9)])
    assert numbers(spool.take()) == [9]


def test_a_rest_of_several_files_becomes_one(world: World) -> None:
    for number in range(5):
        spool = world.open()
        spool.store(entries(number * 10, 10))
        spool.close()
        world.sleep(1)
    spool = world.open()
    spool.adopt()
    chunk = spool.take()
    assert chunk is not None
    rest = spool.replace(chunk, [one for one in chunk.entries if one.endswith(b'7"}')])
    assert len(world.files()) == 1
    assert spool.counters.bytes_held == world.file("*/*/*").stat().st_size
    spool.give_back(rest)
    check_sum(spool)
    assert drain(world.restart()) == [7, 17, 27, 37, 47]


def test_ones_own_and_recovered_entries_are_not_mixed(world: World) -> None:
    world.open().store(entries(0, 3))
    spool = world.restart()
    spool.store(entries(3, 3))
    first = spool.take(), spool.take()  # both are sealed now
    for chunk in first:
        assert chunk is not None
        spool.give_back(chunk)
    later = spool.take(), spool.take()
    assert [(numbers(one), one.recovered) for one in later if one] == [
        ([0, 1, 2], True),
        ([3, 4, 5], False),
    ]


def test_replace_keeps_the_rest_on_disk(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 100))
    chunk = spool.take()
    assert chunk is not None
    rest = spool.replace(chunk, chunk.entries[40:])
    assert spool.counters.done == 40
    assert spool.counters.bytes_held == world.file("*/*/*.ndjson").stat().st_size
    rest = spool.replace(rest, rest.entries[1:3])
    spool.give_back(rest)
    check_sum(spool)
    again = world.restart()
    assert drain(again) == [41, 42]
    assert again.counters == SpoolCounters(adopted=2, done=2)


def test_replace_by_nothing_is_done(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 3))
    chunk = spool.take()
    assert chunk is not None
    assert spool.replace(chunk, []).count == 0
    assert spool.counters == SpoolCounters(stored=3, done=3)
    assert world.files() == []


def test_replace_by_more_is_a_mistake(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 3))
    chunk = spool.take()
    assert chunk is not None
    with pytest.raises(ValueError, match="4 entries cannot be left of 3"):
        spool.replace(chunk, entries(0, 4))
    spool.give_back(chunk)
    assert drain(spool) == [0, 1, 2]


def test_a_closed_spool_takes_and_settles_nothing(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 3))
    chunk = spool.take()
    assert chunk is not None
    spool.close()
    spool.close()
    with pytest.raises(SpoolWriteError, match="closed"):
        spool.store([entry(4)])
    spool.done(chunk)
    spool.give_back(chunk)
    assert spool.replace(chunk, chunk.entries[:1]).count == 1
    assert (spool.take(), spool.adopt(), spool.expire()) == (None, 0, 0)
    assert spool.counters.entries_held == 3
    assert drain(world.restart()) == [0, 1, 2]


def test_its_repr_tells_where_and_how_much(world: World) -> None:
    spool = world.open(max_bytes=1000)
    spool.store([entry(1)])
    assert repr(spool) == f"<Spool {str(spool.path)!r} 1 entries, 47 of 1000 bytes>"


@pytest.mark.parametrize("caps", [{"max_bytes": 0}, {"max_age": 0}, {"max_age": -1.0}])
def test_caps_must_be_above_zero(world: World, caps: dict[str, Any]) -> None:
    with pytest.raises(SpoolError, match="above zero"):
        world.open(**caps)


def test_many_threads_store_while_one_delivers(world: World) -> None:
    spool = world.open()
    found: list[int] = []

    def work(first: int) -> None:
        for number in range(first, first + 200):
            spool.store([entry(number)])

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found += drain(spool)
        check_sum(spool)
    for thread in threads:
        thread.join()
    found += drain(spool)
    assert sorted(found) == [1000 * n + number for n in range(4) for number in range(200)]
    for n in range(4):
        assert [f for f in found if f // 1000 == n] == sorted(f for f in found if f // 1000 == n)


def test_entries_are_not_altered_whatever_they_hold(world: World) -> None:
    spool = world.open()
    odd = [msgspec.json.encode({"m": text}) for text in ("\n\r\u2028\x00", "é\U0001f600", "\x85")]
    spool.store(odd)
    chunk = spool.take()
    assert chunk is not None
    assert chunk.entries == odd
