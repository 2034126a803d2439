"""What the server answers: its health, the key, an entry, its clock."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import msgspec

from logwell_otel._config.options import service_from_environment
from logwell_otel._delivery.engine import transport_to
from logwell_otel._delivery.response import Action, outcome_of, quoted
from logwell_otel._http import Answer, NoAnswer
from logwell_otel._wire import LogEntry
from logwell_otel.cli.check.explain import explain, explain_ingest, is_json, own_error
from logwell_otel.cli.check.result import Finding, Status, failed, passed, skipped, warning

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel._config.options import Config

MESSAGE: Final = "logwell-otel check: this entry was sent to see whether entries arrive"

CLOCK_SECONDS: Final = 5.0
"""Difference from which on there is a warning. A Date header is cut to seconds and may be
one or two old."""

_NOTHING: Final = b"[]"
"""Answered 400 `validation_error` once the key was checked; stores nothing."""


class _Health(msgspec.Struct):
    """The server's health answer, as far as it is shown."""

    status: str
    database: str = "not mentioned"
    version: str = "unknown"


_HEALTH: Final = msgspec.json.Decoder(_Health)


class ServerAnswers:
    """Asks the server one thing after the other.

    Args:
        config: Where, and with which key.
        wall: Wall clock, in seconds since 1970.
    """

    def __init__(self, config: Config, wall: Callable[[], float] = time.time) -> None:
        self._config = config
        self._wall = wall
        self._transport = transport_to(config)
        self._key_answer: Answer | NoAnswer | None = None
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
        if isinstance(answer, NoAnswer):
            return explain(answer, self._config)
        health = _health_of(answer)
        if health is None:
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
        answer = self._ask_with_key()
        if (own := own_error(answer)) is not None:
            if own.error == "validation_error":
                return passed("the server knows it")
            if own.error == "rate_limited":
                # Checked after the key.
                finding = explain_ingest(answer, self._config)
                return warning(f"the server knows it, but {finding.text}", finding.advice or "")
        return explain_ingest(answer, self._config)

    def entry(self) -> Finding:
        """Send one entry."""
        service = self._config.service or service_from_environment()
        answer = self._transport.post(self._entry(service), self._config.timeout)
        if isinstance(answer, Answer):
            outcome = outcome_of(answer, mask=self._config.secrets.mask)
            if outcome.action is Action.DONE and outcome.response is not None:
                if outcome.response.accepted:
                    return passed(f"accepted; look for it under the service {service!r}")
                said = " ".join(outcome.response.errors)
                return failed(
                    f"refused: {self._quoted(said)}",
                    "Please report this: entries are made so that the server takes them.",
                )
        finding = explain_ingest(answer, self._config)
        if finding.status is Status.WARNING:
            return warning(f"not sent: {finding.text}", finding.advice or "")
        return finding

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

    def _no_health(self, answer: Answer) -> Finding:
        """Not a health answer of Logwell: is it the wrong place, or a proxy that hides it?"""
        finding = explain(answer, self._config)
        if answer.status < 300 or 400 <= answer.status < 500:
            # What an exporter sends decides: it needs no health to deliver.
            asked_at = self._wall()
            key_answer = self._ask_with_key()
            if isinstance(key_answer, NoAnswer) or own_error(key_answer) is None:
                return finding
            self._note_date(key_answer, asked_at)
            return warning(
                f"{finding.text}; but {self._config.ingest_url} is one",
                "Have the proxy in front of it pass /api/health too: it tells an outage from an "
                "entry that the server cannot store.",
            )
        return finding

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


def _health_of(answer: Answer) -> _Health | None:
    if not is_json(answer):
        return None
    try:
        health = _HEALTH.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return health if health.status in ("healthy", "unhealthy") else None
