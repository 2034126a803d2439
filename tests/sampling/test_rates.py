"""Which rate holds: defaults, levels, patterns, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel.errors import LogwellError, LogwellErrorCode
from logwell_otel.sampling import (
    DEFAULT_RATES,
    Decision,
    Sampler,
    SamplingRules,
    client_signature,
    server_signature,
    signature,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def _sampler(draw: float = 0.0, **options: Any) -> Sampler:
    """Make a sampler whose every draw is the same and whose first minute is over."""
    sampler = Sampler(clock=lambda: 0.0, rng=lambda: draw, **options)
    for level in (*DEFAULT_RATES, "audit"):
        sampler.decide(level, "User 17 logged in")
    return sampler


def _decide(sampler: Sampler, level: str) -> Decision:
    return sampler.decide(level, "User 17 logged in")


@pytest.mark.parametrize(("level", "rate"), DEFAULT_RATES.items())
def test_the_defaults(level: str, rate: float) -> None:
    assert _decide(_sampler(draw=0.0), level) == Decision(keep=True, rate=rate)
    assert _decide(_sampler(draw=rate - 1e-9), level).keep
    if rate < 1:
        assert _decide(_sampler(draw=rate), level) == Decision(keep=False, rate=0.0)


def test_a_rate_that_is_given_leaves_the_other_levels_as_they_are() -> None:
    sampler = _sampler(rates={"INFO": 0.5, "Warning": 0.25})
    assert [_decide(sampler, level).rate for level in DEFAULT_RATES] == [0.05, 0.5, 0.25, 1, 1]


def test_a_level_that_is_none_of_the_five_has_the_fallback_rate() -> None:
    assert _decide(_sampler(), "audit") == Decision(keep=True, rate=1.0)
    assert _decide(_sampler(fallback_rate=0.5), "audit") == Decision(keep=True, rate=0.5)
    assert _decide(_sampler(fallback_rate=0.5), "info") == Decision(keep=True, rate=0.2)


@pytest.mark.parametrize("sign", [signature, client_signature, server_signature])
def test_a_patterns_rate_comes_before_its_levels(sign: Callable[[str], str]) -> None:
    key = sign("User 99 logged in")
    sampler = _sampler(pattern_rates={key.upper(): 0.5, "0" * 32: 0.1, "1" * 16: 0.3})
    assert _decide(sampler, "debug").rate == 0.5
    assert _decide(sampler, "warn").rate == 0.5
    assert _decide(sampler, "error") == Decision(keep=True, rate=1.0)
    assert sampler.decide("debug", "Another") == Decision(keep=True, rate=1.0)
    assert sampler.decide("debug", "Another") == Decision(keep=True, rate=0.05)


def test_foreign_patterns_are_looked_up_within_bounds() -> None:
    rules = SamplingRules({}, pattern_rates={client_signature("User 1"): 0.25})
    for number in range(5000):
        assert rules.rate("info", f"User {number}", "-") == 0.25
        assert rules.rate("fatal", f"User {number}", "-") == 1.0
        assert rules.rate("info", f"Number {number}", "-") == 1.0
    assert rules.rate("info", "x" * 300, "-") == 1.0
    assert len(rules._compatible_rates) <= 2048  # noqa: SLF001 - the bound is what is tested


@pytest.mark.parametrize("level", ["error", "fatal"])
def test_errors_are_kept_whatever_else_is_said(level: str) -> None:
    sampler = _sampler(
        draw=0.999,
        rates={"debug": 0, "info": 0, "warn": 0},
        pattern_rates={signature("User 17 logged in"): 0.0},
        fallback_rate=0.0,
        limit_per_second=1,
    )
    assert sampler.always_keeps(level)
    assert [_decide(sampler, level) for _ in range(500)] == [Decision(keep=True, rate=1.0)] * 500


@pytest.mark.parametrize("name", ["error", "fatal", "ERROR", "critical"])
def test_errors_are_not_sampled_by_accident(name: str) -> None:
    with pytest.raises(LogwellError, match="sample_errors=True") as refused:
        Sampler({name: 0.9})
    assert refused.value.code is LogwellErrorCode.INVALID_CONFIG
    assert Sampler({name: 1.0}).always_keeps("error")


def test_errors_are_sampled_on_purpose() -> None:
    sampler = _sampler(draw=0.6, rates={"error": 0.5}, sample_errors=True)
    assert not sampler.always_keeps("error")
    assert not _decide(sampler, "error").keep
    assert _decide(sampler, "fatal").keep
    sampler = _sampler(pattern_rates={signature("User 17 logged in"): 0.5}, sample_errors=True)
    assert _decide(sampler, "fatal") == Decision(keep=True, rate=0.5)


def test_rules_are_replaced_as_a_whole() -> None:
    sampler = _sampler(rates={"info": 0.5}, pattern_rates={signature("User 1 logged in"): 0.7})
    sampler.use(SamplingRules({"DEBUG": 0.1, "CRITICAL": 1}, fallback_rate=0.4))
    assert [_decide(sampler, level).rate for level in DEFAULT_RATES] == [0.1, 0.4, 0.4, 1, 1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rates": {"info": 1.1}}, "rates['info']"),
        ({"rates": {"info": -0.1}}, "rates['info']"),
        ({"rates": {"info": "0.5"}}, "rates['info']"),
        ({"rates": {"info": True}}, "rates['info']"),
        ({"rates": {"info": float("nan")}}, "rates['info']"),
        ({"rates": {"loud": 0.5}}, "rates['loud']"),
        ({"rates": {7: 0.5}}, "rates[7]"),
        ({"pattern_rates": {"abc": 2}}, "pattern_rates['abc']"),
        ({"fallback_rate": None}, "fallback_rate"),
        ({"limit_per_second": 0}, "limit_per_second"),
        ({"limit_per_second": 1.5}, "limit_per_second"),
        ({"limit_keep_every": 0}, "limit_keep_every"),
        ({"max_patterns": 0}, "max_patterns"),
        ({"max_traces": True}, "max_traces"),
    ],
)
def test_refuses_what_is_no_setting(options: dict[str, Any], said: str) -> None:
    with pytest.raises(LogwellError) as refused:
        Sampler(**options)
    assert refused.value.code is LogwellErrorCode.INVALID_CONFIG
    assert said in refused.value.message
