"""Whatever is logged: valid requests that a server stores whole, nothing raised, nothing lost."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.fields import RESERVED
from logwell_otel._encoding.mapping import Mapper
from logwell_otel._otel import LogRecord, ReadableLogRecord, SeverityNumber
from logwell_otel.devserver import DevServer
from support.entries import NS, Application, bounded, record
from support.storable import problems


class Unprintable:
    def __str__(self) -> NoReturn:
        raise ValueError


TEXT = st.text(st.characters()) | st.sampled_from(
    ["\x00", "�", "\ufeff", " ", "", "\\u0000", '"},{"level":"error"', "x" * 200000, "\x01" * 50000]
)
LOCATION = ["code.file.path", "code.filepath", "code.line.number", "code.lineno"]
OTHERS = ["service.name", "attributes.trace_id", "attributes.body", "exception.type"]
NAMES = TEXT | st.sampled_from([*sorted(RESERVED), *LOCATION, *OTHERS])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31 - 1, 2**31, 2**53, 2**53 + 1, -(10**700)])
    | st.builds(lambda: 10**5000)
    | st.floats()
    | TEXT
    | st.binary(max_size=50)
    | st.builds(Unprintable)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.lists(inner, max_size=6).map(tuple)
        | st.dictionaries(NAMES | st.integers() | st.none(), inner, max_size=6)
    ),
    max_leaves=12,
)
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=12)
TIMES = st.none() | st.integers() | st.floats() | st.sampled_from([0, NS, -(10**30), 10**30])
SCOPES = st.none() | st.builds(
    InstrumentationScope, TEXT, st.none() | TEXT, st.none(), st.none() | st.just({"a": "\0"})
)


@st.composite
def resources(draw: st.DrawFn) -> Resource | None:
    if draw(st.booleans()):
        return None
    resource = Resource({})
    resource._attributes = bounded(draw(ATTRIBUTES))  # noqa: SLF001 - the SDK would clean them
    return resource


@st.composite
def foreign_records(draw: st.DrawFn) -> ReadableLogRecord:
    """Fields of any kind, as no SDK gives them."""
    attributes = draw(ATTRIBUTES)
    return record(
        body=draw(VALUES),
        timestamp=draw(TIMES),
        observed_timestamp=draw(TIMES),
        severity_number=draw(st.none() | st.sampled_from(SeverityNumber) | st.integers() | TEXT),
        severity_text=draw(st.none() | TEXT | st.sampled_from(["ERROR", "fatal"])),
        event_name=draw(st.none() | TEXT | st.integers()),
        trace_id=draw(st.none() | st.integers() | st.integers(0, 2**128) | TEXT),
        span_id=draw(st.none() | st.integers() | st.integers(0, 2**64)),
        trace_flags=draw(st.none() | st.integers() | TEXT),
        attributes=draw(st.sampled_from([attributes, bounded(attributes)])),
        resource=draw(resources()),
        scope=draw(SCOPES),
    )


SDK_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=30)
    | st.binary(max_size=30)
)
SDK_VALUES = st.recursive(
    SDK_SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(min_size=1, max_size=9), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def log_records(draw: st.DrawFn) -> LogRecord:
    """What an application may hand to the API."""
    names = st.text(st.characters(), min_size=1, max_size=20) | st.sampled_from(sorted(RESERVED))
    return LogRecord(
        timestamp=NS,
        severity_number=draw(st.none() | st.sampled_from(SeverityNumber)),
        severity_text=draw(st.none() | st.text(max_size=10)),
        body=draw(SDK_VALUES),
        event_name=draw(st.none() | st.text(max_size=10)),
        attributes=draw(st.dictionaries(names, SDK_VALUES, max_size=8)),
    )


def check(batch: list[ReadableLogRecord], room: int = 0) -> list[dict[str, Any]]:
    encoded = Encoder(Mapper()).encode(batch, room=room)
    assert sum(chunk.count for chunk in encoded.chunks) + encoded.own == len(batch)
    for chunk in encoded.chunks:
        assert problems(chunk.body(), chunk.count) == []
        assert len(chunk.body()) <= chunk.size
    return [entry for chunk in encoded.chunks for entry in json.loads(chunk.body())]


@pytest.mark.slow
@given(st.lists(foreign_records(), max_size=4), st.integers(0, 100))
def test_records_with_anything_in_any_field(batch: list[ReadableLogRecord], room: int) -> None:
    check(batch, room)


@given(log_records())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_attribute_of_the_api_disappears(log: LogRecord) -> None:
    application = Application()
    application.logger().emit(log)
    kept = dict(application.records[0].log_record.attributes or {})
    [entry] = check(list(application.records))
    metadata = entry["metadata"]
    expected = [_comparable(value) for value in kept.values()]
    found = [_comparable(value) for value in metadata.values()]
    found += [_comparable(entry.get(name)) for name in ("service", "sourceFile", "lineNumber")]
    for value in expected:
        assert value in found
        found.remove(value)


def _comparable(value: Any) -> str:
    """A value as it must arrive, as text: nothing of it may change but what JSON cannot hold."""
    if isinstance(value, str):
        return "".join("\ufffd" if c == "\0" or 0xD800 <= ord(c) < 0xE000 else c for c in value)
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_comparable(item) for item in value) + "]"
    if isinstance(value, dict):
        inside = sorted(_comparable(k).split("#")[0] + _comparable(v) for k, v in value.items())
        return "{" + ",".join(inside) + "}"
    return str(value)


@pytest.mark.socket
def test_the_receiver_stores_all_of_it() -> None:
    """The stand-in server follows recorded answers of the real one, poison included."""
    with (
        DevServer(requests_per_minute=None) as receiver,
        httpx.Client(trust_env=False, verify=False) as client,
    ):

        @given(st.lists(foreign_records(), min_size=1, max_size=4))
        def send(batch: list[ReadableLogRecord]) -> None:
            before = receiver.count()
            encoded = Encoder(Mapper()).encode(batch)
            for chunk in encoded.chunks:
                answer = client.post(
                    f"{receiver.url}/v1/ingest",
                    content=chunk.body(),
                    headers={
                        "Authorization": f"Bearer {receiver.key}",
                        "Content-Type": "application/json",
                    },
                )
                assert (answer.status_code, answer.json()) == (200, {"accepted": chunk.count})
            assert receiver.count() - before == len(batch) - encoded.own

        send()


@pytest.mark.socket
def test_what_the_receiver_stores_is_what_was_meant() -> None:
    odd = record(
        body={"event": "paid\0", "n": math.nan},
        severity_number=SeverityNumber.ERROR,
        attributes=bounded(
            {
                "request_id": "r-1",
                "user_id": "u-1",
                "client.address": "10.0.0.1",
                "code.filepath": "/app/a.py",
                "code.lineno": 7,
                "amount": 2**60,
            }
        ),
        trace_id=1,
        span_id=2,
        trace_flags=1,
    )
    [chunk] = Encoder(Mapper("billing")).encode([odd]).chunks
    with DevServer() as receiver:
        answer = httpx.post(
            f"{receiver.url}/v1/ingest",
            content=chunk.body(),
            headers={"Authorization": f"Bearer {receiver.key}", "Content-Type": "application/json"},
        )
        assert answer.json() == {"accepted": 1}
        [stored] = receiver.entries()
    assert stored.level == "error"
    assert stored.message == '{"event":"paid\ufffd","n":"NaN"}'
    assert stored.timestamp == "2026-11-20T14:09:42.426Z"
    assert (stored.service, stored.source_file, stored.line_number) == ("billing", "/app/a.py", 7)
    assert (stored.request_id, stored.user_id, stored.ip_address) == ("r-1", "u-1", "10.0.0.1")
    assert stored.metadata == {
        "request_id": "r-1",
        "user_id": "u-1",
        "client.address": "10.0.0.1",
        "amount": str(2**60),
        "trace_id": "0" * 31 + "1",
        "trace_flags": "01",
        "span_id": "0" * 15 + "2",
        "body": {"event": "paid\ufffd", "n": "NaN"},
        "otel.scope.name": "shop.orders",
        "otel.scope.version": "1.0",
        "resource": {"host.name": "web-1"},
    }
