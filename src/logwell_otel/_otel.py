"""Every name of OpenTelemetry that is private or not yet stable, in one place.

The logs signal lives in modules that begin with an underscore until OpenTelemetry
declares it stable. `tests/package/test_otel_names.py` fails when one of these names moves.

And what has to be known of OpenTelemetry's records to make them without their constructors.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry._logs import LogRecord, SeverityNumber, get_logger_provider
from opentelemetry.attributes import BoundedAttributes

# The key that instrumentations look at before they make a span; `suppress_instrumentation()`
# of opentelemetry-instrumentation sets the same one but would be one more dependency.
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY as SUPPRESS_INSTRUMENTATION
from opentelemetry.sdk._logs import (
    Logger,
    LoggerProvider,
    LogRecordProcessor,
    ReadableLogRecord,
    ReadWriteLogRecord,
)
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
)
from opentelemetry.version import __version__

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping

    from opentelemetry._logs import Logger as AnyLogger

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


# Records.

_RECORD: Final = frozenset(
    {
        "attributes",
        "body",
        "context",
        "event_name",
        "exception",
        "observed_timestamp",
        "severity_number",
        "severity_text",
        "span_id",
        "timestamp",
        "trace_flags",
        "trace_id",
    }
)
_WRAPPED: Final = frozenset({"instrumentation_scope", "limits", "log_record", "resource"})


def _names(kind: Any) -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(kind))


# Another version may have a field more, which its constructors then fill.
RECORD_AS_KNOWN: Final = frozenset(vars(LogRecord())) == _RECORD
_AS_KNOWN: Final = RECORD_AS_KNOWN and _names(ReadWriteLogRecord) == _WRAPPED
READABLE_AS_KNOWN: Final = _names(ReadableLogRecord) == _WRAPPED


class CleanAttributes(BoundedAttributes):
    """Attributes that are clean, and no more than a record may have.

    OpenTelemetry's own are made of them when somebody asks for anything but `clean`: other
    processors and exporters do.

    Attributes:
        clean: The attributes; None once OpenTelemetry's own are made. Not to be changed.
        most: How many attributes the record may have, None for any number.
        dropped: How many others it had.
    """

    clean: dict[str, Any] | None
    most: int | None
    dropped = 0

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__
        clean = fields.get("clean")
        if clean is not None and not name.startswith("__"):
            made = BoundedAttributes(fields["most"], clean, immutable=False, **_OF_EVERY_KIND)
            for field, value in vars(made).items():
                fields.setdefault(field, value)  # another thread may be doing the same
            self.clean = None
        if name in fields:
            return fields[name]
        raise AttributeError(name)


class Goal(NamedTuple):
    """Where records of one logger go.

    Attributes:
        logger: OpenTelemetry's logger.
        limits: What it limits attributes to; None where `emit_clean` cannot do it.
        most: Attributes that `emit_clean` takes.
    """

    logger: AnyLogger
    limits: Any
    most: int


def goal_of(logger: AnyLogger) -> Goal:
    """Find out what `emit_clean` needs to know of a logger."""
    limits = getattr(logger, "_log_record_limits", None) if type(logger) is Logger else None
    try:
        most, longest = limits.max_log_record_attributes, limits.max_log_record_attribute_length  # type: ignore[union-attr]
    except AttributeError:  # none, or those of another version
        return Goal(logger, None, -1)
    if longest is not None or not _AS_KNOWN:
        return Goal(logger, None, -1)  # it has values to cut
    return Goal(logger, limits, 1_000_000 if most is None else most)


__all__ = [
    "AUTO_INSTRUMENTATION",
    "READABLE_AS_KNOWN",
    "RECORD_AS_KNOWN",
    "SUPPRESS_INSTRUMENTATION",
    "BatchLogRecordProcessor",
    "CleanAttributes",
    "Goal",
    "LogRecord",
    "LogRecordExportResult",
    "LogRecordExporter",
    "LogRecordProcessor",
    "LoggerProvider",
    "ReadWriteLogRecord",
    "ReadableLogRecord",
    "SeverityNumber",
    "bounded_attributes",
    "get_logger_provider",
    "goal_of",
    "is_proxy",
    "provider_of",
    "resolved",
]
