"""Records as a processor hands them over, and a provider whose records a test can look at."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from logwell_otel._otel import LogRecord, ReadableLogRecord, SeverityNumber, bounded_attributes

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadWriteLogRecord


# OpenTelemetry 1.39 replaces a list or tuple of values of different kinds by None.
needs_mixed_lists = pytest.mark.skipif(
    version("opentelemetry-api").startswith("1.39."),
    reason="this OpenTelemetry keeps no lists of values of different kinds",
)

RESOURCE = Resource({"service.name": "shop"})
SCOPE = InstrumentationScope("shop.orders")


# Made once: the simulated outages log hundreds of thousands of records.
_ATTRIBUTES = bounded_attributes({"request_id": "r-1"}, 0)


def record(message: Any = "hello", **fields: Any) -> ReadableLogRecord:
    """A record as a processor hands it over."""
    attributes = fields.pop("attributes", None)
    resource = fields.pop("resource", RESOURCE)
    scope = fields.pop("scope", SCOPE)
    defaults: dict[str, Any] = {
        "timestamp": 1_795_000_000_123_456_789,
        "severity_number": SeverityNumber.INFO,
        "severity_text": "INFO",
        "body": message,
    }
    log = LogRecord(**{**defaults, **fields})
    log.attributes = _ATTRIBUTES if attributes is None else bounded_attributes(attributes, 0)
    return ReadableLogRecord(log, resource, scope)


def records(count: int, first: int = 0) -> list[ReadableLogRecord]:
    """Records whose messages are `message 0`, `message 1` …"""
    return [record(f"message {number}") for number in range(first, first + count)]


def messages(count: int, first: int = 0) -> list[str]:
    """The messages of `records`."""
    return [f"message {number}" for number in range(first, first + count)]


class Recorder(LogRecordProcessor):
    """Keeps every record it is given."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.records.append(log_record.log_record)

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    @property
    def only(self) -> LogRecord:
        (record,) = self.records
        return record

    @property
    def bodies(self) -> list[Any]:
        return [record.body for record in self.records]


class Raising(LogRecordProcessor):
    """Raises on every record."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        raise self.error

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def provider_with(*processors: LogRecordProcessor) -> LoggerProvider:
    provider = LoggerProvider(resource=Resource({}), shutdown_on_exit=False)
    for processor in processors:
        provider.add_log_record_processor(processor)
    return provider


def attributes_of(record: LogRecord) -> dict[str, Any]:
    return dict(record.attributes or {})


def body_of(record: LogRecord) -> str:
    assert isinstance(record.body, str)
    return record.body
