"""Processes that share one server's rate limit: `docs/pacing.md` has the measurements."""

from __future__ import annotations

import pytest

from simulation.pacing import scenarios
from support.nightly import nightly

pytestmark = pytest.mark.slow

SEEDS = [1, *nightly(2, 3, 4, 5)]
MINUTE = 60.0
END = scenarios.MINUTES_30
LAST_20 = END - 20 * MINUTE
FIRST_BURST = 600


@pytest.mark.parametrize("seed", SEEDS)
def test_50_processes_with_as_much_to_send_as_they_can_use_the_bucket_and_share_it(
    seed: int,
) -> None:
    outcome = scenarios.saturated(seed)
    assert outcome.accepted(0, END) >= 0.95 * (FIRST_BURST + END * 10)
    assert outcome.accepted(LAST_20, END) >= 0.95 * (END - LAST_20) * 10
    assert min(outcome.shares(0, END)) >= 0.25
    assert min(outcome.shares(LAST_20, END)) >= 0.25
    assert max(outcome.shares(LAST_20, END)) <= 4
    assert outcome.refused_share(LAST_20) <= 0.01


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("unevenness", [0.5, 0.0])
def test_50_processes_that_log_a_record_a_second_deliver_all_of_it_in_time(
    seed: int, unevenness: float
) -> None:
    outcome = scenarios.trickle(seed, unevenness=unevenness)
    assert len(outcome.arrivals) == pytest.approx(50 * END, rel=0.01)
    if unevenness == 0:
        assert len(outcome.arrivals) == 50 * END
    assert outcome.refused_share(LAST_20, END) <= 0.01
    assert outcome.age(0.5, LAST_20) < 10
    assert outcome.age(0.99, LAST_20) < 75
    # What is logged at the end does not wait for hours in a paused process.
    assert max(arrival.at for arrival in outcome.arrivals) < END + 150


@pytest.mark.parametrize("processes", [2, 5, 15])
def test_few_processes_use_the_bucket_and_share_it_too(processes: int) -> None:
    outcome = scenarios.saturated(1, processes=processes, seconds=60 * MINUTE)
    assert outcome.accepted() >= 0.85 * (FIRST_BURST + 3600 * 10)
    assert min(outcome.shares()) >= 0.4


def test_one_process_has_its_burst_and_then_the_whole_limit_without_a_429() -> None:
    outcome = scenarios.saturated(1, processes=1)
    assert outcome.refused() == 0
    assert outcome.accepted(0, 30) >= FIRST_BURST
    assert outcome.accepted(LAST_20, END) == pytest.approx(20 * 600, abs=2)


def test_one_process_delivers_20_000_records_as_fast_as_the_server_answers() -> None:
    outcome = scenarios.backlog(1, 20_000, server_limit=600)
    assert len(outcome.arrivals) == 20_000
    assert len(outcome.requests) == 200
    assert outcome.age(1.0) < 200 * 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_a_process_that_joins_late_gets_a_share(seed: int) -> None:
    joins, end = 20 * MINUTE, 50 * MINUTE
    outcome = scenarios.late_joiner(seed, joins=joins, end=end)
    assert outcome.shares(joins, end)[50] >= 0.25
    assert outcome.shares(joins, joins + 10 * MINUTE)[50] >= 0.25
    assert outcome.accepted(joins, end) >= 0.95 * (end - joins) * 10


@pytest.mark.parametrize("seed", SEEDS)
def test_a_server_with_a_tenth_of_the_limit_believed_in_costs_a_handful_of_429(seed: int) -> None:
    outcome = scenarios.backlog(seed, 10_000, server_limit=60)
    assert len(outcome.arrivals) == 10_000
    assert outcome.refused() <= 2
    assert len(outcome.requests) == 100 + outcome.refused()
    assert outcome.age(1.0) < 4 * MINUTE


@pytest.mark.parametrize("seed", SEEDS)
def test_a_process_follows_a_limit_that_is_raised(seed: int) -> None:
    raised, end = 30 * MINUTE, 150 * MINUTE
    outcome = scenarios.changed_limit(seed, processes=1, before=60, after=600, at=raised, end=end)
    assert outcome.accepted(10 * MINUTE, raised) >= 0.75 * 20 * 60
    assert outcome.accepted(raised + 90 * MINUTE, end) == pytest.approx(30 * 600, rel=0.01)
    assert outcome.refused(raised + MINUTE) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_processes_follow_a_limit_that_is_lowered(seed: int) -> None:
    lowered, end = 20 * MINUTE, 60 * MINUTE
    outcome = scenarios.changed_limit(
        seed, processes=10, before=600, after=120, at=lowered, end=end
    )
    settled = lowered + 10 * MINUTE
    assert outcome.accepted(settled, end) >= 0.9 * (end - settled) * 2
    assert outcome.refused_share(settled, end) <= 0.03
