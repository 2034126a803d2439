"""Records that are not the SDK's, or are broken: what can be read of them is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, NoReturn

import pytest

from logwell_otel._otel import LogRecord, SeverityNumber
from support.entries import NS, RESOURCE, SCOPE, TIME, Application, encode, entries, entry, record
from support.storable import problems


class Raising:
    """Nothing about it can be looked at."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise RuntimeError(f"no {name}")

    def __str__(self) -> NoReturn:
        raise RuntimeError

    def __bool__(self) -> NoReturn:
        raise RuntimeError

    def __len__(self) -> NoReturn:
        raise RuntimeError

    def __hash__(self) -> NoReturn:
        raise RuntimeError

    def __eq__(self, other: object) -> NoReturn:
        raise RuntimeError


class Unreadable(Mapping[str, Any]):
    def __getitem__(self, key: str) -> NoReturn:
        raise OSError("disk gone")

    def __iter__(self) -> Iterator[str]:
        raise OSError("disk gone")

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "attributes",
    [{"n": 1, "t": (1, 2)}, MappingProxyType({"n": 1, "t": (1, 2)})],
    ids=["dict", "mappingproxy"],
)
def test_attributes_in_any_mapping(attributes: Any) -> None:
    found = entry(attributes=attributes, scope=None, resource=None)
    assert found["metadata"] == {"n": 1, "t": [1, 2]}


@pytest.mark.parametrize("attributes", [None, {}, (), ""])
def test_no_attributes(attributes: Any) -> None:
    assert "metadata" not in entry(attributes=attributes, scope=None, resource=None)


@pytest.mark.parametrize(
    ("attributes", "kept"), [([1, {"a": 2}], [1, {"a": 2}]), ("text", "text"), (5, 5)]
)
def test_attributes_that_are_no_mapping(attributes: Any, kept: Any) -> None:
    found = entry(attributes=attributes, scope=None, resource=None)
    assert found["metadata"] == {"attributes": kept}


def test_the_applications_own_dictionary_is_not_changed() -> None:
    attributes: dict[str, Any] = {
        "code.file.path": "a.py",
        "service.name": "x",
        "trace_id": "t",
        "b": b"\0",
    }
    before = dict(attributes)
    entry(attributes=attributes, trace_id=5, span_id=5)
    assert attributes == before
    application = Application()
    application.logger().emit(LogRecord(body="x", attributes=before))
    first = application.entries()
    assert application.entries() == first


def test_what_can_be_read_of_a_record_with_unreadable_attributes() -> None:
    found = entry(
        body={"a": 1},
        severity_number=SeverityNumber.ERROR,
        trace_id=1,
        span_id=2,
        trace_flags=1,
        attributes=Unreadable(),
    )
    assert found == {
        "level": "error",
        "message": '{"a":1}',
        "timestamp": TIME,
        "service": "shop",
        "metadata": {
            "logwell.mapping_error": "OSError: disk gone",
            "body": {"a": 1},
            "trace_id": "0" * 31 + "1",
            "trace_flags": "01",
            "span_id": "0" * 15 + "2",
            "otel.scope.name": "shop.orders",
            "otel.scope.version": "1.0",
            "resource": {"host.name": "web-1"},
        },
    }


def test_attributes_of_a_salvaged_record_are_kept_and_move_like_others() -> None:
    broken = record(attributes={"body": "theirs", "n": 1}, severity_text="WARN")
    broken.log_record.trace_flags = Raising()  # type: ignore[assignment]
    broken.log_record.event_name = Raising()  # type: ignore[assignment]
    [found] = entries([broken])
    assert found["metadata"]["n"] == 1
    assert found["metadata"]["body"] == "theirs"
    assert found["metadata"]["logwell.mapping_error"] == "RuntimeError: "
    assert (found["level"], found["message"]) == ("warn", "hello")


@pytest.mark.parametrize(
    "field",
    [
        "timestamp",
        "observed_timestamp",
        "severity_number",
        "severity_text",
        "body",
        "event_name",
        "trace_id",
        "span_id",
        "trace_flags",
        "attributes",
    ],
)
def test_any_field_may_be_unreadable(field: str) -> None:
    fields: dict[str, Any] = {"trace_id": 1, "span_id": 1, "trace_flags": 1, field: Raising()}
    if field == "observed_timestamp":
        fields["timestamp"] = None
    encoded = encode([record(**fields)])
    [chunk] = encoded.chunks
    assert problems(chunk.body(), 1) == []
    [found] = entries([record(**fields)])
    unprintable = "<unprintable Raising: RuntimeError>"
    assert found["message"] == (unprintable if field == "body" else "hello")
    assert found["service"] == "shop"


# Made inside the test: pytest looks at parameters more closely than these let it.
THINGS: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "a number": lambda: 5,
    "a text": lambda: "text",
    "nothing can be read": Raising,
    "no fields": SimpleNamespace,
    "fields of None": lambda: SimpleNamespace(
        log_record=None, resource=None, instrumentation_scope=None
    ),
    "unreadable fields": lambda: SimpleNamespace(
        log_record=Raising(), resource=Raising(), instrumentation_scope=Raising()
    ),
    "no resource": lambda: SimpleNamespace(
        log_record=record().log_record, resource=5, instrumentation_scope=SimpleNamespace()
    ),
}


@pytest.mark.parametrize("name", THINGS)
def test_what_is_no_record_at_all(name: str) -> None:
    batch = [record(), THINGS[name](), record()]
    [chunk] = encode(batch).chunks
    assert problems(chunk.body(), 3) == []
    first, odd, last = json.loads(chunk.body())
    assert first == last == entry()
    assert odd["level"] in ("warn", "info")
    assert odd["message"] in ("(no message)", "hello")
    assert "logwell.mapping_error" in odd["metadata"]


def test_an_error_whose_text_cannot_be_had() -> None:
    class OddError(Exception):
        def __str__(self) -> NoReturn:
            raise RuntimeError

    class Odd(Mapping[str, Any]):
        def __getitem__(self, key: str) -> NoReturn:
            raise OddError

        def __iter__(self) -> Iterator[str]:
            raise OddError

        def __len__(self) -> int:
            return 1

    found = entry(attributes=Odd())
    problem = found["metadata"]["logwell.mapping_error"]
    assert problem == "OddError: <unprintable OddError: RuntimeError>"


def test_the_sdks_processor_is_given_the_same_record_by_reference() -> None:
    """What a record is made of here is what the SDK makes: the helper is not a world of its own."""
    application = Application(RESOURCE)
    application.logger().emit(LogRecord(timestamp=NS, body="hello"))
    [made] = application.records
    by_hand = record()
    assert type(made) is type(by_hand)
    assert entries([made]) == entries([by_hand])
    assert made.instrumentation_scope == SCOPE
