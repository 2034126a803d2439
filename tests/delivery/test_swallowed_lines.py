"""Something that answers nothing to one line does not cost all others a long time-out each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from logwell_otel._http import NoAnswer
from support.bench import Bench
from support.records import messages, record, records
from support.server import Server, answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel._http import Answer

LINE = "GET /search?q=<script>alert(1)</script>"
SILENCE = NoAnswer("ReadTimeout: timed out", timed_out=True)


class Slow(Server):
    """Stores at once, and answers after as many seconds as it is told; infinite for never.

    Attributes:
        seconds: Of a request with these messages.
        timeouts: What each request was given.
        copies: How often each message was stored.
    """

    def __init__(self, seconds: Callable[[list[str]], float]) -> None:
        super().__init__()
        self.seconds = seconds
        self.timeouts: list[float] = []
        self.copies: Counter[str] = Counter()

    def post(self, body: bytes, timeout: float) -> Answer | NoAnswer:
        sent = [entry["message"] for entry in msgspec.json.decode(body)]
        self.requests.append(sent)
        self.timeouts.append(timeout)
        seconds = self.seconds(sent)
        self.clock.now += min(seconds, timeout)
        if seconds < float("inf"):
            self.copies.update(sent)
        return SILENCE if seconds >= timeout else answer(200, {"accepted": len(sent)})


def firewall(sent: list[str]) -> float:
    return float("inf") if any(text.startswith(LINE) for text in sent) else 0.03


def test_all_records_behind_one_that_is_swallowed_are_stored_within_two_minutes() -> None:
    server = Slow(firewall)
    bench = Bench(server, timeout=10)
    bench.exporter.export([record(LINE), *records(5960)])
    bench.run(240)
    assert server.copies == Counter(messages(5960))
    assert bench.exporter.health().held == 1
    assert bench.said[0].startswith("The server did not answer within 10 s, the time-out")
    bench.check_ledger()


@pytest.mark.parametrize("every", [5, 20])
def test_time_outs_are_the_usual_ones_where_others_pass(every: int) -> None:
    server = Slow(firewall)
    bench = Bench(server, timeout=2)
    batch = records(200)
    for place in range(0, 200, every):
        batch[place] = record(f"{LINE} {place}")
    bench.exporter.export(batch)
    bench.run(600 + 200 // every * 24)
    assert server.copies == Counter(
        text for number, text in enumerate(messages(200)) if number % every
    )
    longer = [seconds for seconds in server.timeouts if seconds > 2]
    assert sum(longer) <= 300
    assert max(server.timeouts) <= 30
    bench.check_ledger()


def test_what_is_logged_later_waits_for_one_time_out_at_a_time() -> None:
    server = Slow(firewall)
    bench = Bench(server, timeout=2)
    bench.exporter.export([record(LINE), *records(200)])
    bench.run(1200)
    slowest = 0.0
    for number in range(500):
        bench.exporter.export(records(1, 200 + number))
        began = bench.clock()
        while f"message {200 + number}" not in server.copies:
            bench.run(0.1)
        slowest = max(slowest, bench.clock() - began)
        bench.clock.sleep(7)
    assert slowest < 3


def test_a_server_that_is_slow_with_large_requests_stores_them_twice() -> None:
    server = Slow(lambda sent: 0.15 * len(sent))
    bench = Bench(server, timeout=10)
    bench.exporter.export(records(500))
    bench.run(600)
    assert sorted(server.copies) == sorted(messages(500))
    assert max(server.copies.values()) <= 2
    assert bench.exporter.health().accepted == 500


@pytest.mark.parametrize("seconds", [15, 50, 100, 250])
def test_a_server_that_is_always_slower_stores_nothing_more_than_twice(seconds: int) -> None:
    """What has no entries in it asks whether it is worth to wait for five minutes."""
    server = Slow(lambda _: seconds)
    bench = Bench(server, timeout=10)
    bench.exporter.export(records(500))
    bench.run(7200)
    assert sorted(server.copies) == sorted(messages(500))
    copies = Counter(server.copies.values())
    assert (max(copies), copies[1]) == (2, 400)
    bench.check_ledger()
