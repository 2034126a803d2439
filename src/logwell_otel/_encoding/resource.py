"""Resource and scope: what all their records share, made ready once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from logwell_otel._encoding.fields import plain_metadata, service_name
from logwell_otel._encoding.sanitize import fit
from logwell_otel._encoding.values import cut_utf8, safe_str
from logwell_otel._wire import LEVELS, LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from logwell_otel._otel import ReadableLogRecord

T = TypeVar("T")

_RANKS: Final[dict[str, int]] = {level: rank for rank, level in enumerate(LEVELS)}

OWN_SCOPE: Final = "logwell_otel"
"""Our own warnings pass through the application's logging, and so come back as records:
one about a failed request must not become the next request."""

_COMMAND_LINE: Final = frozenset({"process.command_line", "process.command_args"})
"""What the process detector adds: passwords given as arguments, and our own key."""

_MAX_RESOURCE_BYTES: Final = 32 * 1024
_MAX_SCOPE_BYTES: Final = 8 * 1024
_MAX_NAME_BYTES: Final = 1024
_MAX_RESOURCES: Final = 16
# One for each named logger: large programs have hundreds.
_MAX_SCOPES: Final = 2048


class ResourceScope(msgspec.Struct, frozen=True):
    """Resource and scope of a record.

    Attributes:
        resource: The resource; held, so that its id stays its own.
        scope: The scope, held likewise.
        own: True for records of this package's own logger.
        least: Place in `LEVELS` that records must have where the scope's logger has a level of
            its own, beyond the last for none of them; else None.
        service: The service name that entries have when their record names none.
        shared: Metadata of the resource (as ready JSON) and the scope.
        rest: `shared` as JSON that follows the text of a member before it: `","name":value,…`.
    """

    resource: Resource | None
    scope: InstrumentationScope | None
    own: bool
    least: int | None
    service: str | None
    shared: dict[str, Any]
    rest: str


class ResourceScopes:
    """Finds resource and scope of a record: each of them is looked at once.

    Safe to use from several threads: its caches are plain dictionaries, and the worst that
    a race costs is doing a thing twice.

    Args:
        service: Service name of every entry; None takes the resource's.
        levels: Least severe levels by logger, or `off`.
        redact: Takes secrets out of the metadata of an entry, None for no redaction. What
            resource and scope say goes through it once, not with every record.
    """

    def __init__(
        self,
        service: str | None,
        levels: Mapping[str, str] | None = None,
        redact: Callable[[LogEntry], LogEntry] | None = None,
    ) -> None:
        self._redact = redact
        self._service = service_name(service)
        self._levels = levels or {}
        self._scopes: dict[int, ResourceScope] = {}
        self._resources: dict[int, tuple[Resource | None, str | None, msgspec.Raw | None]] = {}

    def of(self, record: ReadableLogRecord) -> ResourceScope:
        """Return resource and scope of `record`."""
        resource, scope = record.resource, record.instrumentation_scope
        found = self._scopes.get(id(scope))
        if found is not None and found.resource is resource and found.scope is scope:
            return found
        return self._new(resource, scope)

    def _new(self, resource: Resource | None, scope: InstrumentationScope | None) -> ResourceScope:
        service, attributes = self._ready(resource)
        shared: dict[str, Any] = {}
        if scope is not None:
            shared.update(self._scope(scope))
        if attributes is not None:
            shared["resource"] = attributes
        own = scope is not None and scope.name == OWN_SCOPE
        members = msgspec.json.encode(shared)[1:-1].decode()
        rest = f'",{members}' if members else '"'
        least = None
        if self._levels and scope is not None and type(scope.name) is str:
            level = level_of_logger(scope.name, self._levels)
            if level is not None:
                least = _RANKS.get(level, len(LEVELS))
        new = ResourceScope(resource, scope, own, least, service, shared, rest)
        if len(self._scopes) >= _MAX_SCOPES:
            self._scopes = {}
        self._scopes[id(scope)] = new
        return new

    def _ready(self, resource: Resource | None) -> tuple[str | None, msgspec.Raw | None]:
        found = self._resources.get(id(resource))
        if found is not None and found[0] is resource:
            return found[1:]
        attributes = self._plain({} if resource is None else resource.attributes)
        service = self._service
        if service is None:
            given = None if resource is None else resource.attributes.get("service.name")
            service = service_name(given)
        kept = {
            key: value
            for key, value in attributes.items()
            if not (key == "service.name" and type(value) is str)
            and key not in _COMMAND_LINE
            and not key.startswith("telemetry.sdk.")
        }
        ready = _json(kept, _MAX_RESOURCE_BYTES) if kept else None
        if len(self._resources) >= _MAX_RESOURCES:
            self._resources = {}
        self._resources[id(resource)] = (resource, service, ready)
        return service, ready

    def _scope(self, scope: InstrumentationScope) -> dict[str, Any]:
        found = {"otel.scope.name": safe_str(scope.name or "")}
        found["otel.scope.version"] = safe_str(scope.version or "")
        if self._redact is not None:
            found = self._redacted(found)
        shared: dict[str, Any] = {
            name: cut_utf8(text, _MAX_NAME_BYTES) for name, text in found.items() if text
        }
        if attributes := scope.attributes:
            shared["otel.scope.attributes"] = _json(self._plain(attributes), _MAX_SCOPE_BYTES)
        return shared

    def _plain(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        plain = plain_metadata(attributes, raw_bytes=self._redact is not None)
        if self._redact is None:
            return plain
        return plain_metadata(self._redacted(plain))

    def _redacted(self, metadata: dict[str, Any]) -> dict[str, Any]:
        if self._redact is None:
            return metadata
        return self._redact(LogEntry(level="info", message="", metadata=metadata)).metadata


def level_of_logger(name: str, levels: Mapping[str, T]) -> T | None:
    """Return what `levels` has for a logger or the nearest one above it, None for nothing."""
    while name not in levels:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
    return levels[name]


def _json(attributes: dict[str, Any], limit: int) -> msgspec.Raw:
    """Encode plain attributes in about `limit` bytes, once for all records they belong to."""
    holder = LogEntry(level="info", message="", metadata=attributes)
    fit(holder, limit)
    return msgspec.Raw(msgspec.json.encode(holder.metadata))
