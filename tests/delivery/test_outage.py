from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logwell_otel import LogwellErrorCode
from logwell_otel._http import NoAnswer
from support.bench import Bench
from support.records import messages, records
from support.server import REFUSED, SERVER_ERROR, answer

if TYPE_CHECKING:
    from logwell_otel._http import Answer

OUTAGES = {
    "connection refused": REFUSED,
    "502 of a proxy": answer(502, "<html>Bad Gateway</html>"),
    "503 of a proxy": answer(503, "<html>deploying</html>"),
    "403 of a proxy": answer(403, "<html>Forbidden</html>"),
    "404 of a proxy": answer(404, "<html>Not Found</html>"),
    "408 of a proxy": answer(408, "<html></html>"),
    "a captive portal": answer(200, "<html>Please log in</html>"),
    "200 with other JSON": answer(200, {"ok": True}),
    "every insert fails": SERVER_ERROR,
}


@pytest.mark.parametrize("reply", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_of_ten_minutes_loses_nothing_and_duplicates_nothing(
    reply: Answer | NoAnswer,
) -> None:
    bench = Bench()
    bench.server.always = lambda _: reply
    for second in range(0, 600, 10):
        bench.exporter.export(records(20, second * 2))
        bench.run(10)
    assert bench.server.stored == []
    probes = len(bench.server.requests) + bench.server.questions
    bench.server.always = lambda _: None
    bench.run()
    assert sorted(bench.server.stored) == sorted(messages(1200))
    assert probes < 40, "a dead server is probed, not hammered"
    assert bench.exporter.health().dropped == {}
    bench.check_ledger()


def test_what_was_held_is_delivered_in_order() -> None:
    bench = Bench()
    bench.server.replies = [REFUSED] * 3
    for batch in range(5):
        bench.exporter.export(records(50, batch * 50))
        bench.run(1)
    bench.run()
    assert bench.server.stored == messages(250)


def test_export_costs_no_request_while_the_server_is_down() -> None:
    bench = Bench()
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(1))
    bench.run(300)
    before = len(bench.server.requests)
    for _ in range(100):
        bench.exporter.export(records(1))
    assert len(bench.server.requests) == before


def test_every_failure_is_handed_to_on_error() -> None:
    bench = Bench()
    bench.server.replies = [REFUSED, answer(503, "<html></html>", **{"retry-after": "7"})]
    bench.exporter.export(records(1))
    bench.run()
    assert [(e.code, e.status_code, e.retryable, e.retry_after) for e in bench.errors] == [
        (LogwellErrorCode.NETWORK_ERROR, None, True, None),
        (LogwellErrorCode.SERVER_ERROR, 503, True, 7.0),
    ]


def test_an_error_of_this_process_is_said_with_the_first_request() -> None:
    bench = Bench()
    bench.server.replies = [NoAnswer("OSError: [Errno 24] Too many open files", "process")]
    bench.exporter.export(records(1))
    bench.run()
    assert bench.said[0] == (
        "An error of this process, which can make no request: OSError: [Errno 24] Too many open "
        "files. That is neither the network nor the server, but what this process has: its "
        "packages, files, descriptors or memory. Entries are held and sent again."
    )
    assert bench.said[1].startswith("The server accepts entries again, after 0 s and 1 failed")
    assert len(bench.said) == 2


def test_retry_after_of_a_503_is_the_least_wait() -> None:
    bench = Bench()
    bench.server.replies = [answer(503, "", **{"retry-after": "20"})]
    bench.exporter.export(records(1))
    began = bench.clock()
    bench.run()
    assert bench.server.stored == messages(1)
    assert bench.clock() - began >= 20


def test_a_database_that_is_down_says_so_and_the_chunk_is_no_suspect() -> None:
    bench = Bench()
    bench.server.always = lambda _: SERVER_ERROR
    bench.server.is_healthy = False
    bench.exporter.export(records(3))
    bench.run(1)
    assert bench.exporter.health().breaker == "open"
    assert bench.server.health_checks == 1
    bench.server.always = lambda _: None
    bench.run(60)
    assert bench.server.requests == [messages(3)] * 2


def test_a_database_that_is_down_is_said_at_once() -> None:
    bench = Bench()
    bench.server.always = lambda _: SERVER_ERROR
    bench.server.is_healthy = False
    bench.exporter.export(records(3))
    bench.run(1)
    (said,) = bench.said
    assert said == (
        "Its health check says that the server's database is down. The server answered 500. If it "
        "lasts, see the server's own log. Entries are held and sent again."
    )


def test_the_end_says_how_much_of_it_was_the_wait_for_the_next_try() -> None:
    bench = Bench()
    bench.server.is_healthy = False
    bench.server.always = lambda _: SERVER_ERROR
    bench.exporter.export(records(3))
    bench.run(12.7)
    bench.server.always = lambda _: None
    bench.run()
    *_, ended = bench.said
    waited = bench.clock() - 1_000_000.03
    assert ended == (
        f"The server accepts entries again, after {waited:.0f} s and 1 failed request; the last "
        f"{waited:.0f} s of them were the wait for this try."
    )


def test_an_address_that_was_right_before_is_not_doubted() -> None:
    bench = Bench()
    bench.exporter.export(records(1))
    bench.run()
    portal = answer(200, "<html>Please log in</html>")
    redirect = answer(302, "", location="https://elsewhere.example.com")
    for reply in (REFUSED, answer(404), answer(405), answer(421), portal, redirect):
        bench.server.replies = [reply]
        bench.exporter.export(records(1))
        bench.run()
    assert len(bench.errors) == 6
    for error in bench.errors:
        assert "LOGWELL_ENDPOINT" not in error.message
        assert "taken requests before" in error.message


def test_one_request_that_failed_is_one_request() -> None:
    bench = Bench()
    bench.server.is_healthy = False
    bench.server.always = lambda _: SERVER_ERROR
    bench.exporter.export(records(3))
    bench.run(1)
    (reason,) = bench.exporter.health().reasons
    assert reason.startswith("1 request failed in a row: ")


def test_trouble_is_said_when_it_starts_and_when_it_ends() -> None:
    bench = Bench()
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(3))
    bench.run(600)
    bench.server.always = lambda _: None
    bench.run()
    started, *repeated, ended = bench.said
    assert started.startswith("No answer from the server: ConnectError: connection refused.")
    assert len(repeated) <= 10, "at most once a minute"
    assert ended.startswith("The server accepts entries again, after ")


def test_one_failure_is_not_worth_a_warning() -> None:
    bench = Bench()
    bench.server.replies = [REFUSED]
    bench.exporter.export(records(3))
    bench.run()
    assert bench.said == []
