from __future__ import annotations

import random

import pytest

from logwell_otel import LogwellErrorCode
from support.bench import Bench
from support.records import messages, record, records
from support.server import SERVER_ERROR


def poisoned(bench: Bench, count: int, *marked: int) -> list[str]:
    """Hand over `count` records of which some are poison; returns the others' messages."""
    bench.server.poison = "poison"
    batch = records(count)
    for number in marked:
        batch[number] = record(f"poison {number}")
    bench.exporter.export(batch)
    return [text for number, text in enumerate(messages(count)) if number not in marked]


@pytest.mark.parametrize("place", [0, 1, 49, 50, 99, 100, 517, 999])
def test_one_poison_entry_among_a_thousand_costs_itself_and_a_few_requests(place: int) -> None:
    bench = Bench()
    others = poisoned(bench, 1000, place)
    bench.run()
    assert sorted(bench.server.stored) == sorted(others)
    assert len(bench.server.requests) <= 10 + 20
    health = bench.exporter.health()
    # The 999 others, and the report that one was dropped.
    assert (health.accepted, health.held, health.dropped) == (999 + 1, 0, {"poison": 1})
    (error,) = [e for e in bench.errors if e.code is LogwellErrorCode.VALIDATION_ERROR]
    assert f"info 'poison {place}'" in error.message
    assert not error.retryable
    bench.check_ledger()


@pytest.mark.parametrize("places", [(3, 4), (0, 99), (10, 80), (49, 50)])
def test_two_poison_entries_in_one_chunk(places: tuple[int, int]) -> None:
    bench = Bench()
    others = poisoned(bench, 1000, *places)
    bench.run()
    assert sorted(bench.server.stored) == sorted(others)
    assert bench.exporter.health().dropped == {"poison": 2}
    assert len(bench.server.requests) <= 10 + 40


def test_two_poison_entries_and_nothing_else_to_compare_with() -> None:
    bench = Bench()
    others = poisoned(bench, 100, 20, 80)
    bench.run(900)
    assert sorted(bench.server.stored) == sorted(others)
    assert bench.exporter.health().dropped == {"poison": 2}


def test_a_poison_entry_alone_is_held_until_others_show_that_it_is_not_an_outage() -> None:
    bench = Bench()
    poisoned(bench, 1, 0)
    bench.run(1800)
    assert bench.exporter.health().held == 1
    assert bench.exporter.health().dropped == {}
    for batch in range(100):
        bench.exporter.export(records(10, batch * 10))
        bench.run(10)
    assert bench.server.stored == messages(1000)
    assert bench.exporter.health().dropped == {"poison": 1}


def test_what_fails_now_and_then_is_never_taken_for_poison() -> None:
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


def test_an_outage_in_the_middle_of_a_bisection_drops_nothing_else() -> None:
    bench = Bench()
    others = poisoned(bench, 1000, 517)
    while not any(len(request) == 25 for request in bench.server.requests):
        bench.run(0.05)
    bench.server.always = lambda _: SERVER_ERROR
    bench.run(900)
    bench.server.always = lambda _: None
    bench.run()
    assert sorted(bench.server.stored) == sorted(others)
    for batch in range(100):
        bench.exporter.export(records(10, batch * 10))
        bench.run(10)
    assert bench.exporter.health().dropped == {"poison": 1}


def test_a_deadlock_costs_one_more_request() -> None:
    bench = Bench()
    bench.server.replies = [SERVER_ERROR]
    bench.exporter.export(records(250))
    bench.run()
    assert sorted(bench.server.stored) == sorted(messages(250))
    assert len(bench.server.requests) == 4
    assert bench.said == []
