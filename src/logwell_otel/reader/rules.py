"""Rules: what a rules file says, checked whole, and when a rule fires.

Nothing here asks a server or a clock. A rule's state moves by the rows and the times that it
is given, so that what a test of yesterday says is what would have happened.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right, insort
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from logwell_otel._config.secrets import Headers, Secret
from logwell_otel.reader.filters import Filter, iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logwell_otel.reader.rows import LogRow

LATE: Final = 300.0
"""Seconds by which a row may come late and still be counted with those of its time."""

MOST_COUNTED: Final = 10_000
"""The highest threshold, and how many rows beyond it are remembered during a silence."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DEFAULT_SILENCE: Final = 900.0
_MOST_KNOWN: Final = 2_000
_MOST_SAMPLES: Final = 5
_LONGEST_TEXT: Final = 500


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """When a rule fires.

    Attributes:
        kind: `count`, `rate`, `new_incident` or `absence`.
        count: So many rows; a rate is as many as it makes in the window.
        window: Within so many seconds; without end for new incidents.
    """

    kind: Literal["count", "rate", "new_incident", "absence"]
    count: int = 1
    window: float = math.inf


class WebhookUrl(Secret):
    """Where a webhook goes. Whoever knows it can post there: only its host is ever shown."""

    __slots__ = ("_url", "shown")

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = url
        self.shown: str = f"{parts.scheme}://{parts.hostname}"

    def reveal(self) -> str:
        """The URL itself: for the request only."""
        return self._url

    def secrets(self) -> Iterator[str]:
        """What must not be shown."""
        parts = urlsplit(self._url)
        yield from (self._url, parts.path, parts.query, parts.username or "", parts.password or "")
        yield from (part for part in parts.path.split("/") if len(part) >= 8)

    def __repr__(self) -> str:
        return f"<WebhookUrl {self.shown}>"


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Post a firing as JSON.

    Attributes:
        url: Where to.
        slack: Its `text` alone, as Slack's incoming webhooks have it.
        headers: Further headers.
    """

    url: WebhookUrl
    slack: bool = False
    headers: Headers

    def __str__(self) -> str:
        return f"webhook {self.url.shown}"


class Command(msgspec.Struct, frozen=True):
    """Start a program, without a shell, with a firing as JSON on its standard input."""

    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"command {self.arguments[0]}"


class LogLine(msgspec.Struct, frozen=True):
    """Write a firing as one line."""

    def __str__(self) -> str:
        return "log line"


Action = Webhook | Command | LogLine


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for, when to fire, and what to do then.

    Attributes:
        name: Of the rule, unique in its file.
        filter: Which rows count.
        condition: How many of them make it fire.
        silence: Seconds for which it does not fire again.
        actions: What is done.
    """

    name: str
    filter: Filter
    condition: Condition
    silence: float = _DEFAULT_SILENCE
    actions: tuple[Action, ...] = (LogLine(),)

    @property
    def fingerprint(self) -> str:
        """Changes when what it looks for does: a state of another question is of no use."""
        return _digest(repr((self.filter, self.condition)))


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row as an action gets it: what identifies it, without its attributes.

    Those may be long, and hold what should not leave for somebody else's server.
    """

    id: str
    timestamp: str
    level: str
    message: str
    service: str | None = None
    source: str | None = None
    trace_id: str | None = None
    request_id: str | None = None
    incident_id: str | None = None

    @classmethod
    def of(cls, row: LogRow) -> Sample:
        """That of a row."""
        source = f"{row.source_file}:{row.line_number or ''}" if row.source_file else None
        return cls(
            id=row.id,
            timestamp=row.timestamp,
            level=row.level,
            message=_short(row.message),
            service=row.service_name,
            source=source,
            trace_id=row.trace_id,
            request_id=row.request_id,
            incident_id=row.incident_id,
        )


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """A rule has fired.

    Attributes:
        id: The same for the same firing, however often it is told.
        rule: The rule's name.
        condition: Its kind.
        at: When, in seconds since 1970.
        count: How many rows made it fire.
        said: That, in words.
        samples: The newest of those rows, the newest last.
    """

    id: str
    rule: str
    condition: str
    at: float
    count: int
    said: str
    samples: tuple[Sample, ...] = ()

    @property
    def time(self) -> str:
        """`at` as ISO 8601 in UTC."""
        return iso(moment_at(self.at))

    @property
    def described(self) -> str:
        """What happened, and the newest row, in one line that no terminal acts on."""
        if not self.samples:
            return self.said
        newest = self.samples[-1]
        place = "".join(f" ({one})" for one in (newest.service, newest.source) if one)
        first, *_ = newest.message.splitlines() or [""]
        text = f"{self.said}: {first}{place}"
        return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)

    @property
    def text(self) -> str:
        """The rule and what happened, in one line for people."""
        return f"{self.rule}: {self.described}"

    def payload(self) -> dict[str, Any]:
        """What an action gets."""
        return {
            "id": self.id,
            "rule": self.rule,
            "condition": self.condition,
            "at": self.time,
            "count": self.count,
            "summary": self.said,
            "entries": list(self.samples),
            "text": self.slack_text,
        }

    @property
    def slack_text(self) -> str:
        """`text` with what Slack reads as markup escaped: a message must not call a channel."""
        return self.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class RuleState(msgspec.Struct, kw_only=True):
    """How far a rule is. All times are seconds since 1970.

    Attributes:
        clock: It has been evaluated until then.
        floor: Incidents first seen until then are not new.
        last_hit: The newest row that counts, at first the start.
        silenced_until: It does not fire before.
        hits: Times of rows since it last fired, sorted.
        samples: The newest of those rows.
        known: New incidents that have counted, and when they were first seen.
    """

    clock: float
    floor: float
    last_hit: float
    silenced_until: float = 0.0
    hits: list[float] = []
    samples: list[Sample] = []
    known: dict[str, float] = {}

    @classmethod
    def begin(cls, at: float) -> RuleState:
        """That of a rule which looks at nothing before `at`."""
        return cls(clock=at, floor=at, last_hit=at)


class Evaluation:
    """A rule and its state.

    Args:
        rule: The rule.
        state: Changed in place.
    """

    def __init__(self, rule: Rule, state: RuleState) -> None:
        self.rule = rule
        self.state = state
        self._absence = rule.condition.kind == "absence"

    def see(self, row: LogRow, at: float, first_seen: float | None = None) -> list[Firing]:
        """A row; those before it in time come first, but for late ones.

        Args:
            row: It may be one that does not count.
            at: Its time.
            first_seen: That of its incident, for a rule that asks for new ones.
        """
        if not self.rule.filter.matches_all(row):
            return []
        if self.rule.condition.kind == "new_incident" and not self._is_new(row, first_seen):
            return []
        firings = self.advance(at)
        state = self.state
        state.last_hit = max(state.last_hit, at)
        if self._absence:
            return firings
        insort(state.hits, at)
        state.samples = [*state.samples, Sample.of(row)][-_MOST_SAMPLES:]
        self._forget()
        if state.clock >= state.silenced_until and self._reached_around(at):
            firings.append(self._fire(state.clock))
        return firings

    def advance(self, until: float) -> list[Firing]:
        """Time has come to `until`, and all rows until then have been seen."""
        state, condition = self.state, self.rule.condition
        firings = []
        if self._absence:
            while True:
                due = max(state.last_hit + condition.window, state.silenced_until)
                if due > until:
                    break
                firings.append(self._fire(due))
        elif state.clock < state.silenced_until <= until:
            # What came during the silence counts if it is still enough when that ends.
            hits, needed = state.hits, condition.count
            oldest = state.silenced_until - condition.window
            if len(hits) >= needed and hits[-needed] > oldest:
                firings.append(self._fire(state.silenced_until))
        state.clock = max(state.clock, until)
        return firings

    def set_back(self, now: float) -> None:
        """Our clock was set back to `now`: nothing of the state stays in its future."""
        state = self.state
        state.clock, state.last_hit = min(state.clock, now), min(state.last_hit, now)
        state.silenced_until = min(state.silenced_until, now + self.rule.silence)
        state.hits = [hit for hit in state.hits if hit <= now]

    def _is_new(self, row: LogRow, first_seen: float | None) -> bool:
        state = self.state
        if row.incident_id is None or row.incident_id in state.known:
            return False
        first = row.time.timestamp() if first_seen is None else first_seen
        if first < state.floor:
            return False
        state.known[row.incident_id] = first
        if len(state.known) > _MOST_KNOWN:
            oldest = min(state.known, key=state.known.__getitem__)
            # What is forgotten is old from now on, and so fires no second time.
            state.floor = math.nextafter(state.known.pop(oldest), math.inf)
        return True

    def _reached_around(self, at: float) -> bool:
        """Whether a window with the row of time `at` in it has enough rows."""
        hits, condition = self.state.hits, self.rule.condition
        needed = condition.count
        place = bisect_right(hits, at) - 1  # the last, but for a late row
        first, last = max(0, place - needed + 1), min(place, len(hits) - needed)
        return any(
            hits[i + needed - 1] - hits[i] < condition.window for i in range(first, last + 1)
        )

    def _forget(self) -> None:
        state, condition = self.state, self.rule.condition
        oldest = state.clock - condition.window - LATE
        if state.hits[0] < oldest:
            state.hits = [hit for hit in state.hits if hit >= oldest]
        del state.hits[: -condition.count - MOST_COUNTED]

    def _fire(self, at: float) -> Firing:
        state, rule = self.state, self.rule
        kind, window = rule.condition.kind, rule.condition.window
        count = sum(hit > at - window for hit in state.hits)
        count = 0 if self._absence else max(count, rule.condition.count)
        firing = Firing(
            id=_digest(f"{rule.name}|{rule.fingerprint}|{at!r}"),
            rule=rule.name,
            condition=kind,
            at=at,
            count=count,
            said=self._said(at, count),
            samples=tuple(state.samples),
        )
        state.hits, state.samples = [], []
        state.silenced_until = at + max(rule.silence, window if self._absence else 0.0)
        return firing

    def _said(self, at: float, count: int) -> str:
        condition = self.rule.condition
        if condition.kind == "absence":
            return f"no entry for {shown_duration(at - self.state.last_hit)}"
        if condition.kind == "new_incident":
            return "a new incident" if count == 1 else f"{count:,} new incidents"
        noun = "entry" if count == 1 else "entries"
        return f"{count:,} {noun} within {shown_duration(condition.window)}"


def shown_duration(seconds: float) -> str:
    """`90s` as `1m30s`."""
    left, parts = round(seconds), []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def moment_at(seconds: float) -> datetime:
    """The time that is so many seconds after 1970."""
    return _EPOCH + timedelta(seconds=seconds)
