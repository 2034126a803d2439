"""The way of a chunk from the outbox to the server: one step at a time.

A step sends at most one request and says how long to wait until the next. It neither
sleeps nor starts a thread, so that tests drive it with a clock of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable  # noqa: TC003 - a NamedTuple reads its annotations
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from logwell_otel._clock import monotonic, wall_clock
from logwell_otel._delivery import ordering as incidents
from logwell_otel._delivery import response as report
from logwell_otel._delivery.isolation import MAX_SET_ASIDE, OUTAGE, Verdict
from logwell_otel._delivery.limits import Limits
from logwell_otel._delivery.response import Action, Outcome, outcome_of
from logwell_otel._delivery.retry import LostAnswers, RequestTimeout
from logwell_otel._diagnostics import contained, described, entries, was
from logwell_otel._encoding.chunk import UNLOADED_BYTES
from logwell_otel._http import Answer, NoAnswer
from logwell_otel._wire import IngestResponse
from logwell_otel.errors import LogwellErrorCode

if TYPE_CHECKING:
    from logwell_otel._buffer.outbox import Outbox
    from logwell_otel._config.options import Config
    from logwell_otel._delivery.common_cause import CommonCause, CommonCauses
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
_NO_ENTRIES: Final = b"[]"

_LIMITED_AGAIN: Final = 600.0

_SUSPECTS_TURNS: Final = 2
"""Requests for suspects to one for another chunk, where there are too many suspects."""

_SUSPECTS_SHARE: Final = 0.5
"""Of max_queue_bytes, and of spool_max_bytes beyond that: what suspects that wait may take, so
that they stand in nobody's way."""

_CUT_AFTER: Final = 300.0
"""Seconds that an entry is refused for its size, while others are accepted, before it is cut:
a gateway that is out of order for a while must not cost a text."""


