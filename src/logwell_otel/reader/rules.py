"""Rules: what a rules file says, checked whole, and when a rule fires.

Nothing here asks a server or a clock. A rule's state moves by the rows and the times that it
is given, so that what a test of yesterday says is what would have happened.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from bisect import insort
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from logwell_otel._config.secrets import Headers, Secret
from logwell_otel.errors import LogwellError, config_error
from logwell_otel.reader.filters import Filter, iso, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from logwell_otel.reader.rows import LogRow

LATE: Final = 300.0
"""Seconds by which a row may come late and still be counted with those of its time."""

MOST_COUNTED: Final = 10_000
"""The highest threshold, and how many rows beyond it are remembered during a silence."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DEFAULT_SILENCE: Final = 900.0
_LONGEST_WINDOW: Final = 86_400.0
_LONGEST_SILENCE: Final = 30 * 86_400.0
_MOST_KNOWN: Final = 2_000
_MOST_SAMPLES: Final = 5
_LONGEST_TEXT: Final = 500
_DURATION: Final = "a duration such as 30s, 5m, 2h, 1d"
_CONDITIONS: Final = ("count", "rate", "new_incident", "absence")
_RATE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*/\s*([smhd])")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e\t]+")
_OUR_HEADERS: Final = frozenset({"content-length", "content-type", "host", "transfer-encoding"})
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")


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
        self.shown = f"{parts.scheme}://{parts.hostname}"

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
    def text(self) -> str:
        """One line for people."""
        text = f"{self.rule}: {self.said}"
        if self.samples:
            newest = self.samples[-1]
            place = "".join(f" ({one})" for one in (newest.service, newest.source) if one)
            first, *_ = newest.message.splitlines() or [""]
            text += f": {first}{place}"
        return text

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
        hits, needed, window = (
            self.state.hits,
            self.rule.condition.count,
            self.rule.condition.window,
        )
        place = len(hits) - 1
        while hits[place] > at:  # a late row; the others are the last
            place -= 1
        first, last = max(0, place - needed + 1), min(place, len(hits) - needed)
        return any(hits[i + needed - 1] - hits[i] < window for i in range(first, last + 1))

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


# What a rules file says.


def parse_rules(document: Any, environ: Mapping[str, str] = os.environ) -> list[Rule]:
    """The rules of a file's content, all of it checked.

    Args:
        document: As YAML or JSON is read: `{"rules": [...]}`.
        environ: Where `${NAME}` of a webhook comes from.

    Raises:
        LogwellError: `INVALID_CONFIG`; each of its lines names a rule, a field, what is
            expected there and what was found, without anything of a webhook's address.
    """
    if not isinstance(document, Mapping) or set(document) != {"rules"}:
        raise config_error(f"expected `rules:` and a list below it, got {_found(document)}.")
    rules = document["rules"]
    if not isinstance(rules, list) or not rules:
        raise config_error(f"rules: expected a list of one rule or more, got {_found(rules)}.")
    parsers = [_RuleParser(number, rule, environ) for number, rule in enumerate(rules, 1)]
    parsed = [parser.rule() for parser in parsers]
    names = [parser.name for parser in parsers]
    for number, parser in enumerate(parsers):
        if parser.name in names[:number]:
            parser.wrong("name", "a name that no other rule has", parser.name)
    if problems := [problem for parser in parsers for problem in parser.problems]:
        raise config_error("\n".join(problems))
    return [rule for rule in parsed if rule is not None]


class _Wrong(Exception):  # noqa: N818 - never leaves this module
    """What is expected, and what was found instead."""


