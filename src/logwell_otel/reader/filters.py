"""Which entries are asked for: what the server filters, and what is filtered here.

The server never refuses a filter: one that it cannot read it drops, and answers with more
rows. So everything is checked before it is sent.
"""

from __future__ import annotations

import json
import re
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, TypedDict

import msgspec

from logwell_otel._config.settings import LEVEL_SPELLINGS
from logwell_otel._wire import LEVELS
from logwell_otel.errors import config_error
from logwell_otel.reader.rows import moment_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from logwell_otel.reader.rows import Incident, LogRow

Moment = str | datetime | date | timedelta | None
"""`"15m"`, `"2h"`, `"1d"`, `"1w"` ago; an ISO 8601 date or time; a `datetime`; a `timedelta`
ago."""


class Filters(TypedDict, total=False):
    """Which entries are asked for; nothing of it is needed.

    Attributes:
        level: One level, several, or a text with commas. None for all.
        service: The service's whole name.
        since: Oldest time: `"15m"`, `"2h"`, `"1d"`, `"2026-11-21"`, an ISO 8601 time, a
            `datetime`, or a `timedelta` ago. Inclusive.
        until: Newest time, likewise. Inclusive.
        where: Attributes, by name or by a dotted path, and the values they must have.
        trace: A trace id of 32 hexadecimal digits.
    """

    level: str | Iterable[str] | None
    service: str | None
    since: Moment
    until: Moment
    where: Mapping[str, Any] | None
    trace: str | None


_AGO: Final = re.compile(r"([0-9]+)\s*(s|sec|m|min|h|d|w)")
# What the server takes out of a search before it looks for words.
_SIGNS: Final = re.compile(r"""[&|!():*\\'"<>]""")
_ABSENT: Final = object()
_UNITS: Final = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """One question, checked.

    Attributes:
        text: Words that must all occur. In a search the server looks for them, stemmed, in
            message and attributes; in a tail they are looked for here, as parts of words.
        levels: Of the five; empty for all.
        service: The service's name, whole; None for all. Filtered here.
        since: Oldest time; None for no limit.
        until: Newest time.
        where: Attributes and the values they must have. Filtered here.
        trace: A trace id. Looked for by the server where it can be, and compared here.
    """

    text: str = ""
    levels: tuple[str, ...] = ()
    service: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    where: dict[str, str] = {}
    trace: str | None = None

    @classmethod
    def of(
        cls,
        text: str = "",
        *,
        level: str | Iterable[str] | None = None,
        service: str | None = None,
        since: Moment = None,
        until: Moment = None,
        where: Mapping[str, Any] | None = None,
        trace: str | None = None,
        now: datetime | None = None,
    ) -> Filter:
        """A filter of what a user wrote.

        Raises:
            LogwellError: `INVALID_CONFIG`, naming what is wrong.
        """
        now = now or datetime.now(timezone.utc)
        if "\0" in text or not _is_unicode(text):
            raise config_error("text: expected words, got characters that no entry has.")
        if trace is not None and not re.fullmatch("[0-9a-fA-F]{32}", trace):
            raise config_error(f"trace: expected 32 hexadecimal digits, got {trace!r}.")
        oldest, newest = moment("since", since, now), moment("until", until, now)
        if oldest is not None and newest is not None and oldest > newest:
            raise config_error(
                f"until: expected a time after since, which is {since!r}, got {until!r}."
            )
        return cls(
            text=text.strip(),
            levels=_levels(level),
            service=service,
            since=oldest,
            until=newest,
            where={name: as_text(value) for name, value in (where or {}).items()},
            trace=None if trace is None else trace.lower(),
        )

    def parameters(self) -> dict[str, str]:
        """What the server filters, as query parameters.

        Raises:
            LogwellError: `INVALID_CONFIG` for a text that the server would take for none.
        """
        if self.text and not _SIGNS.sub("", self.text).strip():
            raise config_error(
                "text: expected words, got signs alone, for which the server would answer with "
                "all entries."
            )
        words = " ".join(word for word in (self.text, self.trace) if word)
        parameters = {"search": words} if words else {}
        if self.levels:
            parameters["level"] = ",".join(self.levels)
        for name, value in (("from", self.since), ("to", self.until)):
            if value is not None:
                parameters[name] = iso(value)
        return parameters

    def matches(self, row: LogRow) -> bool:
        """Whether `row` has what the server does not filter by."""
        if self.service is not None and row.service_name != self.service:
            return False
        if self.trace is not None and (row.trace_id or "").lower() != self.trace:
            return False
        return all(_has(row, name, wanted) for name, wanted in self.where.items())

    def matches_incident(self, incident: Incident) -> bool:
        """Whether an incident has the service, the highest level, and a part of the time."""
        return (
            self.service in {None, incident.service_name}
            and (not self.levels or incident.highest_level in self.levels)
            and (self.since is None or moment_of(incident.last_seen) >= self.since)
            and (self.until is None or moment_of(incident.first_seen) <= self.until)
        )

    def matches_all(self, row: LogRow) -> bool:
        """Whether `row`, from a stream that nothing has filtered, has everything."""
        if self.levels and row.level not in self.levels:
            return False
        if self.until is not None and row.time > self.until:
            return False
        if self.since is not None and row.time < self.since:
            return False
        if not all(word in row.words for word in self.text.lower().split()):
            return False
        return self.matches(row)


def _is_unicode(text: str) -> bool:
    """False for what a command line in another encoding than UTF-8 holds."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _levels(level: str | Iterable[str] | None) -> tuple[str, ...]:
    names = level.split(",") if isinstance(level, str) else [*(level or ())]
    spelled = [name.strip().lower() for name in names if name.strip()]
    for name in spelled:
        if name not in LEVEL_SPELLINGS:
            raise config_error(f"level: expected one of {', '.join(LEVELS)}, got {name!r}.")
    return tuple(LEVEL_SPELLINGS[name] for name in spelled)


def moment(name: str, value: Moment, now: datetime) -> datetime | None:
    """A time as people write it.

    Args:
        name: Of the argument, for errors.
        value: See `Moment`. Without a zone it is local time; a date alone begins its day.
        now: What "ago" counts from.

    Raises:
        LogwellError: `INVALID_CONFIG`.
    """
    if value is None:
        return None
    if isinstance(value, timedelta):
        return now - value
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day).astimezone(timezone.utc)
    text = str(value).strip()
    ago = seconds_of(text.lower().removesuffix("ago"))
    try:
        if ago is not None:
            return now - timedelta(seconds=ago)
        if text.lower() == "now":
            return now
        parsed = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
        return parsed.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        pass
    raise config_error(
        f"{name}: expected a time such as 15m, 2h, 1d, 2026-11-21 or 2026-11-21T09:30:00Z, "
        f"got {value!r}."
    )


def seconds_of(text: str) -> int | None:
    """The seconds of `30s`, `15m`, `2h`, `1d` or `1w`; None where it is no such text."""
    match = _AGO.fullmatch(text.strip().lower())
    return int(match[1]) * _UNITS[match[2]] if match else None


def iso(value: datetime) -> str:
    """A time as the server reads it: it drops a filter that it cannot read, and says nothing."""
    return value.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_text(value: Any) -> str:
    """A value of an attribute as it is compared: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _has(row: LogRow, name: str, wanted: str) -> bool:
    value = row.attribute(name, _ABSENT)
    return value is not _ABSENT and as_text(value) == wanted
