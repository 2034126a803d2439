"""What the server makes of a request's entries: stored, refused one by one, or all lost.

Pure functions; `tests/contract/ingest_vectors.json` has the recorded answers they follow.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from . import javascript
from .store import Entry

LEVELS = ("debug", "info", "warn", "error", "fatal")

MAX_ENTRIES = 100
"""Entries a request; one more is answered 400 `batch_too_large`."""

MAX_BODY_BYTES = 524_288
"""The server's limit; a larger `Content-Length` is answered 413."""

MAX_SERVICE_BYTES = 2_600
"""What fits into the server's index of service names, about. (A name of repeated letters
would be compressed and fit at any length; names are not like that.)"""

MAX_METADATA_DEPTH = 500
"""Nesting the development server takes. The real limit was not measured exactly: 50 levels are
stored, many thousand are answered 500."""

MAX_LINE_NUMBER = 2**31 - 1
"""The column is a PostgreSQL integer."""

MAX_INDEX_BYTES = 2**20 - 1
"""PostgreSQL's limit for one `tsvector`, the full-text index of an entry; see `index_bytes`."""

_MAX_WORD_BYTES = 2046
"""PostgreSQL leaves longer words out of the index."""

_MAX_PLACES = 255
"""PostgreSQL remembers that many places of one word."""

_REQUEST_ID = ("request.id", "request_id", "http.request_id")
_USER_ID = ("enduser.id", "user.id", "user_id")
_IP_ADDRESS = ("client.address", "ip", "ip_address", "net.peer.ip", "net.sock.peer.addr")
_SERVICE = ("service.name", "service_name", "service")

_WORD = re.compile(r"\w+(?:-\w+)*")
_SURROGATE = re.compile("[\ud800-\udfff]")
FIRST_MS = -62_135_596_800_000
"""0001-01-01T00:00:00.000Z: what the database's times begin with, as text."""

LAST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z."""

_LARGE_BODY = 200_000
"""Below this an entry cannot fill the full-text index: no byte of text takes five there."""


class RefusedError(Exception):
    """The whole request is answered 400 with these two texts."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error
        self.message = message


class PoisonError(Exception):
    """The database takes an entry of this batch for broken: 500, nothing stored."""


@dataclass(frozen=True)
class Batch:
    """A request's entries: those to store, and one text for each refused one."""

    entries: list[Entry]
    errors: list[str]


def parse(body: bytes) -> Any:
    """The request body's JSON value.

    Raises:
        RefusedError: It is not JSON.
    """
    try:
        return javascript.parse_json(body)
    except ValueError:
        raise RefusedError("invalid_json", "Request body must be valid JSON") from None


def read_batch(document: Any, body_bytes: int, now_ms: int) -> Batch:
    """Sorts a request's entries into those to store and those refused.

    Args:
        document: The parsed body: one entry or an array of entries.
        body_bytes: Size of the body it came from.
        now_ms: The time of entries that bring none, in milliseconds since 1970.

    Raises:
        RefusedError: Answer 400.
        PoisonError: Answer 500.
    """
    if document is None:
        raise RefusedError("validation_error", "Request body cannot be empty")
    items = document if isinstance(document, list) else [document]
    if not items:
        raise RefusedError("validation_error", "Request body cannot be an empty array")
    if len(items) > MAX_ENTRIES:
        raise RefusedError(
            "batch_too_large",
            f"Batch exceeds maximum limit of {MAX_ENTRIES} logs. Received {len(items)} logs.",
        )
    accepted: list[dict[str, Any]] = []
    errors: list[str] = []
    for index, item in enumerate(items):
        fault = _fault(item)
        if fault is None:
            accepted.append(item)
        else:
            errors.append(f"Entry at index {index}: {fault}")
    # Only what would be stored can fail in the database: a NUL in a refused entry is harmless.
    entries = [_entry(item, now_ms) for item in accepted]
    if body_bytes > _LARGE_BODY:
        for entry in entries:
            _check_index(entry)
    return Batch(entries, errors)


def _fault(item: Any) -> str | None:
    """Why an entry is refused, None for a good one."""
    if isinstance(item, list):  # An object to JavaScript, without any field.
        return "missing required field 'level'"
    if not isinstance(item, dict):
        return "must be an object"
    if "level" not in item:
        return "missing required field 'level'"
    level = item["level"]
    if not (isinstance(level, str) and level in LEVELS):
        try:
            shown = javascript.to_string(level)
        except RecursionError:
            # Nested lists; String(level) overflows JavaScript's stack likewise.
            raise PoisonError("level nested too deep") from None
        return f"invalid level '{shown}' (must be one of: {', '.join(LEVELS)})"
    if "message" not in item:
        return "missing required field 'message'"
    message = item["message"]
    if not isinstance(message, str):
        return "message must be a string"
    return "message cannot be empty" if javascript.is_blank(message) else None


