"""Errors grouped as the server groups them: one incident for each fingerprint."""

from __future__ import annotations

import hashlib
import re
import secrets
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

GROUPED_LEVELS = ("error", "fatal")
OPEN_SECONDS = 30 * 60
"""An incident is open while its last event, by the sender's time, is younger than this."""

_MAX_TITLE = 160
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_HEX = re.compile(r"\b(?:0x[0-9a-f]+|[0-9a-f]{12,})\b")
_IP = re.compile(r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b")
_NUMBER = re.compile(r"[0-9]+")
_COLUMNS = (
    "key, fingerprint, title, normalized_message, service, source_file, line_number, "
    "highest_level, first_seen, last_seen, total_events, created, updated"
)
_UPSERT = f"""
INSERT INTO incident ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)
ON CONFLICT (fingerprint) DO UPDATE SET
    highest_level = CASE WHEN excluded.highest_level = 'fatal' THEN 'fatal' ELSE highest_level END,
    first_seen = min(first_seen, excluded.first_seen),
    last_seen = max(last_seen, excluded.last_seen),
    total_events = total_events + 1,
    updated = excluded.updated
"""  # noqa: S608 - constants only


class Event(NamedTuple):
    """What an incident keeps of an error entry."""

    fingerprint: str
    message: str
    service: str | None
    source_file: str | None
    line_number: int | None
    level: str
    timestamp: str


class StoredIncident(msgspec.Struct, frozen=True, rename="camel"):
    """One incident; the fields of the server's JSON, in their order."""

    id: str
    project_id: str
    fingerprint: str
    title: str
    normalized_message: str
    service_name: str | None
    source_file: str | None
    line_number: int | None
    highest_level: str
    first_seen: str
    last_seen: str
    total_events: int
    created_at: str
    updated_at: str

    def listed(self, open_since: str) -> dict[str, Any]:
        """As lists show it: with a status, without its own dates."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        del fields["createdAt"], fields["updatedAt"]
        return {**fields, "status": "open" if self.last_seen >= open_since else "resolved"}


def as_streamed(incident: StoredIncident) -> dict[str, Any]:
    """As the stream shows it: with its own dates, without a status."""
    fields: dict[str, Any] = msgspec.to_builtins(incident)
    return fields


@lru_cache(maxsize=1024)  # for the fingerprint, and again for the incident
def normalize(message: str) -> str:
    """The message as it goes into the fingerprint: what differs from event to event replaced."""
    text = message.lower().strip()
    for pattern, placeholder in (
        (_UUID, "{uuid}"),
        (_HEX, "{hex}"),
        (_IP, "{ip}"),
        (_NUMBER, "{num}"),
    ):
        text = pattern.sub(placeholder, text)
    return " ".join(text.split()) or "unknown error"


def fingerprint(
    message: str, service: str | None, source_file: str | None, line_number: int | None
) -> str:
    """The first 32 hex digits of SHA-256 of what an incident's events have in common."""
    parts = (
        service or "unknown-service",
        source_file or "unknown-source",
        str(line_number or 0),
        normalize(message),
    )
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]


def record(connection: sqlite3.Connection, events: Iterable[Event], now: str) -> dict[str, str]:
    """Count `events` in their incidents, in the caller's transaction.

    Returns:
        The incidents' ids by fingerprint.
    """
    known: dict[str, str] = {}
    for event in events:
        connection.execute(
            _UPSERT,
            (
                secrets.token_urlsafe(16)[:21],
                event.fingerprint,
                event.message[:_MAX_TITLE],
                normalize(event.message),
                event.service,
                event.source_file,
                event.line_number,
                event.level,
                event.timestamp,
                event.timestamp,
                now,
                now,
            ),
        )
        known[event.fingerprint] = ""
    for fingerprint_ in known:
        (known[fingerprint_],) = connection.execute(
            "SELECT key FROM incident WHERE fingerprint = ?", [fingerprint_]
        ).fetchone()
    return known


def forget(connection: sqlite3.Connection) -> None:
    """Delete the incidents that have no entry left, in the caller's transaction."""
    connection.execute(
        "DELETE FROM incident WHERE NOT EXISTS "
        "(SELECT 1 FROM log WHERE log.fingerprint = incident.fingerprint)"
    )


def select(where: str, project: str) -> str:
    """The query for incidents, `where` with its order and limit added."""
    columns = _COLUMNS.replace("key,", f"key, '{project}',", 1)
    return f"SELECT {columns} FROM incident WHERE {where}"  # noqa: S608 - values are bound
