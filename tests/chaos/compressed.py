"""An exporter whose waits take no time, while its requests are real.

Its clock is moved instead of waited for, and the steps that its threads would take are
taken here: ten minutes of outage pass in seconds. A request counts as `REQUEST_SECONDS`.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from logwell_otel import LogwellLogExporter
from logwell_otel._buffer.flusher import Flusher
from logwell_otel._delivery.engine import Dependencies, transport_to
from logwell_otel._http import NoAnswer
from support.clock import Clock

if TYPE_CHECKING:
    from logwell_otel import LogwellError
    from logwell_otel._config.options import Config
    from logwell_otel._http import Answer, HttpTransport
    from logwell_otel.devserver import DevServer

REQUEST_SECONDS = 0.03
_TICK = 0.2
_LEAST = 0.001
"""A wait shorter than the clock can show would never end."""

_TIMEOUT = 5.0
"""Of a request, in real seconds. On a busy machine a short one would cut off what is answered."""


_HANGING = 0.1
"""Real seconds after which a request to a receiver that hangs has been waited for."""


class Compressed:
    """The exporter, its clock and what it said.

    Attributes:
        slowest: Real seconds of the longest `export()`.
        hangs: True while the receiver answers nothing: what a request waits for then passes
            by the clock. It is five minutes once the exporter takes the server for slow.
    """

    def __init__(self, receiver: DevServer, *, seed: int = 7, **options: Any) -> None:
        self.clock = Clock()
        self.errors: list[LogwellError] = []
        self.said: list[str] = []
        self.slowest = 0.0
        self.hangs = False
        dependencies = Dependencies(
            clock=self.clock,
            wall=self.clock,
            rng=random.Random(seed),
            transport=self._transport,
            threads=False,
            sleep=self.clock.sleep,
            say=self.said.append,
        )
        self.exporter = LogwellLogExporter(
            receiver.url,
            receiver.key,
            **{"timeout": _TIMEOUT, **options},
            on_error=self.errors.append,
            _dependencies=dependencies,
        )
        self._engine = self.exporter._engine  # noqa: SLF001 - driven from outside
        # What is not answered gets no longer time-out here, where it takes real time.
        self._engine.delivery.request_timeout = options.get("timeout", _TIMEOUT)
        self._flusher = Flusher(self._engine.outbox, lambda: None, self._engine._look_failed)  # noqa: SLF001

    def _transport(self, config: Config) -> _Transport:
        return _Transport(transport_to(config), self)

    def export(self, batch: list[Any]) -> None:
        began = time.perf_counter()
        self.exporter.export(batch)
        self.slowest = max(self.slowest, time.perf_counter() - began)

    def pass_time(self, seconds: float) -> None:
        """What the threads would do in that time."""
        until = self.clock() + seconds
        while self.clock() < until:
            wait = self._engine.delivery.step()
            self._engine.notices.dispatch()
            self._flusher.tick()
            if wait == 0:
                self.clock.sleep(REQUEST_SECONDS)
            else:
                self.clock.sleep(max(_LEAST, min(_TICK if wait is None else wait, _TICK)))

    def deliver(self, seconds: float = 3600.0) -> bool:
        """Lets time pass until nothing is held; False if that takes too long."""
        until = self.clock() + seconds
        while self.exporter.health().held:
            if self.clock() > until:
                return False
            self.pass_time(1.0)
        return True


class _Transport:
    """The real one, that does not wait for what is known to hang."""

    def __init__(self, real: HttpTransport, sender: Compressed) -> None:
        self._real = real
        self._sender = sender

    def _real_seconds(self, timeout: float) -> float:
        return min(timeout, _HANGING) if self._sender.hangs else timeout

    def post(self, body: bytes, timeout: float) -> Answer | NoAnswer:
        answer = self._real.post(body, self._real_seconds(timeout))
        if self._sender.hangs and isinstance(answer, NoAnswer) and answer.timed_out:
            self._sender.clock.sleep(timeout)
        return answer

    def healthy(self, timeout: float) -> bool | None:
        return self._real.healthy(self._real_seconds(timeout))

    def close(self) -> None:
        self._real.close()
