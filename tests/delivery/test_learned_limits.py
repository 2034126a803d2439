"""Only the server condemns; what a gateway says about sizes is learned, and forgotten again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from logwell_otel._delivery.limits import LearnedLimit
from support.bench import Bench
from support.clock import Clock
from support.nightly import nightly
from support.records import messages, record, records
from support.server import answer

if TYPE_CHECKING:
    from logwell_otel._http import Answer

PAGE = "<html>no</html>"
STATUSES = (413, 403, 415, 400)
GATEWAYS = [
    *(answer(status, PAGE) for status in STATUSES),
    *nightly(
        *(answer(status, {"error": "Forbidden", "message": "no"}) for status in STATUSES),
        *(answer(status, {"error": "not_ours", "message": "no"}) for status in STATUSES),
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("reply", GATEWAYS, ids=lambda reply: f"{reply.status} {reply.body[:18]!r}")
def test_a_gateway_out_of_order_for_twenty_seconds_costs_no_entry(reply: Answer) -> None:
    bench = Bench()
    for second in range(60):
        fault = reply if 10 <= second < 30 else None
        bench.server.replies = [fault] * 100
        bench.exporter.export([record("x" * 2000 + f" {second}"), *records(19, second * 19)])
        bench.run(1)
        if second == 25:
            assert bench.exporter.health().status != "healthy"
    bench.server.replies = []
    bench.run()
    long = ["x" * 2000 + f" {second}" for second in range(60)]
    assert sorted(bench.server.stored) == sorted(messages(19 * 60) + long), "whole, and all of them"
    health = bench.exporter.health()
    assert (health.held, health.refused, health.dropped) == (0, 0, {})
    before = len(bench.server.requests)
    bench.clock.sleep(60)
    bench.exporter.export(records(20_000, 5000))
    bench.run()
    assert len(bench.server.requests) - before == 200, "at full size again"
    bench.check_ledger()


def test_a_limit_below_the_servers_is_learned_and_tried_upwards() -> None:
    bench = Bench()
    limit = 30_000
    bench.server.always = lambda _: (
        answer(413, PAGE) if len(bench.server.bodies[-1]) > limit else None
    )
    batch = [record(f"message {number} " + "x" * 900) for number in range(1000)]
    for first in range(0, 1000, 100):
        bench.exporter.export(batch[first : first + 100])
        bench.run(60)
    assert len(bench.server.stored) == 1000
    refused = [body for body in bench.server.bodies if len(body) > limit]
    assert len(refused) < 20
    bench.clock.sleep(3600)
    limit = 500_000
    for _ in range(3):
        bench.exporter.export(batch)
        bench.run()
    assert [len(request) for request in bench.server.requests[-10:]] == [100] * 10
    bench.check_ledger()


def test_a_limit_that_stays_is_tried_once_an_hour() -> None:
    clock = Clock()
    limit = LearnedLimit(500_000, 4096, clock)
    tried = 0
    for _ in range(24 * 360):
        clock.sleep(10)
        while not limit.exceeded_by(limit.value + 1) and limit.value < 500_000:
            pass
        size = min(500_000, limit.value)
        if size > 30_000:
            tried += 1
            limit.refused(size)
        else:
            limit.accepted(size)
    assert tried < 24 + 12
    assert 15_000 <= limit.value <= 30_000


def test_a_learned_limit_comes_close_to_the_real_one_whatever_it_is() -> None:
    rng = random.Random(3)
    for real in [5_000, 499_999, *(rng.randrange(5_000, 500_000) for _ in range(50))]:
        clock = Clock()
        limit = LearnedLimit(500_000, 4096, clock)
        tries = 0
        for _ in range(60):
            clock.sleep(3600)
            size = 500_000
            while limit.exceeded_by(size) or size > real:
                if not limit.exceeded_by(size):
                    tries += 1
                    limit.refused(size)
                size //= 2
            limit.accepted(size)
        assert real / 4 < size <= real
        assert tries < 60 + 10, "one an hour, and the way down"


def test_an_entry_too_large_for_what_is_in_front_is_cut_in_the_end() -> None:
    bench = Bench()
    bench.server.always = lambda _: (
        answer(413, PAGE) if len(bench.server.bodies[-1]) > 30_000 else None
    )
    bench.exporter.export([record("x" * 100_000), record("small")])
    for number in range(100):
        bench.run(10)
        bench.exporter.export(records(1, number))
    bench.run()
    (cut,) = [text for text in bench.server.stored if text.startswith("xxx")]
    assert 1_000 < len(cut) < 30_000
    assert bench.exporter.health().held == 0
    assert len(bench.server.stored) == 102
    bench.check_ledger()


def test_refusals_show_in_health() -> None:
    bench = Bench()
    bench.server.replies = [answer(400, {"error": "validation_error", "message": "no"})]
    bench.exporter.export(records(1))
    bench.run()
    health = bench.exporter.health()
    assert (health.refused, health.status) == (1, "degraded")
    assert health.reasons == ("1 entry was refused by the server in the last five minutes",)
    bench.clock.sleep(301)
    assert bench.exporter.health().status == "healthy"
