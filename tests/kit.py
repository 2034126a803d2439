"""What many tests share: a clock that tests move, a server without a socket, records."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

import msgspec
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from logwell_otel import LogwellError, LogwellLogExporter
from logwell_otel._buffer.flusher import Flusher
from logwell_otel._delivery.engine import Seams
from logwell_otel._http import Answer, NoAnswer
from logwell_otel._otel import LogRecord, ReadableLogRecord, SeverityNumber

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "lw_" + "k" * 32
RESOURCE = Resource({"service.name": "shop"})
SCOPE = InstrumentationScope("shop.orders")

Reply = Answer | NoAnswer | None
"""None: answered as the server would."""


class Clock:
    """Monotonic and wall clock in one, moved by tests."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(0.0, seconds)


def answer(status: int, body: object = None, **headers: str) -> Answer:
    """An answer as the server, or with a text body a proxy, gives it."""
    if isinstance(body, str):
        return Answer(status, {"content-type": "text/html", **headers}, body.encode())
    content = b"" if body is None else msgspec.json.encode(body)
    return Answer(status, {"content-type": "application/json", **headers}, content)


REFUSED = NoAnswer("ConnectError: connection refused")
SERVER_ERROR = answer(500, {"message": "Internal server error", "id": "x"})
RATE_LIMITED = answer(429, {"error": "rate_limited", "message": "x"}, **{"retry-after": "60"})
UNAUTHORIZED = answer(401, {"error": "unauthorized", "message": "Invalid API key"})


class Server:
    """A Logwell server as a `Transport`: stores, refuses, and fails as it is told to.

    Attributes:
        stored: Messages stored, in order, without our own reports of losses.
        requests: Messages of each request, whatever became of it.
        replies: The next requests' answers; None in it is the right answer.
        always: Asked for every request when `replies` is empty.
        poison: Requests with an entry that holds this text are answered 500.
        is_healthy: What `/api/health` says.
    """

    def __init__(self, clock: Clock | None = None, latency: float = 0.03) -> None:
        self.clock = clock or Clock()
        self.latency = latency
        self.stored: list[str] = []
        self.requests: list[list[str]] = []
        self.bodies: list[bytes] = []
        self.replies: list[Reply] = []
        self.always: Callable[[list[dict[str, Any]]], Reply] = lambda entries: None
        self.poison: str | None = None
        self.is_healthy: bool | None = True
        self.health_checks = 0
        self.closed = 0

    def post(self, body: bytes, timeout: float) -> Answer | NoAnswer:
        self.clock.now += self.latency
        entries = msgspec.json.decode(body)
        messages = [entry["message"] for entry in entries]
        self.requests.append(messages)
        self.bodies.append(body)
        reply = self.replies.pop(0) if self.replies else self.always(entries)
        if reply is not None:
            return reply
        if len(entries) > 100:
            return answer(400, {"error": "batch_too_large", "message": "over 100"})
        if self.poison is not None and any(re.search(self.poison, text) for text in messages):
            return SERVER_ERROR
        self.stored += [text for text in messages if not text.startswith("logwell-otel dropped")]
        return answer(200, {"accepted": len(entries)})

    def healthy(self, timeout: float) -> bool | None:
        self.health_checks += 1
        return self.is_healthy

    def close(self) -> None:
        self.closed += 1


def record(message: Any = "hello", **fields: Any) -> ReadableLogRecord:
    """A record as a processor hands it over."""
    attributes = fields.pop("attributes", {"request_id": "r-1"})
    resource = fields.pop("resource", RESOURCE)
    scope = fields.pop("scope", SCOPE)
    defaults: dict[str, Any] = {
        "timestamp": 1_795_000_000_123_456_789,
        "severity_number": SeverityNumber.INFO,
        "severity_text": "INFO",
        "body": message,
    }
    log = LogRecord(**{**defaults, **fields})
    log.attributes = BoundedAttributes(
        attributes=attributes, immutable=False, extended_attributes=True
    )
    return ReadableLogRecord(log, resource, scope)


def records(count: int, first: int = 0) -> list[ReadableLogRecord]:
    """Records whose messages are `message 0`, `message 1` …"""
    return [record(f"message {number}") for number in range(first, first + count)]


def messages(count: int, first: int = 0) -> list[str]:
    """The messages of `records`."""
    return [f"message {number}" for number in range(first, first + count)]


class Bench:
    """An exporter on a server without a socket and a clock that tests move; no thread."""

    def __init__(self, server: Server | None = None, **options: Any) -> None:
        self.clock = server.clock if server else Clock()
        self.server = server or Server(self.clock)
        self.errors: list[LogwellError] = []
        self.flushed: list[int] = []
        self.said: list[str] = []
        options.setdefault("on_error", self.errors.append)
        options.setdefault("on_flush", self.flushed.append)
        seams = Seams(
            clock=self.clock,
            wall=self.clock,
            rng=random.Random(7),
            transport=lambda config: self.server,
            threads=False,
            sleep=self.clock.sleep,
            say=self.said.append,
        )
        options.setdefault("api_key", None if "api_key_file" in options else KEY)
        self.exporter = LogwellLogExporter("http://localhost:1", _seams=seams, **options)

    @property
    def engine(self) -> Any:
        return self.exporter._engine  # noqa: SLF001 - tests look inside

    def run(self, seconds: float = 3600.0) -> None:
        """Deliver as the sender's thread would, until nothing is left or time is over."""
        until = self.clock() + seconds
        while self.clock() < until:
            wait = self.engine.delivery.step()
            self.engine.notices.dispatch()
            if wait is None:
                return
            self.clock.sleep(min(wait, until - self.clock()))

    def keep(self) -> None:
        """What the flusher's thread does five times a second."""
        Flusher(self.engine.outbox, lambda: None, self.engine._look_failed).tick()  # noqa: SLF001

    def check_ledger(self) -> None:
        """Every entry is accounted for."""
        health = self.exporter.health()
        ended = health.accepted + health.refused + health.dropped_total
        assert health.handed_over + health.recovered == ended + health.held, health
