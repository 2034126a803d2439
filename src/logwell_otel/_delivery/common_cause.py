"""What entries that fail have in common: an outage of a part of the server.

An error in one of the server's tables, a rule of a firewall for one service: every request
with such an entry fails while all others are accepted. Taken one by one, these entries look
like poison, and isolating each costs twenty requests. So several that fail alone and share
what no accepted entry has are taken for what they are: all entries like them wait, untried,
while one of them is sent now and then; once one is accepted, all are sent.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import msgspec

from logwell_otel._clock import monotonic
from logwell_otel._encoding.chunk import Chunk, Suspicion
from logwell_otel._wire import GROUPED_LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from logwell_otel._buffer.outbox import Outbox
    from logwell_otel._encoding.chunk import Evidence

_LEAST: Final = 3
"""Entries that fail alone, or requests accepted meanwhile: fewer may be chance."""

_MOST: Final = 4
"""Common causes at a time."""

_MAX_WATCHED: Final = 10_000

_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 60.0
_SIZES: Final = (4096, 16384, 65536)
_GROUPED: Final = "level error or fatal"
_PREFERRED: Final = ("source", "size", "service", _GROUPED, "level")


class _Traits(msgspec.Struct, rename="camel"):
    """The fields of an entry that a fault may go by."""

    level: str = ""
    service: str | None = None
    source_file: str | None = None
    line_number: int | None = None


_TRAITS: Final = msgspec.json.Decoder(_Traits)


def traits(entry: bytes) -> set[str]:
    """What a fault may go by: level, service, source and size, in words."""
    try:
        fields = _TRAITS.decode(entry)
    except msgspec.MsgspecError:
        return set()
    found = {f"level {fields.level}"}
    if fields.level in GROUPED_LEVELS:
        found.add(_GROUPED)
    if fields.service:
        found.add(f"service {fields.service}")
    if fields.source_file:
        found.add(f"source {fields.source_file}:{fields.line_number or 0}")
    found.update(f"size over {size} bytes" for size in _SIZES if len(entry) > size)
    return found


class CommonCause:
    """One trait whose entries fail, and the chunks that wait for it to pass.

    Attributes:
        trait: What they have in common.
        cause: What became of their latest request, in words that follow "was".
        chunks: What waits, the oldest first.
    """

    def __init__(self, trait: str, cause: str, probe_at: float) -> None:
        self.trait = trait
        self.cause = cause
        self.chunks: list[Chunk] = []
        self.probe_at = probe_at
        self.wait = _FIRST_WAIT

    @property
    def entries(self) -> int:
        """Entries that wait."""
        return sum(chunk.count for chunk in [*self.chunks])


class CommonCauses:
    """Finds them, and holds the entries that wait. Used by one thread.

    Args:
        outbox: Where these entries are in flight.
        clock: Monotonic clock, in seconds.
        rng: For jitter.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        clock: Callable[[], float] = monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._causes: dict[str, CommonCause] = {}
        self._watched: set[str] = set()
        self._accepted: dict[str, int] = {}

    def __iter__(self) -> Iterator[CommonCause]:
        """The causes there are. May be read from any thread."""
        return iter([*self._causes.values()])

    def __bool__(self) -> bool:
        return bool(self._causes)

    def __contains__(self, chunk: Chunk) -> bool:
        """True if `chunk` was taken from here to be sent."""
        return chunk.suspicion is not None and chunk.suspicion.common in self._causes

    # What happened.

    def watch(self, chunk: Chunk) -> None:
        """`chunk` is suspected: note from now on which of its traits accepted entries have."""
        if len(self._watched) < _MAX_WATCHED:
            for entry in chunk.entries():
                self._watched |= traits(entry)

    def forget(self) -> None:
        """Nothing is suspected any more."""
        self._watched.clear()
        self._accepted.clear()

    def accepted(self, chunk: Chunk, evidence: Evidence) -> list[CommonCause]:
        """The request with `chunk` was accepted; gives the causes that are over by that."""
        if not self._watched:
            return []
        found = set[str]().union(*map(traits, chunk.entries())) & self._watched
        self._accepted.update(dict.fromkeys(found, evidence.accepted))
        over = [cause for trait, cause in self._causes.items() if trait in found]
        for cause in over:
            del self._causes[cause.trait]
            for waiting in cause.chunks:
                waiting.suspicion = None
            self._outbox.put_back(cause.chunks)
        return over

    def look(self, alone: Collection[Chunk], evidence: Evidence) -> CommonCause | None:
        """Look for what entries that fail alone have in common.

        Args:
            alone: Single entries that failed while others were accepted.
            evidence: What happened to requests so far.

        Returns:
            A common cause, if a new one was found.
        """
        if len(self._causes) >= _MOST:
            return None
        having: dict[str, list[Suspicion]] = {}
        for chunk in alone:
            assert chunk.suspicion is not None  # noqa: S101 - or it were no suspect
            for trait in traits(chunk.body()[1:-1]):
                having.setdefault(trait, []).append(chunk.suspicion)
        common = [
            trait
            for trait, suspicions in having.items()
            if trait not in self._causes
            and len(suspicions) >= _LEAST
            and evidence.accepted - min(one.since.accepted for one in suspicions) >= _LEAST
            and all(self._accepted.get(trait, -1) <= one.since.accepted for one in suspicions)
        ]
        if not common:
            return None
        trait = min(common, key=lambda name: (-len(having[name]), _rank(name)))
        cause = CommonCause(trait, having[trait][-1].cause, self._clock() + _FIRST_WAIT)
        self._causes[trait] = cause
        return cause

    # What waits.

    def divide(self, chunk: Chunk) -> Chunk | None:
        """Hold back what of a chunk in flight has a common cause; gives the rest, if any."""
        if not self._causes:
            return chunk
        groups: dict[str | None, list[bytes]] = {}
        for entry in chunk.entries():
            found = traits(entry)
            groups.setdefault(next(filter(found.__contains__, self._causes), None), []).append(
                entry
            )
        if groups.keys() == {None}:
            return chunk
        if len(groups) == 1:
            pieces = dict.fromkeys(groups, chunk)
        else:
            pieces = {trait: Chunk.of_entries(entries) for trait, entries in groups.items()}
            if chunk.suspicion is not None:
                for piece in pieces.values():
                    piece.suspicion = chunk.suspicion.heir()
            if not self._outbox.split(chunk, pieces.values()):
                return None
        for trait, piece in pieces.items():
            if trait is not None:
                self._hold(self._causes[trait], piece)
        return pieces.get(None)

    def _hold(self, cause: CommonCause, chunk: Chunk) -> None:
        suspicion = chunk.suspicion = chunk.suspicion or Suspicion()
        if not chunk.unawaited:
            suspicion.began = self._clock()
        suspicion.common = cause.trait
        self._outbox.set_aside(chunk)
        last = cause.chunks[-1] if cause.chunks else None
        if last is None or _tried(last) != _tried(chunk) or not self._outbox.join(last, chunk):
            cause.chunks.append(chunk)

    def turn(self) -> float | None:
        """Seconds until the next probe is due; None if nothing waits."""
        probes = [cause.probe_at for cause in self._causes.values() if cause.chunks]
        return max(0.0, min(probes) - self._clock()) if probes else None

    def probe(self) -> Chunk | None:
        """One entry of the cause whose turn it is, one that was never tried if there is any."""
        cause = min(
            (cause for cause in self._causes.values() if cause.chunks),
            key=lambda cause: cause.probe_at,
        )
        place = next((at for at, one in enumerate(cause.chunks) if not _tried(one)), 0)
        chunk = cause.chunks.pop(place)
        if not self._outbox.load(chunk):
            if self._outbox.in_flight(chunk):  # the disk cannot be read just now
                cause.chunks.insert(place, chunk)
                cause.probe_at = self._clock() + cause.wait
            return None
        if chunk.count == 1:
            return chunk
        entries = chunk.entries()
        single = Chunk.of_entries([entries.pop(self._rng.randrange(len(entries)))])
        rest = Chunk.of_entries(entries)
        for part in (single, rest):
            part.suspicion = msgspec.structs.replace(_of(chunk))
        if not self._outbox.split(chunk, (single, rest)):
            return None
        cause.chunks.insert(place, rest)
        return single

    def failed(self, chunk: Chunk, cause: str) -> None:
        """The probe failed, too: the next one is later. The caller has counted it."""
        common = self.keep(chunk)
        common.cause = cause
        common.wait = min(_LONGEST_WAIT, common.wait * 2)

    def keep(self, chunk: Chunk) -> CommonCause:
        """Hold a probe again."""
        trait = _of(chunk).common
        assert trait is not None  # noqa: S101 - it was taken from here
        common = self._causes[trait]
        common.probe_at = self._clock() + common.wait * self._rng.uniform(0.5, 1.0)
        self._hold(common, chunk)
        return common

    def take(self, *, older_than: float = float("inf")) -> Chunk | None:
        """The chunk that waits longest, to be given up; None if none is so old.

        Args:
            older_than: Monotonic seconds when it failed first, at the latest.
        """
        chunk = min(self.waiting, key=lambda chunk: _of(chunk).began, default=None)
        if chunk is None or _of(chunk).began >= older_than:
            return None
        next(cause for cause in self if chunk in cause.chunks).chunks.remove(chunk)
        return chunk

    @property
    def waiting(self) -> list[Chunk]:
        """All that waits."""
        return [chunk for cause in self for chunk in cause.chunks]

    def __repr__(self) -> str:
        named = ", ".join(f"{cause.trait}: {cause.entries}" for cause in self)
        return f"<CommonCauses {named or 'none'}>"


def _of(chunk: Chunk) -> Suspicion:
    suspicion = chunk.suspicion
    assert suspicion is not None  # noqa: S101 - all that waits here has one
    return suspicion


def _tried(chunk: Chunk) -> bool:
    return _of(chunk).attempts > 0


def _rank(trait: str) -> int:
    return next(rank for rank, name in enumerate(_PREFERRED) if trait.startswith(name))
