"""A batch of records -> chunks of ready-made JSON.

Encodes optimistically: a chunk goes through the encoder in one call, and only one that
fails, holds a NUL or is suspiciously large is looked at entry by entry.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from logwell_otel._diagnostics import is_for_the_program
from logwell_otel._encoding import sanitize
from logwell_otel._encoding.chunk import RAW_LIST, Chunk
from logwell_otel._encoding.mapping import DroppedRecord, unreadable
from logwell_otel._encoding.values import has_nul
from logwell_otel._wire import (
    GROUPED_LEVELS,
    MAX_ENTRIES,
    MAX_ENTRY_BYTES,
    MAX_REQUEST_BYTES,
    LogEntry,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from logwell_otel._encoding.fields import Severity
    from logwell_otel._encoding.mapping import Mapper, ResourceScope
    from logwell_otel._encoding.stages import Stages
    from logwell_otel._otel import ReadableLogRecord


# Entries encoded in one call. Few enough that one which has to be looked at does not cost
# many others a second encoding, and that their memory stays in the processor's cache.
_TOGETHER: Final = 20


class Encoded:
    """What became of a batch: chunks, and how many records were dropped for which reason."""

    __slots__ = ("chunks", "dropped", "interrupt", "own", "warnings")

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.dropped: Counter[str] = Counter()
        self.own = 0
        """How many records of this package's own logger there were; they count nowhere else."""
        self.warnings: dict[str, str] = {}
        """What to tell people about dropped records, by reason."""
        self.interrupt: BaseException | None = None
        """What is to be raised once this is handed over: an exit or an interrupt of the program."""

    def drop(self, record: DroppedRecord) -> None:
        """Count a record that goes no further."""
        self.dropped[record.reason] += 1
        self.interrupt = record.interrupt or self.interrupt
        if record.warning is not None:
            self.warnings[record.reason] = record.warning