class Delivery:
    """Takes chunks from the outbox, sends them and decides what becomes of them.

    Used by one thread at a time.

    Args:
        config: Time-out, secrets and key.
        outbox: Where chunks come from and where they are settled.
        transport: Sends a request.
        pace: When the rate limit allows the next request.
        breaker: When failures allow the next request.
        quarantine: Keeps chunks that fail while others may not.
        causes: Keeps entries that fail for something they have in common.
        trouble: Follows how delivery goes.
        losses: Reports what was dropped, once entries are accepted again.
        notices: Tells people.
        observe: Called with every outcome and the seconds that its request took; None for nobody.
        written_out: An entry in full, as it may stand in a warning.
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
        causes: CommonCauses,
        trouble: Trouble,
        losses: LossReport,
        notices: Notices,
        observe: Callable[[Outcome, float], None] | None,
        written_out: Callable[[bytes], str],
        clock: Callable[[], float] = monotonic,
        wall: Callable[[], float] = wall_clock,
    ) -> None:
        self._config = config
        self._outbox = outbox
        self._transport = transport
        self._pace = pace
        self._breaker = breaker
        self._quarantine = quarantine
        self._causes = causes
        self._trouble = trouble
        self._losses = losses
        self._notices = notices
        self._observe = observe
        self._written_out = written_out
        self._clock = clock
        self._wall = wall
        self._hold_until = float("-inf")
        self._asked_health_at = float("-inf")
        self._well_asked_at = float("-inf")
        self._well: bool | None = None
        self._limited_at = float("-inf")
        self._accepted_before_limit = 0
        self._limits = Limits(outbox, clock=clock)
        self._suspecting = False
        self._suspects_in_a_row = 0
        self._unloaded = False
        self._timeout = RequestTimeout(config.timeout, clock)
        self._lost_answers = LostAnswers(clock)
        self._uncounted = False
        self._counts_come = False
        self.waits_for_disk = False
        """True if what waits is on a disk that could not be read just now."""
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

    @property
    def failing_alone(self) -> int:
        """Entries that fail alone while others are accepted."""
        return len(self._quarantine.alone)

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

    def say_losses(self, at_shutdown: int) -> None:
        """Say what was lost since the start, `at_shutdown` entries of it just now."""
        self._losses.say_totals(self._notices, at_shutdown)

    def step(self, *, force: bool = False) -> float | None:
        """Send the next request, if there is one and its time has come.

        Args:
            force: Send even though trouble or the pace keeps requests back.

        Returns:
            Seconds until the next step is worth taking; None if there is nothing to send.
        """
        wait = 0.0 if force else max(self.blocked_for(), self._pace.ready_in())
        suspect = self._suspect()
        if suspect is None and not self._waiting and not self._last_report():
            return None
        if suspect is not None and (suspect.holds or not force):
            wait = max(wait, suspect.due_in)
        if wait > 0:
            return wait
        if self._lost_answers.asks:
            with contained(self._asking_failed):
                self._ask()
            return 0.0
        if suspect is not None:
            self._suspects_in_a_row += 1
            chunk = suspect.take()
        else:
            self._suspects_in_a_row = 0
            parts = self._limits.parts
            # Of what waits the newest is most likely to be unlike what fails: a firewall may
            # dislike thousands of lines in a row, and none after them.
            failing = self._suspecting and self._quarantine.in_a_row > 0
            newest = failing and self._outbox.waiting
            chunk = parts.popleft() if parts and not newest else self._outbox.take(newest=newest)
            self.waits_for_disk = chunk is None
            if chunk is None:
                return _DISK_RETRY_SECONDS  # what waits is on a disk that cannot be read now
            if self._suspecting:
                chunk = self._causes.divide(chunk)
                self._give_up_what_is_over()
                if chunk is not None:
                    chunk = self._sampled(chunk)
        if chunk is None:
            return 0.0  # what it was made of waits for another turn
        # The thread must live, and the chunk be kept.
        with contained(partial(self._failed, chunk)):
            if not (self._limits.learned and self._limits.split(chunk)):
                self._send(chunk)
        return 0.0

    @property
    def _waiting(self) -> bool:
        return bool(self._limits.parts) or self._outbox.waiting

    def _last_report(self) -> bool:
        """What was dropped last is reported even where nothing more is logged."""
        return not self._trouble.lasts and self._losses.report()

    def _suspect(self) -> _Turn | None:
        """The suspect whose turn it is; None: it is the turn of another chunk."""
        if not self._suspecting:
            return None
        idle = not self._waiting
        # In turns, or what is logged now would wait until all that is disliked is found, at a
        # pace of a few requests a minute for hours.
        share = _SUSPECTS_TURNS if self._quarantine.full else 1
        if self._suspects_in_a_row >= share and not (idle or self._quarantine.is_patient):
            return None
        turn, probe_in = self._quarantine.turn(idle=idle), self._causes.turn()
        probes = probe_in is not None and (probe_in == 0.0 or idle)
        if probe_in is not None and probes and (turn is None or probe_in < turn[1]):
            return _Turn(probe_in, self._causes.probe)
        if turn is None:
            return None
        chunk, due_in = turn
        return _Turn(due_in, partial(self._taken, chunk), holds=self._quarantine.holds(chunk))

    def _taken(self, chunk: Chunk) -> Chunk | None:
        """What is to be sent of a suspect: all of it, or a part."""
        self._quarantine.release(chunk)
        if not self._outbox.load(chunk):
            if self._outbox.in_flight(chunk):  # the disk cannot be read just now
                self._quarantine.keep(chunk)
            return None
        rest = self._causes.divide(chunk)
        return None if rest is None else self._part(rest, self._quarantine.parts(rest))

    def _sampled(self, chunk: Chunk) -> Chunk | None:
        """An entry of a chunk that was not tried yet, in what looks like an outage; else all of it.

        The others go on waiting: nothing is held against them.
        """
        parts = self._quarantine.first_sample(chunk, only=not self._waiting)
        if parts is None:
            return chunk
        if not self._outbox.split(chunk, parts):
            return None
        self._outbox.put_back(parts[1:])
        return parts[0]

    def _part(self, chunk: Chunk, parts: list[Chunk] | None) -> Chunk | None:
        """The first of `parts`, for the others to be kept; all of it where there are none."""
        if parts is None:
            return chunk
        if not self._outbox.split(chunk, parts):
            return None
        for part in parts[1:]:
            self._quarantine.keep(part)
        return parts[0]

    def _send(self, chunk: Chunk) -> None:
        if chunk.errors != 0:  # None: nobody has counted them
            incidents.order(chunk)
        started = self._clock()
        answer = self._posted(chunk)
        seconds = self._clock() - started
        if isinstance(answer, Answer):
            self._timeout.answered(seconds)
        outcome = self._outcome(answer)
        if outcome.action is Action.DONE:
            self._counts_come = True
        elif outcome.action is Action.TAKEN:
            outcome = self._without_counts(chunk, outcome)
        self._measure(outcome, seconds)
        if outcome.error is not None:
            self._notices.error(outcome.error)
        if outcome.action in _ABOUT_ENTRIES or self._blames_entries(chunk, outcome):
            self._trouble.noted(outcome)
        else:
            self._trouble.answered(outcome)
        failed_once = outcome.error is not None and not self._quarantine.looks_like_outage
        if failed_once and outcome.sent:
            self._pace.failed_once()
        _HANDLERS[outcome.action](self, chunk, outcome)

    def _outcome(self, answer: Answer | NoAnswer) -> Outcome:
        if isinstance(answer, Answer):
            self.last_answer_at = self._clock()
        return outcome_of(
            answer,
            mask=self._config.secrets.mask,
            now=self._wall,
            proven=self._trouble.last_success_at is not None,
        )

    def _ask(self) -> None:
        """Send a request without entries: do answers come back?"""
        started = self._clock()
        self._pace.take()
        seconds = self._timeout.of_question(self._lost_answers.ask())
        answer = self._transport.post(_NO_ENTRIES, min(seconds, self.request_timeout))
        outcome = self._outcome(answer)
        says_yes = self._counts_come and outcome.action is Action.TAKEN
        if outcome.is_the_servers and not says_yes:
            self._timeout.question_answered(self._clock() - started)
            self._lost_answers.came()
            self._breaker.expedite()
            return
        assert outcome.error is not None  # noqa: S101 - only DONE has none
        self._measure(outcome, self._clock() - started)
        self._notices.error(outcome.error)
        self._trouble.answered(outcome)
        self._breaker.failed(_retry_after(outcome))

    def _asking_failed(self, error: Exception) -> None:
        self._say_defect(error)
        self._breaker.failed(None)

    def _blames_entries(self, chunk: Chunk, outcome: Outcome) -> bool:
        """True if a failure is about what is in the request: others were accepted since it failed.

        Or it failed after others were, and is being searched, until that looks like an outage.

        Then it is nobody else's business. A firewall that redirects one text to its own page,
        or asks to come back in a minute, must not stop what has no such text.
        """
        own = outcome.refusal in ("unauthorized", "rate_limited")
        failed = outcome.action is not Action.DONE and outcome.sent and not own
        return failed and (
            self._quarantine.is_about(chunk)
            or self._quarantine.is_known(chunk)
            or (_is_struck(chunk) and not self._quarantine.looks_like_outage)
        )

    def _posted(self, chunk: Chunk) -> Answer | NoAnswer:
        self._pace.take()
        own = _is_struck(chunk) or self._quarantine.is_about(chunk)
        seconds = self._seconds_of_its_own(chunk) if own else self._timeout.seconds
        timeout = min(seconds, self.request_timeout)
        answer = self._transport.post(chunk.body(), timeout)
        if isinstance(answer, NoAnswer) and answer.timed_out and timeout == seconds:
            if not own:
                self._exceeded()
            elif seconds > self._timeout.usual:
                self._timeout.in_vain()
        return answer

    def _seconds_of_its_own(self, chunk: Chunk) -> float:
        """What a request gets while others are answered.

        A longer time-out once, since the server may be slow with this one only, and each time
        where it is known to be slow now and then.
        """
        if self._timeout.late:
            return max(self._timeout.longer, self._timeout.seconds)
        suspicion = chunk.suspicion
        first = suspicion is not None and suspicion.unanswered == 1 and not suspicion.strikes
        return self._timeout.longer if first and self._timeout.worth_it else self._timeout.usual

    def _exceeded(self) -> None:
        before = self._timeout.seconds
        if self._timeout.exceeded():
            self._notices.say(
                f"The server did not answer within {before:g} s, the time-out (LOGWELL_TIMEOUT). "
                f"It gets up to {self._timeout.seconds:g} s now: what it may have stored already "
                "would be stored once more with each attempt.",
                about="time-out exceeded",
            )

    def _without_counts(self, chunk: Chunk, outcome: Outcome) -> Outcome:
        """What a success without counts is: stored, or to be tried once more.

        Stored where a Logwell server is known to be behind what answers. Where none is, and
        counts have come before, something else answers now, and says yes to everything. Where
        they never have, a success is one the second time: entries would be stored with every
        attempt.
        """
        if self._counts_come or not self._uncounted:
            self._uncounted = True
            if self._server_is_well() is not True:
                return outcome._replace(action=Action.RETRY) if self._counts_come else outcome
        self._notices.say(
            f"{outcome.problem}: {entries(chunk.count)} {was(chunk.count)} taken as stored, since "
            "the answer is a success. If they are not, check endpoint (LOGWELL_ENDPOINT) and what "
            "stands in front of the server.",
            about="answers without counts",
        )
        return Outcome(Action.DONE, response=IngestResponse(chunk.count, 0, []))

    def _measure(self, outcome: Outcome, seconds: float) -> None:
        with contained(self._meters_failed):
            if self._observe is not None:
                self._observe(outcome, seconds)

    def _meters_failed(self, error: Exception) -> None:
        self._notices.say(
            f"The meter provider raised {described(error)}. Delivery goes on without it.",
            about="metrics",
        )

    def _failed(self, chunk: Chunk, error: Exception) -> None:
        """A defect: `chunk` is kept and tried again, and given up when only it fails."""
        self._say_defect(error)
        self._breaker.failed(None)
        if not self._outbox.in_flight(chunk):
            return
        if chunk.suspicion is not None:
            chunk.suspicion.common = None  # it has failed for a reason of its own
        self._suspecting = True
        verdict = self._quarantine.failed(chunk, f"left unsent: {described(error)}")
        if verdict is Verdict.SET_ASIDE:
            self._quarantine.release(chunk)
        if verdict is not Verdict.KEPT:
            self._outbox.settle(chunk, dropped="internal_error", dead_letter=chunk)
            self._losses.report()

    def _say_defect(self, error: Exception) -> None:
        self._notices.say(
            f"Delivery failed with {described(error)}. The entries are kept and tried again. "
            "This is a defect of logwell-otel; please report it.",
            about="defect",
        )

    # One method for each action.

    def _done(self, chunk: Chunk, outcome: Outcome) -> None:
        self._breaker.succeeded()
        self._lost_answers.came(accepted=True)
        self._pace.accepted()
        if self._limits.learned:
            self._limits.accepted(chunk)
        if self._quarantine.in_a_row > 1:
            self._quarantine.join(self._outbox.join)
        self._quarantine.accepted(chunk)
        if self._suspecting:
            for cause in self._causes.accepted(chunk, self._quarantine.evidence):
                self._notices.say(f"Entries of {cause.trait} are accepted again.")
            self._suspecting = bool(len(self._quarantine) or self._causes)
            if not self._suspecting:
                self._causes.forget()
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
        letter = None
        if refused:
            letter = report.refused_entries(chunk, response)
            error = report.refusals(chunk, response, self._config.secrets.mask)
            self._notices.error(error)
            self._notices.say(error.message, about="refused entries")
            self._losses.refused(refused)
        self._outbox.settle(chunk, accepted=accepted, refused=refused, dead_letter=letter)
        self._notices.flushed(accepted)
        self._losses.report()

    def _retry(self, chunk: Chunk, outcome: Outcome) -> None:
        if outcome.sent:
            if outcome.action is Action.RETRY and not self._blames_entries(chunk, outcome):
                self._lost_answers.lost()
            self._suspected(chunk, outcome)
            return
        self._breaker.failed(_retry_after(outcome))
        self._return(chunk)

    def _suspected(self, chunk: Chunk, outcome: Outcome) -> None:
        blamed = self._blames_entries(chunk, outcome)
        if outcome.action in _ABOUT_ENTRIES and not blamed:
            self._trouble.answered(outcome)  # it says so, but it is not
        # Something in front may answer for the health check as well: not for ever do others wait.
        down = (
            outcome.action is Action.SUSPECT
            and self._breaker.consecutive_failures < OUTAGE
            and self._server_is_down()
        )
        # Who has failed while others were accepted may ask for an hour for itself only.
        if down or not (blamed or _is_struck(chunk)):
            self._breaker.failed(
                _retry_after(outcome) or self._lost_answers.pause, down=down and not blamed
            )
        elif self._quarantine.looks_like_outage and not self._quarantine.is_known(chunk):
            self._breaker.failed()  # perhaps an outage has begun
        if down:
            self._trouble.database_is_down(outcome)
            self._return(chunk)  # a failure that says nothing about the chunk
            return
        self._suspect_of(chunk, outcome)

    def _suspect_of(self, chunk: Chunk, outcome: Outcome) -> None:
        self._suspecting = True
        self._outbox.spill()
        if chunk in self._causes:
            self._quarantine.count_failure(chunk, outcome.cause, timed_out=outcome.timed_out)
            self._causes.failed(chunk, outcome.cause)
        else:
            # What has to wait for long is for another to wait for: it may be about this one.
            waits = outcome.action in (Action.HOLD, Action.PAUSE) or _retry_after(outcome)
            verdict = self._quarantine.failed(
                chunk,
                outcome.cause,
                patiently=outcome.action is not Action.SUSPECT and not (waits or outcome.timed_out),
                unclear=outcome.action is Action.RETRY and not waits,
                timed_out=outcome.timed_out,
            )
            self._causes.watch(chunk)
            if verdict is Verdict.GIVEN_UP:
                self._give_up(chunk, "poison")
            elif verdict is Verdict.SET_ASIDE:
                self._set_aside(chunk)
            if _failed_alone(chunk):
                self._look_for_common_cause()
        self._give_up_what_is_over()

    def _set_aside(self, chunk: Chunk) -> None:
        suspicion = chunk.suspicion
        assert suspicion is not None  # noqa: S101 - it failed
        if chunk.unawaited:
            return  # it was before
        self._outbox.set_aside(chunk)
        hours = self._quarantine.lifetime / 3600
        error = report.set_aside(chunk, suspicion.cause, hours, self._config.secrets.mask)
        self._notices.error(error)
        self._notices.say(error.message, about="entries set aside")

    def _look_for_common_cause(self) -> None:
        alone = [chunk for chunk in self._quarantine.latest if _failed_alone(chunk)]
        alone = [chunk for chunk in alone if not chunk.is_unloaded]
        cause = self._causes.look(alone, self._quarantine.evidence)
        if cause is None:
            return
        self._say_common(cause)
        for chunk in alone:
            if self._causes.divide(chunk) is None:
                self._quarantine.release(chunk)

    def _say_common(self, cause: CommonCause) -> None:
        self._notices.say(
            f"Entries of {cause.trait} wait: every request with one was {cause.cause}, while "
            "others were accepted. They are held, and sent as soon as one is accepted.",
            about=f"entries of {cause.trait}",
        )

    def _give_up_what_is_over(self) -> None:
        """What waits under suspicion is bounded: in time, in number, in memory and on disk."""
        while chunk := self._causes.take(older_than=self._clock() - self._quarantine.lifetime):
            self._give_up(chunk, "poison")
        while len(self._quarantine.set_aside) > MAX_SET_ASIDE or self._are_too_large():
            oldest = self._causes.take()
            if oldest is None:
                oldest = self._quarantine.set_aside[0]
                self._quarantine.release(oldest)
            self._give_up(oldest, "queue_overflow")

    def _are_too_large(self) -> bool:
        """Whether suspects that wait take too much, although what can be is on disk only."""
        most = self._config.max_queue_bytes * _SUSPECTS_SHARE
        if not self._unloaded and self._outbox.bytes_in_memory <= most:
            return False  # no need to add up
        waiting = [*self._quarantine.set_aside, *self._causes.waiting]
        over = sum(chunk.memory for chunk in waiting) - most
        for chunk in reversed(waiting):  # the oldest are sent again next
            if over <= 0:
                break
            spared = chunk.memory - UNLOADED_BYTES
            if spared > 0 and self._outbox.unload(chunk):
                over -= spared
        on_disk = sum(chunk.size for chunk in waiting if chunk.is_unloaded)
        self._unloaded = on_disk > 0
        return over > 0 or on_disk > self._config.spool_max_bytes * _SUSPECTS_SHARE

    def _give_up(self, chunk: Chunk, reason: str) -> None:
        suspicion = chunk.suspicion
        assert suspicion is not None  # noqa: S101 - it failed
        if not self._outbox.load(chunk):
            self._outbox.put_back([chunk])  # nothing is left of it, or it cannot be read just now
            return
        error = report.given_up(
            chunk,
            suspicion.cause,
            self._written_out,
            dead_letter=self._outbox.keeps_dead_letters,
        )
        if self._outbox.settle(chunk, dropped=reason, dead_letter=chunk):
            self._notices.error(error)
            self._notices.say(error.message, about="entries given up")
            self._losses.report()

    def _pause(self, chunk: Chunk, outcome: Outcome) -> None:
        if outcome.refusal == "rate_limited":
            self._pace.rate_limited(_retry_after(outcome))
            self._return(chunk)
            return
        if self._blames_entries(chunk, outcome) or _is_struck(chunk):
            self._suspected(chunk, outcome)
            return
        # Something in front of the server that limits requests does so again and again, lets some
        # pass in between, and does not care which. Once, or time after time for what is suspected,
        # it may be about this one; with nothing accepted since it may be out of order. The pace
        # must not suffer for that.
        now, accepted = self._clock(), self._quarantine.evidence.accepted
        suspected = chunk.suspicion is not None
        again = now - self._limited_at < _LIMITED_AGAIN and accepted > self._accepted_before_limit
        if again and not suspected:
            self._pace.rate_limited(_retry_after(outcome))
        else:
            self._breaker.failed(_retry_after(outcome))
        if not suspected:
            self._limited_at = now
        self._accepted_before_limit = accepted
        self._suspect_of(chunk, outcome)

    def _hold(self, chunk: Chunk, outcome: Outcome) -> None:
        own = outcome.refusal == "unauthorized"
        if self._blames_entries(chunk, outcome) or (_is_struck(chunk) and not own):
            self._suspected(chunk, outcome)
            return
        refused_key = outcome.error and outcome.error.code is LogwellErrorCode.UNAUTHORIZED
        if not (refused_key and self._config.api_key.reload()):
            self._hold_until = self._clock() + HOLD_SECONDS
        if own:
            self._return(chunk)
        else:
            self._suspect_of(chunk, outcome)

    def _too_many(self, chunk: Chunk, outcome: Outcome) -> None:
        if not self._limits.too_many(chunk):
            self._suspected(chunk, outcome)

    def _too_large(self, chunk: Chunk, outcome: Outcome) -> None:
        if self._limits.too_large(chunk):
            return
        suspicion = chunk.suspicion
        if (
            chunk.unawaited
            and suspicion is not None
            and self._clock() - suspicion.began >= _CUT_AFTER
            and self._quarantine.is_about(chunk)
            and self._limits.cut(chunk)
        ):
            return
        self._suspected(chunk, outcome)

    def _invalid(self, chunk: Chunk, outcome: Outcome) -> None:
        self._breaker.succeeded()  # it answered, and knows what it wants
        if chunk.count > 1:
            self._limits.halve(chunk)
        else:
            self._drop_invalid(chunk, outcome)

    def _drop_invalid(self, chunk: Chunk, outcome: Outcome) -> None:
        assert outcome.error is not None  # noqa: S101 - only DONE has none
        error = report.invalid(chunk, outcome.error, self._config.secrets.mask)
        if self._outbox.settle(chunk, refused=chunk.count, dead_letter=chunk):
            self._losses.refused(chunk.count)
            self._notices.error(error)
            self._notices.say(error.message, about="refused entries")

    def _return(self, chunk: Chunk) -> None:
        self._outbox.spill()
        if chunk in self._causes:
            self._causes.keep(chunk)
        elif chunk.suspicion is None:
            self._outbox.put_back([chunk])
        else:
            self._suspecting = True
            self._quarantine.keep(chunk)

    def _server_is_down(self) -> bool:
        """Whether the server itself says so. Asked at most every few seconds."""
        now = self._clock()
        if now - self._asked_health_at < _HEALTH_INTERVAL:
            return False
        self._asked_health_at = now
        return self._healthy() is False

    def _server_is_well(self) -> bool | None:
        """What it says itself, now or a moment ago; None if it cannot be asked."""
        now = self._clock()
        if now - self._well_asked_at >= _HEALTH_INTERVAL:
            self._well_asked_at = now
            self._well = self._healthy()
        return self._well

    def _healthy(self) -> bool | None:
        return self._transport.healthy(min(_HEALTH_TIMEOUT, self.request_timeout))

    def __repr__(self) -> str:
        hold = f", held for {self.held_for:.0f} s" if self.held_for else ""
        return (
            f"<Delivery {self._breaker!r}, {self._pace!r}, {len(self._quarantine)} suspects, "
            f"{self._causes!r}{hold}>"
        )


class _Turn(NamedTuple):
    """A suspect's turn: when it comes, and what takes the suspect out; `holds`: not before that."""

    due_in: float
    take: Callable[[], Chunk | None]
    holds: bool = False


