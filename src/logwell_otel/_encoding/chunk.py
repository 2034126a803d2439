"""A chunk: entries that travel in one request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from logwell_otel._wire import MAX_ENTRIES, MAX_REQUEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

RAW_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
"""Takes a body apart into its entries without decoding them."""

PART_OVERHEAD: Final = 64
"""Bytes of memory a part costs beside its payload: the object's header and its place in a list."""


UNLOADED_BYTES: Final = 1024
"""Bytes of memory that a chunk costs at most whose entries are on disk only."""

RECOVERED: Final = -1
"""The generation of entries that an earlier process left in the spool: no flush waits for them."""


class Rows(NamedTuple):
    """Where a chunk lies in the spool.

    Attributes:
        ids: Of one row, or of several small ones that travel together.
        bytes: Their bodies' bytes.
    """

    ids: tuple[int, ...]
    bytes: int


class StoredRow(NamedTuple):
    """One row, as it was read."""

    id: int
    entries: int
    body: bytes


class Evidence(msgspec.Struct, frozen=True):
    """What happened to requests so far: speaks for or against a suspect chunk.

    Attributes:
        accepted: Accepted.
        first_accepted: Accepted at the first try.
        first_failed: Failed at the first try.
        recovered: Accepted after having failed, unchanged.
    """

    accepted: int = 0
    first_accepted: int = 0
    first_failed: int = 0
    recovered: int = 0


class Suspicion(msgspec.Struct):
    """What speaks against a chunk.

    Attributes:
        strikes: Failures that something else's success followed.
        failures: Failures, those of the chunk it was a part of included.
        attempts: Failures of just this chunk.
        unanswered: Failures of which each request's time was over before an answer came.
        unclear: Failures after which it may be stored, with nothing else accepted meanwhile.
        alone: Failures as a single entry.
        first_failures: First tries that failed with it, as a part of larger chunks too.
        accepted_before: Requests accepted before its latest failure.
        since: The evidence there was when it first failed.
        began: When it first failed, monotonic seconds.
        not_before: When it is sent again at the earliest, monotonic seconds.
        cause: What became of its latest request, in words that follow "was".
        common: What it has in common with other suspects, None for nothing known.
    """

    strikes: int = 0
    failures: int = 0
    attempts: int = 0
    unanswered: int = 0
    unclear: int = 0
    alone: int = 0
    first_failures: int = 0
    accepted_before: int = 0
    since: Evidence = msgspec.field(default_factory=Evidence)
    began: float = 0.0
    not_before: float = 0.0
    cause: str = ""
    common: str | None = None

    def heir(self) -> Suspicion:
        """Return the suspicion against a part of the same chunk."""
        return Suspicion(
            strikes=self.strikes,
            failures=self.failures,
            unanswered=self.unanswered,
            unclear=self.unclear,
            first_failures=self.first_failures,
            accepted_before=self.accepted_before,
            since=self.since,
            began=self.began,
            cause=self.cause,
        )

    def __str__(self) -> str:
        return f"suspect with {self.strikes} strikes"


class Chunk:
    """Ready-made JSON of up to 100 entries, as one or more parts.

    A part is a JSON array. Parts are kept apart until the chunk is sent, so that joining
    a trickle of small parts does not copy what is there again and again. A chunk whose entries
    are only on disk for a while has none.

    Attributes:
        count: Entries.
        size: Bytes of the request body at most.
        errors: Error and fatal entries at most, None where nobody has counted them.
        generation: Which flush it belongs to (see `outbox`).
        entered: Monotonic seconds when its oldest entry was handed over.
        rows: Where it lies in the spool, None while it is in memory only.
        suspicion: What `isolation` knows of it, None for a chunk that never failed.
        unawaited: No flush waits for it any more, although it is of a generation.
    """

    __slots__ = (
        "_parts",
        "count",
        "entered",
        "errors",
        "generation",
        "rows",
        "size",
        "suspicion",
        "unawaited",
    )

    def __init__(
        self, part: bytes, count: int, *, errors: int | None = None, entered: float = 0.0
    ) -> None:
        self._parts = [part]
        self.count: int = count
        self.size: int = len(part)
        self.errors = errors
        self.entered: float = entered
        self.generation: int = 0
        self.suspicion: Suspicion | None = None
        self.rows: Rows | None = None
        self.unawaited: bool = False

    @classmethod
    def of_entries(cls, entries: Sequence[bytes | msgspec.Raw], *, entered: float = 0.0) -> Chunk:
        """Make a chunk of single entries."""
        return cls(b"[" + b",".join(map(bytes, entries)) + b"]", len(entries), entered=entered)

    @property
    def memory(self) -> int:
        """Bytes it holds in memory, overhead counted."""
        if self.is_unloaded:
            return UNLOADED_BYTES
        return self.size + PART_OVERHEAD * (len(self._parts) + 2)

    @property
    def is_unloaded(self) -> bool:
        """Whether its entries are on disk only."""
        return not self._parts

    def unload(self) -> None:
        """Let go of the entries, which are on disk."""
        self._parts = []

    def load(self, rows: Sequence[StoredRow]) -> None:
        """Take back what is left of them there."""
        self._parts = [row.body for row in rows]
        self.count = sum(row.entries for row in rows)
        self.size = sum(len(row.body) for row in rows)
        self.rows = Rows(tuple(row.id for row in rows), self.size)

    def takes(self, other: Chunk) -> bool:
        """Tell whether `other` fits into the same request."""
        return (
            not (self.is_unloaded or other.is_unloaded)
            and self.count + other.count <= MAX_ENTRIES
            and self.size + other.size <= MAX_REQUEST_BYTES
            and self.generation == other.generation
        )

    def join(self, other: Chunk) -> None:
        """Append the entries of `other`."""
        self._parts += other._parts
        self.count += other.count
        self.size += other.size
        if self.errors is not None:
            self.errors = None if other.errors is None else self.errors + other.errors

    def body(self) -> bytes:
        """Return the request body: one JSON array."""
        if len(self._parts) == 1:
            return self._parts[0]
        return b"[" + b",".join([part[1:-1] for part in self._parts]) + b"]"

    def entries(self) -> list[bytes]:
        """Return the JSON of each entry. Costs a scan of the body: for the rare paths."""
        return [bytes(raw) for raw in RAW_LIST.decode(self.body())]

    def replace(self, entries: Sequence[bytes]) -> None:
        """Hold `entries` instead: the same ones in another order, or fewer."""
        self._parts = [b"[" + b",".join(entries) + b"]"]
        self.count = len(entries)
        self.size = len(self._parts[0])

    def __repr__(self) -> str:
        suspect = "" if self.suspicion is None else f", {self.suspicion}"
        return f"<Chunk {self.count} entries, {self.size} bytes{suspect}>"
