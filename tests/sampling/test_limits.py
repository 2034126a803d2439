"""The limit of a pattern, the one a minute, and what is known of how many patterns."""

from __future__ import annotations

import pytest

from logwell_otel.sampling import Decision, Sampler
from support.clock import Clock


def _kept(sampler: Sampler, message: str, count: int, level: str = "info") -> list[Decision]:
    decisions = [sampler.decide(level, message.format(number)) for number in range(count)]
    return [decision for decision in decisions if decision.keep]


def test_a_pattern_with_rate_0_is_kept_once_a_minute() -> None:
    clock = Clock()
    sampler = Sampler({"info": 0.0}, clock=clock)
    kept = []
    for second in range(600):
        clock.now = 1000.0 + second
        kept += [second for _ in _kept(sampler, "tick {}", 5)]
    assert kept == list(range(0, 600, 60))


def test_one_a_minute_is_kept_of_each_pattern_and_level() -> None:
    sampler = Sampler({"info": 0.0, "debug": 0.0}, clock=Clock())
    assert len(_kept(sampler, "red {}", 5)) == 1
    assert len(_kept(sampler, "blue {}", 5)) == 1
    assert len(_kept(sampler, "red {}", 5, level="debug")) == 1
    assert len(_kept(sampler, "red {}", 5)) == 0


def test_the_first_of_a_second_are_kept_then_every_so_many() -> None:
    clock = Clock()
    sampler = Sampler({"info": 1.0}, limit_per_second=10, clock=clock, rng=lambda: 0.995)
    # The first one is the minute's and counts apart.
    assert _kept(sampler, "m {}", 11) == [Decision(keep=True, rate=1.0)] * 11
    assert _kept(sampler, "m {}", 99) == []
    assert _kept(sampler, "m {}", 1) == [Decision(keep=True, rate=0.01)]
    assert _kept(sampler, "m {}", 50) == []
    clock.now += 1
    assert _kept(sampler, "m {}", 10) == [Decision(keep=True, rate=1.0)] * 10
    # The count over the limit goes on from second to second.
    assert _kept(sampler, "m {}", 49) == []
    assert _kept(sampler, "m {}", 1) == [Decision(keep=True, rate=0.01)]


@pytest.mark.parametrize(("draw", "held"), [(0.0, 0), (0.5, 50), (0.999, 99)])
def test_the_count_over_the_limit_begins_at_a_random_place(draw: float, held: int) -> None:
    sampler = Sampler({"info": 1.0}, limit_per_second=1, clock=Clock(), rng=lambda: draw)
    decisions = [sampler.decide("info", "m").keep for _ in range(202)]
    assert [place for place, keep in enumerate(decisions[2:]) if keep] == [held, held + 100]


def test_the_limit_counts_what_the_rate_lets_through() -> None:
    draws = iter([0.1, 0.9] * 1000)
    sampler = Sampler({"info": 0.5}, limit_per_second=10, clock=Clock(), rng=lambda: next(draws))
    decisions = [sampler.decide("info", "m") for _ in range(21)]
    assert [decision.keep for decision in decisions] == [True] + [False, True] * 10
    assert {decision.rate for decision in decisions[2::2]} == {0.5}
    over = [sampler.decide("info", "m") for _ in range(220)]
    assert [decision.rate for decision in over if decision.keep] == [0.005]


def test_the_pattern_not_seen_for_longest_is_forgotten() -> None:
    clock = Clock()
    sampler = Sampler({"info": 0.0}, max_patterns=2, clock=clock)
    assert len(_kept(sampler, "red", 1)) == 1
    assert len(_kept(sampler, "blue", 1)) == 1
    clock.now += 59
    assert len(_kept(sampler, "red", 1)) == 0
    clock.now += 2
    assert len(_kept(sampler, "green", 1)) == 1
    assert len(_kept(sampler, "red", 1)) == 1
    assert len(sampler._patterns) == 2  # noqa: SLF001 - the bound is what is tested


def test_messages_that_are_all_patterns_of_their_own_are_sampled_all_the_same() -> None:
    """One a minute of each of more patterns than are known would be all of them."""
    clock = Clock()
    draws = iter([0.1, 0.9] * 100_000)
    sampler = Sampler({"info": 0.5}, max_patterns=100, clock=clock, rng=lambda: next(draws))
    names = ["".join(chr(97 + (n >> s & 15)) for s in (0, 4, 8, 12)) for n in range(5000)]
    kept = [sampler.decide("info", f"Hello {name}").keep for name in names]
    assert sum(kept[:101]) >= 100
    assert sum(kept[101:]) == pytest.approx(len(kept[101:]) / 2, abs=2)
    # A minute after the crowd is gone, new patterns are kept once again.
    clock.now += 61
    assert sampler.decide("info", "Good bye") == Decision(True, 1.0)
