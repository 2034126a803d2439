"""Everything of an exporter that belongs to one process: built anew in a forked child."""

from __future__ import annotations

import random
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from logwell_otel._buffer.outbox import Outbox
from logwell_otel._clock import monotonic, wall_clock
from logwell_otel._delivery.common_cause import CommonCauses
from logwell_otel._delivery.delivery import Delivery
from logwell_otel._delivery.isolation import Quarantine
from logwell_otel._delivery.pacing import Pace
from logwell_otel._delivery.response import name
from logwell_otel._delivery.retry import Breaker
from logwell_otel._delivery.status import QUEUE_FULL, LossReport, Trouble
from logwell_otel._delivery.worker import Sender
from logwell_otel._diagnostics import Notices, count, described, entries, was
from logwell_otel._http import HttpClient, HttpTransport, Transport
from logwell_otel._network import TlsFiles
from logwell_otel._process import at_the_very_end, is_exiting, losses
from logwell_otel._wire import LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel._buffer.flusher import Flusher
    from logwell_otel._buffer.spool import Spool
    from logwell_otel._config.arguments import Redacts
    from logwell_otel._config.options import Config
    from logwell_otel._delivery.response import Outcome
    from logwell_otel._encoding.encoder import Encoded
    from logwell_otel.health import Health, Status


_JOIN_SECONDS: Final = 0.05

LATE_SECONDS: Final = 2.0
"""Seconds that all records together may take which are logged while the interpreter exits,
after everything was delivered: by `atexit` callbacks that run last, by finalizers."""
_LIFETIME: Final = 6 * 3600.0
"""Seconds that an entry is tried which nothing takes, where there is no spool that says so."""

_SUSPECTS_PACE: Final = 0.05
"""Of the rate limit: what tries of entries that are set aside may take."""

_MAX_WRITTEN: Final = 2000
"""Characters of an entry that is written out because it is given up."""


def transport_to(config: Config) -> HttpTransport:
    """Return a transport to the server that `config` names."""
    return HttpTransport(
        ingest_url=config.ingest_url,
        health_url=config.health_url,
        authorization=lambda: f"Bearer {config.api_key.reveal()}",
        headers=config.headers,
        client=HttpClient(
            proxy=None if config.proxy is None else config.proxy.reveal,
            tls=tls_files(config),
            mask=config.secrets.mask,
        ),
    )


def tls_files(config: Config) -> TlsFiles:
    """Return the certificates of `config`."""
    return TlsFiles(config.certificate_file, config.client_certificate_file, config.client_key_file)


class Dependencies(msgspec.Struct, frozen=True):
    """What tests replace.

    Attributes:
        clock: Monotonic clock, in seconds.
        wall: Wall clock, in seconds since 1970.
        rng: Source of jitter.
        transport: Makes the transport.
        threads: False never starts the sender's thread: flush and shutdown do the work.
        sleep: Waits that many seconds during shutdown; None waits for real.
        say: Writes a warning; None writes it where people see it.
    """

    clock: Callable[[], float] = monotonic
    wall: Callable[[], float] = wall_clock
    rng: random.Random = msgspec.field(default_factory=random.Random)
    transport: Callable[[Config], Transport] = transport_to
    threads: bool = True
    sleep: Callable[[float], object] | None = None
    say: Callable[[str], None] | None = None


