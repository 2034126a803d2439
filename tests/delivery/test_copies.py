"""What may have been stored is sent again once at most: slow servers, answers without counts."""

from __future__ import annotations

import gzip
import json
import logging
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from logwell_otel import LogwellLogExporter
from logwell_otel._delivery.retry import RequestTimeout
from logwell_otel._http import NoAnswer
from logwell_otel.devserver import DevServer
from support.bench import Bench
from support.clock import Clock
from support.config import KEY
from support.records import messages, records
from support.server import RATE_LIMITED, UNAUTHORIZED, HttpServer, Server, answer

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler

    from logwell_otel._http import Answer

SLOWER = (
    "The server did not answer within 0.2 s, the time-out (LOGWELL_TIMEOUT). It gets up to 30 s "
    "now: what it may have stored already would be stored once more with each attempt."
)
SILENCE = NoAnswer("ReadTimeout: timed out", timed_out=True)
HEALTH = json.dumps({"status": "healthy"}).encode()


class Gateway(HttpServer):
    """Stores everything, and answers in its own way.

    Attributes:
        stored: How often each message was stored.
    """

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        encoding: str = "",
        *,
        health: bytes | None = HEALTH,
        seconds: float = 0.0,
    ) -> None:
        super().__init__()
        self.stored: Counter[str] = Counter()
        self.times: list[float] = []
        self._answer = status, body, encoding
        self._health = health
        self._seconds = seconds
        self._busy = threading.Lock()

    def respond(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        status, content, encoding = self._answer
        if request.path == "/api/health":
            if self._health is None:
                return
            status, content, encoding = 200, self._health, ""
        else:
            entries = json.loads(body)
            with self._busy:  # as a database is
                self.times.append(time.monotonic())
                self.stored.update(entry["message"] for entry in entries)
                time.sleep(self._seconds)
            content = content.replace(b"COUNT", str(len(entries)).encode())
            if encoding == "gzip":
                content = gzip.compress(content)
        request.send_response(status)
        if encoding:
            request.send_header("Content-Encoding", encoding)
        if status != 204:
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if status != 204:
            request.wfile.write(content)


def delivered(gateway: Gateway, count: int, **options: float) -> tuple[Counter[int], list[str]]:
    """How many messages were stored how often, and the warnings."""
    said: list[str] = []

    class Hears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage().partition(" [process")[0])

    hears = Hears()
    logging.getLogger("logwell_otel").addHandler(hears)
    with gateway:
        exporter = LogwellLogExporter(gateway.url, KEY, **options)  # type: ignore[arg-type]
        exporter.export(records(count))
        assert exporter.force_flush(60_000)
        health = exporter.health()
        assert (health.accepted, health.held, health.dropped_total) == (count, 0, 0)
        exporter.shutdown()
    logging.getLogger("logwell_otel").removeHandler(hears)
    return Counter(gateway.stored.values()), said


@pytest.mark.socket
@pytest.mark.parametrize(
    "gateway",
    [
        pytest.param(lambda: Gateway(204), id="204"),
        pytest.param(lambda: Gateway(200), id="empty 200"),
        pytest.param(lambda: Gateway(200, b"\x0b\x02\x80", "br"), id="an encoding not asked for"),
    ],
)
def test_a_success_without_counts_is_stored_once(gateway: type[Gateway]) -> None:
    copies, said = delivered(gateway(), 250)  # type: ignore[call-arg]
    assert copies == {1: 250}
    assert (
        len([text for text in said if "taken as stored, since the answer is a success" in text])
        == 1
    )


@pytest.mark.socket
def test_compressed_counts_are_read() -> None:
    copies, said = delivered(Gateway(200, b'{"accepted":COUNT}', "gzip"), 250)
    assert copies == {1: 250}
    assert said == []


@pytest.mark.socket
@pytest.mark.parametrize("health", [b"", None], ids=["says yes to everything", "no health"])
def test_where_no_logwell_server_shows_the_second_time_counts(health: bytes | None) -> None:
    copies, said = delivered(Gateway(204, health=health), 250)
    assert copies == {2: 100, 1: 150}
    assert any("100 entries were taken as stored" in text for text in said)


@pytest.mark.socket
@pytest.mark.slow
def test_a_server_slower_than_the_time_out_stores_nothing_more_than_twice() -> None:
    gateway = Gateway(200, b'{"accepted":COUNT}', seconds=0.5)
    copies, said = delivered(gateway, 200, timeout=0.2)
    assert copies == {2: 100, 1: 100}
    assert [text for text in said if "time-out" in text] == [SLOWER]


