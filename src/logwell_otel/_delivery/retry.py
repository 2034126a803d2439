"""How long to wait after a failure: exponential backoff with full jitter, and the breaker.

After a few failures in a row the breaker opens: a server that is down costs one probe an
interval from then on. Full jitter, because delays drawn from the whole range collide least
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

from __future__ import annotations

import datetime as dt
import email.utils
import math
import random
import re
from typing import TYPE_CHECKING, Final, Literal

from logwell_otel._clock import monotonic, wall_clock

if TYPE_CHECKING:
    from collections.abc import Callable

BreakerState = Literal["closed", "open", "half-open"]

BASE_DELAY = 0.5
"""Seconds: the longest wait after the first failure. It doubles with each one."""

MAX_DELAY = 30.0
"""Seconds: the longest wait while the breaker is closed."""

MIN_DELAY = 0.05
"""Seconds: the shortest wait. Full jitter alone may draw 0, time and again."""

MAX_RETRY_AFTER = 3600.0
"""Seconds a `Retry-After` can stop us for. A proxy that answers with next year's date
would otherwise end delivery until the process restarts."""

_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]+)?")

_JITTER = 0.1
# Of a wait that is the same for everybody, and at least a second: without it all processes
# would come back in the same instant.


def full_jitter(failures: int, rng: random.Random) -> float:
    """Seconds to wait after that many failures in a row.

    Args:
        failures: At least 1.
        rng: Source of the jitter.

    Returns:
        Anything from `MIN_DELAY` to `BASE_DELAY` doubled with each failure, at most
        `MAX_DELAY`.
    """
    # ldexp overflows at about 1,000 failures, which an outage of a day can reach.
    longest = min(MAX_DELAY, math.ldexp(BASE_DELAY, min(failures - 1, 64)))
    return max(MIN_DELAY, rng.uniform(0.0, longest))


def spread(seconds: float, rng: random.Random) -> float:
    """A wait of at least `seconds`, and up to a tenth (at least 1 s) longer."""
    return seconds + rng.uniform(0.0, max(1.0, _JITTER * seconds))


def retry_after(value: str | None, now: Callable[[], float] = wall_clock) -> float | None:
    """Seconds of a Retry-After header, which is a number of seconds or a date (RFC 9110).

    None where there is none or it cannot be read, as a negative number; 0 for a date that
    is over; at most an hour.
    """
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        seconds = float(value)
    else:
        try:
            date = email.utils.parsedate_to_datetime(value)
            # HTTP's dates are in GMT; one without a zone is not local time.
            aware = date if date.tzinfo else date.replace(tzinfo=dt.timezone.utc)
            seconds = aware.timestamp() - now()
        except (TypeError, ValueError, OverflowError, IndexError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def valid_retry_after(seconds: float | None) -> float | None:
    """What a server's `Retry-After` asks for, as far as it makes sense.

    Args:
        seconds: As parsed; None where the server gave none.

    Returns:
        At most `MAX_RETRY_AFTER`; None for nothing, negative numbers and NaN.
    """
    if seconds is None or not seconds >= 0:
        return None
    return min(seconds, MAX_RETRY_AFTER)


class RequestTimeout:
    """Seconds a request may take: more, where the server may be slower than that.

    A request whose time is over may have been carried out all the same. Sent again with the
    same time-out it would be stored again, time after time; with a longer one it is answered.
    But a firewall that swallows one line costs all of it, and everything waits meanwhile.
    So once other requests are answered in time, it is granted for the sake of one chunk only,
    and for ten minutes for no other where that was in vain.

    Args:
        seconds: As the settings have it.
        clock: Monotonic clock, in seconds.

    Attributes:
        usual: As the settings have it.
        longer: What a request gets for whose sake it is worth it.
        seconds: What the next request gets about which nothing is known.
    """

    _LONGER: Final = 6.0
    _AT_LEAST: Final = 30.0
    _AT_MOST: Final = 300.0
    _UNANSWERED: Final = 4
    # Requests in a row after which only the longest is left to try. Each but the first is of one
    # entry: that so many are swallowed by chance is rare.
    _IN_VAIN: Final = 600.0

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self.usual = seconds
        self.longer = max(seconds, min(max(seconds * self._LONGER, self._AT_LEAST), self._AT_MOST))
        self.seconds = seconds
        self._longest = max(seconds, self._AT_MOST)
        self._clock = clock
        self._late_until = float("-inf")
        self._unanswered = 0
        self._worth_it_at = float("-inf")

    @property
    def overdue(self) -> bool:
        """True after a request that was sent and not answered in time, until one is."""
        return self.seconds != self.usual

    @property
    def late(self) -> bool:
        """True if answers have come of late, but after the usual time-out."""
        return self._clock() < self._late_until

    @property
    def worth_it(self) -> bool:
        """True if a request gets the longer one although others are answered in time."""
        return self._clock() >= self._worth_it_at

    def of_question(self, number: int) -> float:
        """Seconds for a request without entries, the how manieth since an answer came.

        The usual in turn with more: the server may be slow with these as well, or nothing comes
        through, and then what asks for long is slow to find out that something does again.
        """
        if not self.overdue or number % 2 == 0:
            return self.usual
        return self._longest if number % 8 == 3 else self.longer

    def question_answered(self, seconds: float) -> None:
        """It was answered, after so many seconds: entries take no less."""
        if seconds >= self.longer:
            self.seconds = self._longest

    def exceeded(self) -> bool:
        """A request was sent, and not answered in time; True the first time."""
        first = not self.overdue
        self._unanswered += 1
        self.seconds = self.longer
        if self._unanswered >= self._UNANSWERED:
            self.seconds = self._longest
        return first and self.overdue

    def in_vain(self) -> None:
        """Nor was one answered in the longer one, while others are in time."""
        self._worth_it_at = self._clock() + self._IN_VAIN

    def answered(self, seconds: float) -> None:
        """A request was answered after so many seconds."""
        self._unanswered = 0
        if seconds < self.usual:
            self.seconds = self.usual
            return
        self._late_until = self._clock() + self._IN_VAIN
        if seconds < self.longer:
            self.seconds = self.longer


class LostAnswers:
    """Whether answers come back, once a request was not answered by the server.

    It may have been carried out all the same. Something may go on like that for hours, and each
    entry that finds out whether it still does is stored once more. So a request without entries
    finds out: it takes the same way, stores nothing, and the server answers it with an error of
    its own. Until such an answer has come no entry is sent; or an hour, then two, four and so
    on, in case something lets through what has entries, and nothing else.

    Where such answers come and those to entries do not, entries find out, one at a time and
    ever more seldom.

    Args:
        clock: Monotonic clock, in seconds.
    """

    _AN_HOUR: Final = 3600.0
    _QUIET: Final = 8
    # Lost answers in a row after which it takes longer than the breaker's interval.
    _FIRST_PAUSE: Final = 60.0
    _LONGEST_PAUSE: Final = 300.0

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._asks = False
        self._wait = self._AN_HOUR
        self._ask_until = float("-inf")
        self._in_a_row = 0
        self._asked = 0

    @property
    def asks(self) -> bool:
        """True if the next request is to be one without entries."""
        return self._asks and self._clock() < self._ask_until

    @property
    def pause(self) -> float | None:
        """Seconds until the next try, None for what is usual."""
        more = self._in_a_row - self._QUIET
        return min(self._LONGEST_PAUSE, self._FIRST_PAUSE * 2 ** min(more, 8)) if more > 0 else None

    def ask(self) -> int:
        """The next question is asked; gives how many there were since an answer came, with it."""
        self._asked += 1
        return self._asked

    def lost(self) -> None:
        """A request with entries was sent, and the server's answer did not come."""
        if self._asks:
            self._wait *= 2
        self._asks = True
        self._ask_until = self._clock() + self._wait
        self._in_a_row += 1

    def came(self, *, accepted: bool = False) -> None:
        """An answer of the server's came; `accepted`: to a request with entries."""
        self._asks = False
        self._asked = 0
        self._wait = self._AN_HOUR
        if accepted:
            self._in_a_row = 0


