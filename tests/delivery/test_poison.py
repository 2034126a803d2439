"""An entry that fails every request: out of the way, tried for hours, given up with a trace."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from logwell_otel import LogwellErrorCode
from logwell_otel.cli import pools
from support.bench import Bench
from support.records import messages, record, records
from support.server import RATE_LIMITED, SERVER_ERROR, answer

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0


def poisoned(bench: Bench, count: int, *marked: int) -> list[str]:
    """Hand over `count` records of which some are poison; returns the others' messages."""
    bench.server.poison = "poison"
    batch = records(count)
    for number in marked:
        batch[number] = record(f"poison {number}")
    bench.exporter.export(batch)
    return [text for number, text in enumerate(messages(count)) if number not in marked]


def live(bench: Bench, seconds: float) -> None:
    """Something is logged, and accepted, every minute."""
    for minute in range(int(seconds / 60)):
        bench.exporter.export([record(f"minute {minute}")])
        until = bench.clock() + 60
        bench.run(60)
        bench.clock.now = until


@pytest.mark.parametrize("place", [0, 1, 49, 50, 99, 100, 517, 999])
def test_one_poison_entry_among_a_thousand_costs_itself_and_a_few_requests(place: int) -> None:
    bench = Bench()
    others = poisoned(bench, 1000, place)
    bench.run(30)
    assert sorted(bench.server.stored) == sorted(others)
    assert len(bench.server.requests) <= 10 + 22
    health = bench.exporter.health()
    assert (health.accepted, health.held, health.dropped) == (999, 1, {})
    assert health.status == "degraded"
    assert len(health.reasons) == 1
    bench.run(300)
    assert len(bench.server.requests) <= 10 + 30
    (error,) = [e for e in bench.errors if e.message.startswith("One entry is set aside")]
    assert f"info 'poison {place}'" in error.message
    assert "every request with it was answered 500" in error.message
    assert error.retryable
    bench.check_ledger()


def test_poison_does_not_keep_the_pace_down_after_a_429() -> None:
    bench = Bench(requests_per_minute=60)
    bench.server.poison = "poison"
    bench.server.replies = [RATE_LIMITED]
    for minute in range(60):
        bench.exporter.export([record(f"minute {minute}"), record(f"poison {minute}")])
        until = bench.clock() + 60
        bench.run(60)
        bench.clock.now = until
    health = bench.exporter.health()
    assert (health.accepted, health.held) == (60, 60)
    assert health.requests_per_minute == 60


@pytest.mark.parametrize("places", [(3, 4), (0, 99), (10, 80), (49, 50)])
def test_two_poison_entries_in_one_chunk(places: tuple[int, int]) -> None:
    bench = Bench()
    others = poisoned(bench, 1000, *places)
    bench.run(60)
    assert sorted(bench.server.stored) == sorted(others)
    assert bench.exporter.health().held == 2
    assert len(bench.server.requests) <= 10 + 40


def test_two_poison_entries_and_nothing_else_to_compare_with() -> None:
    bench = Bench()
    others = poisoned(bench, 100, 20, 80)
    bench.run(900)
    assert sorted(bench.server.stored) == sorted(others)
    assert bench.exporter.health().held == 2


def test_it_is_tried_more_and_more_seldom_for_hours_and_then_given_up_in_full() -> None:
    bench = Bench()
    poisoned(bench, 1000, 517)
    live(bench, 5.5 * HOUR)
    assert bench.exporter.health().dropped == {}
    tries = [request for request in bench.server.requests if request == ["poison 517"]]
    assert len(tries) < 60
    live(bench, 1.5 * HOUR)
    health = bench.exporter.health()
    assert (health.held, health.dropped) == (0, {"poison": 1})
    (said,) = [text for text in bench.said if "given up" in text]
    assert said.startswith(
        "1 entry was given up: every request with one was answered 500, while others were "
        'accepted. {"level":"info","message":"poison 517","timestamp":"'
    )
    bench.check_ledger()


def test_what_is_written_out_is_redacted_and_cut() -> None:
    bench = Bench()
    bench.server.poison = "poison"
    secret = record("poison " + "x" * 5000, attributes={"password": "hunter2"})
    bench.exporter.export([secret, record("poison for ada@example.com"), *records(998)])
    live(bench, 8 * HOUR)
    said = " ".join(text for text in bench.said if "given up" in text)
    assert bench.exporter.health().dropped == {"poison": 2}
    errors = [error.message for error in bench.errors if "given up" in error.message]
    assert len(errors) == 2
    for text in (said, *errors):
        assert "hunter2" not in text
        assert "ada@example.com" not in text
        assert len(text) < 4500


