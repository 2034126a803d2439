"""A chunk that keeps failing steps aside, whatever the failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel._http import NoAnswer
from support.bench import Bench
from support.records import messages, record, records
from support.server import REFUSED, UNAUTHORIZED, answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.server import Reply

PAGE = "<html>Blocked. Your support ID is 17</html>"
LINE = "GET /search?q=<script>alert(1)</script>"

REFUSALS: dict[str, Reply] = {
    "403 with a page": answer(403, PAGE),
    "403 with JSON": answer(403, {"error": "forbidden", "message": "no"}),
    "502": answer(502, PAGE),
    "500 with a page": answer(500, PAGE),
    "an unknown status": answer(599),
    "400 with a page": answer(400, PAGE),
    "a page with 200": answer(200, PAGE),
    "413": answer(413, PAGE),
    "415 with JSON": answer(415, {"error": "unsupported_media_type", "message": "no"}),
    "a reset connection": NoAnswer("ReadError: [Errno 104] Connection reset by peer"),
    "silence": NoAnswer("ReadTimeout: timed out"),
    "a redirect to its own page": answer(302, location="https://waf.example.com/blocked"),
    "401 with a page": answer(401, PAGE),
    "429 with a page": answer(429, PAGE, **{"retry-after": "60"}),
    "503, later": answer(503, PAGE, **{"retry-after": "120"}),
}


def firewall(reply: Reply) -> Callable[[list[dict[str, Any]]], Reply]:
    """Something in front of the server that does not like one line."""
    return lambda entries: reply if any(e["message"].startswith(LINE) for e in entries) else None


@pytest.mark.slow
@pytest.mark.parametrize("reply", REFUSALS.values(), ids=REFUSALS)
def test_all_records_behind_one_that_is_refused_are_stored(reply: Reply) -> None:
    bench = Bench()
    bench.server.always = firewall(reply)
    bench.exporter.export([record(LINE), *records(5960)])
    bench.run(300)
    assert sorted(bench.server.stored) == sorted(messages(5960))
    health = bench.exporter.health()
    assert (health.held, health.dropped, health.refused) == (1, {}, 0)
    assert len(bench.server.requests) <= 60 + 40
    bench.check_ledger()


def test_the_entry_that_nothing_takes_is_named_with_what_refused_it() -> None:
    bench = Bench()
    bench.server.always = firewall(answer(403, PAGE))
    bench.exporter.export([record(LINE), *records(5960)])
    bench.run(120)
    (said,) = [text for text in bench.said if text.startswith("One entry is set aside")]
    assert said == (
        "One entry is set aside: every request with it was refused by something before the "
        f"server: 403, text/html, while others were accepted. It is info '{LINE}'. It is tried "
        "again, more and more seldom, for 6 h."
    )
    health = bench.exporter.health()
    assert health.status == "degraded"
    (reason,) = health.reasons
    assert reason == (
        "1 entry was set aside: others are accepted, and each request with one was refused by "
        "something before the server: 403, text/html"
    )


@pytest.mark.slow
@pytest.mark.parametrize("every", [5, 20, 50])
def test_lines_in_every_chunk_stop_nothing(every: int) -> None:
    bench = Bench()
    bench.server.always = firewall(answer(403, PAGE))
    batch = records(1000)
    for place in range(0, 1000, every):
        batch[place] = record(f"{LINE} {place}")
    bench.exporter.export(batch)
    bench.run(3600)
    assert sorted(bench.server.stored) == sorted(
        text for number, text in enumerate(messages(1000)) if number % every
    )
    assert bench.exporter.health().held == 1000 // every
    bench.check_ledger()


def test_what_comes_later_does_not_wait_for_an_entry_that_is_set_aside() -> None:
    bench = Bench()
    bench.server.always = firewall(answer(503, PAGE, **{"retry-after": "3600"}))
    bench.exporter.export([record(LINE), *records(200)])
    bench.run(4000)
    slowest = 0.0
    for number in range(1000):
        bench.exporter.export(records(1, 200 + number))
        began = bench.clock()
        while f"message {200 + number}" not in bench.server.stored:
            bench.run(0.1)
        slowest = max(slowest, bench.clock() - began)
        bench.clock.sleep(7)
    assert slowest < 1.5, "a try of the one that is set aside, and a backoff"
    tries = [request for request in bench.server.requests if request == [LINE]]
    assert len(tries) < 40, "more and more seldom"


@pytest.mark.parametrize("reply", REFUSALS.values(), ids=REFUSALS)
def test_a_chunk_of_which_nothing_passes_does_not_hold_up_others(reply: Reply) -> None:
    bench = Bench()
    bench.server.always = firewall(reply)
    bench.exporter.export([record(f"{LINE} {number}") for number in range(100)])
    bench.exporter.export(records(1000))
    bench.run(300)
    assert sorted(bench.server.stored) == sorted(messages(1000))
    bench.check_ledger()


@pytest.mark.parametrize(
    ("refusal", "seconds"), [("a redirect to its own page", 150), ("503, later", 400)]
)
def test_what_asks_for_a_wait_in_every_fifth_line_does_not_get_one_each_time(
    refusal: str, seconds: float
) -> None:
    bench = Bench()
    bench.server.always = firewall(REFUSALS[refusal])
    bench.exporter.export(
        [record(f"{LINE} {number}" if number % 5 == 2 else f"{number}") for number in range(40)]
    )
    bench.run(seconds)
    assert sorted(bench.server.stored, key=int) == [
        str(number) for number in range(40) if number % 5 != 2
    ]
    bench.check_ledger()


def test_what_comes_later_takes_turns_with_what_is_being_searched() -> None:
    bench = Bench(requests_per_minute=6)
    bench.server.always = firewall(answer(403, PAGE))
    bench.exporter.export([record(LINE), *records(99), record(f"{LINE} 2"), *records(99, 99)])
    bench.run(60)
    bench.exporter.export(records(1, 1000))
    bench.run(30)
    assert "message 1000" in bench.server.stored
    assert len(bench.server.stored) < 198, "the search goes on"


def test_it_is_delivered_when_the_firewall_learns() -> None:
    bench = Bench()
    bench.server.always = firewall(answer(403, PAGE))
    bench.exporter.export([record(LINE), *records(200)])
    bench.run(3600)
    bench.server.always = lambda _: None
    bench.run(1200)
    assert sorted(bench.server.stored) == sorted([LINE, *messages(200)])
    health = bench.exporter.health()
    assert (health.held, health.status) == (0, "healthy")
    bench.check_ledger()


def test_a_flush_waits_for_it_once_and_says_so() -> None:
    bench = Bench()
    bench.server.always = firewall(answer(403, PAGE))
    bench.exporter.export([record(LINE), *records(5960)])
    assert not bench.exporter.force_flush(60_000)
    assert sorted(bench.server.stored) == sorted(messages(5960))
    began = bench.clock()
    bench.exporter.export(records(10, 5960))
    assert bench.exporter.force_flush(60_000)
    assert bench.clock() - began < 2
    bench.check_ledger()


def test_a_key_that_the_server_refuses_is_not_the_chunks_fault() -> None:
    bench = Bench()
    bench.server.always = lambda _: UNAUTHORIZED
    bench.exporter.export(records(5960))
    bench.run(600)
    assert {tuple(request) for request in bench.server.requests} == {tuple(messages(100))}
    assert len(bench.server.requests) <= 20
    bench.server.always = lambda _: None
    bench.run()
    assert bench.server.stored == messages(5960)


def test_a_connection_that_is_refused_says_nothing_about_the_chunk() -> None:
    bench = Bench()
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(500))
    bench.run(3600)
    assert {tuple(request) for request in bench.server.requests} == {tuple(messages(100))}
    bench.server.always = lambda _: None
    bench.run()
    assert bench.server.stored == messages(500)


@pytest.mark.parametrize("reply", [answer(502, PAGE), NoAnswer("ReadTimeout: timed out")])
@pytest.mark.parametrize("seconds", [5, 60, 600, 7200])
def test_an_outage_costs_what_it_did(reply: Reply, seconds: int) -> None:
    """Failing requests by backoff and breaker, and afterwards full chunks."""
    bench = Bench()
    bench.server.always = lambda _: reply
    for second in range(0, seconds, 10):
        bench.exporter.export(records(20, second * 2))
        bench.run(10)
    failing = len(bench.server.requests)
    assert failing <= 2
    assert bench.server.questions <= 6 + seconds / 30
    bench.server.always = lambda _: None
    bench.run()
    count = -(-seconds // 10) * 20
    assert sorted(bench.server.stored) == sorted(messages(count))
    assert len(bench.server.requests) - failing <= -(-count // 100) + 2
    assert bench.exporter.health().dropped == {}


def test_a_health_check_that_always_says_down_holds_the_others_up_for_minutes_only() -> None:
    bench = Bench()
    bench.server.is_healthy = False  # it is something in front that says so
    bench.server.poison = LINE[:11]
    bench.exporter.export([record(LINE), *records(1000)])
    bench.run(600)
    assert len(bench.server.stored) > 900
    bench.run(1800)
    assert sorted(bench.server.stored) == sorted(messages(1000))
    bench.check_ledger()


@pytest.mark.parametrize("headers", [{}, {"retry-after": "0"}, {"retry-after": "1"}], ids=str)
def test_a_gateway_that_answers_429_to_everything_for_a_while_leaves_the_pace_alone(
    headers: dict[str, str],
) -> None:
    bench = Bench()
    bench.exporter.export(records(10))
    bench.run()
    bench.server.always = lambda _: answer(429, PAGE, **headers)
    bench.exporter.export(records(5960, 10))
    bench.run(20)
    assert len(bench.server.requests) < 10
    bench.server.always = lambda _: None
    bench.run(45)
    assert sorted(bench.server.stored) == sorted(messages(5970))


@pytest.mark.parametrize(
    "name", ["403 with a page", "502", "a reset connection", "429 with a page"]
)
def test_a_hundred_refused_lines_in_a_row_hold_up_nothing_that_comes_later(name: str) -> None:
    bench = Bench()
    bench.server.always = firewall(REFUSALS[name])
    bench.exporter.export(records(10))
    bench.run()
    bench.exporter.export([record(f"{LINE} {number}") for number in range(100)])
    bench.run(30)
    for number in range(300):  # a record a second, while the hundred are taken apart
        bench.exporter.export(records(1, 10 + number))
        until = bench.clock() + 1
        bench.run(1)
        bench.clock.now = max(bench.clock(), until)
    assert len(bench.server.stored) > 300
    bench.check_ledger()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "longest"),
    [
        ("403 with a page", 60.0),
        ("413", 120.0),
        ("a reset connection", 60.0),
        ("503, later", 150.0),
        ("429 with a page", 580.0),  # each may be the limit of a gateway for all
    ],
)
def test_five_hundred_refused_lines_in_a_row_hold_up_nothing_that_comes_later(
    name: str, longest: float
) -> None:
    bench = Bench()
    refuses, stored = firewall(REFUSALS[name]), dict[str, float]()

    def reply(entries: list[dict[str, Any]]) -> Reply:
        refusal = refuses(entries)
        if refusal is None:
            stored.update(dict.fromkeys((entry["message"] for entry in entries), bench.clock()))
        return refusal

    def live(seconds: int, logged: dict[str, float]) -> None:
        for _ in range(seconds):
            logged[f"later {len(logged)}"] = bench.clock()
            bench.exporter.export([record(f"later {len(logged) - 1}")])
            until = bench.clock() + 1
            bench.run(1)
            bench.clock.now = max(bench.clock(), until)

    bench.server.always = reply
    bench.exporter.export(records(10))
    bench.run()
    lines = [record(f"{LINE} {number}") for number in range(500)]
    for start in range(0, 500, 100):
        bench.exporter.export(lines[start : start + 100])
    logged: dict[str, float] = {}
    live(400, logged)
    now = bench.clock()
    assert max(stored.get(text, now) - at for text, at in logged.items()) < longest
    assert bench.exporter.health().dropped == {}
    bench.server.always = lambda _: None
    live(400, logged)
    health = bench.exporter.health()
    assert (health.held, health.dropped) == (0, {}), "the firewall's rule was corrected"
    assert len(bench.server.stored) == 10 + 500 + len(logged)
    bench.check_ledger()


def flooded(bench: Bench, lines: int) -> None:
    """Have so many disliked lines, each exported and tried alone, look like an outage."""
    bench.server.always = firewall(answer(403, PAGE))
    for number in range(lines):
        bench.exporter.export([record(f"{LINE} {number}")])
        bench.run(40)


def test_what_comes_after_disliked_lines_in_the_only_chunk_that_waits_is_found() -> None:
    bench = Bench()
    flooded(bench, 12)
    bench.exporter.export([*(record(f"{LINE} of a scan {n}") for n in range(60)), *records(20)])
    bench.run(400)
    assert bench.server.stored


def test_what_failed_in_an_outage_does_not_wait_for_all_that_is_disliked() -> None:
    bench = Bench()
    bench.server.always = lambda _: answer(500, {"message": "Internal server error"})
    for number in range(8):
        bench.exporter.export([record(f"in the outage {number}")])
        bench.run(40)
    bench.server.always = firewall(answer(500, {"message": "Internal server error"}))
    for number in range(60):
        bench.exporter.export([record(f"{LINE} {number}")])
        bench.engine.outbox.mark()  # as a flush does: what comes next joins none before
    bench.run(300)
    assert [text for text in bench.server.stored if text.startswith("in the outage")]
