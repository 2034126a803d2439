"""An OpenTelemetry record -> a Logwell entry: which field goes where.

The table is in `docs/mapping.md`. Values of the common types are taken as they are;
everything else goes through `sanitize`.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from opentelemetry.attributes import BoundedAttributes

from logwell_otel import sanitize
from logwell_otel.severity import Severity, severity_of
from logwell_otel.wire import (
    MAX_LINE_NUMBER,
    MAX_SAFE_INTEGER,
    MAX_SERVICE_BYTES,
    LogEntry,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from logwell_otel.otel import LogRecord, ReadableLogRecord

# What JavaScript's String.prototype.trim takes away (ECMA-262, WhiteSpace and
# LineTerminator): the server refuses a message that is empty after it.
_JS_BLANK: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_MAX_RESOURCE_BYTES: Final = 32 * 1024
_MAX_CACHED: Final = 64
_FIRST_SECOND: Final = -62_135_596_800  # 0001-01-01T00:00:00Z
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31T23:59:59Z
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_FLAGS: Final = tuple(f"{flags:02x}" for flags in range(256))


class Origin(NamedTuple):
    """What all records of one resource and scope share, made ready once."""

    resource: Resource | None
    scope: InstrumentationScope | None
    service: str | None
    shared: dict[str, Any]
    """Metadata of the resource (as ready JSON) and the scope."""


class Mapper:
    """Turns records into entries.

    Safe to use from several threads: its caches are plain dictionaries and tuples that
    are replaced whole, so that the worst a race costs is doing a thing twice.

    Args:
        service: Service name of every entry; None takes the resource's. A record's own
            `service.name` attribute wins over both.
        source_location: False leaves file and line out of entries altogether.
    """

    def __init__(self, service: str | None = None, *, source_location: bool = True) -> None:
        self._service = None if service is None else service_name(service)
        self._source_location = source_location
        self._origins: dict[tuple[int, int], Origin] = {}
        self._severities: dict[tuple[object, object], Severity] = {}
        self._second = (0, "1970-01-01T00:00:00.")

    def severity(self, record: LogRecord) -> Severity:
        """The record's level, and what of its severity the level does not say."""
        number = record.severity_number
        # `_value_` is the documented plain attribute; `.value` is a descriptor in Python.
        key = (None if number is None else getattr(number, "_value_", number), record.severity_text)
        try:
            return self._severities[key]
        except (KeyError, TypeError):  # TypeError: somebody's severity is not hashable
            severity = severity_of(*key)
        if len(self._severities) < _MAX_CACHED and type(record.severity_text) in (str, type(None)):
            self._severities[key] = severity
        return severity

    def entry(self, record: ReadableLogRecord, severity: Severity) -> LogEntry:
        """The entry for `record`, without what its origin adds (see `add_origin`)."""
        log = record.log_record
        metadata, dropped = _attributes(log)
        service = metadata.pop("service.name", None)
        source_file, line_number = self._location(metadata)
        for key, value in metadata.items():
            kind = type(value)
            if kind is str or kind is bool or value is None:
                continue
            if kind is int and -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
                continue
            if kind is float and value - value == 0:  # finite
                continue
            metadata[key] = sanitize.plain(value)

        own = dict(severity.metadata)
        if log.trace_id:
            own["trace_id"] = f"{log.trace_id:032x}"
            own["trace_flags"] = _FLAGS[(log.trace_flags or 0) & 0xFF]
        if log.span_id:
            own["span_id"] = f"{log.span_id:016x}"
        if log.event_name:
            own["otel.event.name"] = sanitize.safe_str(log.event_name)
        if dropped:
            own["otel.dropped_attributes_count"] = dropped
        message = _message(log, metadata, own)
        if own:
            put(metadata, own)
        if service is not None:
            service = self._own_service(service, metadata)
        return LogEntry(
            level=severity.level,
            message=message,
            timestamp=self._timestamp(log),
            service=service,
            source_file=source_file,
            line_number=line_number,
            metadata=metadata,
        )

    def add_origin(self, record: ReadableLogRecord, entry: LogEntry) -> None:
        """Splice the resource and scope of `record` into `entry`."""
        resource, scope = record.resource, record.instrumentation_scope
        origin = self._origins.get((id(resource), id(scope)))
        # The origin holds both objects, so their ids cannot be reused while it is cached.
        if origin is None:
            origin = self._origin(resource, scope)
        if entry.service is None:
            entry.service = origin.service
        if origin.shared:
            put(entry.metadata, origin.shared)

    def _location(self, metadata: dict[str, Any]) -> tuple[str | None, int | None]:
        path = metadata.pop("code.file.path", None)
        if path is None:
            path = metadata.pop("code.filepath", None)
        line = metadata.pop("code.line.number", None)
        if line is None:
            line = metadata.pop("code.lineno", None)
        if not self._source_location:
            return None, None
        if path is not None and (type(path) is not str or not path):
            metadata["code.file.path"] = path
            path = None
        if line is not None and (type(line) is not int or not 0 < line <= MAX_LINE_NUMBER):
            metadata["code.line.number"] = line
            line = None
        return path, line

    @staticmethod
    def _own_service(value: object, metadata: dict[str, Any]) -> str | None:
        if isinstance(value, str) and (name := service_name(value)) is not None:
            return name
        put(metadata, {"service.name": sanitize.plain(value)})
        return None

    def _timestamp(self, log: LogRecord) -> str:
        nanoseconds = log.timestamp or log.observed_timestamp or 0
        if type(nanoseconds) is not int or nanoseconds == 0:
            nanoseconds = _nanoseconds(nanoseconds)
        second, rest = divmod(nanoseconds, 1_000_000_000)
        cached, prefix = self._second
        if second != cached:
            if not _FIRST_SECOND <= second <= _LAST_SECOND:
                second, rest = (_FIRST_SECOND, 0) if second < 0 else (_LAST_SECOND, 999_999_999)
            moment = _EPOCH + dt.timedelta(seconds=second)
            prefix = moment.replace(tzinfo=None).isoformat() + "."
            self._second = (second, prefix)
        return f"{prefix}{rest // 1000:06d}Z"

    def _origin(self, resource: Resource | None, scope: InstrumentationScope | None) -> Origin:
        attributes: Mapping[str, Any] = {} if resource is None else resource.attributes
        service = self._service
        if service is None:
            service = service_name(attributes.get("service.name"))
        shared: dict[str, Any] = {}
        if scope is not None and scope.name:
            shared["otel.scope.name"] = sanitize.cut(sanitize.safe_str(scope.name), 1024)
            if scope.version:
                shared["otel.scope.version"] = sanitize.cut(sanitize.safe_str(scope.version), 1024)
        kept = {
            key: value
            for key, value in attributes.items()
            if key != "service.name" and not key.startswith("telemetry.sdk.")
        }
        if kept:
            shared["resource"] = _ready(kept)
        origin = Origin(resource, scope, service, shared)
        if len(self._origins) >= _MAX_CACHED:
            self._origins = {}
        self._origins[id(resource), id(scope)] = origin
        return origin


