"""OpenTelemetry logs exporter for Logwell: nothing lost on the way, the application never waits."""

from logwell_otel._version import __version__
from logwell_otel.context import ContextLogRecordProcessor, log_context, set_global_context
from logwell_otel.errors import LogwellError, LogwellErrorCode
from logwell_otel.exporter import LogwellLogExporter
from logwell_otel.health import Health
from logwell_otel.pipeline import Pipeline, configure
from logwell_otel.processor import LogwellBatchLogRecordProcessor
from logwell_otel.uncaught import capture_uncaught
from logwell_otel.wire import LogEntry

__all__ = [
    "ContextLogRecordProcessor",
    "Health",
    "LogEntry",
    "LogwellBatchLogRecordProcessor",
    "LogwellError",
    "LogwellErrorCode",
    "LogwellLogExporter",
    "Pipeline",
    "__version__",
    "capture_uncaught",
    "configure",
    "log_context",
    "set_global_context",
]
