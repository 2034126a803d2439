"""What the server answers: its health, the key, an entry, its clock."""

from __future__ import annotations

from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import msgspec

from logwell_otel._clock import wall_clock
from logwell_otel._config.options import service_from_environment
from logwell_otel._delivery.engine import transport_to
from logwell_otel._delivery.response import Action, Outcome, outcome_of, quoted
from logwell_otel._http import Answer, NoAnswer
from logwell_otel._wire import LogEntry
from logwell_otel.cli.check.report import Finding, failed, passed, skipped, warning

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel._config.options import Config

MESSAGE: Final = "logwell-otel check: this entry was sent to see whether entries arrive"

CLOCK_SECONDS: Final = 5.0
"""Difference from which on there is a warning. A Date header is cut to seconds and may be
one or two old."""

_REPORT: Final = "Please report this: entries are made so that the server takes them."

_NOTHING: Final = b"[]"
"""Answered 400 `validation_error` once the key was checked; stores nothing."""


class _HealthAnswer(msgspec.Struct):
    """The server's health answer, as far as it is shown."""

    status: str
    database: str = "not mentioned"
    version: str = "unknown"


_HEALTH: Final = msgspec.json.Decoder(_HealthAnswer)


class ServerAnswers:
    """Asks the server one thing after the other.

    Args:
        config: Where, and with which key.
        wall: Wall clock, in seconds since 1970.
    """

    def __init__(self, config: Config, wall: Callable[[], float] = wall_clock) -> None:
        self._config = config
        self._wall = wall
        self._transport = transport_to(config)
        self._key_answer: Answer | NoAnswer | None = None  # asked for once
        self._date: str | None = None
        self._dated_at = 0.0

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    @property
    def dated(self) -> bool:
        """True if a Logwell server has told the time."""
        return self._date is not None

    def health(self) -> Finding:
        """`GET /api/health`: is it a Logwell server, and is its database up."""
        asked_at = self._wall()
        answer = self._transport.health(self._config.timeout)
        health = _health_of(answer) if isinstance(answer, Answer) else None
        if isinstance(answer, NoAnswer) or health is None:
            return self._no_health(answer)
        self._note_date(answer, asked_at)
        database, version = self._quoted(health.database), self._quoted(health.version)
        if answer.status == 200 and health.status == "healthy":
            return passed(f"healthy, database {database}, version {version}")
        return failed(
            f"the server is up, its database is not ({answer.status}, database {database})",
            "See the server's own log, and its database. Exporters hold entries meanwhile.",
        )

    def key(self) -> Finding:
        """Does the server know the key? Stores nothing."""
        outcome = self._outcome_of(self._ask_with_key())
        if outcome.refusal == "validation_error":
            return passed("the server knows it")
        if outcome.action is Action.PAUSE:
            # The server counts a request only once it knows the key.
            return warning(f"the server knows it, but {_problem(outcome)}", outcome.advice)
        return _not_as_it_should_be(outcome)

    def entry(self) -> Finding:
        """Send one entry."""
        service = self._config.service or service_from_environment()
        outcome = self._outcome_of(self._transport.post(self._entry(service), self._config.timeout))
        if outcome.response is None:
            if outcome.action is Action.PAUSE:
                return warning(f"not sent: {_problem(outcome)}", outcome.advice)
            return _not_as_it_should_be(outcome)
        if outcome.response.accepted:
            return passed(f"accepted; look for it under the service {service!r}")
        said = " ".join(outcome.response.errors)
        return failed(f"refused: {self._quoted(said)}", _REPORT)

    def clock(self) -> Finding:
        """This machine's clock against the server's."""
        if self._date is None:
            return skipped("the server's answer has no Date header to compare with")
        try:
            server = parsedate_to_datetime(self._date).timestamp()
        except (TypeError, ValueError, OverflowError):
            return skipped(f"the server's Date header is no date: {self._quoted(self._date)}")
        # The header is cut to seconds: half of one is the best guess of the rest.
        ahead = self._dated_at - (server + 0.5)
        if abs(ahead) <= CLOCK_SECONDS:
            return passed(f"within {CLOCK_SECONDS:g} s of the server's")
        return warning(
            f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's",
            "Synchronise this machine's clock (NTP), or the server's: entries are shown in the "
            "order of the clocks of the machines that logged them.",
        )

    def _ask_with_key(self) -> Answer | NoAnswer:
        if self._key_answer is None:
            self._key_answer = self._transport.post(_NOTHING, self._config.timeout)
        return self._key_answer

    def _outcome_of(self, answer: Answer | NoAnswer) -> Outcome:
        return outcome_of(answer, mask=self._config.secrets.mask)

    def _no_health(self, answer: Answer | NoAnswer) -> Finding:
        """Not a health answer of Logwell: is it the wrong place, or a proxy that hides it?"""
        finding = _not_as_it_should_be(self._outcome_of(answer))
        if isinstance(answer, NoAnswer) or 300 <= answer.status < 400 or answer.status >= 500:
            return finding
        # What an exporter sends decides: it needs no health to deliver.
        asked_at = self._wall()
        key_answer = self._ask_with_key()
        if isinstance(key_answer, NoAnswer) or self._outcome_of(key_answer).refusal is None:
            return finding
        self._note_date(key_answer, asked_at)
        return warning(
            f"{finding.text}; but {self._config.ingest_url} is Logwell's",
            "Have the proxy in front of it pass /api/health too: it tells an outage from an "
            "entry that the server cannot store.",
        )

    def _note_date(self, answer: Answer, asked_at: float) -> None:
        self._date = answer.headers.get("date")
        self._dated_at = (asked_at + self._wall()) / 2

    def _quoted(self, text: str) -> str:
        return quoted(text, self._config.secrets.mask)

    def _entry(self, service: str) -> bytes:
        now = datetime.fromtimestamp(self._wall(), timezone.utc)
        entry = LogEntry(
            level="info",
            message=MESSAGE,
            timestamp=now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            service=service,
            metadata={"logwell.check": True},
        )
        return msgspec.json.encode([entry])


def _not_as_it_should_be(outcome: Outcome) -> Finding:
    return failed(_problem(outcome), outcome.advice or _REPORT)


def _problem(outcome: Outcome) -> str:
    """What happened, as a part of a line."""
    return outcome.problem[:1].lower() + outcome.problem[1:]


def _health_of(answer: Answer) -> _HealthAnswer | None:
    try:
        health = _HEALTH.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return health if health.status in ("healthy", "unhealthy") else None