class Engine:
    """Outbox, sender and all between them.

    Args:
        config: The settings.
        observe: Called with every outcome and the seconds its request took; None for nobody.
        dependencies: What tests replace.
        spool: Where entries go that cannot be delivered now; None for memory only.
        redactor: Makes what takes secrets out of an entry that a warning shows in full.
    """

    def __init__(
        self,
        config: Config,
        observe: Callable[[Outcome, float], None] | None,
        dependencies: Dependencies,
        spool: Spool | None = None,
        *,
        redactor: Callable[[], Redacts] | None = None,
    ) -> None:
        clock, wall = dependencies.clock, dependencies.wall
        self._config = config
        self._clock = clock
        self.notices = Notices(config.on_error, config.on_flush, clock=clock, say=dependencies.say)
        self.outbox = Outbox(config.max_queue_bytes, spool, notices=self.notices, clock=clock)
        self._trouble = Trouble(self.notices, clock=clock, wall=wall)
        self._pace = Pace(
            config.requests_per_minute, config.requests_per_hour, clock=clock, rng=dependencies.rng
        )
        self._breaker = Breaker(clock=clock, rng=dependencies.rng)
        self._losses = LossReport(self.outbox, service=config.service, clock=clock, wall=wall)
        self._quarantine = Quarantine(
            lifetime=_LIFETIME if spool is None else config.spool_max_age,
            spacing=60.0 / (_SUSPECTS_PACE * config.requests_per_minute),
            clock=clock,
            rng=dependencies.rng,
        )
        self._causes = CommonCauses(self.outbox, clock=clock, rng=dependencies.rng)
        self._redactor = redactor
        self._transport = dependencies.transport(config)
        self.delivery = Delivery(
            config,
            self.outbox,
            self._transport,
            pace=self._pace,
            breaker=self._breaker,
            quarantine=self._quarantine,
            causes=self._causes,
            trouble=self._trouble,
            losses=self._losses,
            notices=self.notices,
            observe=observe,
            written_out=self._written_out,
            clock=clock,
            wall=wall,
        )
        self.sender = Sender(
            self.delivery,
            self.outbox,
            self.notices,
            close=self._close,
            clock=clock,
            sleep=dependencies.sleep,
            threads=dependencies.threads,
        )
        self._late_seconds = 0.0
        self._late_reaches_server = False
        self._recursive = losses.get().count
        at_the_very_end(self._leave)
        self._flusher: Flusher | None = None
        if spool is not None:
            from logwell_otel._buffer.flusher import Flusher  # noqa: PLC0415 - only with a spool

            self._flusher = Flusher(
                self.outbox, self.sender.wake, self._look_failed, threads=dependencies.threads
            )
            self.outbox.hurry = self._flusher.hurry
            self.outbox.tell_of_losses(partial(self._losses.on_disk, notices=self.notices))

    def hand_over(self, encoded: Encoded) -> bool:
        """Hold what was encoded and let the sender know; False if others gave way for it."""
        self.count_recursive()
        for reason, warning in encoded.warnings.items():
            self.notices.say(warning, about=reason)
        if self.takes_late:
            return self._deliver_late(encoded)
        chunks = bool(encoded.chunks)
        lost = self.outbox.put(encoded.chunks, encoded.dropped)
        if lost:
            self._losses.overflow(lost, self.notices)
        if chunks or encoded.warnings:
            self.sender.wake()
        if chunks and self._flusher is not None and not self._flusher.wake():
            self._flusher.tick()
        return not lost

    def count_recursive(self) -> None:
        """Take into the account what was logged while a record was being handled, and lost."""
        lost = losses.get().count
        new, self._recursive = lost - self._recursive, lost
        if new:
            self.outbox.put([], {"recursive": new})

    def flush(self, timeout: float) -> bool:
        """Deliver what was handed over before now; True if none of it was lost."""
        self.count_recursive()
        return self.sender.flush(timeout)

    def shutdown(self, timeout: float) -> None:
        """Deliver what is held within `timeout` seconds; leave the rest to the spool."""
        self.sender.shutdown(timeout)
        if not self.sender.is_current_thread():
            # The sender may hang in a callback and never come to `_close`, the flusher in a disk.
            self._stop_flusher(_JOIN_SECONDS)
        if is_exiting() and self.sender.ended:
            self._late_seconds = LATE_SECONDS
            self._late_reaches_server = not self._trouble.lasts

    @property
    def takes_late(self) -> bool:
        """True while what is handed over after `shutdown` is delivered, or goes to the spool."""
        # Once modules are taken down there is no connection without the imports that it needs.
        sends = self._late_reaches_server and not sys.is_finalizing()
        return self._late_seconds > 0 and (sends or self._flusher is not None)

    def _deliver_late(self, encoded: Encoded) -> bool:
        """Deliver at once: nobody comes after to do it, and there are no threads any more."""
        began = self._clock()
        sends = self._late_reaches_server and not sys.is_finalizing()
        self.outbox.reopen()
        self.outbox.put(encoded.chunks, encoded.dropped)
        # A server that has failed is not asked again: each record would wait for it.
        delivered = self.sender.deliver_late(self._late_seconds if sends else 0.0)
        self._late_reaches_server = sends and delivered
        self._late_seconds -= self._clock() - began
        return delivered

    def _leave(self) -> None:
        if not self.outbox.is_given_up:
            self.sender.leave()
            self._stop_flusher(_JOIN_SECONDS)

    def _close(self) -> None:
        """Delivery is over."""
        self._transport.close()
        self._stop_flusher()

    def _stop_flusher(self, timeout: float = 1.0) -> None:
        # Not before delivery is over: draining may take 30 s, and `docker stop` kills after 10.
        if self._flusher is not None:
            self._flusher.stop(timeout)

    def dropped_before(self, count: int, reason: str) -> None:
        """Records were dropped before they were handed over: a processor's queue was full."""
        self.outbox.lost(count, reason)
        if reason == QUEUE_FULL:
            self._losses.queue_full(count, self.notices)
            self.sender.wake()

    def failed(self, count: int, error: BaseException) -> None:
        """A batch of `count` records could not be encoded or handed over."""
        self.outbox.put([], {"internal_error": count})
        self.notices.say(
            f"{count} records were dropped: {type(error).__name__}: {error}. This is a defect of "
            "logwell-otel; please report it.",
            about="internal error",
        )
        self.sender.wake()

    def _written_out(self, entry: bytes) -> str:
        """An entry that is given up, for a warning: redacted, and cut to a sensible length."""
        if self._redactor is None:
            return name(entry, self._config.secrets.mask)
        try:
            whole = self._redactor().redact_entry(msgspec.json.decode(entry, type=LogEntry))
        except Exception as error:  # noqa: BLE001 - what cannot be redacted is not shown
            return f"an entry that cannot be redacted ({type(error).__name__})"
        text = self._config.secrets.mask(msgspec.json.encode(whole).decode("utf-8", "replace"))
        return text if len(text) <= _MAX_WRITTEN else f"{text[: _MAX_WRITTEN - 1]}…"

    def _look_failed(self, error: Exception) -> None:
        self.notices.say(
            f"Looking after the spool failed with {described(error)}. It is tried again.",
            about="look after the spool",
        )
        self.sender.wake()

    def health(
        self, *, queued: int = 0, queue_share: float = 0.0, room: tuple[int, int] | None = None
    ) -> Health:
        """A snapshot; what it is given is of the processor's queue."""
        from logwell_otel.health import Health  # noqa: PLC0415 - nobody needs it at start-up

        self.count_recursive()
        held = self.outbox.holdings()
        ledger = held.counters
        memory_share = held.bytes_in_memory / self._config.max_queue_bytes
        disk_share = held.bytes_on_disk / self._config.spool_max_bytes
        status, reasons = self._status(memory_share, disk_share)
        return Health(
            status=status,
            reasons=tuple(reasons),
            handed_over=ledger.handed_over,
            recovered=ledger.recovered,
            accepted=ledger.accepted,
            refused=ledger.refused,
            dropped=dict(ledger.dropped),
            queued=queued,
            queue_share=queue_share,
            queue_room=None if room is None else room[0],
            queue_room_bytes=None if room is None else room[1],
            held=held.entries,
            held_in_memory=held.entries_in_memory,
            bytes_in_memory=held.bytes_in_memory,
            memory_share=memory_share,
            held_on_disk=held.entries_on_disk,
            bytes_on_disk=held.bytes_on_disk,
            disk_share=disk_share,
            consecutive_failures=self._trouble.consecutive_failures,
            breaker=self._breaker.state,
            requests_per_minute=self._pace.rate,
            paused_for=self._pace.paused_for,
            last_error=self._trouble.last_error,
            last_error_at=self._trouble.last_error_at,
            last_success_at=self._trouble.last_success_at,
        )

    def _status(self, memory_share: float, disk_share: float) -> tuple[Status, list[str]]:
        from logwell_otel.health import NEARLY_FULL  # noqa: PLC0415 - as above

        unhealthy: list[str] = []
        degraded: list[str] = []
        error = self._trouble.last_error
        said = f": {error.message}" if error is not None else ""
        if self.delivery.held_for > 0:
            unhealthy.append(f"nothing is sent for {self.delivery.held_for:.0f} s{said}")
        elif self._breaker.state != "closed":
            failed = count(self._breaker.consecutive_failures, "request")
            unhealthy.append(f"{failed} failed in a row{said}")
        elif self._trouble.lasts:
            degraded.append(f"the last request failed{said}")
        if self._pace.paused_for > 0:
            degraded.append(f"paused for {self._pace.paused_for:.0f} s by the server's rate limit")
        if memory_share >= NEARLY_FULL:
            degraded.append(f"held entries fill {memory_share:.0%} of max_queue_bytes")
        if disk_share >= NEARLY_FULL:
            degraded.append(f"spooled entries fill {disk_share:.0%} of spool_max_bytes")
        if recent := self._losses.recent():
            degraded.append(f"{entries(recent)} {was(recent)} dropped in the last five minutes")
        if refused := self._losses.recently_refused():
            degraded.append(
                f"{entries(refused)} {was(refused)} refused by the server in the last five minutes"
            )
        if aside := self._quarantine.alone:
            last = aside[-1].suspicion
            degraded.append(
                f"{entries(len(aside))} {was(len(aside))} set aside: others are accepted, and each "
                f"request with one was {last.cause if last else 'refused'}"
            )
        degraded += [
            f"{entries(cause.entries)} of {cause.trait} wait: others are accepted, and each "
            f"request with one was {cause.cause}"
            for cause in self._causes
        ]
        status: Status = "unhealthy" if unhealthy else "degraded" if degraded else "healthy"
        return status, unhealthy + degraded

    def __repr__(self) -> str:
        return f"<Engine {self.outbox!r}, {self.sender!r}, {self.delivery!r}>"
