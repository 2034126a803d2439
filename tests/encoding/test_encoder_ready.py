"""Entries that are only encoded hold ready JSON: the server gets what it gets without it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from logwell_otel._encoding.stages import Stages
from logwell_otel._encoding.values import convert_structure, from_json
from logwell_otel._otel import SeverityNumber
from support.entries import RESOURCE, SCOPE, bounded, record

if TYPE_CHECKING:
    from logwell_otel._otel import ReadableLogRecord
    from logwell_otel._wire import LogEntry

IDS = {"trace_id": 5, "span_id": 6, "trace_flags": 1}


class Looking:
    """A stage that changes nothing: entries come to it as plain values."""

    def redact_entry(self, entry: LogEntry) -> LogEntry:
        return entry


def entries(batch: list[ReadableLogRecord], stages: Stages | None = None) -> list[dict[str, Any]]:
    chunks = Encoder(Mapper(), stages=stages).encode(batch).chunks
    return [entry for chunk in chunks for entry in json.loads(chunk.body())]


def same(batch: list[ReadableLogRecord]) -> list[dict[str, Any]]:
    found = entries(batch)
    assert found == entries(batch, Stages(redactor=Looking()))
    return found


VALUES = st.one_of(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**54), 2**54),
    st.text(st.characters(), max_size=9) | st.binary(max_size=9),
    st.sampled_from(["a\0b", "\ud800", "\\u0000", '"', "", " "]),
    st.lists(st.integers() | st.text(max_size=3), max_size=3).map(tuple),
    st.dictionaries(st.text(max_size=3), st.integers() | st.binary(max_size=3), max_size=3),
)
NAMES = ["a", "trace_id", "resource", "body", "service.name", "code.filepath"]


@given(
    st.sampled_from([None, "", " ", b"", "text", (), {"k": b""}]) | VALUES,
    st.dictionaries(
        st.sampled_from([*NAMES, "exception.type", "exception.message"]), VALUES, max_size=6
    ),
    st.sampled_from([{}, IDS, {"trace_id": 5}, {**IDS, "trace_flags": 256}]),
    st.sampled_from([None, "", "event"]),
)
def test_any_record(
    body: Any, attributes: dict[str, Any], ids: dict[str, int], event_name: str | None
) -> None:
    same([record(body=body, attributes=bounded(attributes), event_name=event_name, **ids)])


@pytest.mark.parametrize("body", [None, "", " \ufeff", b""])
@pytest.mark.parametrize(
    ("kind", "reason", "message"),
    [
        (b"\0", None, "AA=="),
        (b"\0", "no", "AA==: no"),
        (("E",), "no", "['E']: no"),
        ("E", {"code": 7}, "E: {'code': 7}"),
    ],
)
def test_an_exception_of_odd_values_in_place_of_a_message(
    body: object, kind: object, reason: object, message: str
) -> None:
    attributes = bounded({"exception.type": kind, "exception.message": reason})
    [found] = same([record(body=body, attributes=attributes)])
    assert found["message"] == message


@pytest.mark.parametrize("ids", [{}, {"trace_id": 5}, {"span_id": 6}, IDS])
@pytest.mark.parametrize("number", [SeverityNumber.INFO, SeverityNumber.INFO2])
@pytest.mark.parametrize("resource", [RESOURCE, None])
@pytest.mark.parametrize("scope", [SCOPE, None])
def test_with_and_without_each_part(
    ids: dict[str, int], number: SeverityNumber, resource: Any, scope: Any
) -> None:
    one = record(
        resource=resource,
        scope=scope,
        severity_number=number,
        attributes=bounded({"k": "é"}),
        **ids,
    )
    [found] = same([one])
    assert found["metadata"]["k"] == "é"


def test_what_is_cut_is_cut_inside_ready_parts_too() -> None:
    """Ready JSON cannot be cut: such an entry is made once more."""
    attributes = {f"k{number}": {"kept": "y", "text": "x" * 9000} for number in range(20)}
    [found] = same([record(body="long", attributes=bounded(attributes), **IDS)])
    metadata = found["metadata"]
    assert [metadata[name]["kept"] for name in attributes] == ["y"] * 20
    assert all(metadata[name]["text"].endswith("…") for name in attributes)
    assert metadata["logwell.truncated"] is True


class TestStructures:
    @pytest.mark.parametrize(
        "value",
        [
            {},
            [],
            (),
            {"a": {"b": [1, 2.5, True, None, "é", ("x",)]}},
            [2**53, -(2**53)],
            ["x" * 9000],
        ],
    )
    def test_of_plain_values_are_taken_whole(self, value: Any) -> None:
        encoded = convert_structure(value)
        assert encoded is not None
        assert from_json(encoded) == json.loads(json.dumps(value))

    @pytest.mark.parametrize(
        "value",
        [
            [float("nan")],
            [float("-inf")],
            [2**53 + 1],
            {"a": b"x"},
            {1: "a"},
            {None: "a"},
            ["a\0b"],
            {"a\0b": 1},
            ["\ud800"],
            [object()],
            [{1}],
            ["x" * 200_000],
            ["x" * 5000] * 3,
            {"k" * 20_000: 1},
            [0] * 10_000,
            ["y" * 64] * 9000,
        ],
    )
    def test_of_anything_else_are_converted(self, value: Any) -> None:
        assert convert_structure(value) is None

    def test_too_deep_or_without_end(self) -> None:
        endless: list[Any] = []
        endless.append(endless)
        assert convert_structure(endless) is None
        assert convert_structure(json.loads("[" * 33 + "]" * 33)) is None
        assert convert_structure(json.loads("[" * 32 + "]" * 32)) is not None


class TestLikeTheOneBefore:
    """Resource, scope and severity of the record before are looked at first."""

    def test_an_unreadable_record_takes_nothing_over(self) -> None:
        class Unreadable:
            log_record = record(body="unreadable").log_record
            resource = None

            @property
            def instrumentation_scope(self) -> NoReturn:
                raise RuntimeError("no scope")

        odd: Any = Unreadable()
        for stages in (None, Stages(redactor=Looking())):
            before, found, after = entries([record(), odd, record()], stages)
            assert before == after
            assert before["metadata"]["resource"] == {"host.name": "web-1"}
            assert found["message"] == "unreadable"
            assert found["metadata"] == {"logwell.mapping_error": "RuntimeError: no scope"}

    def test_an_unreadable_record_with_a_nul_is_cleaned_all_the_same(self) -> None:
        class Unreadable:
            log_record = record(body="a\0b").log_record
            resource = None

            @property
            def instrumentation_scope(self) -> NoReturn:
                raise RuntimeError("a\0b")

        odd: Any = Unreadable()
        before, found, after = entries([record(), odd, record()])
        assert before == after
        assert found["message"] == "a\ufffdb"
        assert found["metadata"] == {"logwell.mapping_error": "RuntimeError: a\ufffdb"}

    def test_severities_that_take_turns(self) -> None:
        pairs = [
            (SeverityNumber.ERROR, "ERROR"),
            (SeverityNumber.ERROR, "INFO"),
            (SeverityNumber.INFO, "INFO"),
            (None, "INFO"),
            (None, "FATAL"),
        ] * 3
        batch = [record(severity_number=number, severity_text=text) for number, text in pairs]
        alone = [entries([one])[0] for one in batch]
        assert entries(batch) == alone
        assert [one["level"] for one in alone[:5]] == ["error", "error", "info", "info", "fatal"]
