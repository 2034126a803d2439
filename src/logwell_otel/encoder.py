"""A batch of records -> chunks of ready-made JSON.

Encodes optimistically: a chunk goes through the encoder in one call, and only one that
fails, holds a NUL or is suspiciously large is looked at entry by entry.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from logwell_otel import sanitize
from logwell_otel.chunk import RAW_LIST, Chunk
from logwell_otel.incidents import GROUPED_LEVELS
from logwell_otel.left_out import LeftOut
from logwell_otel.mapping import unreadable
from logwell_otel.wire import MAX_ENTRIES, MAX_ENTRY_BYTES, MAX_REQUEST_BYTES, LogEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from logwell_otel.mapping import Mapper
    from logwell_otel.otel import ReadableLogRecord
    from logwell_otel.stages import Stages

_NUL: Final = b"\\u0000"


class Encoded:
    """What became of a batch: chunks, and how many records were left out for which reason."""

    __slots__ = ("chunks", "left_out", "own", "warnings")

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.left_out: Counter[str] = Counter()
        self.own = 0
        """Records of this package's own logger, which count nowhere."""
        self.warnings: dict[str, str] = {}
        """What to tell people, by reason."""

    def leave_out(self, left_out: LeftOut) -> None:
        """Count a record that goes no further."""
        self.left_out[left_out.reason] += 1
        if left_out.warning is not None:
            self.warnings[left_out.reason] = left_out.warning


class Encoder:
    """Maps, filters and encodes. Safe to use from several threads at once.

    Args:
        mapper: Turns a record into an entry.
        minimum_rank: Records below this place in `severity.LEVELS` are left out.
        stages: Sampling, redaction and `before_send`, None for none of them.
    """

    def __init__(
        self, mapper: Mapper, *, minimum_rank: int = 0, stages: Stages | None = None
    ) -> None:
        self._mapper = mapper
        self._stages = stages
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
        records = iter(batch)
        size = room if 0 < room < MAX_ENTRIES else MAX_ENTRIES
        # A chunk's entries at a time: their memory is used again for the next chunk's.
        while entries := self._entries(records, size, encoded):
            self._add(entries, encoded.chunks)
            size = MAX_ENTRIES
        return encoded

    def _entries(
        self, records: Iterator[ReadableLogRecord], size: int, encoded: Encoded
    ) -> list[LogEntry]:
        """The next `size` entries, fewer at the end."""
        mapper, minimum_rank, stages = self._mapper, self._minimum_rank, self._stages
        entries: list[LogEntry] = []
        for record in records:
            origin = None
            try:
                origin = mapper.origin(record)
                if origin.own:
                    encoded.own += 1
                    continue
                log = record.log_record
                severity = mapper.severity(log)
                if severity.rank < minimum_rank:
                    encoded.left_out["level"] += 1
                    continue
                rate = None if stages is None else stages.sample(log)
                entry = mapper.entry(log, severity, origin)
            except LeftOut as left_out:
                encoded.leave_out(left_out)
                continue
            except Exception as error:  # noqa: BLE001 - the record still goes out, and says so
                rate, entry = None, mapper.salvage(record, error)
            if stages is not None:
                try:
                    entry = stages.apply(entry, {} if origin is None else origin.shared, rate)
                except LeftOut as left_out:
                    encoded.leave_out(left_out)
                    continue
            entries.append(entry)
            if len(entries) == size:
                break
        return entries

    def _add(self, entries: list[LogEntry], chunks: list[Chunk]) -> None:
        try:
            body = self._json.encode(entries)
        except Exception:  # noqa: BLE001 - lone surrogates, foreign types: entry by entry below
            body = None
        if body is not None and not _has_nul(body) and _fits(body):
            errors = sum(entry.level in GROUPED_LEVELS for entry in entries)
            chunks.append(Chunk(body, len(entries), errors=errors))
        else:
            _pack([self._careful(entry) for entry in entries], chunks)

    def _careful(self, entry: LogEntry) -> bytes:
        try:
            encoded = self._json.encode(entry)
        except Exception:  # noqa: BLE001 - what cannot be encoded is cleaned below
            encoded = None
        try:
            if encoded is None or _has_nul(encoded):
                sanitize.clean(entry)
            elif len(encoded) <= MAX_ENTRY_BYTES:
                return encoded
            return sanitize.fit(entry)
        except Exception as error:  # noqa: BLE001 - a defect of ours; the entry says so
            return self._json.encode(unreadable(error, entry.timestamp))


def _has_nul(encoded: bytes) -> bool:
    # Searching one byte is some forty times faster, and most chunks have none.
    return b"\\" in encoded and _NUL in encoded


def _fits(body: bytes) -> bool:
    """Whether the body, and each entry in it, is small enough."""
    if len(body) <= MAX_ENTRY_BYTES:
        return True
    return len(body) <= MAX_REQUEST_BYTES and all(
        len(memoryview(entry)) <= MAX_ENTRY_BYTES for entry in RAW_LIST.decode(body)
    )


def _pack(encoded: list[bytes], chunks: list[Chunk]) -> None:
    start, size = 0, 2
    for end, entry in enumerate(encoded):
        if size + len(entry) + 1 > MAX_REQUEST_BYTES:
            chunks.append(Chunk.of_entries(encoded[start:end]))
            start, size = end, 2
        size += len(entry) + 1
    chunks.append(Chunk.of_entries(encoded[start:]))
