"""`Sampler`: which records are kept, and how many each of them stands for."""

from __future__ import annotations

import logging
import random
import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry import trace

from logwell_otel._clock import monotonic
from logwell_otel._encoding.events import template_of, templates
from logwell_otel._process import PerProcess
from logwell_otel._wire import RATE_ATTRIBUTE
from logwell_otel.sampling.patterns import Patterns
from logwell_otel.sampling.policy import SHUTDOWN_SECONDS
from logwell_otel.sampling.rules import DEFAULT_RATES, SamplingRules, by_level, invalid
from logwell_otel.sampling.signature import signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from logwell_otel._wire import Level
    from logwell_otel.sampling.policy import PolicySource


_LOW_64_BITS: Final = (1 << 64) - 1
_TWO_TO_THE_64: Final = 1 << 64
_MARKING: Final = ("warn", "error", "fatal")


class Decision(NamedTuple):
    """What becomes of a record.

    Attributes:
        keep: True if it goes on.
        rate: What to write on it: it stands for `1 / rate` records, itself included. 0.0
            when it is dropped.
    """

    keep: bool
    rate: float


_KEEP: Final = Decision(keep=True, rate=1.0)
_DROP: Final = Decision(keep=False, rate=0.0)


class Sampler:
    """Decides record by record; may be shared by threads, exporters, processors, filters.

    A record with a trace id is decided by it, as OpenTelemetry's `TraceIdRatioBased` does:
    kept when the id's low 64 bits are below `rate * 2**64`. Records of one trace with the
    same rate are therefore kept or dropped together. The first record of a pattern in any
    60 s is kept in any case.

    The sum of `1 / rate` over the kept records estimates how many there were, without bias:
    whether a record is kept in any case depends on what was seen before, never on what was
    kept, and a record kept over the limit stands for those held back around it.

    Args:
        rates: Level -> rate from 0 to 1, for levels other than the defaults: debug 0.05,
            info 0.2, warn 0.5, error and fatal 1.0.
        pattern_rates: Signature -> rate; comes before the level's.
        fallback_rate: The rate of a level that is none of the five.
        limit_per_second: Records of one pattern that its rate may let through in a second,
            None for no limit. Over it, every `limit_keep_every`-th is kept.
        limit_keep_every: See there.
        keep_trace_on_error: A record at warn or above lifts the later records of its trace
            to its own rate: an error keeps them all, a warning keeps them when it is kept.
        sample_errors: Allows rates below 1.0, pattern rates and limits for error and fatal.
        max_patterns: Patterns known at a time; the one not seen for longest is forgotten.
        max_traces: Traces with a warning or an error known at a time.
        clock: Seconds, monotonic.
        rng: A number from 0 up to 1, for records without a trace id.

    Raises:
        LogwellError: `INVALID_CONFIG`, naming the setting.
    """

    def __init__(
        self,
        rates: Mapping[str, float] | None = None,
        *,
        pattern_rates: Mapping[str, float] | None = None,
        fallback_rate: float = 1.0,
        limit_per_second: int | None = None,
        limit_keep_every: int = 100,
        keep_trace_on_error: bool = False,
        sample_errors: bool = False,
        max_patterns: int = 10_000,
        max_traces: int = 10_000,
        clock: Callable[[], float] = monotonic,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._rules = SamplingRules(
            DEFAULT_RATES | by_level(rates or {}),
            pattern_rates=pattern_rates,
            fallback_rate=fallback_rate,
            sample_errors=sample_errors,
        )
        self._limit = (
            None if limit_per_second is None else _count("limit_per_second", limit_per_second)
        )
        self._keep_every = _count("limit_keep_every", limit_keep_every)
        self._patterns = Patterns(_count("max_patterns", max_patterns))
        self._max_traces = _count("max_traces", max_traces)
        self._keep_trace_on_error = keep_trace_on_error
        self._traces: OrderedDict[int, float] = OrderedDict()
        self._clock = clock
        self._rng = rng
        # A child may have been forked while another thread held its parent's.
        self._lock = PerProcess(threading.Lock)
        self._source: PolicySource | None = None
        self._made_of: tuple[object, ...] | None = (
            *(dict(rates or {}), dict(pattern_rates or {}), fallback_rate),
            *(limit_per_second, limit_keep_every, keep_trace_on_error, sample_errors),
            *(max_patterns, max_traces, clock, rng),
        )

    def use(self, rules: SamplingRules) -> None:
        """Decide by other rates from the next record on. Patterns and traces stay known."""
        self._rules = rules

    def follow(self, source: PolicySource) -> None:
        """Take rates from a `PolicyFile` or a `PolicyServer` from now on.

        Until it has any, and whenever it cannot be read or reached, the rates in use stay.
        """
        source.feed(self.use)
        self._source = source
        self._made_of = None  # of more than arguments

    def shutdown(self, timeout: float = SHUTDOWN_SECONDS) -> None:
        """End what runs for a policy, after a last report. Decisions go on as before.

        Args:
            timeout: Seconds to wait at most.
        """
        source, self._source = self._source, None
        if source is not None:
            source.shutdown(timeout)

    def decide(self, level: str, message: str, trace_id: int = 0) -> Decision:
        """Decide what becomes of one record.

        Args:
            level: `debug`, `info`, `warn`, `error` or `fatal`.
            message: The text as it is logged, with its values in it, or its template.
            trace_id: The trace id as an integer, 0 for none.
        """
        decision = self._judge(level, message, trace_id)
        source = self._source
        if source is not None:
            source.saw(message, kept=decision.keep)
        return decision

    def _judge(self, level: str, message: str, trace_id: int) -> Decision:
        rules = self._rules
        if rules.is_always_kept(level):
            if self._keep_trace_on_error and trace_id:
                self._mark(trace_id, 1.0)
            return _KEEP
        pattern = signature(message)
        rate = rules.rate(level, message, pattern)
        if self._keep_trace_on_error and trace_id:
            rate = max(rate, self._traces.get(trace_id, 0.0))
        if rate >= 1.0 and self._limit is None:
            decision, due = _KEEP, False
        else:
            decision, due = self._decide(level, pattern, rate, trace_id)
        if self._keep_trace_on_error and trace_id and level in _MARKING:
            self._mark(trace_id, 1.0 if due else rate)
        return decision

    def as_logging_filter(self) -> logging.Filter:
        """Return a filter for any handler or logger of the standard library."""
        return SamplingFilter(self)

    def always_keeps(self, level: str) -> bool:
        """Tell whether records of a level are kept without a look at the message."""
        source = self._source
        if source is not None and source.wants_messages:
            return False
        return self._rules.is_always_kept(level)

    def _decide(
        self, level: str, signature: str, rate: float, trace_id: int
    ) -> tuple[Decision, bool]:
        passes = self._passes(rate, trace_id)
        now = self._clock()
        with self._lock.get():
            pattern = self._patterns.get(level, signature, now)
            if pattern.is_due(now):
                return _KEEP, True
            if not passes:
                return _DROP, False
            records = (
                1
                if self._limit is None
                else pattern.records_for(now, self._limit, self._keep_every, self._rng)
            )
        return (Decision(keep=True, rate=rate / records) if records else _DROP), False

    def _passes(self, rate: float, trace_id: int) -> bool:
        if not trace_id:
            return self._rng() < rate
        return trace_id & _LOW_64_BITS < round(rate * _TWO_TO_THE_64)

    def _mark(self, trace_id: int, rate: float) -> None:
        with self._lock.get():
            self._traces[trace_id] = max(rate, self._traces.pop(trace_id, 0.0))
            if len(self._traces) > self._max_traces:
                self._traces.popitem(last=False)


def _count(setting: str, number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise invalid(f"sampling {setting} must be a whole number of at least 1, not {number!r}")
    return number


class SamplingFilter(logging.Filter):
    """Lets a record pass when the sampler keeps it, and writes the rate on it.

    The rate becomes an attribute of the record, `%(sampling.rate)s` in a format. A record
    that has one was decided before and passes: the same filter may be on many handlers, and
    a record that came through a queue is not decided twice.

    Args:
        sampler: Decides.
    """

    def __init__(self, sampler: Sampler) -> None:
        super().__init__()
        self._sampler = sampler
        # A dropped record goes on to the next handler, where it must be dropped too
        # without being counted again. That happens in the same thread, before the thread
        # logs anything else.
        self._last = _Last()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record passes."""
        if RATE_ATTRIBUTE in record.__dict__:
            return True
        if self._last.dropped is not None and self._last.dropped() is record:
            return False
        try:
            level = level_of(record.levelno)
            message = "" if self._sampler.always_keeps(level) else _message_of(record)
            trace_id = trace.get_current_span().get_span_context().trace_id
            decision = self._sampler.decide(level, message, trace_id)
        except Exception:  # noqa: BLE001 - the handler's own report of a bad format says more
            return True
        if decision.keep:
            record.__dict__[RATE_ATTRIBUTE] = decision.rate
        else:
            self._last.dropped = weakref.ref(record)
        return decision.keep


def _message_of(record: logging.LogRecord) -> str:
    template = template_of(record.__dict__) if templates.wanted else None
    return record.getMessage() if template is None else template


class _Last(threading.local):
    dropped: weakref.ref[logging.LogRecord] | None = None


def level_of(number: int) -> Level:
    """Return the level of a standard-library record; numbers in between count downwards."""
    if number < logging.INFO:
        return "debug"
    if number < logging.WARNING:
        return "info"
    if number < logging.ERROR:
        return "warn"
    return "error" if number < logging.CRITICAL else "fatal"
