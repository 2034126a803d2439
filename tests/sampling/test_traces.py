"""Decisions by trace id: consistent, and the same as OpenTelemetry's own sampler makes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision as TraceDecision
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from logwell_otel.sampling import Decision, Sampler

LOW, HIGH = 1, (1 << 64) - 1
"""Trace ids whose low 64 bits are below every bound, and above every one."""


def _never() -> float:
    raise AssertionError("a record with a trace id is not left to chance")


def _sampler(**options: object) -> Sampler:
    sampler = Sampler(clock=lambda: 0.0, rng=_never, **options)  # type: ignore[arg-type]
    for level in ("debug", "info", "warn"):
        sampler.decide(level, "m", LOW)
        sampler.decide(level, "n", LOW)
    return sampler


@given(
    trace_id=st.integers(1, (1 << 128) - 1),
    rate=st.floats(0, 1) | st.sampled_from([0.05, 0.2, 0.5, 2**-64, 1 - 2**-53]),
)
def test_decides_as_opentelemetrys_trace_sampler_does(trace_id: int, rate: float) -> None:
    theirs = TraceIdRatioBased(rate).should_sample(None, trace_id, "name").decision
    ours = _sampler(rates={"info": rate}).decide("info", "m", trace_id)
    assert ours.keep is (theirs is TraceDecision.RECORD_AND_SAMPLE)
    if ours.keep:
        assert ours.rate == pytest.approx(rate)


def test_the_records_of_a_trace_are_kept_or_dropped_together() -> None:
    sampler = _sampler()
    randomness = random.Random(1)
    kept = []
    for _ in range(500):
        trace_id = randomness.getrandbits(128) or 1
        decisions = {sampler.decide("info", message, trace_id).keep for message in "mnmn"}
        assert len(decisions) == 1
        kept.append(decisions.pop())
        # What is kept at a low rate is kept at a higher one.
        if sampler.decide("debug", "m", trace_id).keep:
            assert kept[-1]
    assert 50 < sum(kept) < 150


def test_without_a_trace_id_chance_decides() -> None:
    sampler = Sampler(clock=lambda: 0.0, rng=iter([0.9, 0.1, 0.9, 0.1]).__next__)
    assert [sampler.decide("info", "m").keep for _ in range(4)] == [True, True, False, True]


def test_an_error_keeps_the_later_records_of_its_trace() -> None:
    sampler = _sampler(keep_trace_on_error=True)
    assert not sampler.decide("debug", "m", HIGH).keep
    assert sampler.decide("error", "boom", HIGH).keep
    assert sampler.decide("debug", "m", HIGH) == Decision(keep=True, rate=1.0)
    assert sampler.decide("warn", "m", HIGH) == Decision(keep=True, rate=1.0)
    assert not sampler.decide("debug", "m", HIGH - 1).keep
    assert sampler.decide("error", "boom").keep


def test_a_warning_keeps_them_when_it_is_kept_itself() -> None:
    sampler = _sampler(keep_trace_on_error=True)
    just_kept = (1 << 63) - 1
    assert not sampler.decide("debug", "m", just_kept).keep
    assert sampler.decide("warn", "m", just_kept) == Decision(keep=True, rate=0.5)
    assert sampler.decide("debug", "m", just_kept) == Decision(keep=True, rate=0.5)
    assert not sampler.decide("warn", "m", HIGH).keep
    assert not sampler.decide("debug", "m", HIGH).keep
    # The first of its pattern in a minute is kept in any case, and its trace with it.
    assert sampler.decide("warn", "new", HIGH) == Decision(keep=True, rate=1.0)
    assert sampler.decide("debug", "m", HIGH) == Decision(keep=True, rate=1.0)


def test_a_lesser_mark_does_not_replace_a_greater_one() -> None:
    sampler = _sampler(keep_trace_on_error=True)
    sampler.decide("error", "boom", HIGH)
    sampler.decide("warn", "m", HIGH)
    assert sampler.decide("debug", "m", HIGH) == Decision(keep=True, rate=1.0)


def test_without_the_option_nothing_is_remembered() -> None:
    sampler = _sampler()
    sampler.decide("error", "boom", HIGH)
    assert not sampler.decide("debug", "m", HIGH).keep


def test_as_many_traces_are_remembered_as_is_said() -> None:
    sampler = _sampler(keep_trace_on_error=True, max_traces=2)
    for trace_id in (HIGH, HIGH - 1, HIGH, HIGH - 2):
        sampler.decide("error", "boom", trace_id)
    kept = [sampler.decide("debug", "m", HIGH - n).keep for n in range(3)]
    assert kept == [True, False, True]
