"""How fast requests may go, so that all processes of a project share the server's rate limit.

The server has one token bucket a project, filled at an even rate, and says nothing about
who else draws from it; `Retry-After` is always 60, whatever the wait really is. So a pace
learns its share from refusals alone: a 429 halves it, success brings it back along a
cubic curve (CUBIC, https://www.rfc-editor.org/rfc/rfc9438#section-4.2). `docs/pacing.md`
has the reasoning and the measurements.
"""

from __future__ import annotations

import math
import random
from collections import deque
from typing import TYPE_CHECKING, Final

from logwell_otel._clock import monotonic
from logwell_otel._delivery.retry import spread, valid_retry_after

if TYPE_CHECKING:
    from collections.abc import Callable


DEFAULT_REQUESTS_PER_MINUTE = 600.0
"""The server's own default: a burst of 600, then one request every 0.1 s."""

_SLOWEST = 1.0
# Requests a minute. Below it a record would wait longer than the server's own Retry-After.

_MARGIN = 0.99
# Of the configured burst. Requests arrive later than they leave, by an uneven time, and two
# clocks never run alike: matching the server's bucket to the last token would earn a 429,
# and with it a minute's pause, for nothing.

_PLATEAU = 0.85
# Of what was sent in the minute before a 429: where the curve is flat. Below 1, because
# the sum of what all were sending just then was too much.

_CURVE = 5e-6
# Steepness: requests a minute gained, as a share of the configured pace, by t minutes from
# the plateau is _CURVE * t**3. A process with a fiftieth of the bucket is back on its
# plateau after 11 minutes and tries 20 % more after 20.

_MEMORY = 0.7
# Of the plateau that stays when a 429 comes before it was reached again. Refusals hit at
# random: without it, two close together would set an unlucky process back by twenty minutes.

_HASTE = 5.0
# How many times faster the curve runs while our share is still unknown.

_STEADY_SECONDS = 30.0
# Sends spread over this long say what our share is; a burst of a second does not.