def _entry(item: dict[str, Any], now_ms: int) -> Entry:
    metadata = item.get("metadata")
    metadata = _jsonb(metadata) if isinstance(metadata, (dict, list)) and metadata else None
    columns = metadata if isinstance(metadata, dict) else {}
    return Entry(
        level=item["level"],
        message=_text(item["message"], "message"),
        timestamp=_timestamp(item.get("timestamp"), now_ms),
        service=_service(item.get("service"), columns),
        metadata=metadata,
        source_file=_source_file(item.get("sourceFile")),
        line_number=_line_number(item.get("lineNumber")),
        request_id=_first(columns, _REQUEST_ID),
        user_id=_first(columns, _USER_ID),
        ip_address=_first(columns, _IP_ADDRESS),
    )


def _text(text: str, field: str) -> str:
    if "\0" in text:
        raise PoisonError(f"U+0000 in {field}")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _source_file(value: Any) -> str | None:
    return _text(value, "sourceFile") if isinstance(value, str) else None


def _jsonb_text(text: str) -> str:
    if "\0" in text:
        raise PoisonError("U+0000 in a JSON value")
    if not text.isascii() and _SURROGATE.search(text):
        raise PoisonError("a lone surrogate in a JSON value")
    return text


def _jsonb(document: dict[str, Any] | list[Any]) -> Any:
    """Checks and adapts parsed JSON, in place and without recursion: it may be deep."""
    containers: list[tuple[Any, int]] = [(document, 1)]
    while containers:
        container, depth = containers.pop()
        if depth > MAX_METADATA_DEPTH:
            raise PoisonError("metadata nested too deep")
        pairs = container.items() if isinstance(container, dict) else enumerate(container)
        for key, value in pairs:
            if isinstance(key, str):
                _jsonb_text(key)
            if isinstance(value, str):
                _jsonb_text(value)
            elif isinstance(value, (dict, list)):
                containers.append((value, depth + 1))
            elif isinstance(value, float) and math.isinf(value):
                container[key] = None  # JSON.stringify has no infinity.
    return document


def _timestamp(value: Any, now_ms: int) -> str:
    parsed = javascript.parse_date(value) if isinstance(value, str) else None
    milliseconds = now_ms if parsed is None else parsed
    if not FIRST_MS <= milliseconds <= LAST_MS:
        raise PoisonError("timestamp outside the years 1 to 9999")
    return javascript.to_iso_string(milliseconds)


def _service(value: Any, metadata: dict[str, Any]) -> str | None:
    service = None
    if isinstance(value, str):
        # The server keeps a copy of the untrimmed name as JSON.
        service = javascript.trim(_jsonb_text(value)) or None
    if service is None:
        service = _first(metadata, _SERVICE)
        service = None if service is None else javascript.trim(service)
    if service is not None and len(service.encode()) > MAX_SERVICE_BYTES:
        raise PoisonError("service name too long for its index")
    return service


def _first(metadata: dict[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = metadata.get(name)
        if isinstance(value, str) and not javascript.is_blank(value):
            return value
    return None


def _line_number(value: Any) -> int | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
        return None
    if not isinstance(value, int) or value > MAX_LINE_NUMBER:
        raise PoisonError("lineNumber is not a PostgreSQL integer")
    return value


def _check_index(entry: Entry) -> None:
    metadata = "" if entry.metadata is None else json.dumps(entry.metadata, ensure_ascii=False)
    if index_bytes(f"{entry.message} {metadata} {entry.service or ''}") > MAX_INDEX_BYTES:
        raise PoisonError("more than 1 MiB of distinct words")


def index_bytes(text: str) -> int:
    """An estimate, within some percent, of how much of the full-text index a text takes.

    The server keeps a `tsvector` of every entry's text, and PostgreSQL refuses one over
    1 MiB: the batch fails. A word takes its letters, two bytes and two more for each place
    where it stands; a hyphenated word is there whole and again in its parts, which is how
    480 kB of UUIDs come to more than 1 MiB.
    https://www.postgresql.org/docs/15/textsearch-limitations.html

    PostgreSQL's own parser also takes apart URLs, paths and numbers and knows word stems;
    what decides for long texts is words and hyphens.
    """
    places: dict[str, int] = {}
    for match in _WORD.finditer(text.lower()):
        word = match[0]
        for part in (word, *word.split("-")) if "-" in word else (word,):
            places[part] = places.get(part, 0) + 1
    return sum(_word_bytes(word, count) for word, count in places.items())


def _word_bytes(word: str, count: int) -> int:
    letters = len(word.encode("utf-8", errors="replace"))
    if letters > _MAX_WORD_BYTES:
        return 0
    return letters + letters % 2 + 2 + 2 * min(count, _MAX_PLACES)