def _is_struck(chunk: Chunk) -> bool:
    """Whether it has failed while others were accepted."""
    return chunk.suspicion is not None and chunk.suspicion.strikes > 0


def _failed_alone(chunk: Chunk) -> bool:
    return (
        chunk.suspicion is not None
        and chunk.count == 1
        and chunk.suspicion.alone > 0
        and chunk.suspicion.strikes > 0
    )


def _retry_after(outcome: Outcome) -> float | None:
    return None if outcome.error is None else outcome.error.retry_after


_ABOUT_ENTRIES: Final = frozenset({Action.SPLIT, Action.SHRINK, Action.INVALID})

_HANDLERS: Final[dict[Action, Callable[[Delivery, Chunk, Outcome], None]]] = {
    Action.DONE: Delivery._done,  # noqa: SLF001 - our own methods, as a table
    Action.RETRY: Delivery._retry,  # noqa: SLF001
    Action.TAKEN: Delivery._retry,  # noqa: SLF001 - where it is not sure yet
    Action.SUSPECT: Delivery._suspected,  # noqa: SLF001
    Action.PAUSE: Delivery._pause,  # noqa: SLF001
    Action.HOLD: Delivery._hold,  # noqa: SLF001
    Action.SPLIT: Delivery._too_many,  # noqa: SLF001
    Action.SHRINK: Delivery._too_large,  # noqa: SLF001
    Action.INVALID: Delivery._invalid,  # noqa: SLF001
}