class Encoder:
    """Maps, filters and encodes. Safe to use from several threads at once.

    Args:
        mapper: Turns a record into an entry.
        minimum_rank: Records below this place in `_wire.LEVELS` are dropped, unless the mapper
            has another for their logger.
        stages: Sampling, redaction and `before_send`, None for none of them.
    """

    def __init__(
        self, mapper: Mapper, *, minimum_rank: int = 0, stages: Stages | None = None
    ) -> None:
        self._mapper = mapper
        self._stages = stages
        self._minimum_rank = minimum_rank
        # A redactor sees all of an entry only if the mapper makes it for one.
        self._ready = stages is None or (
            stages.take_ready and (mapper.redacts or not stages.redacts)
        )
        self._json = msgspec.json.Encoder()

    def encode(self, batch: Sequence[ReadableLogRecord], *, room: int = 0) -> Encoded:
        """Encode `batch`.

        Args:
            batch: Records, oldest first.
            room: How many entries still fit into the chunk waiting last in the outbox: the
                first chunk is made to fill it, so that requests are full.
        """
        encoded = Encoded()
        records = iter(batch)
        size = room if 0 < room < MAX_ENTRIES else MAX_ENTRIES
        while self._chunk(records, size, encoded):
            size = MAX_ENTRIES
        return encoded

    def _chunk(self, records: Iterator[ReadableLogRecord], size: int, encoded: Encoded) -> bool:
        """Add the chunk of the next `size` entries; return False if there are none."""
        body = bytearray()
        count = errors = 0
        while True:
            kept, entries = self._entries(records, min(size - count, _TOGETHER), encoded)
            if not entries:
                break
            self._add(kept, entries, body)
            count += len(entries)
            levels: list[str] = [entry.level for entry in entries]
            errors += sum(levels.count(level) for level in GROUPED_LEVELS)
            if count == size:
                break
        if len(body) > MAX_REQUEST_BYTES:
            _pack(RAW_LIST.decode(body), encoded.chunks)
        elif count:
            encoded.chunks.append(Chunk(bytes(body), count, errors=errors))
        return count > 0

    def _entries(
        self, records: Iterator[ReadableLogRecord], size: int, encoded: Encoded
    ) -> tuple[list[ReadableLogRecord], list[LogEntry]]:
        """Return the next `size` records that are kept, fewer at the end, and their entries."""
        mapper, minimum_rank, stages = self._mapper, self._minimum_rank, self._stages
        ready = self._ready
        kept: list[ReadableLogRecord] = []
        entries: list[LogEntry] = []
        # Most records are like the one before them, and looking costs less than a call.
        last: ResourceScope | None = None
        severity: Severity | None = None
        for record in records:
            source = None
            try:
                if (
                    last is not None
                    and record.instrumentation_scope is last.scope
                    and record.resource is last.resource
                ):
                    source = last
                else:
                    source = last = mapper.resource_scope(record)
                if source.own:
                    encoded.own += 1
                    continue
                log = record.log_record
                if (
                    severity is None
                    or log.severity_number is not severity.number
                    or log.severity_text is not severity.text
                ):
                    severity = mapper.severity(log)
                if severity.rank < (minimum_rank if source.least is None else source.least):
                    encoded.dropped["level"] += 1
                    continue
                rate = None if stages is None else stages.sample(log)
                entry = mapper.entry(log, severity, source, ready)
            except DroppedRecord as dropped:
                encoded.drop(dropped)
                continue
            except BaseException as error:  # noqa: BLE001 - the record still goes out, and says so
                rate, entry = None, self._salvaged(record, error)
                if is_for_the_program(error):
                    encoded.interrupt = error
            if stages is not None:
                try:
                    shared = {} if source is None else source.shared
                    entry = stages.apply(entry, shared, rate, record)
                except DroppedRecord as dropped:
                    encoded.drop(dropped)
                    continue
            kept.append(record)
            entries.append(entry)
            if len(entries) == size:
                break
        return kept, entries

    def _salvaged(self, record: ReadableLogRecord, error: BaseException) -> LogEntry:
        try:
            return self._mapper.salvage(record, error)
        except BaseException:  # noqa: BLE001 - no `Exception`: it says what the first one was
            return unreadable(error, None)

    def _add(
        self, records: list[ReadableLogRecord], entries: list[LogEntry], body: bytearray
    ) -> None:
        """Add `entries` to the JSON array in `body`, which is empty before the first."""
        # The array of these entries begins where the one of those before ends.
        start = max(0, len(body) - 1)
        try:
            self._json.encode_into(entries, body, start)
        except Exception:  # noqa: BLE001 - lone surrogates, foreign types: one by one below
            parts: Iterable[bytes | None] = map(self._encode, entries)
        else:
            parts = () if _all_storable(body, start) else map(bytes, RAW_LIST.decode(body[start:]))
        if storable := list(map(self._storable, parts, records, entries)):
            body[start:] = b"[%b]" % b",".join(storable)
        if start:
            body[start] = ord(",")

    def _storable(self, encoded: bytes | None, record: ReadableLogRecord, entry: LogEntry) -> bytes:
        """Return the JSON of an entry, made storable if `encoded` is not."""
        if encoded is not None and len(encoded) <= MAX_ENTRY_BYTES and not has_nul(encoded):
            return encoded
        if self._stages is None:
            # Again, since what is ready JSON in it can neither be looked into nor cut.
            entry = self._plain(record)
            encoded = self._encode(entry)
        elif self._ready:
            sanitize.unpack(entry)
        try:
            if encoded is None or has_nul(encoded):
                sanitize.clean(entry)
            return sanitize.fit(entry)
        except Exception as error:  # noqa: BLE001 - a defect of ours; the entry says so
            return self._json.encode(unreadable(error, entry.timestamp))

    def _encode(self, entry: LogEntry) -> bytes | None:
        try:
            return self._json.encode(entry)
        except Exception:  # noqa: BLE001 - what cannot be encoded is cleaned
            return None

    def _plain(self, record: ReadableLogRecord) -> LogEntry:
        mapper = self._mapper
        try:
            log = record.log_record
            return mapper.entry(log, mapper.severity(log), mapper.resource_scope(record))
        except Exception as error:  # noqa: BLE001 - as in `_entries`
            return mapper.salvage(record, error)


def _all_storable(body: bytearray, start: int) -> bool:
    """Tell whether the array from `start` on holds no NUL and no entry that is too large."""
    return not has_nul(body, start) and (
        len(body) - start <= MAX_ENTRY_BYTES
        or all(len(memoryview(e)) <= MAX_ENTRY_BYTES for e in RAW_LIST.decode(body[start:]))
    )


def _pack(entries: list[msgspec.Raw], chunks: list[Chunk]) -> None:
    start, size = 0, 2
    for end, entry in enumerate(entries):
        length = len(memoryview(entry))
        if size + length + 1 > MAX_REQUEST_BYTES:
            chunks.append(Chunk.of_entries(entries[start:end]))
            start, size = end, 2
        size += length + 1
    chunks.append(Chunk.of_entries(entries[start:]))
