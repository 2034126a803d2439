"""Either batch processor in front of the exporter: the same entries, once each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from logwell_otel import LogwellBatchLogRecordProcessor, LogwellLogExporter

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer, Entry

RECORDS: list[dict[str, Any]] = [
    {"body": "plain", "severity_number": SeverityNumber.INFO, "severity_text": "INFO"},
    {"body": {"event": "structured", "ids": [1, 2]}, "severity_number": SeverityNumber.WARN2},
    {"body": "with attributes", "attributes": {"a": 1, "b": 2.5, "c": True, "d": ["x", "y"]}},
    {"body": "an event", "event_name": "order.placed", "attributes": {"code.line.number": 7}},
    {"body": None, "attributes": {"exception.type": "KeyError", "exception.message": "'x'"}},
]


@pytest.mark.parametrize("number", range(len(RECORDS)))
def test_the_same_entry(receiver: DevServer, number: int) -> None:
    entries: list[Entry] = []
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("shop")
    with tracer.start_as_current_span("request"):
        for processor in (BatchLogRecordProcessor, LogwellBatchLogRecordProcessor):
            exporter = LogwellLogExporter(receiver.url, receiver.key)
            provider = LoggerProvider(Resource({"service.name": "shop"}), shutdown_on_exit=False)
            provider.add_log_record_processor(processor(exporter))
            fields = {"timestamp": 1_795_000_000_123_456_789, **RECORDS[number]}
            provider.get_logger("shop.orders", "1.0").emit(LogRecord(**fields))
            provider.shutdown()
            (entry,) = receiver.entries()[len(entries) :]
            entries.append(entry)
    assert entries[0] == entries[1]