class _RuleParser:
    """One rule of a file; goes on after a problem, so that all are told at once."""

    _KEYS: Final = ("name", "filter", *_CONDITIONS, "window", "silence", "actions")

    def __init__(self, number: int, given: Any, environ: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self.name = ""
        self._given = given
        self._number = number
        self._environ = environ

    def wrong(self, field: str, expected: str, found: Any) -> None:
        """Add a problem."""
        self._add(field, f"expected {expected}, got {_found(found)}")

    def _add(self, field: str, problem: str) -> None:
        rule = f"rule {self._number}" + (f" ({self.name!r})" if self.name else "")
        self.problems.append(f"{rule}: {field}: {problem.rstrip('.')}.")

    def rule(self) -> Rule | None:
        """The rule, None where there are problems."""
        given = self._given
        if not isinstance(given, Mapping):
            self.problems.append(
                f"rule {self._number}: expected name, a condition and actions, got {_found(given)}."
            )
            return None
        name = given.get("name")
        if isinstance(name, str) and 0 < len(name) <= 100 and name.isprintable():
            self.name = name
        else:
            self.wrong("name", "1 to 100 printable characters", name)
        self._known_keys("", given, self._KEYS)
        filter_ = self._checked("filter", _filter, given.get("filter"))
        condition = self._condition(given)
        silence = self._duration("silence", given.get("silence", "15m"), 0, _LONGEST_SILENCE)
        actions = self._actions(given.get("actions"))
        if self.problems or filter_ is None or condition is None or silence is None:
            return None
        return Rule(
            name=self.name, filter=filter_, condition=condition, silence=silence, actions=actions
        )

    def _known_keys(self, place: str, given: Mapping[Any, Any], keys: tuple[str, ...]) -> None:
        for key in given:
            if key not in keys:
                self.wrong(f"{place}{_short(str(key))}", f"one of {', '.join(keys)}", "this name")

    def _checked(self, field: str, parse: Callable[..., Any], *given: Any) -> Any:
        try:
            return parse(*given)
        except _Wrong as wrong:
            self.wrong(field, *wrong.args)
        except LogwellError as error:
            self._add(field, error.message)
        return None

    def _duration(self, field: str, given: Any, least: float, most: float) -> float | None:
        seconds = seconds_of(given) if isinstance(given, str) else None
        if seconds is None or not least <= seconds <= most:
            limits = f"{_DURATION}, at most {shown_duration(most)}"
            self.wrong(field, limits if least == 0 else f"{limits} and not 0", given)
            return None
        return float(seconds)

    def _condition(self, given: Mapping[str, Any]) -> Condition | None:
        kinds = [kind for kind in _CONDITIONS if kind in given]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none"
            self._add("condition", f"expected one of {', '.join(_CONDITIONS)}, got {found}")
            return None
        (kind,) = kinds
        value = given[kind]
        if kind in {"absence", "new_incident"}:
            if "window" in given:
                self._add("window", f"expected none beside {kind}, got one")
            if kind == "new_incident":
                if value is not True:
                    self.wrong(kind, "true", value)
                return Condition(kind="new_incident")
            window = self._duration(kind, value, 1, _LONGEST_WINDOW)
            return None if window is None else Condition(kind="absence", window=window)
        window = self._duration("window", given.get("window"), 1, _LONGEST_WINDOW)
        parse = _count if kind == "count" else _rate
        count = self._checked(kind, parse, value, window or 60.0)
        if window is None or count is None:
            return None
        return Condition(kind="count" if kind == "count" else "rate", count=count, window=window)

    def _actions(self, given: Any) -> tuple[Action, ...]:
        if not isinstance(given, list) or not given:
            self.wrong("actions", "a list of webhook, command or log", given)
            return ()
        actions = [self._action(f"actions[{i}]", one) for i, one in enumerate(given, 1)]
        return tuple(action for action in actions if action is not None)

    def _action(self, field: str, given: Any) -> Action | None:
        if given == "log":
            return LogLine()
        if isinstance(given, Mapping) and "webhook" in given:
            self._known_keys(f"{field}.", given, ("webhook", "format", "headers"))
            form = given.get("format", "json")
            if form not in {"json", "slack"}:
                self.wrong(f"{field}.format", "json or slack", form)
            url = self._checked(f"{field}.webhook", _webhook_url, given["webhook"], self._environ)
            headers = self._checked(f"{field}.headers", _headers, given.get("headers"))
            if url is None or headers is None:
                return None
            return Webhook(url=url, slack=form == "slack", headers=headers)
        if isinstance(given, Mapping) and "command" in given:
            self._known_keys(f"{field}.", given, ("command",))
            arguments = self._checked(f"{field}.command", _command, given["command"])
            return None if arguments is None else Command(arguments)
        # Not shown: it may be an address that stands one level too high.
        self._add(field, "expected `webhook: URL`, `command: [...]` or `log`, got something else")
        return None


def _found(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, (str, int, float)):
        return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:59]}…"
    names = {Mapping: "a mapping", list: "a list"}
    kind = next((name for type_, name in names.items() if isinstance(value, type_)), None)
    return f"an empty {kind[2:]}" if kind and not value else kind or type(value).__name__


