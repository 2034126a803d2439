"""Every name of OpenTelemetry that is private or not yet stable, in one place.

The logs signal lives in modules that begin with an underscore until OpenTelemetry
declares it stable. `tests/test_otel_names.py` fails when one of these names moves.
"""

from __future__ import annotations

from opentelemetry._logs import LogRecord, SeverityNumber

# The key that instrumentations look at before they make a span; `suppress_instrumentation()`
# of opentelemetry-instrumentation sets the same one but would be one more dependency.
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY as SUPPRESS_INSTRUMENTATION
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
)

AUTO_INSTRUMENTATION = "opentelemetry.instrumentation.auto_instrumentation._load"
"""The logger that says which configurators were loaded."""

__all__ = [
    "AUTO_INSTRUMENTATION",
    "SUPPRESS_INSTRUMENTATION",
    "BatchLogRecordProcessor",
    "LogRecord",
    "LogRecordExportResult",
    "LogRecordExporter",
    "LogRecordProcessor",
    "LoggerProvider",
    "ReadableLogRecord",
    "SeverityNumber",
]
