"""Outage, passing trouble or poison: whom a failure is about.

The server answers 500 for a poison entry (for ever), for a database that is down and
for a deadlock (both pass), and stores nothing of the batch in any of them. A firewall in
front of it may refuse one entry for a text in it, with a page, a reset connection or
silence. Only what happens to *other* requests meanwhile tells these apart, so that is what
is counted.

A chunk that failed waits here while others are sent, and entries of it, each alone: they say
whether anything passes, and a gateway that loses every answer has nothing else stored again.
Once something else was accepted after it failed, the chunk is sent again; failing then, it is
bisected. An entry that fails alone is set aside when an innocent one would
hardly have failed so often: with a share `p` of other requests failing at their first try,
an innocent entry fails `n` times with probability p^n. While nothing is accepted, no
failure counts at all; while failed requests succeed when they are sent again, so that
failing says little, the proof must be a thousand times stronger.

Set aside is not dropped. The entry is tried ever more seldom, in nobody's way, for hours.
"""

from __future__ import annotations

import random
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from logwell_otel._clock import monotonic
from logwell_otel._encoding.chunk import Chunk, Evidence, Suspicion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


MAX_CHUNKS: Final = 16
"""Suspect chunks of several entries at a time: more are not poison but a server in trouble."""

MAX_SUSPECTS: Final = 200
"""Suspects at a time, single entries included."""

PATIENCE: Final = 3
"""Failures of one entry, others than 500, before others are tried: order is kept through a
short outage."""

MAX_SET_ASIDE: Final = 10_000
"""Entries set aside at a time."""

ANSWERED_500: Final = "answered 500"

_INNOCENT: Final = 3e-3
_INNOCENT_WHILE_FLAKY: Final = 1e-6
_ALONE: Final = 3
_MANY_STRIKES: Final = 8
_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 30.0
_LONGEST_DELAY_SET_ASIDE: Final = 600.0
_LEAST_TRIES: Final = 10
_REST: Final = 4.0
# Of the time that a try of an entry set aside took: how long no other is tried.

OUTAGE: Final = 8
"""Failures in a row after which nobody is suspected any more: two minutes or so."""

_EXPECTED: Final = 24
# More of them in a row at most, where as many entries are known to fail by themselves.

_MAX_SAMPLES: Final = 100
# Entries taken out of chunks while nothing is accepted. They are joined again afterwards.

_TWICE: Final = 2
_HOLDS: Final = (300.0, 3600.0, 6 * 3600.0)
# Seconds until what may be stored twice already is sent again, while nothing else is accepted.


class Verdict(Enum):
    """What became of a chunk that failed."""

    KEPT = "kept"
    """It is tried again."""
    SET_ASIDE = "set aside"
    """It is an entry that nothing takes, and is tried ever more seldom from now on."""
    GIVEN_UP = "given up"
    """It was such an entry for all its life: the caller drops it."""


