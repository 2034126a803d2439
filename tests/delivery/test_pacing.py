"""One pace by itself: bursts, the rate, pauses, what a 429 does and how it is forgotten."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logwell_otel._delivery.pacing import Pace
from support.clock import Clock


def new_pace(
    clock: Clock,
    requests_per_minute: float = 600.0,
    requests_per_hour: float | None = None,
    seed: int = 0,
) -> Pace:
    return Pace(requests_per_minute, requests_per_hour, clock=clock, rng=random.Random(seed))


def send(pace: Pace, clock: Clock) -> None:
    """Wait as the sender does, then let a request out."""
    clock.advance(pace.ready_in())
    assert pace.ready_in() == 0.0
    pace.take()


def send_every(pace: Pace, clock: Clock, seconds: float, count: int) -> None:
    for _ in range(count):
        clock.advance(seconds)
        assert pace.ready_in() == 0.0
        pace.take()
        pace.accepted()


def refuse(pace: Pace, clock: Clock, retry_after: float | None = 60.0) -> None:
    send(pace, clock)
    pace.rate_limited(retry_after)


def test_a_burst_goes_out_at_once() -> None:
    clock = Clock()
    pace = new_pace(clock)
    for _ in range(594):
        assert pace.ready_in() == 0.0
        pace.take()
        pace.accepted()
    assert pace.ready_in() == pytest.approx(0.1)


def test_after_the_burst_the_configured_pace_is_reached_exactly() -> None:
    clock = Clock()
    pace = new_pace(clock)
    while pace.ready_in() == 0.0:
        pace.take()
    began = clock.now
    for _ in range(600):
        send(pace, clock)
        pace.accepted()
    assert clock.now - began == pytest.approx(60.0)


def test_an_unused_burst_comes_back() -> None:
    clock = Clock()
    pace = new_pace(clock)
    while pace.ready_in() == 0.0:
        pace.take()
    clock.advance(3600)
    ready = 0
    while pace.ready_in() == 0.0:
        pace.take()
        ready += 1
    assert ready == 594


def test_an_hourly_limit_stands_beside_the_minute_s() -> None:
    clock = Clock()
    pace = new_pace(clock, requests_per_minute=60, requests_per_hour=100)
    began = clock.now
    for _ in range(100):
        send(pace, clock)
    # 59 at once, the other 41 a second apart: the hour has no say until it is used up.
    assert clock.now - began == pytest.approx(41, abs=1)
    # Then one every 36 s, though the minute would allow more.
    for _ in range(10):
        send(pace, clock)
    assert clock.now - began == pytest.approx(10 * 36, abs=1)


def test_an_hourly_limit_is_not_changed_by_a_429() -> None:
    clock = Clock()
    pace = new_pace(clock, requests_per_hour=10)
    for _ in range(9):
        send(pace, clock)
        pace.accepted()
    refuse(pace, clock)
    clock.advance(pace.paused_for)
    assert pace.ready_in() == pytest.approx(360 - 60, abs=10)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_is_no_positive_number_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="positive, finite limit"):
        Pace(limit)
    with pytest.raises(ValueError, match="positive, finite limit"):
        Pace(600, limit)


def test_a_429_halves_what_was_really_sent_not_what_was_allowed() -> None:
    clock = Clock()
    pace = new_pace(clock)
    send_every(pace, clock, 1.0, 119)
    clock.advance(1.0)
    refuse(pace, clock)
    assert pace.rate == 30.0


def test_at_its_own_pace_a_429_halves_it() -> None:
    clock = Clock()
    pace = new_pace(clock)
    for _ in range(3000):
        send(pace, clock)
        pace.accepted()
    refuse(pace, clock)
    assert pace.rate == pytest.approx(300.0, abs=1)


def test_a_429_pauses_for_the_retry_after_and_up_to_a_tenth_more() -> None:
    pauses = []
    for seed in range(200):
        clock = Clock()
        pace = new_pace(clock, seed=seed)
        refuse(pace, clock, 60.0)
        pauses.append(pace.paused_for)
        assert pace.ready_in() == pace.paused_for
    assert 60.0 <= min(pauses) < 60.5
    assert 65.5 < max(pauses) <= 66.0
    # Paused processes must not come back together.
    assert len({round(pause, 1) for pause in pauses}) > 50


def test_one_request_goes_when_the_pause_ends_and_no_more() -> None:
    clock = Clock()
    pace = new_pace(clock)
    send_every(pace, clock, 5.0, 30)
    clock.advance(5.0)
    refuse(pace, clock)
    assert pace.rate == 6.0
    clock.advance(pace.paused_for)
    assert pace.paused_for == 0.0
    assert pace.ready_in() == 0.0
    pace.take()
    assert pace.ready_in() == pytest.approx(10.0)


@pytest.mark.parametrize("retry_after", [None, -1.0, float("nan")])
def test_a_429_without_a_usable_retry_after_pauses_for_an_interval(
    retry_after: float | None,
) -> None:
    clock = Clock()
    pace = new_pace(clock)
    send_every(pace, clock, 1.0, 60)
    clock.advance(1.0)
    refuse(pace, clock, retry_after)
    assert pace.rate == 30.0
    assert 2.0 <= pace.paused_for <= 3.0


def test_an_absurd_retry_after_stops_for_an_hour_at_most() -> None:
    clock = Clock()
    pace = new_pace(clock)
    refuse(pace, clock, 31_536_000.0)
    assert 3600.0 <= pace.paused_for <= 3960.0


def test_a_shorter_retry_after_does_not_end_a_longer_pause() -> None:
    clock = Clock()
    pace = new_pace(clock)
    refuse(pace, clock, 600.0)
    left = pace.paused_for
    pace.take()  # the attempt at shutdown
    pace.rate_limited(1.0)
    assert pace.paused_for == left


def test_429_after_429_halves_once() -> None:
    clock = Clock()
    pace = new_pace(clock)
    send_every(pace, clock, 5.0, 30)
    clock.advance(5.0)
    refuse(pace, clock)
    for _ in range(5):
        refuse(pace, clock)
    assert pace.rate == 6.0
    assert pace.paused_for >= 60.0


def test_a_429_soon_after_a_pause_halves_the_new_pace_not_the_silence() -> None:
    clock = Clock()
    pace = new_pace(clock)
    send_every(pace, clock, 5.0, 30)
    clock.advance(5.0)
    refuse(pace, clock)
    send(pace, clock)
    pace.accepted()
    before = pace.rate
    refuse(pace, clock)
    assert pace.rate == pytest.approx(before / 2)


def test_the_pace_never_falls_below_one_a_minute() -> None:
    clock = Clock()
    pace = new_pace(clock)
    for _ in range(20):
        send(pace, clock)
        pace.accepted()
        refuse(pace, clock)
    assert pace.rate == 1.0


def test_a_configured_pace_below_one_a_minute_is_kept() -> None:
    clock = Clock()
    pace = new_pace(clock, requests_per_minute=0.5)
    refuse(pace, clock)
    assert pace.rate == 0.5


def minutes_until(pace: Pace, clock: Clock, rate: float) -> float:
    began = clock.now
    while pace.rate < rate:
        send(pace, clock)
        pace.accepted()
        assert clock.now - began < 4 * 3600
    return (clock.now - began) / 60


def limited_to_six(clock: Clock, *, steady: bool) -> Pace:
    pace = new_pace(clock)
    if steady:
        send_every(pace, clock, 5.0, 30)
        clock.advance(5.0)
    else:
        send_every(pace, clock, 0.01, 11)
    refuse(pace, clock)
    assert pace.rate == 6.0
    clock.advance(pace.paused_for)
    return pace


def test_success_brings_the_pace_back_fast_then_slowly_then_faster() -> None:
    clock = Clock()
    pace = limited_to_six(clock, steady=True)
    # From 6 by way of the plateau at 10.2, which it reaches after 11.2 minutes.
    minutes = [minutes_until(pace, clock, rate) for rate in (9.0, 10.0, 12.0, 24.0, 600.0)]
    assert minutes == pytest.approx([3.9, 3.2, 12.5, 8.2, 41.6], abs=0.5)


def test_a_second_429_on_the_way_back_halves_the_pace_but_is_soon_made_good() -> None:
    clock = Clock()
    pace = limited_to_six(clock, steady=True)
    send(pace, clock)
    pace.accepted()
    refuse(pace, clock)
    assert pace.rate == pytest.approx(3.0, abs=0.1)
    clock.advance(pace.paused_for)
    # The plateau is 7.1, seven tenths of the old one; from half of six alone it would be 5.1,
    # and the way to 7 take 17 minutes.
    assert minutes_until(pace, clock, 7.0) == pytest.approx(7.5, abs=0.5)


def test_after_a_refused_burst_the_pace_comes_back_five_times_faster() -> None:
    clock = Clock()
    slow = minutes_until(limited_to_six(clock, steady=True), clock, 600.0)
    fast = minutes_until(limited_to_six(clock, steady=False), clock, 600.0)
    assert slow / fast == pytest.approx(5, abs=0.3)


def test_a_recovered_pace_has_its_burst_again() -> None:
    clock = Clock()
    pace = limited_to_six(clock, steady=False)
    minutes_until(pace, clock, 600.0)
    clock.advance(120)
    ready = 0
    while pace.ready_in() == 0.0:
        pace.take()
        pace.accepted()
        ready += 1
    assert ready == 594


def test_time_without_refusals_counts_however_few_requests_there_were() -> None:
    clock = Clock()
    pace = limited_to_six(clock, steady=True)
    send_every(pace, clock, 600.0, 10)
    assert pace.rate == 600.0


def test_an_outage_does_not_raise_the_pace() -> None:
    clock = Clock()
    pace = limited_to_six(clock, steady=True)
    send(pace, clock)
    pace.accepted()
    before = pace.rate
    for _ in range(100):
        clock.advance(60)
        send(pace, clock)  # no answer
    clock.advance(60)
    send(pace, clock)
    pace.accepted()
    assert pace.rate == before
    assert pace.ready_in() > 9.0  # and nothing gathered


def test_single_failures_do_not_keep_the_pace_down() -> None:
    clock = Clock()
    pace, alone = limited_to_six(clock, steady=True), limited_to_six(clock, steady=True)
    for _ in range(60):
        clock.advance(60)
        for one in (pace, alone):
            one.take()
            one.accepted()
        clock.advance(60)
        for one in (pace, alone):
            one.take()
        alone.failed_once()
    assert alone.rate == 600.0
    assert pace.rate < 100.0


def test_a_request_during_a_pause_is_taken_from_what_comes_after_it() -> None:
    clock = Clock()
    pace = new_pace(clock)
    send_every(pace, clock, 5.0, 30)
    clock.advance(5.0)
    refuse(pace, clock)
    pace.take()
    pace.accepted()
    assert pace.ready_in() == pytest.approx(pace.paused_for + 60 / pace.rate)


def test_its_repr_says_how_it_stands() -> None:
    clock = Clock()
    pace = new_pace(clock)
    assert repr(pace) == "<Pace 600.0 of 600.0 requests/min>"
    send_every(pace, clock, 5.0, 30)
    clock.advance(5.0)
    refuse(pace, clock)
    clock.advance(pace.paused_for - 12.5)
    assert repr(pace) == "<Pace 6.0 of 600.0 requests/min, paused for 12.5 s>"


answers = st.sampled_from(["accepted", "refused", "unanswered"])
steps = st.lists(
    st.tuples(
        answers,
        st.floats(0, 1000),
        st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)),
        st.booleans(),
    ),
    max_size=60,
)


@example(
    # Late on the clock, at a high rate: its step is more than a billionth of a token.
    steps=[("accepted", 1000.0, None, False)] * 58 + [("accepted", 0.0, None, True)] * 1000,
    requests_per_minute=6787.0,
    requests_per_hour=None,
    seed=0,
)
@given(
    steps=steps,
    requests_per_minute=st.floats(0.1, 10_000),
    requests_per_hour=st.none() | st.floats(1, 100_000),
    seed=st.integers(0, 1000),
)
def test_whatever_happens_the_pace_stays_within_its_limits(
    steps: list[tuple[str, float, float | None, bool]],
    requests_per_minute: float,
    requests_per_hour: float | None,
    seed: int,
) -> None:
    clock = Clock()
    pace = new_pace(clock, requests_per_minute, requests_per_hour, seed)
    for answer, seconds, retry_after, waits in steps:
        clock.advance(seconds)
        if waits:
            send(pace, clock)  # asserts that waiting once is enough
        else:
            pace.take()
        before = pace.rate
        if answer == "accepted":
            pace.accepted()
            assert pace.rate >= before
        elif answer == "refused":
            pace.rate_limited(retry_after)
            assert pace.rate <= before
            assert pace.paused_for > 0
            if retry_after is not None and 0 <= retry_after <= 3600:
                assert pace.paused_for >= retry_after - 1e-6
        assert min(1.0, requests_per_minute) <= pace.rate <= requests_per_minute
        assert 0.0 <= pace.paused_for <= 3960.0
        assert pace.ready_in() >= pace.paused_for


@given(
    pauses=st.lists(st.floats(0, 3), min_size=1, max_size=300),
    requests_per_minute=st.floats(1, 1000),
)
def test_no_window_holds_more_than_the_burst_and_the_rate_allow(
    pauses: list[float], requests_per_minute: float
) -> None:
    clock = Clock()
    pace = new_pace(clock, requests_per_minute)
    sent = []
    for seconds in pauses:
        clock.advance(seconds)
        send(pace, clock)
        pace.accepted()
        sent.append(clock.now)
    allowed = max(1.0, requests_per_minute) + (sent[-1] - sent[0]) * requests_per_minute / 60
    assert len(sent) <= allowed + 1e-6
