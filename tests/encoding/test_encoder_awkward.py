"""One awkward record among a hundred: it arrives, and the other 99 are what they were."""

from __future__ import annotations

import itertools
import json
import math
import sys
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from support.entries import bounded, encode, record
from support.storable import problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logwell_otel._otel import ReadableLogRecord


class Hostile:
    def __str__(self) -> NoReturn:
        raise RecursionError

    def __iter__(self) -> NoReturn:
        raise RuntimeError


class Text(str):
    __slots__ = ()

    def __str__(self) -> NoReturn:
        raise RuntimeError

    def strip(self, chars: str | None = None, /) -> NoReturn:
        raise RuntimeError


def shared(levels: int) -> Any:
    value: Any = ["lol"] * 10
    for _ in range(levels):
        value = [value] * 10
    return value


def cycle() -> Any:
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


def resource(attributes: dict[Any, Any]) -> Resource:
    found = Resource({})
    found._attributes = bounded(attributes)  # noqa: SLF001 - the SDK would clean them
    return found


AWKWARD: dict[str, dict[str, Any]] = {
    "NUL in the message": {"body": "a\0b"},
    "NUL in a value": {"attributes": {"k": "a\0b"}},
    "NUL in a key": {"attributes": {"a\0b": "v"}},
    "NUL in a nested key": {"attributes": {"k": {"a\0b": ["\0"]}}},
    "NUL in the service": {"attributes": {"service.name": "a\0b"}},
    "NUL in the file": {"attributes": {"code.file.path": "a\0b", "code.line.number": 1}},
    "NUL in the event name": {"event_name": "a\0b"},
    "NUL in the severity": {"severity_text": "a\0b"},
    "NUL in the scope": {"scope": InstrumentationScope("a\0b", "\0")},
    "NUL in the resource": {"resource": resource({"a\0": "\0", "service.name": "a\0b"})},
    "surrogate in the message": {"body": "a\ud800b"},
    "surrogate in a value": {"attributes": {"k": "a\udc00b"}},
    "surrogate in a key": {"attributes": {"a\ud800b": "v"}},
    "surrogate in a nested key": {"attributes": {"k": {"a\ud800b": ["\udfff"]}}},
    "surrogate in the service": {"attributes": {"service.name": "a\ud800b"}},
    "surrogate in the file": {"attributes": {"code.filepath": "a\ud800b", "code.lineno": 1}},
    "surrogate in the event name": {"event_name": "a\ud800b"},
    "surrogate in the severity": {"severity_text": "a\ud800b"},
    "surrogate in the scope": {"scope": InstrumentationScope("a\ud800b", "\udfff")},
    "surrogate in the resource": {"resource": resource({"\ud800": "\ud800"})},
    "surrogates in the resource's service": {"resource": resource({"service.name": "\ud800"})},
    "only surrogates": {"body": "\ud800\ud800"},
    "NaN and infinities": {"attributes": {"n": math.nan, "i": [math.inf, -math.inf]}},
    "NaN as body": {"body": math.nan},
    "bytes": {"body": b"\xff\0", "attributes": {"b": b"\xff", "l": [bytearray(b"\0")]}},
    "huge integers": {"body": 10**5000, "attributes": {"n": -(10**5000), "m": 2**53 + 1}},
    "sets": {"body": {1, "a"}, "attributes": {"s": frozenset({None})}},
    "hostile objects": {"body": Hostile(), "attributes": {"k": Hostile(), "l": [Hostile()]}},
    "hostile event name": {"event_name": Hostile(), "body": None},
    "subclasses of str": {
        "body": Text("b"),
        "event_name": Text("e"),
        "attributes": {
            Text("k"): Text("v"),
            "code.file.path": Text("f"),
            "service.name": Text("s"),
        },
    },
    "odd keys": {"attributes": {None: 1, 5: 2, "5": 3, ("a",): 4, Hostile(): 5, b"k": 6, "": 7}},
    "cycle": {"body": cycle(), "attributes": {"k": cycle()}},
    "exponential sharing": {"body": shared(40), "attributes": {"k": shared(8)}},
    "very deep": {"body": json.loads("[" * 900 + "]" * 900)},
    "foreign ready-made JSON": {"body": msgspec.Raw(b"}{"), "attributes": {"k": msgspec.Raw(b"}")}},
    "long message": {"body": "x" * 2_000_000},
    "long everything": {
        "body": ["x" * 300_000],
        "attributes": {"k" * 10_000: "v" * 500_000, "service.name": "s" * 100_000},
    },
    "many attributes": {"attributes": {f"k{number}": "v" * 50 for number in range(20_000)}},
    "huge resource": {"resource": resource({f"k{number}": "v" * 50 for number in range(20_000)})},
    "long list": {"body": range(10**12), "attributes": {"l": list(range(100_000))}},
    "no time": {"timestamp": None, "observed_timestamp": None},
    "time before year 1": {"timestamp": -(10**25)},
    "time after year 9999": {"timestamp": 10**25},
    "time that is none": {"timestamp": math.nan, "observed_timestamp": Hostile()},
    "line number too large": {"attributes": {"code.file.path": "a", "code.line.number": 2**31}},
    "line number that is none": {"attributes": {"code.file.path": "a", "code.lineno": 1.5}},
    "ids that are none": {"trace_id": "x", "span_id": -1, "trace_flags": "x"},
    "attributes that are none": {"attributes": None},
    "blank": {"body": "\ufeff \u2003", "event_name": " "},
}


