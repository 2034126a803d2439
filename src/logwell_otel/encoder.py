"""A batch of records -> chunks of ready-made JSON.

Encodes optimistically: a chunk goes through the encoder in one call, and only one that
fails, holds a NUL or is suspiciously large is looked at entry by entry.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from logwell_otel import sanitize
from logwell_otel.chunk import Chunk
from logwell_otel.wire import MAX_ENTRIES, MAX_ENTRY_BYTES, MAX_REQUEST_BYTES, LogEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logwell_otel.mapping import Mapper
    from logwell_otel.otel import ReadableLogRecord

OWN_SCOPE: Final = "logwell_otel"
"""Our own warnings pass through the application's logging, and so come back as records:
one about a failed request must not become the next request."""

_NUL: Final = b"\\u0000"


class Encoded:
    """What became of a batch: chunks, and how many records were left out for which reason."""

    __slots__ = ("chunks", "left_out", "own")

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.left_out: Counter[str] = Counter()
        self.own = 0
        """Records of this package's own logger, which count nowhere."""


class Encoder:
    """Maps, filters and encodes. Safe to use from several threads at once.

    Args:
        mapper: Turns a record into an entry.
        minimum_rank: Records below this place in `severity.LEVELS` are left out.
    """

    def __init__(self, mapper: Mapper, *, minimum_rank: int = 0) -> None:
        self._mapper = mapper
        self._minimum_rank = minimum_rank
        self._json = msgspec.json.Encoder()

    def encode(self, batch: Sequence[ReadableLogRecord], *, room: int = 0) -> Encoded:
        """Encode `batch`.

        Args:
            batch: Records, oldest first.
            room: Entries that still fit into the chunk waiting last in the outbox: the
                first chunk is made to fill it, so that requests are full.
        """
        encoded = Encoded()
        entries = self._entries(batch, encoded)
        end = room if 0 < room < MAX_ENTRIES else MAX_ENTRIES
        start = 0
        while start < len(entries):
            self._add(entries[start:end], encoded.chunks)
            start, end = end, end + MAX_ENTRIES
        return encoded

    def _entries(self, batch: Sequence[ReadableLogRecord], encoded: Encoded) -> list[LogEntry]:
        mapper = self._mapper
        entries: list[LogEntry] = []
        for record in batch:
            try:
                scope = record.instrumentation_scope
                if scope is not None and scope.name == OWN_SCOPE:
                    encoded.own += 1
                    continue
                severity = mapper.severity(record.log_record)
                if severity.rank < self._minimum_rank:
                    encoded.left_out["level"] += 1
                    continue
                entry = mapper.entry(record, severity)
                mapper.add_origin(record, entry)
            except Exception as error:  # noqa: BLE001 - the record still goes out, and says so
                entry = salvage(record, error)
            entries.append(entry)
        return entries

    def _add(self, entries: list[LogEntry], chunks: list[Chunk]) -> None:
        try:
            body = self._json.encode(entries)
        except Exception:  # noqa: BLE001 - lone surrogates, foreign types: entry by entry below
            body = None
        if (
            body is not None
            # Searching one byte is some forty times faster, and most chunks have none.
            and (b"\\" not in body or _NUL not in body)
            # No entry can be too large in a body that is not.
            and len(body) <= MAX_ENTRY_BYTES
        ):
            chunks.append(Chunk(body, len(entries)))
            return
        self._add_carefully([self._careful(entry) for entry in entries], chunks)

    def _careful(self, entry: LogEntry) -> bytes:
        try:
            encoded = self._json.encode(entry)
            if len(encoded) <= MAX_ENTRY_BYTES and _NUL not in encoded:
                return encoded
        except Exception:  # noqa: BLE001, S110 - what cannot be encoded is cleaned below
            pass
        sanitize.clean(entry)
        return sanitize.fit(entry)

    def _add_carefully(self, encoded: list[bytes], chunks: list[Chunk]) -> None:
        start, size = 0, 2
        for end, entry in enumerate(encoded):
            if size + len(entry) + 1 > MAX_REQUEST_BYTES:
                chunks.append(Chunk.of_entries(encoded[start:end]))
                start, size = end, 2
            size += len(entry) + 1
        chunks.append(Chunk.of_entries(encoded[start:]))


def salvage(record: ReadableLogRecord, error: Exception) -> LogEntry:
    """An entry for a record that the mapping could not read: less, but not nothing."""
    log = getattr(record, "log_record", record)
    message = sanitize.safe_str(getattr(log, "body", None))
    return LogEntry(
        level="warn",
        message=message if message.strip() else "(no message)",
        metadata={"logwell.mapping_error": sanitize.safe_str(f"{type(error).__name__}: {error}")},
    )
