"""Chunks: at most 100 entries and 500,000 bytes, in order, filled up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel._encoding.chunk import Chunk
from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from support.entries import record
from support.storable import problems


def encoded(bodies: list[Any], *, room: int = 0, minimum_rank: int = 0) -> list[Chunk]:
    batch = [record(body=body, severity_text="INFO") for body in bodies]
    return Encoder(Mapper(), minimum_rank=minimum_rank).encode(batch, room=room).chunks


def messages(chunks: list[Chunk]) -> list[str]:
    return [entry["message"] for chunk in chunks for entry in json.loads(chunk.body())]


def check(chunks: list[Chunk]) -> None:
    for chunk in chunks:
        assert problems(chunk.body(), chunk.count) == []
        assert len(chunk.body()) <= chunk.size


@pytest.mark.parametrize(
    ("count", "counts"),
    [
        (0, []),
        (1, [1]),
        (99, [99]),
        (100, [100]),
        (101, [100, 1]),
        (200, [100, 100]),
        (512, [100, 100, 100, 100, 100, 12]),
    ],
)
def test_a_hundred_entries_each(count: int, counts: list[int]) -> None:
    bodies = [f"message {number}" for number in range(count)]
    chunks = encoded(bodies)
    assert [chunk.count for chunk in chunks] == counts
    assert messages(chunks) == bodies
    check(chunks)


@pytest.mark.parametrize(
    ("room", "counts"),
    [
        (0, [100, 100, 50]),
        (1, [1, 100, 100, 49]),
        (50, [50, 100, 100]),
        (99, [99, 100, 51]),
        (100, [100, 100, 50]),
        (101, [100, 100, 50]),
        (-5, [100, 100, 50]),
    ],
)
def test_the_first_fills_the_chunk_that_waits_already(room: int, counts: list[int]) -> None:
    bodies = [f"message {number}" for number in range(250)]
    chunks = encoded(bodies, room=room)
    assert [chunk.count for chunk in chunks] == counts
    assert messages(chunks) == bodies


def test_room_for_more_than_there_is() -> None:
    assert [chunk.count for chunk in encoded(["a", "b"], room=60)] == [2]


def test_records_left_out_do_not_make_chunks_smaller() -> None:
    batch = [
        record(body=f"m{number}", severity_text="DEBUG" if number % 2 else "WARN")
        for number in range(512)
    ]
    found = Encoder(Mapper(), minimum_rank=1).encode(batch)
    assert [chunk.count for chunk in found.chunks] == [100, 100, 56]
    assert messages(found.chunks) == [f"m{number}" for number in range(0, 512, 2)]
    assert found.dropped == {"level": 256}


def test_nothing_but_records_left_out() -> None:
    found = Encoder(Mapper(), minimum_rank=4).encode([record() for _ in range(3)])
    assert (found.chunks, found.dropped) == ([], {"level": 3})


class TestLargeEntries:
    def test_of_some_kilobytes_share_a_chunk(self) -> None:
        bodies = [f"{number} " + "x" * 4000 for number in range(100)]
        chunks = encoded(bodies)
        assert [chunk.count for chunk in chunks] == [100]
        assert chunks[0].size > 400_000
        assert messages(chunks) == bodies
        check(chunks)

    def test_500000_bytes_end_a_chunk(self) -> None:
        bodies = [f"{number} " + "x" * 9000 for number in range(150)]
        chunks = encoded(bodies)
        assert messages(chunks) == bodies
        assert [chunk.count for chunk in chunks] == [54, 46, 50]
        check(chunks)

    def test_a_single_one_is_cut_to_128_kib(self) -> None:
        chunks = encoded(["x" * 1_000_000])
        [entry] = json.loads(chunks[0].body())
        assert entry["metadata"]["logwell.truncated"] is True
        assert chunks[0].size <= 128 * 1024 + 2
        check(chunks)

    @pytest.mark.slow
    def test_a_hundred_of_them(self) -> None:
        chunks = encoded(["x" * 1_000_000] * 100)
        assert sum(chunk.count for chunk in chunks) == 100
        check(chunks)

    def test_one_among_small_ones_is_noticed_though_the_chunk_would_pass(self) -> None:
        bodies = ["small"] * 10 + ["x" * 140_000] + ["small"] * 10
        chunks = encoded(bodies)
        assert [chunk.count for chunk in chunks] == [21]
        entries = json.loads(chunks[0].body())
        assert [len(entry["message"]) < 140_000 for entry in entries] == [True] * 21
        assert [entry for index, entry in enumerate(entries) if index != 10] == [entries[0]] * 20
        check(chunks)

    def test_the_largest_that_passes_whole(self) -> None:
        overhead = len(encoded([""])[0].body()) - 2 - len("(no message)")
        fits = "x" * (128 * 1024 - overhead)
        assert messages(encoded([fits])) == [fits]
        assert messages(encoded([fits, "small"])) == [fits, "small"]
        assert messages(encoded([fits + "x", "small"])) != [fits + "x", "small"]

    def test_text_that_looks_like_the_next_entry(self) -> None:
        trap = '"},{"level":"error","message":"'
        bodies: list[Any] = [
            trap * 5000,
            {"level": "error", "x": [{"level": "fatal"}] * 5000},
            trap,
        ]
        chunks = encoded(bodies)
        assert sum(chunk.count for chunk in chunks) == 3
        check(chunks)


@given(
    st.lists(st.sampled_from([1, 50, 3000, 9000, 60_000, 140_000]), max_size=130),
    st.integers(-1, 101),
)
def test_any_sizes_in_any_order(sizes: list[int], room: int) -> None:
    bodies = [f"{number}" + "x" * size for number, size in enumerate(sizes)]
    chunks = encoded(bodies, room=room)
    check(chunks)
    found = messages(chunks)
    assert [message.rstrip("…x") for message in found] == [str(n) for n in range(len(sizes))]
    whole = [body for body in bodies if len(body) < 120_000]
    assert [
        message for message in found if len(message) < 30_000 or len(message) in map(len, whole)
    ] == whole


class TestChunk:
    def test_entries_and_joining(self) -> None:
        first, second = encoded(["a"])[0], encoded(["b", "c"])[0]
        parts = first.entries() + second.entries()
        first.join(second)
        assert first.count == 3
        assert first.entries() == parts
        assert first.body() == b"[" + b",".join(parts) + b"]"
        assert len(first.body()) <= first.size
        assert Chunk.of_entries(parts).body() == first.body()

    def test_what_fits_together(self) -> None:
        def chunk(count: int, size: int) -> Chunk:
            return Chunk(b"x" * size, count)

        assert chunk(60, 10).takes(chunk(40, 10))
        assert not chunk(60, 10).takes(chunk(41, 10))
        assert chunk(1, 300_000).takes(chunk(1, 200_000))
        assert not chunk(1, 300_000).takes(chunk(1, 200_001))
        later = chunk(1, 1)
        later.generation = 1
        assert not chunk(1, 1).takes(later)

    def test_replacing_its_entries(self) -> None:
        chunk = encoded(["a", "b"])[0]
        a, b = chunk.entries()
        chunk.replace([b, a])
        assert chunk.entries() == [b, a]
        chunk.replace([b])
        assert (chunk.count, chunk.size) == (1, len(b) + 2)

    def test_its_memory_and_its_repr(self) -> None:
        chunk = Chunk(b"[]", 0)
        assert chunk.memory > chunk.size
        assert repr(chunk) == "<Chunk 0 entries, 2 bytes>"
        chunk.suspicion = "suspect"  # type: ignore[assignment]
        assert repr(chunk) == "<Chunk 0 entries, 2 bytes, suspect>"
