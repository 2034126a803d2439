"""Error and fatal entries in the order of the server's incidents; all others in their places."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel._delivery import ordering as incidents
from logwell_otel._delivery.ordering import group
from logwell_otel._encoding.chunk import Chunk
from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from support.entries import record


def entry(message: str = "m", level: str = "error", **fields: Any) -> dict[str, Any]:
    return {"level": level, "message": message, **fields}


def encoded(**fields: Any) -> bytes:
    return msgspec.json.encode(entry(**fields))


def ordered(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    chunk = Chunk(msgspec.json.encode(entries), len(entries))
    incidents.order(chunk)
    assert chunk.count == len(entries)
    assert len(chunk.body()) <= chunk.size
    found: list[dict[str, Any]] = json.loads(chunk.body())
    return found


class TestOneIncident:
    """What the server takes for another occurrence of the same error."""

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Boom", "boom"),
            ("  boom ", "boom"),
            ("\ufeffboom\u00a0", "boom"),
            ("a  b", "a b"),
            ("a\n\t b", "a b"),
            ("a\u2003b", "a b"),
            ("user 17", "user 4"),
            ("took 1.5s", "took 2.75s"),
            ("v1.2.3", "v4.5.6"),
            ("at 0x7f3a", "at 0xdeadbeef01"),
            ("at 0X7F3A", "at 0xdeadbeef01"),
            ("sha 0123456789ab", "sha fedcba9876543210"),
            ("from 10.0.0.1", "from 192.168.100.200"),
            ("from 10.0.0.1:80", "from 192.168.0.2:8080"),
            (
                "id 123e4567-e89b-12d3-a456-426614174000",
                "id 00000000-0000-0000-8000-000000000000",
            ),
            (
                "id 123E4567-E89B-12D3-A456-426614174000",
                "id 123e4567-e89b-72d3-b456-426614174fff",
            ),
            ("\ufffd 1", "\ufffd 2"),
            ("{num}", "12"),
            ("İ", "i̇"),
        ],
    )
    def test_messages(self, one: str, other: str) -> None:
        assert group(encoded(message=one)) == group(encoded(message=other))

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"service": "shop"}, {"service": " shop\u2003"}),
            ({"service": "shop"}, {"metadata": {"service.name": "shop"}}),
            ({"service": " ", "metadata": {"service_name": " shop "}}, {"service": "shop"}),
            ({"metadata": {"service": "shop"}}, {"service": "shop"}),
            ({"metadata": {"service.name": 5, "service": "shop"}}, {"service": "shop"}),
            ({"metadata": {"service.name": " ", "service_name": "shop"}}, {"service": "shop"}),
            ({"metadata": {"resource": {"service.name": "shop"}}}, {}),
            ({"lineNumber": 0}, {}),
            ({"level": "fatal"}, {"level": "error"}),
            ({"timestamp": "2026-11-20T14:09:42.426364Z"}, {"metadata": {"user_id": "u"}}),
        ],
    )
    def test_fields(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        assert group(encoded(**one)) == group(encoded(**other))


class TestTwoIncidents:
    """What it keeps apart: taken for one here, their order would be left to chance."""

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("a", "b"),
            ("user 1", "user x"),
            ("id 0x1f", "id 17"),
            ("id 0123456789ab", "id 123456789012"),
            ("id 0123456789a", "id 0123456789ab"),
            ("from 10.0.0.1", "from 10.0.0.1.5"),
            ("from 10.0.0.1", "from 10.0.0.1111"),
            ("id 123e4567-e89b-12d3-a456-426614174000", "id 123e4567-e89b-12d3-c456-426614174000"),
            ("id 123e4567-e89b-12d3-a456-426614174000", "id 1x"),
            ("a b", "ab"),
            ("a\u200bb", "a b"),
            ("a\x1cb", "a b"),
            ("\x85a", "a"),
            ("٣", "3"),
        ],
    )
    def test_messages(self, one: str, other: str) -> None:
        assert group(encoded(message=one)) != group(encoded(message=other))

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"service": "a"}, {"service": "b"}),
            ({"service": "a"}, {}),
            ({"service": "a"}, {"service": "A"}),
            ({"sourceFile": "a.py"}, {"sourceFile": "b.py"}),
            ({"sourceFile": "a.py"}, {"sourceFile": "a.py "}),
            ({"lineNumber": 1}, {"lineNumber": 2}),
            ({"metadata": {"service.name": "a", "service": "b"}}, {"service": "b"}),
        ],
    )
    def test_fields(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        assert group(encoded(**one)) != group(encoded(**other))


class TestOrder:
    def test_by_service_then_file_then_line_then_message(self) -> None:
        wanted = [
            entry(service="a", sourceFile="a.py", lineNumber=1, message="x"),
            entry(service="a", sourceFile="a.py", lineNumber=1, message="y"),
            entry(service="a", sourceFile="a.py", lineNumber=2, message="x"),
            entry(service="a", sourceFile="b.py", lineNumber=1, message="x"),
            entry(service="b", sourceFile="a.py", lineNumber=1, message="x"),
        ]
        for seed in range(5):
            shuffled = random.Random(seed).sample(wanted, len(wanted))
            assert ordered(shuffled) == wanted

    def test_the_others_keep_their_places(self) -> None:
        batch = [
            entry("z", "info"),
            entry("c", "error"),
            entry("y", "warn"),
            entry("b", "fatal"),
            entry("x", "debug"),
            entry("a", "error"),
        ]
        assert [found["message"] for found in ordered(batch)] == ["z", "a", "y", "b", "x", "c"]

    def test_entries_of_one_incident_keep_their_order(self) -> None:
        batch = [entry(f"b {n}") for n in range(5)] + [entry(f"a {n}") for n in range(5)]
        wanted = [f"a {n}" for n in range(5)] + [f"b {n}" for n in range(5)]
        assert [found["message"] for found in ordered(batch)] == wanted

    def test_two_programs_with_the_same_errors_agree(self) -> None:
        """Each meets them in another order, with other numbers, ids and spelling of the service."""
        rng = random.Random(1)
        kinds = [f"failure of kind {chr(97 + n)} for order" for n in range(20)]
        orders = []
        for service in ("shop", " shop"):
            batch = [entry(f"{kind} {rng.random()}", service=service) for kind in kinds]
            rng.shuffle(batch)
            orders.append([found["message"][:17] for found in ordered(batch)])
        assert orders[0] == orders[1]

    def test_nothing_to_sort_leaves_the_very_bytes(self) -> None:
        body = b'[ {"level":"info","message":"b"},{"level":"error","message":"a"} ]'
        chunk = Chunk(body, 2)
        incidents.order(chunk)
        assert chunk.body() is body

    def test_levels_inside_metadata_are_not_levels(self) -> None:
        inside = {"list": [{"level": "error"}, {"level": "fatal"}, {"level": "error"}]}
        batch = [entry("b", "info", metadata=inside), entry("a", "info", metadata=inside)]
        assert ordered(batch) == batch

    def test_joined_parts(self) -> None:
        chunk = Chunk(msgspec.json.encode([entry("c"), entry("info", "info")]), 2)
        chunk.join(Chunk(msgspec.json.encode([entry("a"), entry("b")]), 2))
        incidents.order(chunk)
        messages = [found["message"] for found in json.loads(chunk.body())]
        assert messages == ["a", "info", "b", "c"]


class TestErrorsKnown:
    """The encoder counts errors, so that most requests need no look at all."""

    def test_what_the_encoder_made_is_sorted(self) -> None:
        batch = [record(body=body, severity_text=text) for text, body in LOGGED]
        (chunk,) = Encoder(Mapper()).encode(batch).chunks
        assert chunk.errors == 3
        incidents.order(chunk)
        found = [(one["level"], one["message"]) for one in json.loads(chunk.body())]
        assert found == [("error", "a"), ("info", "x"), ("fatal", "b"), ("error", "c")]

    @pytest.mark.parametrize(
        ("first", "second", "joined"), [(1, 2, 3), (None, 1, None), (1, None, None)]
    )
    def test_joining(self, first: int | None, second: int | None, joined: int | None) -> None:
        chunk = Chunk(b"[1]", 1, errors=first)
        chunk.join(Chunk(b"[2]", 1, errors=second))
        assert chunk.errors == joined

    @pytest.mark.parametrize("errors", [0, 1])
    def test_fewer_than_two_are_not_looked_for(self, errors: int) -> None:
        body = msgspec.json.encode([entry("b"), entry("a")])
        chunk = Chunk(body, 2, errors=errors)  # which is not true, and nobody notices
        incidents.order(chunk)
        assert chunk.body() is body


LOGGED = [("ERROR", "c"), ("INFO", "x"), ("CRITICAL", "b"), ("ERROR", "a")]

ENTRIES = st.builds(
    entry,
    st.sampled_from(["a 1", "a 2", "b", "B ", "c 0x1f", "c 0x2f"]),
    st.sampled_from(["error", "fatal", "info"]),
    service=st.sampled_from(["s", " s", "t"]),
    lineNumber=st.sampled_from([1, 2]),
)


@given(st.lists(ENTRIES, min_size=1, max_size=30))
def test_sorting_is_stable_complete_and_final(batch: list[dict[str, Any]]) -> None:
    numbered = [{**one, "metadata": {"n": number}} for number, one in enumerate(batch)]
    found = ordered(numbered)
    assert ordered(found) == found
    assert sorted(one["metadata"]["n"] for one in found) == list(range(len(batch)))
    for place, one in enumerate(found):
        assert (one["level"] == "info") == (batch[place]["level"] == "info")
        if one["level"] == "info":
            assert one == numbered[place]
    grouped = [
        (group(msgspec.json.encode(one)), one["metadata"]["n"])
        for one in found
        if one["level"] != "info"
    ]
    assert grouped == sorted(grouped)


@given(st.text(min_size=1))
def test_any_message_has_a_group(message: str) -> None:
    assert group(encoded(message=message)).startswith("unknown-service|unknown-source|0|")


@pytest.mark.parametrize("unit", ["a", "0x", "1.", "0123456789ab-", " ", "01234567-0123-"])
def test_a_long_message_takes_no_quadratic_time(unit: str) -> None:
    started = time.monotonic()
    group(encoded(message="x" + unit * (120_000 // len(unit))))
    assert time.monotonic() - started < 30
