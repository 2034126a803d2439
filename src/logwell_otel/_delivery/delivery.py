"""The way of a chunk from the outbox to the server: one step at a time.

A step sends at most one request and says how long to wait until the next. It neither
sleeps nor starts a thread, so that tests drive it with a clock of their own.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from logwell_otel._delivery import ordering as incidents
from logwell_otel._delivery import response as report
from logwell_otel._delivery.isolation import Limits
from logwell_otel._delivery.response import Action, Outcome, outcome_of
from logwell_otel._delivery.retry import RequestTimeout
from logwell_otel._diagnostics import contained, described, entries, was
from logwell_otel._http import Answer, NoAnswer
from logwell_otel._wire import IngestResponse
from logwell_otel.errors import LogwellErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel._buffer.outbox import Outbox
    from logwell_otel._config.options import Config
    from logwell_otel._delivery.isolation import Quarantine
    from logwell_otel._delivery.pacing import Pace
    from logwell_otel._delivery.retry import Breaker
    from logwell_otel._delivery.status import LossReport, Trouble
    from logwell_otel._diagnostics import Notices
    from logwell_otel._encoding.chunk import Chunk
    from logwell_otel._http import Transport

HOLD_SECONDS: Final = 30.0
"""Pause after a refused key or a redirect: the server refuses an unknown key for 30 s
even once it exists."""

_DISK_RETRY_SECONDS: Final = 1.0
_HEALTH_INTERVAL: Final = 5.0
_HEALTH_TIMEOUT: Final = 2.0
_MOST_UNREACHABLE: Final = 8


class Delivery:
    """Takes chunks from the outbox, sends them and decides what becomes of them.

    Used by one thread at a time.

    Args:
        config: Time-out, secrets and key.
        outbox: Where chunks come from and where they are settled.
        transport: Sends a request.
        pace: When the rate limit allows the next request.
        breaker: When failures allow the next request.
        quarantine: Keeps chunks that were answered 500.
        trouble: Follows how delivery goes.
        losses: Reports what was dropped, once entries are accepted again.
        notices: Tells people.
        observe: Called with every outcome and the seconds that its request took.
        clock: Monotonic clock, in seconds.
        wall: Wall clock, in seconds.
    """

    def __init__(
        self,
        config: Config,
        outbox: Outbox,
        transport: Transport,
        *,
        pace: Pace,
        breaker: Breaker,
        quarantine: Quarantine,
        trouble: Trouble,
        losses: LossReport,
        notices: Notices,
        observe: Callable[[Outcome, float], None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._outbox = outbox
        self._transport = transport
        self._pace = pace
        self._breaker = breaker
        self._quarantine = quarantine
        self._trouble = trouble
        self._losses = losses
        self._notices = notices
        self._observe = observe
        self._clock = clock
        self._wall = wall
        self._hold_until = float("-inf")
        self._asked_health_at = float("-inf")
        self._limits = Limits(outbox)
        self._timeout = RequestTimeout(config.timeout)
        self._unreachable = 0
        self._uncounted = False
        self.request_timeout = math.inf
        """Seconds a request may take at most, whatever the time-out: shutdown lowers it."""
        self.last_answer_at = clock()
        """When the latest answer came, monotonic seconds. A request that ended without one
        does not count: shutdown waits for a server that answers, and for no other."""

    @property
    def resting(self) -> bool:
        """True while trouble is known and not expected to pass in a moment."""
        return self.held_for > 0 or self._pace.paused_for > 0 or self._breaker.state != "closed"

    @property
    def held_for(self) -> float:
        """Seconds left of a hold: a refused key, or a redirect."""
        return max(0.0, self._hold_until - self._clock())

    def expedite(self) -> None:
        """Skip the wait that a failure caused, once: somebody flushes."""
        self._breaker.expedite()

    def blocked_for(self) -> float:
        """Seconds that trouble keeps requests back: a refused key, the breaker, a 429 pause."""
        return max(self.held_for, self._breaker.ready_in(), self._pace.paused_for)

    def report_losses(self) -> None:
        """What was dropped since the last report is said now: it is the last chance to."""
        if not self._trouble.lasts:
            self._losses.report(at_once=True)

    def step(self, *, force: bool = False) -> float | None:
        """Send the next request, if there is one and its time has come.

        Args:
            force: Send even though trouble or the pace keeps requests back.

        Returns:
            Seconds until the next step is worth taking; None if there is nothing to send.
        """
        wait = 0.0 if force else max(self.blocked_for(), self._pace.ready_in())
        suspect, due_in = self._suspect()
        if suspect is None and not self._waiting and not self._last_report():
            return None
        if suspect is not None and not force:
            wait = max(wait, due_in)
        if wait > 0:
            return wait
        if suspect is not None:
            chunk = self._bisected(suspect)
        else:
            chunk = self._limits.next_part() or self._outbox.take()
        if chunk is None:
            return _DISK_RETRY_SECONDS  # what waits is on a disk that cannot be read now
        # The thread must live, and the chunk be kept.
        with contained(partial(self._failed, chunk)):
            if not self._limits.split(chunk):
                self._send(chunk)
        return 0.0

    @property
    def _waiting(self) -> bool:
        return self._limits.waiting or self._outbox.waiting

    def _last_report(self) -> bool:
        """What was dropped last is reported even where nothing more is logged."""
        return not self._trouble.lasts and self._losses.report()

    def _suspect(self) -> tuple[Chunk | None, float]:
        """The suspect whose turn it is and the seconds until then; None: a fresh chunk's turn."""
        if (chunk := self._quarantine.with_evidence()) is not None:
            return chunk, 0.0
        if self._quarantine.full or not self._waiting:
            return self._quarantine.next_due() or (None, 0.0)
        return None, 0.0

    def _bisected(self, chunk: Chunk) -> Chunk | None:
        halves = self._quarantine.halve(chunk)
        self._quarantine.release(chunk)
        if halves is None:
            return chunk
        first, second = halves
        if not self._outbox.split(chunk, halves):
            return None
        self._quarantine.keep(second)
        return first

    def _send(self, chunk: Chunk) -> None:
        incidents.order(chunk)
        started = self._clock()
        answer = self._posted(chunk)
        ended = self._clock()
        if isinstance(answer, Answer):
            self.last_answer_at = ended
            self._timeout.answered(ended - started)
        outcome = outcome_of(answer, mask=self._config.secrets.mask, now=self._wall)
        if outcome.action is Action.TAKEN:
            outcome = self._taken(chunk, outcome)
        self._measure(outcome, ended - started)
        self._trouble.answered(outcome)
        if outcome.error is not None:
            self._notices.error(outcome.error)
        _HANDLERS[outcome.action](self, chunk, outcome)

    def _posted(self, chunk: Chunk) -> Answer | NoAnswer:
        if self._timeout.overdue and not self._reachable():
            return NoAnswer("entries were sent before, and since then it answers nothing at all")
        self._pace.take()
        timeout = min(self._timeout.seconds, self.request_timeout)
        answer = self._transport.post(chunk.body(), timeout)
        if (
            isinstance(answer, NoAnswer)
            and answer.timed_out
            and timeout == self._timeout.seconds
            and self._timeout.exceeded()
        ):
            self._notices.say(
                f"The server did not answer within {timeout:g} s, the time-out (LOGWELL_TIMEOUT). "
                f"It gets up to {self._timeout.seconds:g} s now: what it may have stored already "
                "would be stored once more with each attempt."
            )
        return answer

    def _reachable(self) -> bool:
        """Whether anything answers, after a request that nothing answered.

        Asked without entries: a server that was stopped works on all that it was sent
        meanwhile. Not for ever, since something may keep its health from us.
        """
        self._unreachable += 1
        if (
            self._unreachable <= _MOST_UNREACHABLE
            and self._transport.healthy(min(_HEALTH_TIMEOUT, self.request_timeout)) is None
        ):
            return False
        self._unreachable = 0
        return True

    def _taken(self, chunk: Chunk, outcome: Outcome) -> Outcome:
        """What a success without counts is: stored, or to be tried once more.

        At once where a Logwell server is known to be behind what answers; the second time in
        any case, or entries would be stored again with every attempt.
        """
        if not self._uncounted:
            self._uncounted = True
            health = self._transport.healthy(min(_HEALTH_TIMEOUT, self.request_timeout))
            if health is not True:
                return outcome
        self._notices.say(
            f"{outcome.problem}: {entries(chunk.count)} {was(chunk.count)} taken as stored, since "
            "the answer is a success. If they are not, check endpoint (LOGWELL_ENDPOINT) and what "
            "stands in front of the server.",
            about="answers without counts",
        )
        return Outcome(Action.DONE, response=IngestResponse(chunk.count, 0, []))

    def _measure(self, outcome: Outcome, seconds: float) -> None:
        with contained(self._meters_failed):
            self._observe(outcome, seconds)

    def _meters_failed(self, error: Exception) -> None:
        self._notices.say(
            f"The meter provider raised {described(error)}. Delivery goes on without it.",
            about="metrics",
        )

    def _failed(self, chunk: Chunk, error: Exception) -> None:
        """A defect: `chunk` is kept and tried again, and given up when only it fails."""
        self._notices.say(
            f"Delivery failed with {described(error)}. The entries are kept and tried again. "
            "This is a defect of logwell-otel; please report it.",
            about="defect",
        )
        self._breaker.failed(None)
        if self._outbox.in_flight(chunk) and self._quarantine.failed(chunk):
            self._outbox.settle(chunk, dropped="internal_error")
            self._losses.report()

    # One method for each action.

    def _done(self, chunk: Chunk, outcome: Outcome) -> None:
        self._breaker.succeeded()
        self._pace.accepted()
        self._quarantine.accepted(chunk)
        response = outcome.response
        assert response is not None  # noqa: S101 - DONE has one
        refused = min(response.rejected, chunk.count)
        accepted = chunk.count - refused
        if response.accepted + response.rejected != chunk.count:
            # Sending again would duplicate what was stored.
            self._notices.say(
                f"The server answered {response.accepted} accepted and {response.rejected} "
                f"rejected for {chunk.count} entries. They are taken as stored.",
                about="counts that do not add up",
            )
        if refused:
            error = report.refusals(chunk, response, self._config.secrets.mask)
            self._notices.error(error)
            self._notices.say(error.message, about="refused entries")
        self._outbox.settle(chunk, accepted=accepted, refused=refused)
        self._notices.flushed(accepted)
        self._losses.report()

    def _retry(self, chunk: Chunk, outcome: Outcome) -> None:
        self._breaker.failed(outcome.error.retry_after if outcome.error else None)
        self._return(chunk)

    def _suspected(self, chunk: Chunk, outcome: Outcome) -> None:
        down = self._server_is_down()
        self._breaker.failed(outcome.error.retry_after if outcome.error else None, down=down)
        if down:
            self._return(chunk)  # a failure that says nothing about the chunk
            return
        self._outbox.spill()
        if self._quarantine.failed(chunk):
            error = report.poison(chunk, self._config.secrets.mask)
            if self._outbox.settle(chunk, dropped="poison"):
                self._notices.error(error)
                self._notices.say(error.message, about="poison entries")
                self._losses.report()

    def _pause(self, chunk: Chunk, outcome: Outcome) -> None:
        self._pace.rate_limited(outcome.error.retry_after if outcome.error else None)
        self._return(chunk)

    def _hold(self, chunk: Chunk, outcome: Outcome) -> None:
        refused_key = outcome.error and outcome.error.code is LogwellErrorCode.UNAUTHORIZED
        if not (refused_key and self._config.api_key.reload()):
            self._hold_until = self._clock() + HOLD_SECONDS
        self._return(chunk)

    def _too_large(self, chunk: Chunk, outcome: Outcome) -> None:
        assert outcome.error is not None  # noqa: S101 - only DONE has none
        if not self._limits.too_large(chunk, outcome.error.status_code):
            self._drop_invalid(chunk, outcome)

    def _invalid(self, chunk: Chunk, outcome: Outcome) -> None:
        self._breaker.succeeded()  # it answered, and knows what it wants
        if chunk.count > 1:
            self._limits.halve(chunk)
        else:
            self._drop_invalid(chunk, outcome)

    def _drop_invalid(self, chunk: Chunk, outcome: Outcome) -> None:
        assert outcome.error is not None  # noqa: S101 - only DONE has none
        error = report.invalid(chunk, outcome.error, self._config.secrets.mask)
        if self._outbox.settle(chunk, refused=chunk.count):
            self._notices.error(error)
            self._notices.say(error.message, about="refused entries")

    def _return(self, chunk: Chunk) -> None:
        self._outbox.spill()
        if chunk.suspicion is None:
            self._outbox.put_back([chunk])
        else:
            self._quarantine.keep(chunk)

    def _server_is_down(self) -> bool:
        """Whether the server itself says so. Asked at most every few seconds."""
        now = self._clock()
        if now - self._asked_health_at < _HEALTH_INTERVAL:
            return False
        self._asked_health_at = now
        return self._transport.healthy(min(_HEALTH_TIMEOUT, self.request_timeout)) is False

    def __repr__(self) -> str:
        hold = f", held for {self.held_for:.0f} s" if self.held_for else ""
        return (
            f"<Delivery {self._breaker!r}, {self._pace!r}, {len(self._quarantine)} suspects{hold}>"
        )


_HANDLERS: Final[dict[Action, Callable[[Delivery, Chunk, Outcome], None]]] = {
    Action.DONE: Delivery._done,  # noqa: SLF001 - our own methods, as a table
    Action.RETRY: Delivery._retry,  # noqa: SLF001
    Action.TAKEN: Delivery._retry,  # noqa: SLF001 - where it is not sure yet
    Action.SUSPECT: Delivery._suspected,  # noqa: SLF001
    Action.PAUSE: Delivery._pause,  # noqa: SLF001
    Action.HOLD: Delivery._hold,  # noqa: SLF001
    Action.SPLIT: Delivery._too_large,  # noqa: SLF001
    Action.INVALID: Delivery._invalid,  # noqa: SLF001
}
