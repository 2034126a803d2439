"""Records as applications make them, and all of what is sent for them."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import format_span_id, format_trace_id

from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from logwell_otel._otel import LogRecord, SeverityNumber
from support.entries import NS, TIME, Application

RESOURCE = Resource.create(
    {
        "service.name": "shop",
        "service.instance.id": "i-1",
        "host.name": "web-1",
        "deployment.environment.name": "production",
    }
)


def test_a_record_of_the_api_with_everything_in_it() -> None:
    application = Application(RESOURCE)
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("request") as span:
        application.logger().emit(
            LogRecord(
                timestamp=NS,
                severity_number=SeverityNumber.WARN3,
                severity_text="NOTICE",
                body="disk is nearly full",
                event_name="disk.full",
                attributes={
                    "code.file.path": "/app/disk.py",
                    "code.line.number": 42,
                    "code.function.name": "check",
                    "request_id": "r-1",
                    "share": 0.93,
                    "full": False,
                    "nothing": None,
                    "disks": ["a", "b"],
                    "limits": {"soft": 1, "hard": [2, 3]},
                    "raw": b"\x00\xff",
                },
            )
        )
    context = span.get_span_context()
    assert application.entries() == [
        {
            "level": "warn",
            "message": "disk is nearly full",
            "timestamp": TIME,
            "service": "shop",
            "sourceFile": "/app/disk.py",
            "lineNumber": 42,
            "metadata": {
                "code.function.name": "check",
                "request_id": "r-1",
                "share": 0.93,
                "full": False,
                "nothing": None,
                "disks": ["a", "b"],
                "limits": {"soft": 1, "hard": [2, 3]},
                "raw": "AP8=",
                "severity_text": "NOTICE",
                "severity_number": 15,
                "trace_id": format_trace_id(context.trace_id),
                "span_id": format_span_id(context.span_id),
                "trace_flags": f"{context.trace_flags:02x}",
                "otel.event.name": "disk.full",
                "otel.scope.name": "shop.orders",
                "otel.scope.version": "1.0",
                "resource": {
                    "service.instance.id": "i-1",
                    "host.name": "web-1",
                    "deployment.environment.name": "production",
                },
            },
        }
    ]


def test_the_least_a_record_can_be() -> None:
    application = Application(Resource({}))
    before = datetime.now(timezone.utc)
    application.logger("", None).emit(LogRecord())
    [entry] = application.entries()
    observed = datetime.fromisoformat(entry.pop("timestamp").replace("Z", "+00:00"))
    assert before.timestamp() - 0.001 <= observed.timestamp() <= datetime.now().timestamp()  # noqa: DTZ005
    assert entry == {"level": "info", "message": "(no message)"}


def test_a_record_of_the_standard_library() -> None:
    application = Application()
    with application.logging() as logger:
        logger.warning("order %s of %d", "o-1", 7, extra={"request_id": "r-1", "n": 3})
    [entry] = application.entries()
    code = test_a_record_of_the_standard_library.__code__
    assert entry == {
        "level": "warn",
        "message": "order o-1 of 7",
        "timestamp": _iso(application.records[0].log_record.timestamp),
        "service": "shop",
        "sourceFile": __file__,
        "lineNumber": code.co_firstlineno + 3,
        "metadata": {
            "request_id": "r-1",
            "n": 3,
            "code.function.name": "test_a_record_of_the_standard_library",
            "otel.scope.name": "shop.orders",
            "resource": {"host.name": "web-1"},
        },
    }


def test_without_code_attributes_there_is_no_source_location() -> None:
    application = Application()
    with application.logging(code=False) as logger:
        logger.info("hello")
    [entry] = application.entries()
    assert entry.keys() == {"level", "message", "timestamp", "service", "metadata"}
    assert entry["metadata"] == {
        "otel.scope.name": "shop.orders",
        "resource": {"host.name": "web-1"},
    }


def test_every_level_of_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for level in (5, 15, 25, 60):  # libraries name levels of their own
        monkeypatch.delitem(logging._levelToName, level, raising=False)  # noqa: SLF001
    application = Application()
    with application.logging() as logger:
        for level in (7, 10, 15, 20, 25, 30, 40, 50, 60):
            logger.log(level, "x")
    found = [
        (
            entry["level"],
            entry["metadata"].get("severity_text"),
            entry["metadata"].get("severity_number"),
        )
        for entry in application.entries()
    ]
    assert found == [
        ("debug", "Level 7", None),
        ("debug", None, None),
        ("debug", "Level 15", 8),
        ("info", None, None),
        ("info", "Level 25", 12),
        ("warn", None, None),
        ("error", None, None),
        ("fatal", None, None),
        ("fatal", "Level 60", 24),
    ]


def test_an_exception_of_the_standard_library() -> None:
    application = Application()
    with application.logging(code=False) as logger:
        try:
            raise KeyError("k")
        except KeyError:
            logger.exception("lookup failed")
    [entry] = application.entries()
    stacktrace = entry["metadata"].pop("exception.stacktrace")
    assert stacktrace.startswith("Traceback (most recent call last):\n")
    assert stacktrace.endswith("KeyError: 'k'\n")
    del entry["timestamp"]
    assert entry == {
        "level": "error",
        "message": "lookup failed",
        "service": "shop",
        "metadata": {
            "exception.type": "KeyError",
            "exception.message": "k",
            "otel.scope.name": "shop.orders",
            "resource": {"host.name": "web-1"},
        },
    }


@pytest.mark.skipif(
    not hasattr(LogRecord(), "exception"), reason="this SDK's API takes no exception yet"
)
def test_an_exception_of_the_api() -> None:
    class OutOfStockError(Exception):
        pass

    application = Application()
    try:
        raise OutOfStockError("only 3 left")
    except OutOfStockError as error:
        application.logger().emit(
            timestamp=NS, severity_number=SeverityNumber.ERROR, exception=error
        )
    [entry] = application.entries()
    stacktrace = entry["metadata"].pop("exception.stacktrace")
    assert "raise OutOfStockError" in stacktrace
    kind = f"{__name__}.test_an_exception_of_the_api.<locals>.OutOfStockError"
    assert entry == {
        "level": "error",
        "message": f"{kind}: only 3 left",
        "timestamp": TIME,
        "service": "shop",
        "metadata": {
            "exception.type": kind,
            "exception.message": "only 3 left",
            "otel.scope.name": "shop.orders",
            "otel.scope.version": "1.0",
            "resource": {"host.name": "web-1"},
        },
    }


def test_the_very_bytes() -> None:
    """`level` stands first: delivery tells errors from the rest by it, without decoding."""
    application = Application(Resource({"service.name": "s"}))
    application.logger("a", None).emit(LogRecord(timestamp=NS, body="ü \x01 \\ /"))
    [chunk] = Encoder(Mapper()).encode(application.records).chunks
    assert chunk.body().decode() == (
        '[{"level":"info","message":"ü \\u0001 \\\\ /","timestamp":"' + TIME + '",'
        '"service":"s","metadata":{"otel.scope.name":"a"}}]'
    )


def test_a_record_of_the_exporters_own_logger_is_no_entry() -> None:
    application = Application()
    with application.logging("logwell_otel") as logger:
        logger.warning("the server is down")
    application.logger("logwell_otel.not_ours").emit(LogRecord(body="theirs"))
    encoded = Encoder(Mapper()).encode(application.records)
    assert (encoded.own, sum(chunk.count for chunk in encoded.chunks)) == (1, 1)
    assert [json.loads(chunk.body())[0]["message"] for chunk in encoded.chunks] == ["theirs"]


def test_records_below_the_minimum_level_are_left_out_and_counted() -> None:
    application = Application()
    with application.logging() as logger:
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logger.log(level, "x")
    encoded = Encoder(Mapper(), minimum_rank=2).encode(application.records)
    [chunk] = encoded.chunks
    levels = [entry["level"] for entry in json.loads(chunk.body())]
    assert (levels, dict(encoded.dropped), encoded.own) == (["warn", "error"], {"level": 2}, 0)


def test_a_scope_may_be_missing() -> None:
    application = Application()
    application.logger().emit(LogRecord(timestamp=NS, body="x"))
    given: Any = application.records[0]
    without = type(given)(given.log_record, None, None)
    [chunk] = Encoder(Mapper("cron")).encode([without]).chunks
    assert json.loads(chunk.body()) == [
        {"level": "info", "message": "x", "timestamp": TIME, "service": "cron"}
    ]


def _iso(nanoseconds: int | None) -> str:
    assert nanoseconds is not None
    moment = datetime.fromtimestamp(nanoseconds // 10**9, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9 // 1000:06d}Z"