class Pace:
    """Says when the next request may go, and learns from how the server answers.

    A token bucket that starts full (a burst goes out at once) and whose rate adapts.
    It never sleeps and takes no lock: one thread drives it with

        while pace.ready_in() > 0: wait
        pace.take()
        … post …
        pace.accepted()  or  pace.rate_limited(retry_after)

    An answer of another kind, or none, needs no call: it teaches nothing about the limit. A
    failure that does not look like an outage has `failed_once` called.
    `rate` and `paused_for` may be read from any thread.

    Args:
        requests_per_minute: The pace never exceeded, and the one believed in at first.
        requests_per_hour: A second limit beside it, which does not adapt; None for none.
            As with the minute, a full allowance may go at once.
        clock: Seconds, monotonic.
        rng: Source of the jitter.

    Raises:
        ValueError: A limit is not a positive number.
    """

    def __init__(
        self,
        requests_per_minute: float = DEFAULT_REQUESTS_PER_MINUTE,
        requests_per_hour: float | None = None,
        *,
        clock: Callable[[], float] = monotonic,
        rng: random.Random | None = None,
    ) -> None:
        for limit in (requests_per_minute, requests_per_hour):
            if limit is not None and not 0 < limit < math.inf:
                raise ValueError(f"a pace needs a positive, finite limit, not {limit!r}")
        now = clock()
        self._clock = clock
        # Spreads load; nothing secret depends on it.
        self._rng = rng if rng is not None else random.Random()  # noqa: S311
        self._max_rate = float(requests_per_minute)
        self._rate = self._max_rate
        self._minute = TokenBucket(self._burst(), self._rate / 60, now)
        self._hour = (
            None
            if requests_per_hour is None
            else TokenBucket(requests_per_hour, requests_per_hour / 3600, now)
        )
        self._resume_at = now
        self._sent: deque[float] = deque()  # send times of the last minute, pauses left out
        self._curve: RecoveryCurve | None = None  # None: nothing limits us but the configured pace
        self._curve_seconds = 0.0
        self._well_since: float | None = now  # None: a request went unanswered or failed
        self._awaiting = False
        self._refused = False  # the last word on our pace was a 429

    @property
    def rate(self) -> float:
        """The current pace in requests a minute."""
        return self._rate

    @property
    def paused_for(self) -> float:
        """Seconds left of the pause that a 429 asked for, 0.0 when there is none."""
        return max(0.0, self._resume_at - self._clock())

    def ready_in(self) -> float:
        """Seconds until the next request may go; 0.0 when it may go now."""
        now = self._clock()
        wait = self._minute.ready_in(now)  # knows of a pause: it is empty until its end
        return wait if self._hour is None else max(wait, self._hour.ready_in(now))

    def take(self) -> None:
        """A request goes out now.

        Not refused when `ready_in()` is above 0: the one attempt at shutdown goes out
        during a pause. What it takes then is missing later.
        """
        now = self._clock()
        self._minute.take(now)
        if self._hour is not None:
            self._hour.take(now)
        self._sent.append(now)
        self._forget_before(now - 60)
        if self._awaiting:
            self._well_since = None
        self._awaiting = True

    def accepted(self) -> None:
        """The server took the request: the pace rises along its curve.

        Time counts while requests are accepted one after the other, however far apart: an
        hour of few records is an hour in which nobody was refused. Time with failures in
        it does not: after an outage, processes resume at the pace at which they left off.
        """
        now = self._clock()
        if self._curve is not None:
            if self._well_since is not None:
                self._curve_seconds += max(0.0, now - self._well_since)
            self._set_rate(max(self._rate, self._curve.rate_at(self._curve_seconds)), now)
            if self._rate == self._max_rate:
                self._curve = None
        self._well_since = now
        self._awaiting = self._refused = False

    def failed_once(self) -> None:
        """The request failed, and that is no outage yet: time counts on if another is accepted."""
        self._awaiting = False

    def rate_limited(self, retry_after: float | None) -> None:
        """The server answered 429: pause, then go on at half of what was really sent.

        Args:
            retry_after: Seconds the server asked to wait: the least pause, up to
                `retry.MAX_RETRY_AFTER`. None where it did not say; the pause is then
                at least the time between two requests at the new pace.
        """
        now = self._clock()
        # Refused again before anything was accepted: our pace was not tried in between,
        # so it is not to blame. Another pause, no other halving.
        if not self._refused:
            self._slow_down(now)
        self._refused = True

        asked = valid_retry_after(retry_after)
        pause = spread(60.0 / self._rate if asked is None else asked, self._rng)
        resume_at = max(self._resume_at, now + pause)
        # The window skips the pause. A 429 soon after it would otherwise find a minute in
        # which nothing was sent, and halve that.
        skipped = resume_at - max(self._resume_at, now)
        self._sent = deque(sent_at + skipped for sent_at in self._sent)
        self._resume_at = resume_at
        # One request may go when the pause ends; nothing gathers meanwhile.
        self._minute.restart(resume_at, tokens=1.0)
        self._well_since = resume_at
        self._awaiting = False

    def _slow_down(self, now: float) -> None:
        self._forget_before(now - 60)
        share = min(self._rate, float(len(self._sent)))
        # Whether we know our share now. A burst shows only what was left in the server's
        # bucket; a minute at an even pace, or at the pace set after an earlier 429, shows
        # what there is to have.
        spread_out = bool(self._sent) and now - self._sent[0] >= _STEADY_SECONDS
        known = spread_out or (self._curve is not None and 2 * share >= self._rate)
        plateau = _PLATEAU * share
        if self._curve is not None and not self._curve.is_back(self._curve_seconds):
            plateau = max(plateau, _MEMORY * self._curve.plateau)
        slowest = min(_SLOWEST, self._max_rate)
        self._set_rate(min(self._rate, max(slowest, share / 2)), now)
        self._curve = RecoveryCurve(
            start=self._rate,
            plateau=max(self._rate, plateau),
            steepness=_CURVE * self._max_rate * (1.0 if known else _HASTE**3),
        )
        self._curve_seconds = 0.0

    def _forget_before(self, instant: float) -> None:
        while self._sent and self._sent[0] <= instant:
            self._sent.popleft()

    def _set_rate(self, rate: float, now: float) -> None:
        self._rate = min(self._max_rate, rate)
        self._minute.change(self._burst(), self._rate / 60, now)

    def _burst(self) -> float:
        # A minute's worth at the configured pace, as the server's own bucket; less by the
        # square below it. At a fiftieth of the bucket no burst is left: it would have to
        # come out of what the other processes are sending.
        return max(1.0, _MARGIN * self._rate**2 / self._max_rate)

    def __repr__(self) -> str:
        paused = f", paused for {self.paused_for:.1f} s" if self.paused_for else ""
        return f"<Pace {self._rate:.1f} of {self._max_rate:.1f} requests/min{paused}>"


