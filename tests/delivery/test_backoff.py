"""Waiting after failures: full jitter, and the breaker's three states."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from logwell_otel._delivery.retry import (
    Breaker,
    BreakerState,
    full_jitter,
    spread,
    valid_retry_after,
)
from support.clock import Clock


def new_breaker(clock: Clock, *, threshold: int = 5, seed: int = 0) -> Breaker:
    return Breaker(threshold=threshold, clock=clock, rng=random.Random(seed))


def state(breaker: Breaker) -> BreakerState:
    # A property's type, once compared, stays narrowed for the type checker.
    return breaker.state


@given(failures=st.integers(1, 10**9), seed=st.integers())
def test_a_delay_is_never_below_the_floor_nor_above_the_cap(failures: int, seed: int) -> None:
    delay = full_jitter(failures, random.Random(seed))
    assert 0.05 <= delay <= min(30.0, 0.5 * 2 ** min(failures - 1, 10))


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (5000, 30.0)]
)
def test_the_range_doubles_and_is_used_from_end_to_end(failures: int, longest: float) -> None:
    rng = random.Random(1)
    delays = [full_jitter(failures, rng) for _ in range(2000)]
    assert min(delays) < 0.05 + longest * 0.01
    assert longest * 0.99 < max(delays) <= longest
    assert sum(delays) / len(delays) == pytest.approx(longest / 2, rel=0.1)


@pytest.mark.parametrize(
    ("given_seconds", "valid"),
    [
        (None, None),
        (-0.1, None),
        (float("nan"), None),
        (0.0, 0.0),
        (60.0, 60.0),
        (3601.0, 3600.0),
        (float("inf"), 3600.0),
    ],
)
def test_a_retry_after_counts_as_far_as_it_makes_sense(
    given_seconds: float | None, valid: float | None
) -> None:
    assert valid_retry_after(given_seconds) == valid


@given(seconds=st.floats(0, 3600), seed=st.integers())
def test_a_spread_wait_is_at_least_what_was_asked_for(seconds: float, seed: int) -> None:
    assert seconds <= spread(seconds, random.Random(seed)) <= seconds + max(1.0, seconds / 10)


def test_a_new_breaker_is_closed_and_lets_requests_go() -> None:
    breaker = new_breaker(Clock())
    assert state(breaker) == "closed"
    assert breaker.ready_in() == 0.0
    assert breaker.consecutive_failures == 0


def test_a_failure_delays_the_next_try_and_leaves_the_breaker_closed() -> None:
    clock = Clock()
    breaker = new_breaker(clock)
    breaker.failed()
    assert state(breaker) == "closed"
    assert 0.05 <= breaker.ready_in() <= 0.5
    clock.advance(breaker.ready_in())
    assert breaker.ready_in() == 0.0
    assert state(breaker) == "closed"


def test_failures_in_a_row_open_it_and_then_one_probe_goes_an_interval() -> None:
    clock = Clock()
    breaker = new_breaker(clock)
    states = []
    for _ in range(5):
        clock.advance(breaker.ready_in())
        breaker.failed()
        states.append(breaker.state)
    assert states == ["closed"] * 4 + ["open"]
    began, probes = clock.now, 0
    while clock.now - began < 600:
        assert 30.0 <= breaker.ready_in() <= 33.0
        clock.advance(breaker.ready_in())
        assert state(breaker) == "half-open"
        probes += 1
        breaker.failed()
        assert state(breaker) == "open"
    assert 18 <= probes <= 20
    assert breaker.consecutive_failures == 5 + probes


def test_it_is_half_open_until_the_probe_is_answered() -> None:
    clock = Clock()
    breaker = new_breaker(clock, threshold=1)
    breaker.failed()
    clock.advance(breaker.ready_in())
    clock.advance(10)  # the probe is on its way
    assert state(breaker) == "half-open"
    breaker.succeeded()
    assert state(breaker) == "closed"


def test_a_success_forgets_every_failure() -> None:
    clock = Clock()
    breaker = new_breaker(clock)
    for _ in range(7):
        breaker.failed()
    breaker.succeeded()
    assert (breaker.state, breaker.consecutive_failures, breaker.ready_in()) == ("closed", 0, 0.0)
    for _ in range(4):
        breaker.failed()
    assert state(breaker) == "closed"


def test_a_server_known_to_be_down_opens_it_at_once() -> None:
    breaker = new_breaker(Clock())
    breaker.failed(down=True)
    assert state(breaker) == "open"
    assert breaker.ready_in() >= 30.0


def test_a_retry_after_is_the_least_wait_in_either_state() -> None:
    clock = Clock()
    breaker = new_breaker(clock)
    breaker.failed(retry_after=10.0)
    assert 10.0 <= breaker.ready_in() <= 11.0
    breaker.failed(retry_after=120.0, down=True)
    assert 120.0 <= breaker.ready_in() <= 132.0
    breaker.failed(retry_after=1.0)
    assert 30.0 <= breaker.ready_in() <= 33.0


def test_expedite_skips_the_wait_once() -> None:
    clock = Clock()
    breaker = new_breaker(clock)
    breaker.failed(retry_after=120.0, down=True)
    breaker.expedite()
    assert breaker.ready_in() == 0.0
    assert state(breaker) == "half-open"
    breaker.failed()
    assert state(breaker) == "open"
    assert breaker.ready_in() >= 30.0


def test_processes_do_not_probe_in_the_same_instant() -> None:
    waits = set()
    for seed in range(100):
        breaker = new_breaker(Clock(), seed=seed)
        breaker.failed(down=True)
        waits.add(round(breaker.ready_in(), 1))
    assert len(waits) > 20


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="threshold of at least 1, not 0"):
        Breaker(threshold=0)
    for interval in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive, finite probe interval"):
            Breaker(probe_interval=interval)


def test_its_repr_says_how_it_stands() -> None:
    clock = Clock()
    breaker = new_breaker(clock, threshold=1)
    assert repr(breaker) == "<Breaker closed, 0 failures in a row>"
    breaker.failed()
    clock.advance(breaker.ready_in() - 7.5)
    assert repr(breaker) == "<Breaker open, 1 failures in a row, next try in 7.5 s>"


class AnyOrder(RuleBasedStateMachine):
    """The breaker against the plainest account of what it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = new_breaker(self.clock, threshold=3)
        self.failures = 0
        self.open = False
        self.earliest = self.clock.now

    @rule(
        retry_after=st.none() | st.floats(allow_nan=True, allow_infinity=True),
        down=st.booleans(),
    )
    def fail(self, retry_after: float | None, down: bool) -> None:
        self.breaker.failed(retry_after, down=down)
        self.failures += 1
        self.open = self.open or down or self.failures >= 3
        asked = valid_retry_after(retry_after) or 0.0
        self.earliest = self.clock.now + max(asked, 30.0 if self.open else 0.05)
        latest = max(asked + max(1.0, asked / 10), 33.0 if self.open else 30.0)
        assert self.breaker.ready_in() <= latest + 1e-6

    @rule()
    def succeed(self) -> None:
        self.breaker.succeeded()
        self.failures, self.open, self.earliest = 0, False, self.clock.now

    @rule()
    def expedite(self) -> None:
        self.breaker.expedite()
        self.earliest = self.clock.now
        assert self.breaker.ready_in() == 0.0

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def wait_until_ready(self) -> None:
        self.clock.advance(self.breaker.ready_in())
        assert self.breaker.ready_in() < 1e-9

    @invariant()
    def counts_and_states_agree(self) -> None:
        ready_in = self.breaker.ready_in()
        assert ready_in >= max(0.0, self.earliest - self.clock.now - 1e-6)
        assert self.breaker.consecutive_failures == self.failures
        waiting = "open" if ready_in > 0 else "half-open"
        assert self.breaker.state == (waiting if self.open else "closed")


TestAnyOrder = AnyOrder.TestCase
