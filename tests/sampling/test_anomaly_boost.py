"""A pattern's rate is multiplied while it comes over three times as often as on average."""

from __future__ import annotations

import random

from logwell_otel.sampling import Policy, Sampler
from logwell_otel.sampling.rules import HISTORY_MINUTES, UNUSUAL_LEAST, Volumes
from support.clock import Clock, run_together


def _minute(clock: Clock, volumes: Volumes, count: int) -> list[bool]:
    """Let one minute pass with so many records of a pattern."""
    begin = clock.now
    answers = []
    for number in range(count):
        clock.now = begin + 60 * number / count
        answers.append(volumes.is_unusual("p"))
    clock.now = begin + 60
    return answers


def _with_history(count: int, minutes: int = 10) -> tuple[Clock, Volumes]:
    clock = Clock(600.0)
    volumes = Volumes(clock)
    for _ in range(minutes):
        assert not any(_minute(clock, volumes, count))
    return clock, volumes


def test_a_steady_volume_is_usual_and_so_is_three_times_it() -> None:
    clock, volumes = _with_history(40)
    assert not any(_minute(clock, volumes, 120))


def test_from_the_first_record_over_three_times_the_average() -> None:
    clock, volumes = _with_history(40)
    answers = _minute(clock, volumes, 400)
    assert answers == [False] * 120 + [True] * 280


def test_it_lasts_a_minute_beyond_the_last_record_over_it() -> None:
    clock, volumes = _with_history(40)
    clock.now += 30
    for _ in range(121):
        unusual = volumes.is_unusual("p")
    assert unusual
    clock.now += 59.9
    assert volumes.is_unusual("p")
    clock.now += 0.2
    assert not volumes.is_unusual("p")


def test_a_lasting_new_volume_becomes_usual() -> None:
    clock, volumes = _with_history(40, minutes=60)
    unusual_minutes = 0
    while any(_minute(clock, volumes, 400)):
        unusual_minutes += 1
        assert unusual_minutes < 30
    assert 5 <= unusual_minutes <= 12


def test_what_is_new_or_rare_is_not_unusual() -> None:
    clock = Clock(600.0)
    volumes = Volumes(clock)
    for minute in range(HISTORY_MINUTES):
        assert not any(_minute(clock, volumes, 10 * 10**minute)), minute
    clock, volumes = _with_history(1)
    assert not any(_minute(clock, volumes, UNUSUAL_LEAST - 1))
    assert any(_minute(clock, volumes, UNUSUAL_LEAST))


def test_minutes_without_a_record_count() -> None:
    clock, volumes = _with_history(100)
    clock.now += 60 * 60 * 24 * 365
    assert sum(_minute(clock, volumes, 100)) > 70


def test_patterns_are_bounded() -> None:
    volumes = Volumes(Clock(), size=10)
    for number in range(25):
        volumes.is_unusual(str(number))
    assert len(volumes) == 5


def test_the_samplers_rate_is_boosted_up_to_one_and_counts_stay_right() -> None:
    clock = Clock(600.0)
    sampler = Sampler(clock=clock, rng=random.Random(1).random)
    policy = Policy.parse(
        b'{"severity_rates": {"INFO": 0.1}, "anomaly_boost": 4, "pattern_rates": {}}'
    )
    sampler.use(policy.rules(Volumes(clock)))
    rates = set()
    estimate = 0.0
    for minute in range(30):
        # A flood in the 20th minute.
        count = 20_000 if minute == 20 else 1000
        for number in range(count):
            decision = sampler.decide("info", f"Item {number} sold")
            if decision.keep:
                rates.add(decision.rate)
                estimate += 1 / decision.rate
            clock.now += 60 / count
        assert (0.4 in rates) == (minute >= 20)
    assert rates == {0.1, 0.4, 1.0}
    assert abs(estimate / 49_000 - 1) < 0.03
    assert sampler.decide("error", "Item 1 sold") == (True, 1.0)


def test_a_high_rate_is_boosted_to_one() -> None:
    clock = Clock(600.0)
    rules = Policy.parse(b'{"global_rate": 0.5, "anomaly_boost": 10}').rules(Volumes(clock))
    for _ in range(10):
        clock.now += 60
        assert [rules.rate("info", "x", "x") for _ in range(10)] == [0.5] * 10
    assert [rules.rate("info", "x", "x") for _ in range(40)] == [0.5] * 20 + [1.0] * 20
    assert rules.rate("error", "x", "x") == 1.0


def test_without_a_boost_nothing_is_counted() -> None:
    volumes = Volumes()
    rules = Policy.parse(b'{"global_rate": 0.5}').rules(volumes)
    assert rules.rate("info", "x", "x") == 0.5
    assert len(volumes) == 0


def test_threads_do_not_disturb_it() -> None:
    volumes = Volumes(size=3)
    failures: list[BaseException] = []

    def count() -> None:
        try:
            for number in range(2000):
                volumes.is_unusual(str(number % 5))
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    run_together(*[count] * 4)
    assert failures == []
    assert len(volumes) <= 6