# A token bucket: how many requests may go at once, and how soon the next one.


_ROUNDING_SECONDS: Final = 1e-6


class TokenBucket:
    """Starts full and is filled at an even rate.

    Args:
        capacity: Tokens it holds at most; at least one.
        per_second: Tokens it gains.
        now: Seconds of the clock that all calls go by.
    """

    def __init__(self, capacity: float, per_second: float, now: float) -> None:
        self._capacity = max(1.0, capacity)
        self._per_second = per_second
        self._tokens = self._capacity
        self._filled_at = now

    def ready_in(self, now: float) -> float:
        """Seconds until there is a token."""
        self._fill(now)
        begins_in = max(0.0, self._filled_at - now)
        wait = (1.0 - self._tokens) / self._per_second
        # Rounding: waiting for exactly what is missing must not leave a rest to wait for. The
        # step of a clock that has run for years is 1e-8 s.
        return begins_in + (wait if wait > _ROUNDING_SECONDS else 0.0)

    def take(self, now: float) -> None:
        """Take a token, whether there is one or not: what is missing must be made up for."""
        self._fill(now)
        self._tokens -= 1.0

    def change(self, capacity: float, per_second: float, now: float) -> None:
        """Go on with another size and rate."""
        self._fill(now)
        self._capacity = capacity
        self._per_second = per_second

    def restart(self, at: float, *, tokens: float) -> None:
        """Hold `tokens` at the moment `at`, which may lie ahead, and fill from there."""
        self._tokens = tokens
        self._filled_at = at

    def _fill(self, now: float) -> None:
        elapsed = now - self._filled_at
        if elapsed > 0:
            self._tokens = min(self._capacity, self._tokens + elapsed * self._per_second)
            self._filled_at = now


# How a pace comes back after a 429: a cubic curve, as CUBIC's for TCP.
#
# https://www.rfc-editor.org/rfc/rfc9438#section-4.2


class RecoveryCurve:
    """The way back after a 429: fast at first, flat near the last known share, then faster.

    Args:
        start: Requests a minute at second 0.
        plateau: Requests a minute where the curve is flat; not below `start`.
        steepness: Requests a minute gained in the first minute from the plateau.
    """

    def __init__(self, *, start: float, plateau: float, steepness: float) -> None:
        self.plateau = plateau
        self._steepness = steepness
        self._minutes_to_plateau: float = ((plateau - start) / steepness) ** (1 / 3)

    def rate_at(self, seconds: float) -> float:
        """Requests a minute at that second."""
        minutes: float = seconds / 60 - self._minutes_to_plateau
        return self.plateau + self._steepness * minutes**3

    def is_back(self, seconds: float) -> bool:
        """Whether the plateau was reached by that second."""
        return seconds / 60 >= self._minutes_to_plateau
