"""Counts can be scaled back: the sum of `1 / rate` over what was kept is what there was."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel.sampling import Sampler
from support.nightly import nightly

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

LEVELS = ["debug"] * 8 + ["info"] * 8 + ["warn"] * 3 + ["error"]


def _shop(count: int, seed: int, *, traced: bool) -> Iterator[tuple[float, str, str, int]]:
    """Make records of a shop: 40 % debug, 40 % info, 15 % warn, 5 % error, 5 to a trace.

    Four patterns are logged ten times as often as the others, and a tenth of the records
    come in floods of one pattern, 500 within a second, from jobs that have no trace.
    """
    randomness = random.Random(seed)
    made = 0
    now = 0.0
    while made < count:
        trace_id = (randomness.getrandbits(128) or 1) if traced else 0
        if randomness.random() < 0.001:
            level, pattern = randomness.choice(LEVELS), randomness.randrange(40)
            for _ in range(500):
                yield now, level, _text(pattern), 0
            made += 500
            now += 1
        for _ in range(5):
            level = randomness.choice(LEVELS)
            pattern = randomness.choice([0, 1, 2, 3, randomness.randrange(40)])
            yield now, level, f"{_text(pattern)} {made}", trace_id
            made += 1
            now += randomness.expovariate(20)


def _text(number: int) -> str:
    return f"Pattern {chr(97 + number // 8)}{chr(97 + number % 8)}"


def _estimate(
    records: Iterator[tuple[float, str, str, int]], seed: int, **options: Any
) -> tuple[Counter[str], Counter[str], int]:
    """Sample; return the truth and the estimate by level, and how many were kept."""
    now = 0.0
    sampler = Sampler(clock=lambda: now, rng=random.Random(seed).random, **options)
    truth: Counter[str] = Counter()
    estimate: Counter[str] = Counter()
    kept = 0
    for at, level, message, trace_id in records:
        now = at
        truth[level] += 1
        decision = sampler.decide(level, message, trace_id)
        if decision.keep:
            kept += 1
            estimate[level] += 1 / decision.rate  # type: ignore[assignment]
    return truth, estimate, kept


@pytest.mark.parametrize("limit", [None, 20])
@pytest.mark.parametrize("seed", [0, *nightly(1, 2)])
def test_within_3_percent_over_100_000_records(seed: int, limit: int | None) -> None:
    truth, estimate, kept = _estimate(
        _shop(100_000, seed, traced=False), 1000 + seed, limit_per_second=limit
    )
    assert truth.total() >= 100_000
    assert kept < 0.3 * truth.total()
    assert estimate.total() == pytest.approx(truth.total(), rel=0.03)
    assert estimate["error"] == truth["error"]


@pytest.mark.nightly
def test_within_3_percent_when_traces_are_kept_whole() -> None:
    """Five records that are kept or dropped together scatter as one: it takes more of them."""
    truth, estimate, kept = _estimate(
        _shop(200_000, seed=1, traced=True), seed=2, limit_per_second=20
    )
    assert kept < 0.3 * truth.total()
    assert estimate.total() == pytest.approx(truth.total(), rel=0.03)
    assert estimate["error"] == truth["error"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"limit_per_second": 2, "limit_keep_every": 10},
        {"keep_trace_on_error": True, "limit_per_second": 2, "limit_keep_every": 10},
        {"rates": {"error": 0.5}, "sample_errors": True},
        {"max_patterns": 20},
    ],
    ids=repr,
)
@pytest.mark.parametrize("traced", [True, *nightly(False)])
def test_no_rule_shifts_the_estimate_to_one_side(traced: bool, options: dict[str, Any]) -> None:
    """The mean over many runs comes near the truth where each run scatters around it."""
    estimates: Counter[str] = Counter()
    truths: Counter[str] = Counter()
    for seed in range(10):
        truth, estimate, _ = _estimate(_shop(8000, seed, traced=traced), 1000 + seed, **options)
        truths += truth
        estimates += estimate
    assert estimates.total() == pytest.approx(truths.total(), rel=0.03)


def test_a_flood_within_one_trace_is_counted() -> None:
    """Trace consistency alone would keep all of it or none."""
    now = 0.0
    sampler = Sampler({"info": 1.0}, limit_per_second=10, clock=lambda: now)
    decisions = []
    for number in range(100_000):
        now = number / 20_000
        decisions.append(sampler.decide("info", f"retry {number}", trace_id=12345))
    kept = [decision for decision in decisions if decision.keep]
    assert len(kept) < 1200
    assert sum(1 / decision.rate for decision in kept) == pytest.approx(100_000, rel=0.002)
