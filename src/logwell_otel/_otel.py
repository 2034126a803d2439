"""Every name of OpenTelemetry that is private or not yet stable, in one place.

The logs signal lives in modules that begin with an underscore until OpenTelemetry
declares it stable. `tests/test_otel_names.py` fails when one of these names moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber, get_logger_provider
from opentelemetry.attributes import BoundedAttributes

# The key that instrumentations look at before they make a span; `suppress_instrumentation()`
# of opentelemetry-instrumentation sets the same one but would be one more dependency.
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY as SUPPRESS_INSTRUMENTATION
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
)
from opentelemetry.version import __version__

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping

AUTO_INSTRUMENTATION = "opentelemetry.instrumentation.auto_instrumentation._load"
"""The logger that says which configurators were loaded."""

_HANDLERS_PROVIDER: Final = "_logger_provider"


# Up to 1.44 values that contain others are kept only with this argument; from 1.45 on they are
# without it, it is deprecated, and is to go.
_OF_EVERY_KIND: Final[Mapping[str, Any]] = (
    {"extended_attributes": True} if tuple(map(int, __version__.split(".")[:2])) < (1, 45) else {}
)


def bounded_attributes(values: Mapping[str, Any], dropped: int) -> BoundedAttributes:
    """Attributes that say how many others a limit has dropped: only this type does."""
    bounded = BoundedAttributes(attributes=values, immutable=False, **_OF_EVERY_KIND)
    bounded.dropped = dropped
    return bounded


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
    "bounded_attributes",
    "get_logger_provider",
    "is_proxy",
    "provider_of",
    "resolved",
]