def put(metadata: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Add `own` to `metadata`; attributes that have these names move to `attributes.<name>`."""
    if not metadata.keys().isdisjoint(own):
        for key in metadata.keys() & own.keys():
            value = metadata.pop(key)
            metadata[sanitize.free_name(metadata, f"attributes.{key}")] = value
    metadata.update(own)


def service_name(value: object) -> str | None:
    """`value` as a service name the server's index takes, None where it is blank."""
    if not isinstance(value, str):
        return None
    name = str.__str__(value)
    if not name.strip(_JS_BLANK):
        return None
    return sanitize.cut(sanitize.text(name), MAX_SERVICE_BYTES)


def _attributes(log: LogRecord) -> tuple[dict[str, Any], int]:
    """The record's attributes, ours to change, and how many OpenTelemetry had dropped."""
    attributes = log.attributes
    if type(attributes) is BoundedAttributes:
        # dict.copy() is one step under the GIL: another thread may be adding to it.
        return attributes.copy(), attributes.dropped  # type: ignore[return-value]
    return (sanitize.plain_metadata(attributes) if attributes else {}), 0


def _message(log: LogRecord, metadata: Mapping[str, Any], own: dict[str, Any]) -> str:
    body = log.body
    if type(body) is str:
        message = body
    elif body is None:
        message = ""
    else:
        value = sanitize.plain(body)
        if isinstance(value, str):
            message = value
        else:
            message = msgspec.json.encode(value).decode("utf-8")
            own["body"] = value
    # The first character decides for nearly every message.
    if not message or (message[0] in _JS_BLANK and not message.strip(_JS_BLANK)):
        return _message_without_body(log.event_name, metadata)
    return message


def _message_without_body(event_name: object, metadata: Mapping[str, Any]) -> str:
    kind, reason = metadata.get("exception.type"), metadata.get("exception.message")
    candidates = (
        event_name,
        f"{kind}: {reason}" if kind and reason else kind or reason,
        "(no message)",
    )
    return next(
        candidate
        for candidate in candidates
        if isinstance(candidate, str) and candidate.strip(_JS_BLANK)
    )


def _nanoseconds(value: object) -> int:
    """A timestamp that is no plain integer, or none at all: then now."""
    try:
        return int(value) or time.time_ns()  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return time.time_ns()


def _ready(attributes: Mapping[str, Any]) -> msgspec.Raw:
    """Resource attributes as JSON, encoded once for all records of the resource."""
    holder = LogEntry(level="info", message="", metadata=sanitize.plain_metadata(attributes))
    sanitize.fit(holder, _MAX_RESOURCE_BYTES)
    return msgspec.Raw(msgspec.json.encode(holder.metadata))
