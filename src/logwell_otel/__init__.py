"""OpenTelemetry logs exporter for Logwell: nothing lost on the way, the application never waits."""

from __future__ import annotations

import atexit
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from logwell_otel._version import __version__

if TYPE_CHECKING:
    from logwell_otel._wire import LogEntry
    from logwell_otel.context import (
        ContextLogRecordProcessor,
        LogContext,
        log_context,
        set_global_context,
    )
    from logwell_otel.errors import LogwellError, LogwellErrorCode
    from logwell_otel.exporter import LogwellLogExporter
    from logwell_otel.handler import LogwellHandler
    from logwell_otel.health import Health
    from logwell_otel.processor import LogwellBatchLogRecordProcessor
    from logwell_otel.setup import Pipeline, configure
    from logwell_otel.uncaught import capture_uncaught

__all__ = [
    "ContextLogRecordProcessor",
    "Health",
    "LogContext",
    "LogEntry",
    "LogwellBatchLogRecordProcessor",
    "LogwellError",
    "LogwellErrorCode",
    "LogwellHandler",
    "LogwellLogExporter",
    "Pipeline",
    "__version__",
    "capture_uncaught",
    "configure",
    "log_context",
    "set_global_context",
]

# Imported when they are first asked for: zero-code start-up imports this package for the
# exporter alone, and would pay for asyncio and multiprocessing, which `configure` needs.
_MODULES = {
    "ContextLogRecordProcessor": "context",
    "Health": "health",
    "LogContext": "context",
    "LogEntry": "_wire",
    "LogwellBatchLogRecordProcessor": "processor",
    "LogwellError": "errors",
    "LogwellErrorCode": "errors",
    "LogwellHandler": "handler",
    "LogwellLogExporter": "exporter",
    "Pipeline": "setup",
    "capture_uncaught": "uncaught",
    "configure": "setup",
    "log_context": "context",
    "set_global_context": "context",
}


@atexit.register
def _exit_callbacks_end() -> None:
    """Deliver what exit callbacks have logged. Registered now, since the first comes last."""
    if (process := sys.modules.get(f"{__name__}._process")) is not None:
        process.exit_callbacks_end()


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
