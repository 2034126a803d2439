"""An exporter put together for a test: no socket, no thread, a clock that the test moves."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from logwell_otel._buffer.flusher import Flusher
from logwell_otel._delivery.engine import Dependencies
from support.clock import Clock
from support.config import KEY, exporter_with
from support.server import Server

if TYPE_CHECKING:
    from logwell_otel import LogwellError


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
        dependencies = Dependencies(
            clock=self.clock,
            wall=self.clock,
            rng=random.Random(7),
            transport=lambda config: self.server,
            threads=False,
            sleep=self.clock.sleep,
            say=self.said.append,
        )
        options.setdefault("api_key", None if "api_key_file" in options else KEY)
        self.exporter = exporter_with(dependencies, "http://localhost:1", **options)

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
