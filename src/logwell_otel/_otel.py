"""Every name of OpenTelemetry that is private or not yet stable, in one place.

The logs signal lives in modules that begin with an underscore until OpenTelemetry
declares it stable. `tests/test_otel_names.py` fails when one of these names moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry._logs import LogRecord, SeverityNumber, get_logger_provider

# The key that instrumentations look at before they make a span; `suppress_instrumentation()`
# of opentelemetry-instrumentation sets the same one but would be one more dependency.
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY as SUPPRESS_INSTRUMENTATION
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
)

if TYPE_CHECKING:
    import logging

AUTO_INSTRUMENTATION = "opentelemetry.instrumentation.auto_instrumentation._load"
"""The logger that says which configurators were loaded."""

_HANDLERS_PROVIDER: Final = "_logger_provider"


def provider_of(handler: logging.Handler) -> object:
    """The LoggerProvider that a logging handler of OpenTelemetry's hands records to."""
    return resolved(getattr(handler, _HANDLERS_PROVIDER, None))


def resolved(provider: object) -> object:
    """A LoggerProvider; the global one for None, and for the proxy of before it was set."""
    return get_logger_provider() if provider is None or is_proxy(provider) else provider


def is_proxy(provider: object) -> bool:
    """True for what OpenTelemetry's API gives before a LoggerProvider is set."""
    kind = type(provider)
    return kind.__name__ == "ProxyLoggerProvider" and kind.__module__.startswith("opentelemetry.")


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
    "get_logger_provider",
    "is_proxy",
    "provider_of",
    "resolved",
]
