"""Trace id, span id and flags, where they are valid."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from logwell_otel._encoding.mapping import Mapper
from logwell_otel._encoding.values import from_json, to_json
from logwell_otel._otel import LogRecord, ReadableLogRecord
from support.entries import Application, bounded, emitted, entry, own_metadata

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0x00F067AA0BA902B7
HEX = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "00f067aa0ba902b7"}


def test_the_current_span() -> None:
    application = Application()
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with application.logging(code=False) as logger, tracer.start_as_current_span("x") as span:
        logger.info("inside")
    logger.info("outside")
    context = span.get_span_context()
    [inside] = application.entries()
    assert own_metadata_without_version(inside) == {
        "trace_id": format_trace_id(context.trace_id),
        "span_id": format_span_id(context.span_id),
        "trace_flags": f"{context.trace_flags:02x}",
    }


def test_an_unsampled_span_has_ids_too() -> None:
    application = Application()
    tracer = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("test")
    with application.logging(code=False) as logger, tracer.start_as_current_span("x"):
        logger.info("inside")
    [entry] = application.entries()
    assert int(entry["metadata"]["trace_flags"], 16) & TraceFlags.SAMPLED == 0
    assert len(entry["metadata"]["trace_id"]) == 32


@pytest.mark.parametrize("flags", [0, 1, 3, 255])
def test_a_context_from_elsewhere(flags: int) -> None:
    span = NonRecordingSpan(SpanContext(TRACE, SPAN, is_remote=True, trace_flags=TraceFlags(flags)))
    found = emitted(body="x", context=set_span_in_context(span))
    assert own_metadata(found) == {**HEX, "trace_flags": f"{flags:02x}"}


def test_the_invalid_context_gives_nothing() -> None:
    assert own_metadata(emitted(body="x")) == {}


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"trace_id": 0, "span_id": 0, "trace_flags": 0}, {}),
        ({"trace_id": None, "span_id": None, "trace_flags": None}, {}),
        ({"trace_id": 1, "span_id": 1, "trace_flags": 1}, "both"),
        ({"trace_id": 2**128 - 1, "span_id": 2**64 - 1, "trace_flags": 1}, "both"),
        ({"trace_id": 2**128, "span_id": 1, "trace_flags": 1}, "span"),
        ({"trace_id": -1, "span_id": 1, "trace_flags": 1}, "span"),
        ({"trace_id": "ab" * 16, "span_id": 1, "trace_flags": 1}, "span"),
        ({"trace_id": 1.5, "span_id": [1], "trace_flags": 1}, {}),
        ({"trace_id": 1, "span_id": 2**64, "trace_flags": 1}, "trace"),
        ({"trace_id": 1, "span_id": -7, "trace_flags": 1}, "trace"),
        ({"trace_id": 1, "span_id": None, "trace_flags": 1}, "trace"),
        ({"trace_id": 0, "span_id": 5, "trace_flags": 1}, "span"),
    ],
)
def test_ids_are_checked_one_by_one(fields: dict[str, Any], kept: Any) -> None:
    found = own_metadata(entry(**fields))
    expected: dict[str, Any] = {}
    if kept in ("both", "trace"):
        expected = {"trace_id": f"{fields['trace_id']:032x}", "trace_flags": "01"}
    if kept in ("both", "span"):
        expected["span_id"] = f"{fields['span_id']:016x}"
    assert found == expected


@pytest.mark.parametrize(
    ("flags", "text"), [(None, "00"), (256 + 3, "03"), (-1, "ff"), (-300, "d4"), ("01", "00")]
)
def test_flags_that_are_none(flags: Any, text: str) -> None:
    found = entry(trace_id=TRACE, span_id=SPAN, trace_flags=flags)
    assert own_metadata(found) == {**HEX, "trace_flags": text}


def own_metadata_without_version(found: dict[str, Any]) -> dict[str, Any]:
    metadata = {**found["metadata"], "otel.scope.version": "1.0"}
    return own_metadata({"metadata": metadata})


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, {"request_id": HEX["trace_id"]}),
        ({"order_id": 7}, {"order_id": 7, "request_id": HEX["trace_id"]}),
        ({"request_id": "r-1"}, {"request_id": "r-1"}),
        ({"request.id": "r-1"}, {"request.id": "r-1"}),
        ({"http.request_id": "r-1"}, {"http.request_id": "r-1"}),
        ({"request_id": 7}, {"request_id": 7}),
    ],
)
def test_the_trace_as_the_request_by_option(
    attributes: dict[str, Any], expected: dict[str, Any], ready: bool
) -> None:
    span = NonRecordingSpan(SpanContext(TRACE, SPAN, is_remote=True, trace_flags=TraceFlags(1)))
    context = set_span_in_context(span)
    log = LogRecord(body="x", context=context, attributes=attributes)
    made = mapped(Mapper(request_id_from_trace=True), log, ready=ready)
    assert made == {**expected, **HEX, "trace_flags": "01"}
    assert mapped(Mapper(), log, ready=ready) == {**attributes, **HEX, "trace_flags": "01"}


def test_without_a_trace_there_is_no_request() -> None:
    assert mapped(Mapper(request_id_from_trace=True), LogRecord(body="x"), ready=True) == {}


def mapped(mapper: Mapper, log: LogRecord, *, ready: bool) -> dict[str, Any]:
    """The metadata of a record's entry, as it is sent."""
    log.attributes = bounded(dict(log.attributes or {}))
    record = ReadableLogRecord(log, Resource({}), InstrumentationScope(""))
    made = mapper.entry(log, mapper.severity(log), mapper.resource_scope(record), ready)
    found: dict[str, Any] = from_json(to_json(made)).get("metadata", {})
    return found


TRACE_TEXT, SPAN_TEXT = HEX["trace_id"], HEX["span_id"]
CORRELATION: dict[str, Any] = {
    "otelTraceID": TRACE_TEXT,
    "otelSpanID": SPAN_TEXT,
    "otelTraceSampled": True,
    "otelServiceName": "shop",
}


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (CORRELATION, {**HEX, "trace_flags": "01"}),
        ({**CORRELATION, "otelTraceSampled": False}, {**HEX, "trace_flags": "00"}),
        ({**CORRELATION, "otelTraceID": "0", "otelSpanID": "0"}, {}),
        ({**CORRELATION, "otelTraceID": "x" * 32}, {}),
        ({**CORRELATION, "otelSpanID": 5}, {}),
        ({**CORRELATION, "otelSpanID": TRACE_TEXT}, {}),
        ({"otelTraceID": TRACE_TEXT, "a": 1}, {"a": 1}),
        ({**CORRELATION, "trace_id": "mine"}, {"trace_id": "mine"}),
    ],
)
def test_ids_that_another_thread_hands_over(
    attributes: dict[str, Any], expected: dict[str, Any], ready: bool
) -> None:
    """By what OpenTelemetry's logging instrumentation adds to records for consoles."""
    assert mapped(Mapper(), LogRecord(body="x", attributes=attributes), ready=ready) == expected


@pytest.mark.parametrize("ready", [False, True])
def test_a_records_own_ids_come_before_those(ready: bool) -> None:
    span = NonRecordingSpan(SpanContext(TRACE, SPAN, is_remote=True, trace_flags=TraceFlags(1)))
    log = LogRecord(
        body="x",
        context=set_span_in_context(span),
        attributes={**CORRELATION, "otelTraceID": "a" * 32, "order_id": 7},
    )
    assert mapped(Mapper(), log, ready=ready) == {**HEX, "trace_flags": "01", "order_id": 7}