def good(number: int) -> ReadableLogRecord:
    return record(body=f"message {number}", attributes=bounded({"n": number, "user_id": "u"}))


@cache
def undisturbed_entries() -> list[bytes]:
    return entries_with(good(42), 42)


def entries_with(odd: ReadableLogRecord, place: int) -> list[bytes]:
    batch = [good(number) for number in range(100)]
    batch[place] = odd
    chunks = encode(batch).chunks
    for chunk in chunks:
        assert problems(chunk.body(), chunk.count) == []
    return [entry for chunk in chunks for entry in chunk.entries()]


def with_attributes(fields: Mapping[str, Any]) -> bool:
    return fields.get("attributes") is not None


@pytest.mark.parametrize(
    ("name", "container"),
    [
        *(pytest.param(name, bounded, id=name) for name in AWKWARD),
        *(
            pytest.param(name, dict, id=f"{name}, a dict")
            for name, fields in AWKWARD.items()
            if with_attributes(fields)
        ),
    ],
)
def test_it_arrives_and_the_others_are_untouched(name: str, container: Any) -> None:
    fields = dict(AWKWARD[name])
    if with_attributes(fields):
        fields["attributes"] = container(fields["attributes"])
    undisturbed = undisturbed_entries()
    started = time.monotonic()
    disturbed = entries_with(record(**fields), 42)
    assert time.monotonic() - started < 30
    assert len(disturbed) == 100
    assert disturbed[:42] == undisturbed[:42]
    assert disturbed[43:] == undisturbed[43:]
    assert "logwell.mapping_error" not in json.loads(disturbed[42])["metadata"]


def test_all_of_them_in_one_batch() -> None:
    batch: list[ReadableLogRecord] = []
    for fields in AWKWARD.values():
        copied = dict(fields)
        if with_attributes(copied):
            copied["attributes"] = bounded(copied["attributes"])
        batch += [record(**copied), good(1)]
    chunks = encode(batch).chunks
    assert sum(chunk.count for chunk in chunks) == len(batch)
    for chunk in chunks:
        assert problems(chunk.body(), chunk.count) == []
    found = [entry for chunk in chunks for entry in chunk.entries()]
    assert set(found[1::2]) == {found[1]}


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", '"\\u0000', "C:\\u0000\\new"])
def test_text_that_only_looks_like_nul_stays(text: str) -> None:
    found = entries_with(record(body=text, attributes=bounded({"k": text})), 0)[0]
    assert json.loads(found)["message"] == text
    assert json.loads(found)["metadata"]["k"] == text


def test_exact_values_of_a_cleaned_entry() -> None:
    odd = record(
        body="a\0b",
        attributes=bounded({"k\ud800": ["v\0", 1, None], "n": 2**60, "code.filepath": "f\0"}),
    )
    assert json.loads(entries_with(odd, 99)[99]) == {
        "level": "info",
        "message": "a\ufffdb",
        "timestamp": "2026-11-20T14:09:42.426364Z",
        "service": "shop",
        "sourceFile": "f\ufffd",
        "metadata": {
            "k\ufffd": ["v\ufffd", 1, None],
            "n": str(2**60),
            "otel.scope.name": "shop.orders",
            "otel.scope.version": "1.0",
            "resource": {"host.name": "web-1"},
        },
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["body", "attributes", "a plain dict of attributes"])
def test_another_thread_changes_it_meanwhile(kind: str) -> None:
    changing: dict[str, Any] = {f"k{number}": [number] for number in range(50)}
    container = bounded({})
    container._dict = changing  # noqa: SLF001 - shared with the thread below
    kinds: dict[str, dict[str, Any]] = {
        "body": {"body": {"in": changing, "list": list(changing)}},
        "attributes": {"attributes": container},
        "a plain dict of attributes": {"attributes": changing},
    }
    fields = kinds[kind]
    over = threading.Event()

    def change() -> None:
        for number in itertools.count():
            changing[f"new{number % 500}"] = "\0" if number % 3 else number
            changing.pop(f"new{(number + 250) % 500}", None)
            if over.is_set():
                return

    undisturbed = undisturbed_entries()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(30):
            found = entries_with(record(**fields), 42)
            assert found[:42] + found[43:] == undisturbed[:42] + undisturbed[43:]
            metadata = json.loads(found[42])["metadata"]
            seen = metadata["body"]["in"] if kind == "body" else metadata
            assert seen["k7"] == [7]
            assert "logwell.mapping_error" not in metadata
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_even_an_entry_that_nothing_can_encode_costs_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A defect of ours in the careful path, that is."""

    def broken(entry: Any) -> NoReturn:
        raise AssertionError("defect")

    undisturbed = undisturbed_entries()
    monkeypatch.setattr("logwell_otel._encoding.sanitize.clean", broken)
    batch = [good(number) for number in range(100)]
    batch[42] = record(body="a\0b")
    found = [e for chunk in Encoder(Mapper()).encode(batch).chunks for e in chunk.entries()]
    assert found[:42] + found[43:] == undisturbed[:42] + undisturbed[43:]
    assert json.loads(found[42]) == {
        "level": "warn",
        "message": "(no message)",
        "timestamp": "2026-11-20T14:09:42.426364Z",
        "metadata": {"logwell.mapping_error": "AssertionError: defect"},
    }