class Quarantine:
    """The suspects, and the evidence for or against them. Used by one thread.

    Args:
        lifetime: Seconds that an entry is tried which nothing takes.
        spacing: Least seconds between two tries of entries that are set aside: their share
            of the rate limit.
        clock: Monotonic clock, in seconds.
        rng: For jitter: chunks of several processes that deadlocked must not meet again.
    """

    def __init__(
        self,
        *,
        lifetime: float = 6 * 3600.0,
        spacing: float = 2.0,
        clock: Callable[[], float] = monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._lifetime = lifetime
        self._spacing = spacing
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._trying: Chunk | None = None
        self._suspects: list[Chunk] = []
        self._set_aside: dict[Chunk, None] = {}
        self._next_try = 0.0
        self._none_due_until = 0.0
        self._released_at = 0.0
        self._next_alone = 0.0
        self._evidence = Evidence()
        self._in_a_row = 0
        self._nothing_passes = False
        self._samples = 0
        self._tried_first = False
        self._accepted_before_failure = -1

    def __len__(self) -> int:
        return len(self._suspects) + len(self._set_aside) + (self._trying is not None)

    def __iter__(self) -> Iterator[Chunk]:
        """All suspects, those set aside first."""
        yield from self._set_aside
        yield from self._suspects

    @property
    def latest(self) -> list[Chunk]:
        """Some of the suspects, those that were set aside last first."""
        return [*self._suspects[-MAX_SUSPECTS:], *islice(reversed(self._set_aside), MAX_SUSPECTS)]

    @property
    def lifetime(self) -> float:
        """Seconds that an entry is tried which nothing takes."""
        return self._lifetime

    @property
    def evidence(self) -> Evidence:
        """What happened to requests so far."""
        return self._evidence

    @property
    def set_aside(self) -> tuple[Chunk, ...]:
        """Entries that nothing takes, the oldest first. May be read from any thread."""
        return tuple(self._set_aside.copy())

    @property
    def alone(self) -> tuple[Chunk, ...]:
        """Entries known to fail alone, set aside or not yet. May be read from any thread."""
        return (*self.set_aside, *(chunk for chunk in [*self._suspects] if self.is_known(chunk)))

    @property
    def full(self) -> bool:
        """True if there are so many suspects that they go before other chunks."""
        larger = sum(chunk.count > 1 for chunk in self._suspects)
        most = 1 if self._is_outage else MAX_CHUNKS
        return larger >= most or len(self._suspects) >= MAX_SUSPECTS

    @property
    def is_patient(self) -> bool:
        """True while one chunk is tried again before any other, for the sake of their order."""
        return self._trying is not None

    @property
    def _is_outage(self) -> bool:
        """True if nothing passes, as far as is known: then single entries ask.

        What is sent meanwhile may be stored with each attempt, and silence costs a time-out each.
        """
        return self._nothing_passes or self.looks_like_outage

    # What happened.

    def accepted(self, chunk: Chunk) -> None:
        """The request with `chunk` was accepted."""
        self._in_a_row = self._samples = 0
        if self._nothing_passes:
            self._nothing_passes = False
            for held in filter(self.holds, self._suspects):
                _of(held).not_before = self._clock()
        if chunk.unawaited and self._set_aside:
            # What stopped it may be over for another, and if so for the one after that.
            _of(min(self._set_aside, key=_is_due_at)).not_before = self._next_try = self._clock()
            self._none_due_until = self._clock()
        suspicion = chunk.suspicion
        recovered = suspicion is not None and suspicion.attempts > 0
        self._evidence = replace(
            self._evidence,
            accepted=self._evidence.accepted + 1,
            first_accepted=self._evidence.first_accepted + (not recovered),
            recovered=self._evidence.recovered + recovered,
        )

    def is_about(self, chunk: Chunk) -> bool:
        """True if a failure of `chunk` is not the server's.

        Others were accepted since it failed last, or it has been set aside.
        """
        suspicion = chunk.suspicion
        if chunk.unawaited:
            return True
        return suspicion is not None and self._evidence.accepted > suspicion.accepted_before

    def is_known(self, chunk: Chunk) -> bool:
        """True if it is an entry that failed alone while others were accepted, or is set aside.

        That it fails once more says nothing about the server.
        """
        suspicion = chunk.suspicion
        return chunk.unawaited or (
            suspicion is not None
            and chunk.count == 1
            and suspicion.strikes > 0
            and suspicion.alone > 0
        )

    @property
    def in_a_row(self) -> int:
        """Failures since the last accepted request, those of known entries left out."""
        return self._in_a_row

    @property
    def looks_like_outage(self) -> bool:
        """True if so many failures in a row are not the entries' fault.

        Where many are known to fail by themselves, more like them are no surprise.
        """
        if self._in_a_row < OUTAGE:
            return False
        known = len(self._set_aside) + sum(map(self.is_known, self._suspects))
        return self._in_a_row >= OUTAGE + min(known, _EXPECTED)

    def failed(
        self,
        chunk: Chunk,
        cause: str,
        *,
        patiently: bool = False,
        unclear: bool = False,
        timed_out: bool = False,
    ) -> Verdict:
        """The request with `chunk` failed.

        Args:
            chunk: The chunk. It is kept here, unless it is given up.
            cause: What became of the request, in words that follow "was".
            patiently: Try it a few times more before others are tried.
            unclear: It may be stored all the same.
            timed_out: Its time was over before an answer came.
        """
        suspicion = self.count_failure(chunk, cause, unclear=unclear, timed_out=timed_out)
        if chunk.count == 1:
            suspicion.alone += 1
            if self._is_unwanted(suspicion):
                return self._unwanted(chunk, suspicion)
        if patiently and self._is_to_be_patient(suspicion) and not self.holds(chunk):
            self._trying = chunk
            return Verdict.KEPT
        longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(suspicion.alone, 10))
        delay = longest * self._rng.uniform(0.25, 1.0)
        if self.holds(chunk):
            delay = _HOLDS[min(suspicion.unclear - _TWICE, len(_HOLDS) - 1)]
        suspicion.not_before = self._clock() + delay
        self._suspects.append(chunk)
        return Verdict.KEPT

    def holds(self, chunk: Chunk) -> bool:
        """True if `chunk` may be stored twice already, and nothing was accepted since."""
        suspicion = _of(chunk)
        return suspicion.unclear >= _TWICE and not (suspicion.strikes or self.is_about(chunk))

    def _is_to_be_patient(self, suspicion: Suspicion) -> bool:
        return suspicion.failures < PATIENCE and not (
            suspicion.strikes or self._suspects or self._trying
        )

    def count_failure(
        self, chunk: Chunk, cause: str, *, unclear: bool = False, timed_out: bool = False
    ) -> Suspicion:
        """Note a failure of `chunk` without keeping it."""
        suspicion = chunk.suspicion
        if suspicion is None:
            suspicion = chunk.suspicion = Suspicion(since=self._evidence, began=self._clock())
        elif self._evidence.accepted > suspicion.accepted_before:
            suspicion.strikes += 1
        if suspicion.attempts == 0:
            suspicion.first_failures += 1
            self._evidence = replace(self._evidence, first_failed=self._evidence.first_failed + 1)
        suspicion.accepted_before = self._evidence.accepted
        suspicion.failures += 1
        suspicion.attempts += 1
        suspicion.unanswered += timed_out
        suspicion.cause = cause
        if unclear and not suspicion.strikes:
            self._nothing_passes = True
            suspicion.unclear += 1
        if not self.is_known(chunk):
            self._in_a_row += 1
            self._accepted_before_failure = self._evidence.accepted
        return suspicion

    def _is_unwanted(self, suspicion: Suspicion) -> bool:
        if suspicion.alone < _ALONE or not suspicion.strikes:
            return False
        if suspicion.strikes >= _MANY_STRIKES:
            return True
        accepted = self._evidence.first_accepted - suspicion.since.first_accepted
        failed = self._evidence.first_failed - suspicion.since.first_failed
        others_failed = max(0, failed - suspicion.first_failures)
        # Half a failure is added so that no experience does not mean certainty
        # (the Jeffreys prior of a proportion).
        share = (others_failed + 0.5) / (accepted + others_failed + 1)
        flaky = self._evidence.recovered > suspicion.since.recovered
        limit = _INNOCENT_WHILE_FLAKY if flaky else _INNOCENT
        return bool(share**suspicion.strikes < limit)

    def _unwanted(self, chunk: Chunk, suspicion: Suspicion) -> Verdict:
        if not chunk.unawaited:
            suspicion.began = self._clock()  # its life: what was before may have been an outage
        age = self._clock() - suspicion.began
        if age >= self._lifetime and suspicion.alone >= _LEAST_TRIES:
            return Verdict.GIVEN_UP
        longest = min(_LONGEST_DELAY_SET_ASIDE, _FIRST_DELAY * 2 ** min(suspicion.alone, 20))
        # Not after the end of its life, which is a try, too.
        delay = min(
            longest * self._rng.uniform(0.5, 1.0), max(_LONGEST_DELAY, self._lifetime - age)
        )
        suspicion.not_before = self._clock() + delay
        # A request that nothing answers takes its whole time-out from all others.
        took = self._clock() - self._released_at
        self._next_try = max(self._next_try, self._clock() + _REST * took)
        self._set_aside_until(chunk, suspicion.not_before)
        return Verdict.SET_ASIDE

    def _set_aside_until(self, chunk: Chunk, at: float) -> None:
        self._set_aside[chunk] = None
        self._none_due_until = min(self._none_due_until, at)

    def join(self, join: Callable[[Chunk, Chunk], bool]) -> None:
        """Have suspects against which nothing but an outage speaks travel together again.

        Args:
            join: Appends the second chunk to the first; False if that cannot be.
        """
        joined: list[Chunk] = []
        last: Chunk | None = None
        for chunk in self._suspects:
            innocent = not _of(chunk).strikes
            if innocent and last is not None and join(last, chunk):
                continue
            joined.append(chunk)
            if innocent:
                last = chunk
        self._suspects = joined

    # Whose turn it is.

    def turn(self, *, idle: bool) -> tuple[Chunk, float] | None:
        """The suspect to send next and the seconds until then; None: it is another chunk's turn.

        Args:
            idle: There is no other chunk.
        """
        if self._trying is not None:
            return self._trying, 0.0
        for due in (self._with_evidence(), self._due_set_aside()):
            if due is not None:
                return due, 0.0
        if not (idle or self.full):
            again = self._to_be_tried_again()
            return None if again is None else (again, 0.0)
        now = self._clock()
        eligible = self._suspects
        if self._is_outage:
            # A single entry says best whether anything passes, and costs least.
            singles = self._telling
            untried = [chunk for chunk in singles if _of(chunk).attempts == 0]
            larger = [chunk for chunk in eligible if chunk.count > 1]
            eligible = untried or (larger if self._may_sample else singles) or eligible
        waits = [
            (max(_of(chunk).not_before, self._next_alone if self.is_known(chunk) else 0.0), chunk)
            for chunk in eligible
        ]
        waits += [(max(_of(chunk).not_before, self._next_try), chunk) for chunk in self._set_aside]
        if not waits:
            return None
        at, chunk = min(waits, key=lambda waiting: waiting[0])
        return chunk, max(0.0, at - now)

    def _to_be_tried_again(self) -> Chunk | None:
        """In what looks like an outage, a single entry that failed in it.

        The outage it was may be over, and all that waits be disliked. What may be stored already
        waits for that to be known.
        """
        if not self._is_outage:
            return None
        now = self._clock()
        due = [one for one in self._telling if _of(one).not_before <= now and not self.holds(one)]
        return min(due, key=_is_due_at, default=None)

    def _with_evidence(self) -> Chunk | None:
        """A suspect that is due, and after whose failure something else was accepted.

        What is being bisected comes first, the smallest part before all: it is on the way to
        a single entry, most of which are innocent. It need not wait for others to be accepted
        until the failures look like an outage. A suspect of any other kind comes only after
        something was accepted since any of them failed, so that many do not look like one.
        """
        now, accepted = self._clock(), self._evidence.accepted
        due = [chunk for chunk in self._suspects if _of(chunk).not_before <= now]
        if not self.looks_like_outage:
            bisected = [chunk for chunk in due if _is_bisected(chunk)]
            if bisected:
                return min(bisected, key=lambda chunk: chunk.count)
        if accepted > self._accepted_before_failure:
            for chunk in due:
                if accepted > _of(chunk).accepted_before:
                    return chunk
        return None

    def _due_set_aside(self) -> Chunk | None:
        now = self._clock()
        if now < max(self._next_try, self._none_due_until):
            return None
        for chunk in self._set_aside:
            suspicion = _of(chunk)
            if suspicion.not_before <= now and self._evidence.accepted > suspicion.accepted_before:
                return chunk
        self._none_due_until = min(map(_is_due_at, self._set_aside), default=now)
        return None

    def release(self, chunk: Chunk) -> None:
        """`chunk` is being sent, or is gone."""
        self._released_at = self._clock()
        if chunk is self._trying:
            self._trying = None
        elif chunk in self._set_aside:
            del self._set_aside[chunk]
            self._next_try = self._clock() + self._spacing
        else:
            self._suspects.remove(chunk)
            if self.is_known(chunk) and not self.is_about(chunk):
                # It learns nothing from this try, and could go on for ever.
                self._next_alone = self._clock() + _LONGEST_DELAY

    def keep(self, chunk: Chunk) -> None:
        """Hold a suspect about which nothing new is known: half of one, or an answer of no use."""
        suspicion = _of(chunk)
        if chunk.unawaited or self._is_unwanted(suspicion):
            suspicion.not_before = self._clock() + _LONGEST_DELAY * self._rng.uniform(0.5, 1.0)
            self._set_aside_until(chunk, suspicion.not_before)
        elif suspicion.attempts > 0 and self._is_to_be_patient(suspicion):
            self._trying = chunk
        else:
            self._suspects.insert(0, chunk)

    def parts(self, chunk: Chunk) -> list[Chunk] | None:
        """What a suspect is to be taken apart into now; None if it should be sent whole.

        With evidence against it, it is bisected. Without any (nothing else was accepted,
        perhaps as nothing else is there), one entry is taken out of it to be sent alone,
        which says whether anything passes at all. An outage must not turn every chunk into
        a hundred requests.
        """
        suspicion = _of(chunk)
        if chunk.count == 1:
            return None
        if self._wants_sample(suspicion):
            self._samples += 1
            return self._sample(chunk, self._rng.randrange(chunk.count))
        # Sent whole, what nothing answered might be stored once more, and cost another time-out.
        unanswered = suspicion.unanswered and self.is_about(chunk)
        if suspicion.attempts > 0 and (suspicion.strikes > 0 or unanswered):
            middle = chunk.count // 2
            return _taken_apart(chunk, slice(0, middle), slice(middle, None))
        return None  # a half that may well be innocent is sent whole first

    def first_sample(self, chunk: Chunk, *, only: bool = False) -> list[Chunk] | None:
        """What a chunk that was not tried yet is to be taken apart into; None: it is sent whole.

        In what looks like an outage it is no more than an entry of it that asks whether anything
        passes: all that is suspected may be disliked, for ever, and this not.

        Args:
            chunk: The chunk.
            only: There is no other.
        """
        if not self.looks_like_outage or chunk.count == 1 or chunk.suspicion is not None:
            return None
        # The oldest, so that order is kept if it passes, or what is logged now. Where there is no
        # other chunk, each in turn: what is disliked may be a row at either end.
        at = 0 if only and not self._tried_first else chunk.count - 1
        self._tried_first = at == 0
        return _taken_apart(chunk, slice(at, at + 1), slice(0, at), slice(at + 1, None))

    def _sample(self, chunk: Chunk, at: int) -> list[Chunk]:
        suspicion = _of(chunk)
        parts = _taken_apart(chunk, slice(at, at + 1), slice(0, at), slice(at + 1, None))
        if suspicion.unanswered:
            parts[1].suspicion = replace(suspicion)  # it is the same still, but for one entry
        _of(parts[1]).not_before = self._clock()  # the next one is of another chunk
        return parts

    def _wants_sample(self, suspicion: Suspicion) -> bool:
        if not self._may_sample:
            return False
        if self.looks_like_outage:
            return True
        # Whole, it might be stored with each try: by a gateway that loses each answer. What the
        # server answers 500 is not, and passes the second time more often than not.
        alike = not suspicion.strikes and self._evidence.accepted == suspicion.accepted_before
        return alike and (suspicion.failures >= 2 or self._nothing_passes)

    @property
    def _telling(self) -> list[Chunk]:
        """Single entries that say whether anything passes: not those that are known to fail."""
        return [one for one in self._suspects if one.count == 1 and not self.is_known(one)]

    @property
    def _may_sample(self) -> bool:
        # Another one each time, or one would be stored with each try of a long outage.
        if self._samples < min(_MAX_SAMPLES, self._in_a_row):
            return True
        # All that were taken out are known to fail: the next one need not be.
        return self.looks_like_outage and not self._telling


def _taken_apart(chunk: Chunk, *places: slice) -> list[Chunk]:
    entries = chunk.entries()
    first, *rest = (entries[place] for place in places)
    parts = [Chunk.of_entries(first), Chunk.of_entries([one for part in rest for one in part])]
    for part in parts:
        part.suspicion = chunk.suspicion and chunk.suspicion.heir()
    return parts


def _is_bisected(chunk: Chunk) -> bool:
    suspicion = _of(chunk)
    return suspicion.strikes > 0 and (chunk.count > 1 or suspicion.attempts == 0)


def _is_due_at(chunk: Chunk) -> float:
    return _of(chunk).not_before


def _of(chunk: Chunk) -> Suspicion:
    suspicion = chunk.suspicion
    assert suspicion is not None  # noqa: S101 - only suspects are kept here
    return suspicion
