"""What the server gives back, typed."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec

_TRACE_NAMES = ("trace_id", "traceId", "trace.id", "otelTraceID")


def moment_of(timestamp: str) -> datetime:
    """The server's time stamps, always in UTC, as `datetime`."""
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00"))


class LogRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel", dict=True):
    """One entry as the server has it.

    Attributes:
        id: 21 characters, the server's.
        level: `debug`, `info`, `warn`, `error` or `fatal`.
        message: The message.
        timestamp: ISO 8601 in UTC with milliseconds and `Z`, by the sender's clock.
        service_name: The service, None where the entry named none.
        metadata: Attributes: an object, an array, or None.
        source_file: Where it was logged from, None where that is not known.
        line_number: The line there.
        request_id: Copied by the server from the metadata; so the two below.
        user_id: The user.
        ip_address: The client's address.
        incident_id: The incident of an error or fatal entry, None below.
        fingerprint: What an incident's entries have in common.
    """

    id: str
    level: str
    message: str
    timestamp: str
    service_name: str | None = None
    metadata: Any = None
    source_file: str | None = None
    line_number: int | None = None
    request_id: str | None = None
    user_id: str | None = None
    ip_address: str | None = None
    incident_id: str | None = None
    fingerprint: str | None = None

    @cached_property
    def time(self) -> datetime:
        """`timestamp` as an aware `datetime` in UTC."""
        return moment_of(self.timestamp)

    @cached_property
    def words(self) -> str:
        """Message and metadata in lower case, made once for all rules that look into it."""
        return f"{self.message} {json.dumps(self.metadata, ensure_ascii=False)}".lower()

    @property
    def trace_id(self) -> str | None:
        """The trace id: of the metadata, since the server's own column stays empty."""
        for name in _TRACE_NAMES:
            value = self.attribute(name)
            if isinstance(value, str) and value:
                return value
        return None

    def attribute(self, name: str, default: Any = None) -> Any:
        """A value of the metadata.

        Args:
            name: A key as it stands there, dots included; else a path through nested objects.
            default: What stands for one that is not there.
        """
        found = self.metadata
        if isinstance(found, dict) and name in found:
            return found[name]
        for part in name.split("."):
            if not isinstance(found, dict) or part not in found:
                return default
            found = found[part]
        return found


class Incident(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Errors with one fingerprint, counted.

    Attributes:
        id: The server's.
        title: The first message, at most 160 characters.
        normalized_message: The message with numbers, ids and addresses replaced.
        service_name: The service, None where the entries named none.
        source_file: Where they were logged from.
        line_number: The line there.
        highest_level: `error` or `fatal`.
        first_seen: Time of the oldest entry, by the sender's clock.
        last_seen: Time of the newest.
        total_events: How many entries.
        status: `open` for 30 minutes after the newest entry, then `resolved`.
    """

    id: str
    title: str
    normalized_message: str
    highest_level: str
    first_seen: str
    last_seen: str
    total_events: int
    fingerprint: str
    status: str = "open"
    service_name: str | None = None
    source_file: str | None = None
    line_number: int | None = None


class SourceCount(msgspec.Struct, frozen=True, rename="camel"):
    """How many entries of an incident come from a source line."""

    source_file: str
    line_number: int | None
    count: int


class RequestCount(msgspec.Struct, frozen=True, rename="camel"):
    """How many entries of an incident a request has."""

    request_id: str
    count: int


class _Correlations(msgspec.Struct, frozen=True, rename="camel"):
    top_request_ids: list[RequestCount] = []


class IncidentDetail(Incident, frozen=True, kw_only=True, rename="camel"):
    """An incident with where it comes from.

    Attributes:
        root_cause_candidates: The source lines it comes from most, at most five.
        correlations: The requests it occurs in most.
    """

    root_cause_candidates: list[SourceCount] = []
    correlations: _Correlations = _Correlations()

    @property
    def requests(self) -> list[RequestCount]:
        """The requests it occurs in most, at most ten."""
        return self.correlations.top_request_ids


class Stats(msgspec.Struct, frozen=True, rename="camel"):
    """How many entries there are, by level; levels without any are missing."""

    total_logs: int
    level_counts: dict[str, int]


class Project(msgspec.Struct, frozen=True, rename="camel"):
    """A project that the user may read."""

    id: str
    name: str
    log_count: int


class LogPage(msgspec.Struct, rename="camel"):
    """Rows, and where the next page begins; None at the end."""

    logs: list[LogRow]
    next_cursor: str | None


class IncidentPage(msgspec.Struct, rename="camel"):
    """The same of incidents."""

    incidents: list[Incident]
    next_cursor: str | None