def test_a_poison_entry_alone_is_held_while_nothing_is_accepted() -> None:
    bench = Bench()
    poisoned(bench, 1, 0)
    bench.run(24 * HOUR)
    assert bench.exporter.health().held == 1
    assert bench.exporter.health().dropped == {}
    for batch in range(100):
        bench.exporter.export(records(10, batch * 10))
        bench.run(10)
    assert bench.server.stored == messages(1000)
    assert bench.exporter.health().held == 1


def test_what_fails_now_and_then_is_delivered() -> None:
    """A server in whose database others deadlock: three in four requests fail."""
    rng = random.Random(1)
    bench = Bench()
    bench.server.always = lambda _: SERVER_ERROR if rng.random() < 0.75 else None
    for batch in range(20):
        bench.exporter.export(records(100, batch * 100))
        bench.run(5)
    bench.run(20_000)
    assert bench.exporter.health().dropped == {}
    assert sorted(bench.server.stored) == sorted(messages(2000))


def test_an_outage_in_the_middle_of_a_bisection_drops_nothing() -> None:
    bench = Bench()
    others = poisoned(bench, 1000, 517)
    while not any(len(request) == 25 for request in bench.server.requests):
        bench.run(0.05)
    bench.server.always = lambda _: SERVER_ERROR
    before = len(bench.server.requests)
    bench.run(900)
    assert len(bench.server.requests) - before < 900 / 30 + 20
    bench.server.always = lambda _: None
    bench.run()
    assert sorted(bench.server.stored) == sorted(others)
    assert bench.exporter.health().held == 1


def test_a_deadlock_costs_one_more_request() -> None:
    bench = Bench()
    bench.server.replies = [SERVER_ERROR]
    bench.exporter.export(records(250))
    bench.run()
    assert sorted(bench.server.stored) == sorted(messages(250))
    assert len(bench.server.requests) == 4
    assert bench.said == []


@pytest.mark.slow
def test_what_waits_under_suspicion_is_bounded_and_the_oldest_goes_first() -> None:
    """Lines that a firewall refuses, one in ten records, and a memory of 1 MiB."""
    bench = Bench(max_queue_bytes=1_048_576)
    bench.server.always = lambda entries: (
        answer(403, "<html>no</html>") if any("poison" in e["message"] for e in entries) else None
    )
    number = 0
    for second in range(320):
        bench.exporter.export([record(f"poison {second} " + "x" * 2000), *records(9, number)])
        number += 9
        until = bench.clock() + 5
        bench.run(5)
        bench.clock.now = until
        assert bench.exporter.health().bytes_in_memory < 1_048_576
    bench.run(300)
    assert sorted(bench.server.stored) == sorted(messages(number))
    health = bench.exporter.health()
    assert set(health.dropped) == {"queue_overflow"}
    assert health.held + health.dropped_total == 320
    assert health.held > 100
    bench.check_ledger()


def test_a_loss_is_an_error_of_the_entries() -> None:
    bench = Bench()
    poisoned(bench, 1000, 7)
    live(bench, 8 * HOUR)
    (error,) = [error for error in bench.errors if "given up" in error.message]
    assert (error.code, error.retryable) == (LogwellErrorCode.VALIDATION_ERROR, False)


def test_with_a_spool_it_lives_as_long_as_that_and_becomes_a_dead_letter(tmp_path: Path) -> None:
    bench = Bench(spool_dir=tmp_path, spool_max_age=48 * HOUR)
    bench.server.poison = "poison"
    bench.exporter.export([*records(999), record("poison 7")])
    for _ in range(47):
        live(bench, HOUR / 12)
        bench.clock.sleep(HOUR * 11 / 12)
        bench.keep()
    health = bench.exporter.health()
    assert (health.held, health.dropped) == (1, {})
    for _ in range(3):
        live(bench, HOUR)
        bench.keep()
    health = bench.exporter.health()
    assert (health.held, sum(health.dropped.values())) == (0, 1)
    (pool,) = pools.list_spools(tmp_path)
    assert [(one.entries, one.reason) for one in pool.dead] == [(1, next(iter(health.dropped)))]
    bench.check_ledger()