@pytest.mark.socket
def test_a_cut_connection_after_storing_is_one_copy_more() -> None:
    with DevServer() as receiver:
        receiver.faults.close(times=1, stored=True)
        exporter = LogwellLogExporter(receiver.url, receiver.key)
        exporter.export(records(10))
        assert exporter.force_flush(30_000)
        exporter.shutdown()
        assert receiver.count() == 20


def test_a_server_that_was_stopped_is_sent_nothing_more_until_it_answers() -> None:
    bench = Bench()
    bench.server.always = lambda _: SILENCE
    bench.exporter.export(records(10))
    bench.run(600)
    assert (len(bench.server.requests), bench.server.stored) == (1, [])
    assert bench.server.questions > 5
    bench.server.always = lambda _: None
    bench.run(60)
    assert [len(request) for request in bench.server.requests] == [10, 1, 4, 5]
    assert len(bench.server.stored) == 10
    bench.check_ledger()


def test_a_page_of_something_else_is_never_a_success() -> None:
    bench = Bench()
    portal = answer(200, "<html>Please log in</html>")
    bench.server.always = lambda _: portal if bench.clock() < began + 900 else None
    began = bench.clock()
    bench.exporter.export(records(10))
    bench.run()
    assert len(bench.server.stored) == 10
    assert bench.exporter.health().accepted == 10


@pytest.mark.parametrize("status", [200, 202, 204])
def test_what_says_yes_to_everything_for_a_while_costs_no_entry(status: int) -> None:
    bench = Bench()
    bench.exporter.export(records(10))
    bench.run()
    bench.server.is_healthy = None  # it answers for the health check as well
    bench.server.always = lambda _: answer(status)
    bench.exporter.export(records(500, 10))
    bench.run(20)
    assert len(bench.server.stored) == 10
    assert bench.exporter.health().held == 500
    bench.server.is_healthy = True
    bench.server.always = lambda _: None
    bench.run(45)
    assert sorted(bench.server.stored) == sorted(messages(510))
    assert len(bench.server.requests) < 20
    bench.check_ledger()


def test_what_takes_the_counts_out_from_some_time_on_has_entries_once() -> None:
    bench = Bench()
    bench.exporter.export(records(10))
    bench.run()
    bench.server.always = lambda entries: answer(204) if entries else answer(400)
    bench.exporter.export(records(500, 10))
    bench.run(20)
    assert (bench.exporter.health().accepted, bench.exporter.health().held) == (510, 0)
    assert len(bench.server.requests) == 6


def test_what_lets_everything_through_but_a_request_without_entries_gets_an_hour() -> None:
    bench = Bench()
    bench.server.replies = [answer(502, "Bad Gateway")]
    bench.server.always = lambda entries: None if entries else answer(403, "<html>Empty</html>")
    bench.exporter.export(records(10))
    bench.run(3500)
    assert len(bench.server.requests) == 1
    bench.run(200)
    assert sorted(bench.server.stored) == sorted(messages(10))
    questions = bench.server.questions
    bench.exporter.export(records(10, 10))
    bench.run(10)
    assert len(bench.server.stored) == 20
    assert bench.server.questions == questions, "nothing was lost since"


def test_a_refused_key_and_a_rate_limit_are_answers_too() -> None:
    for reply in (UNAUTHORIZED, RATE_LIMITED):
        bench = Bench()
        bench.server.replies = [NoAnswer("ReadError: reset"), reply]
        bench.server.always = lambda entries, reply=reply: None if entries else reply  # type: ignore[misc]
        bench.exporter.export(records(10))
        bench.run(300)
        assert bench.server.questions == 1
        assert sorted(bench.server.stored) == sorted(messages(10))


def test_a_time_out_grows_while_nothing_answers_and_is_the_usual_one_again_then() -> None:
    clock = Clock()
    timeout = RequestTimeout(10, clock)
    assert (timeout.seconds, timeout.overdue) == (10, False)
    assert [(timeout.exceeded(), timeout.seconds) for _ in range(5)] == [
        (True, 60),
        (False, 60),
        (False, 60),
        (False, 300),
        (False, 300),
    ]
    timeout.answered(100)
    assert (timeout.seconds, timeout.overdue, timeout.late) == (300, True, True)
    timeout.answered(15)
    assert (timeout.seconds, timeout.overdue, timeout.late) == (60, True, True)
    timeout.answered(9)
    assert (timeout.seconds, timeout.overdue, timeout.late) == (10, False, True)
    clock.sleep(600)
    assert not timeout.late