class Breaker:
    """Says when to try again after failures, and how often to knock at a dead server.

    - `closed`: the server is believed well. Failures are retried with backoff.
    - `open`: `threshold` failures in a row. Nothing is sent until the next probe is due.
    - `half-open`: one request may go, as the probe. It closes the breaker or opens it again.

    It never sleeps and takes no lock: one thread calls `failed`, `succeeded` and
    `expedite`. The properties may be read from any thread.

    Args:
        threshold: Failures in a row that open the breaker.
        probe_interval: Least seconds between two probes; jitter adds up to a tenth.
        clock: Seconds, monotonic.
        rng: Source of the jitter.

    Raises:
        ValueError: `threshold` is below 1 or `probe_interval` not a positive number.
    """

    def __init__(
        self,
        *,
        threshold: int = 5,
        probe_interval: float = 30.0,
        clock: Callable[[], float] = monotonic,
        rng: random.Random | None = None,
    ) -> None:
        if threshold < 1:
            raise ValueError(f"a breaker needs a threshold of at least 1, not {threshold!r}")
        if not 0 < probe_interval < math.inf:
            raise ValueError(
                f"a breaker needs a positive, finite probe interval, not {probe_interval!r}"
            )
        self._threshold = threshold
        self._probe_interval = probe_interval
        self._clock = clock
        # Spreads load; nothing secret depends on it.
        self._rng = rng if rng is not None else random.Random()  # noqa: S311
        self._failures = 0
        self._open = False
        self._ready_at: float | None = None

    @property
    def state(self) -> BreakerState:
        """`closed`, `open` or `half-open`."""
        if not self._open:
            return "closed"
        return "open" if self.ready_in() > 0 else "half-open"

    @property
    def consecutive_failures(self) -> int:
        """Failures since the last success."""
        return self._failures

    def ready_in(self) -> float:
        """Seconds until the next request may go; 0.0 when it may go now."""
        ready_at = self._ready_at  # read once: health() asks from another thread
        return 0.0 if ready_at is None else max(0.0, ready_at - self._clock())

    def failed(self, retry_after: float | None = None, *, down: bool = False) -> None:
        """A request got no answer, or one that says the server is in trouble.

        Args:
            retry_after: Seconds the server asked to wait: the least wait, up to
                `MAX_RETRY_AFTER`. None where it did not say.
            down: The server is known to be down; the breaker opens at once.
        """
        self._failures += 1
        self._open = self._open or down or self._failures >= self._threshold
        if self._open:
            wait = spread(self._probe_interval, self._rng)
        else:
            wait = full_jitter(self._failures, self._rng)
        asked = valid_retry_after(retry_after)
        if asked is not None:
            wait = max(wait, spread(asked, self._rng))
        self._ready_at = self._clock() + wait

    def succeeded(self) -> None:
        """The server took a request: nothing to wait for."""
        self._failures = 0
        self._open = False
        self._ready_at = None

    def expedite(self) -> None:
        """Skip the wait once, a `Retry-After` included.

        For a flush or a shutdown, which may make one attempt whatever the state. If it
        fails, the next wait is as long as any other.
        """
        self._ready_at = None

    def __repr__(self) -> str:
        waits = f", next try in {self.ready_in():.1f} s" if self.ready_in() else ""
        return f"<Breaker {self.state}, {self._failures} failures in a row{waits}>"