def _filter(given: Any) -> Filter:
    if given is None:
        return Filter()
    keys = ("text", "level", "service", "where", "trace")
    if not isinstance(given, Mapping):
        raise _Wrong(f"a mapping of {', '.join(keys)}", given)
    for key, value in given.items():
        if key not in keys:
            raise _Wrong(f"some of {', '.join(keys)}", key)
        if key == "where":
            if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value):
                raise _Wrong("where to be attributes and their values", value)
            for one in value.values():
                if not isinstance(one, (str, int, float)):  # a time has no form in JSON
                    raise _Wrong("where's values to be texts, numbers, true or false", one)
        elif key == "level":
            levels = value if isinstance(value, list) else [value]
            if not levels or not all(isinstance(one, str) for one in levels):
                raise _Wrong("level to be one level or a list of them", value)
        elif not isinstance(value, str) or not value.strip():
            raise _Wrong(f"{key} to be a text (in quotes, where it is a number)", value)
    return Filter.of(**given)


def _count(given: Any, window: float) -> int:  # noqa: ARG001 - as `_rate`
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MOST_COUNTED:
        raise _Wrong(f"a whole number from 1 to {MOST_COUNTED:,}", given)
    return given


def _rate(given: Any, window: float) -> int:
    match = _RATE.fullmatch(given.strip()) if isinstance(given, str) else None
    per = None if match is None else seconds_of(f"1{match[2]}")
    if match is None or per is None:
        raise _Wrong("entries in a time, such as 2/s, 100/m or 5/h", given)
    count = math.ceil(round(float(match[1]) * window / per, 6))
    if not 1 <= count <= MOST_COUNTED:
        raise _Wrong(
            f"1 to {MOST_COUNTED:,} entries in the window; this rate makes {count:,}", given
        )
    return count


def _command(given: Any) -> tuple[str, ...]:
    if (
        not isinstance(given, list)
        or not given
        or not all(isinstance(one, str) and "\0" not in one for one in given)
        or not given[0]
    ):
        raise _Wrong('a list of texts, such as ["/usr/local/bin/page", "--urgent"]', given)
    return tuple(given)


def _webhook_url(given: Any, environ: Mapping[str, str]) -> WebhookUrl:
    """The address; nothing of what was given is shown where it is none."""
    if not isinstance(given, str):
        raise config_error("expected a URL or ${NAME}, got something else")
    where = "a URL"
    if variable := _VARIABLE.fullmatch(given.strip()):
        where = f"${{{variable[1]}}} to be a URL"
        given = environ.get(variable[1], "")
        if not given:
            raise config_error(f"expected {where}, and that variable is not set")
    url, problem = given.strip(), None
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        if not valid:
            problem = "something that does not begin with https:// or http:// and a host"
        elif parts.username is not None:
            problem = "one with a user name; give a header Authorization instead"
        elif not url.isascii() or not url.isprintable() or " " in url:
            problem = "one with white space or characters outside ASCII"
    except ValueError:
        problem = "one that cannot be read"
    if problem is not None:
        raise config_error(f"expected {where}, got {problem}")
    return WebhookUrl(url)


def _headers(given: Any) -> Headers:
    """Headers of a webhook. No value is shown: it is as often as not a secret."""
    if given is None:
        return Headers({})
    if not isinstance(given, Mapping):
        raise config_error("expected a mapping of names and values, got something else")
    for name, value in given.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise config_error("expected names of letters, digits and hyphens, got another")
        if name.lower() in _OUR_HEADERS:
            raise config_error(f"expected no header that is set anyway, got {name}")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise config_error(f"expected a text of printable ASCII as {name}, got something else")
    return Headers(given)


def moment_at(seconds: float) -> datetime:
    """The time that is so many seconds after 1970."""
    return _EPOCH + timedelta(seconds=seconds)