@pytest.mark.parametrize(("usual", "longer"), [(0.1, 30), (6, 36), (100, 300), (300, 300)])
def test_how_long_it_is_then(usual: float, longer: float) -> None:
    timeout = RequestTimeout(usual)
    assert timeout.exceeded() is (longer > usual)
    assert timeout.seconds == longer


class LosesAnswers(Server):
    """Stores everything, and something in front of it says for a while that it failed.

    Attributes:
        copies: How often each message was stored.
        at: When each request with entries came.
        until: Until when, by its clock.
    """

    def __init__(self, reply: Answer | NoAnswer, seconds: float, *, storing: bool = False) -> None:
        super().__init__()
        self.copies: Counter[str] = Counter()
        self.at: list[float] = []
        self.until = self.clock() + seconds
        self._reply = reply
        self._storing = storing

    def post(self, body: bytes, timeout: float) -> Answer | NoAnswer:
        taken = super().post(body, timeout)
        if body == b"[]":
            return taken if self._storing or self.clock() >= self.until else self._reply
        self.at.append(self.clock())
        self.copies.update(self.requests[-1])
        return self._reply if self.clock() < self.until else taken


LOST = [
    pytest.param(answer(504, "Gateway Time-out"), id="504"),
    pytest.param(answer(502, "Bad Gateway"), id="502"),
    pytest.param(NoAnswer("ReadError: reset"), id="reset"),
    pytest.param(SILENCE, id="silence"),
]
HOUR = 3600.0


def logs_on(bench: Bench, seconds: float) -> int:
    """Something is logged every minute; gives how many records in all."""
    bench.exporter.export(records(500))
    count = 500
    until = bench.clock() + seconds
    while bench.clock() < until:
        bench.run(min(60.0, until - bench.clock()))
        bench.exporter.export(records(1, count))
        count += 1
        bench.clock.sleep(1.0)
    return count


@pytest.mark.parametrize("reply", LOST)
@pytest.mark.parametrize("seconds", [5.0, 60.0, 600.0, 6 * HOUR])
def test_what_loses_every_answer_has_one_request_of_entries_twice(
    reply: Answer | NoAnswer, seconds: float
) -> None:
    server = LosesAnswers(reply, seconds)
    bench = Bench(server)
    count = logs_on(bench, seconds)
    tries = len(
        [
            request
            for at, request in zip(server.at, server.requests, strict=True)
            if at < server.until
        ]
    )
    # After an hour and after three, in case it does so with what has no entries only.
    assert tries == (1 if seconds < HOUR else 3)
    bench.run()
    assert sorted(server.copies) == sorted(messages(count))
    assert len([text for text, copies in server.copies.items() if copies > 1]) == 100
    assert len([text for text, copies in server.copies.items() if copies > 2]) == tries - 1
    assert max(server.copies.values()) <= 3
    assert len(server.requests) <= tries + 12
    bench.check_ledger()


@pytest.mark.parametrize("reply", LOST)
@pytest.mark.parametrize("seconds", [60.0, 600.0, 6 * HOUR])
def test_what_loses_the_answers_to_entries_only_is_sent_one_at_a_time_ever_more_seldom(
    reply: Answer | NoAnswer, seconds: float
) -> None:
    server = LosesAnswers(reply, seconds, storing=True)
    bench = Bench(server)
    count = logs_on(bench, seconds)
    sizes = [len(request) for request in server.requests]
    assert sum(sizes) - sizes.count(1) <= 300
    assert len(sizes) <= 12 + seconds / 270
    bench.run()
    assert sorted(server.copies) == sorted(messages(count))
    assert len([text for text, copies in server.copies.items() if copies > 2]) <= sizes.count(1)
    assert max(server.copies.values()) <= 3
    bench.check_ledger()


def test_an_entry_with_nothing_beside_it_is_sent_again_after_ever_more_time() -> None:
    server = LosesAnswers(answer(504, "Gateway Time-out"), 24 * HOUR, storing=True)
    bench = Bench(server)
    bench.exporter.export(records(1))
    bench.run(24 * HOUR)
    assert server.copies == {"message 0": 7}
    bench.exporter.export(records(1, 1))
    bench.run(60)
    assert bench.exporter.health().held == 0, "what is accepted shows that answers come again"
    bench.check_ledger()
