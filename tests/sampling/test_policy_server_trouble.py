"""A policy server that is down, slow or mad: nothing changes for the application."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest

from logwell_otel._http import Answer, NoAnswer
from logwell_otel.sampling import PolicyServer, Sampler
from support.clock import Clock
from support.policy import POLICY, PolicyStandIn
from support.server import Connection, SocketServer, closed_port, response

pytestmark = pytest.mark.socket

LAST_GOOD = {**POLICY, "severity_rates": {"INFO": 0.6}, "version": 3}


class Following:
    """A sampler with the last good policy in use, and what was said."""

    def __init__(self, url: str, **options: Any) -> None:
        self.clock = Clock(1000.0)
        self.said: list[str] = []
        self.server = PolicyServer(
            url, service="shop", team_id=7, clock=self.clock, say=self.said.append, **options
        )
        self.sampler = Sampler(clock=lambda: 0.0, rng=lambda: 0.0)
        self.rate()
        self.sampler.follow(self.server)

    def rate(self) -> float:
        return self.sampler._judge("info", "x", 0).rate  # noqa: SLF001 - starts no thread

    def tick(self) -> None:
        self.clock.now += 400
        self.server.tick()


def _fail_twice(following: Following, reason: str) -> None:
    following.tick()
    following.tick()
    assert following.rate() == 0.6
    (said,) = following.said
    assert reason in said
    assert said.endswith("The sampling rates in use stay.")


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (b"", "must be JSON"),
        (b"<html>Bad Gateway</html>", "must be JSON"),
        (b"\x00\xff" * 1000, "must be JSON"),
        (b"[" * 100_000, "must be JSON"),
        (b"null", "not null"),
        ({"detail": "hello"}, "one of the fields"),
        ({**POLICY, "version": 4, "severity_rates": {"INFO": 7}}, "from 0 to 1"),
        (b'{"global_rate": 1, "x": "' + b"x" * 2_000_000 + b'"}', "must be JSON"),
    ],
    ids=["empty", "html", "bytes", "nested", "null", "other", "out of range", "too long"],
)
def test_garbage(policy: Any, reason: str) -> None:
    with PolicyStandIn() as stand_in:
        stand_in.policy = LAST_GOOD
        following = Following(stand_in.url)
        following.tick()
        stand_in.policy = policy
        _fail_twice(following, reason)
        stand_in.policy = {**LAST_GOOD, "severity_rates": {"INFO": 0.8}, "version": 5}
        following.tick()
        assert following.rate() == 0.8
        assert following.said[1:] == [f"The sampling policy of {stand_in.url} comes again."]


@pytest.mark.parametrize("status", [204, 301, 307, 401, 403, 404, 422, 429, 500, 503])
def test_a_status_that_is_no_success(status: int) -> None:
    with PolicyStandIn() as stand_in:
        stand_in.policy = LAST_GOOD
        following = Following(stand_in.url)
        following.tick()
        stand_in.status = status
        _fail_twice(following, f"it answered {status}")
        # Nothing was sent after a redirect.
        assert len(stand_in.requests) in (3, 5)


def test_304_without_having_asked_for_it() -> None:
    with PolicyStandIn() as stand_in:
        stand_in.policy = LAST_GOOD
        following = Following(stand_in.url)
        following.tick()
        stand_in.status = 304
        _fail_twice(following, "it answered 304")


def test_a_registration_that_is_redirected_is_none() -> None:
    """The server answers 307 where the slash at the end is missing: ours has it."""
    with PolicyStandIn(known=()) as stand_in:
        stand_in.policy = LAST_GOOD
        following = Following(stand_in.url)
        following.tick()
        assert following.rate() == 0.6
        assert stand_in.requests.count("POST /api/v1/services/") == 1
        assert "POST /api/v1/services" not in stand_in.requests
    calls: list[str] = []

    def http(
        method: str, url: str, headers: object, body: bytes | None, timeout: float
    ) -> Answer | NoAnswer:
        calls.append(method)
        return Answer(404 if method == "GET" else 307, {"location": "http://elsewhere/"}, b"")

    following = Following("https://policies.example", _request=http)
    following.tick()
    following.tick()
    assert calls == ["GET", "POST", "GET", "POST"]
    assert following.said[0].startswith(
        "The sampling policy of https://policies.example could not be had: it answered 307 to the "
        "registration of the service."
    )


def test_taken_down() -> None:
    with PolicyStandIn() as stand_in:
        stand_in.policy = LAST_GOOD
        following = Following(stand_in.url)
        following.tick()
    _fail_twice(following, "no answer: ConnectError")


def test_never_there() -> None:
    with closed_port() as port:
        following = Following(f"http://127.0.0.1:{port}")
        for _ in range(3):
            following.tick()
        assert following.rate() == 0.2
        assert len(following.said) == 1


def test_no_http_at_all() -> None:
    def handle(server: SocketServer, connection: Connection) -> None:
        connection.read_request()
        connection.send(b"SSH-2.0-OpenSSH_9.6\r\n")

    with SocketServer(handle) as server:
        following = Following(server.url)
        following.tick()
        assert "no answer: RemoteProtocolError" in following.said[0]


def test_an_answer_that_breaks_off() -> None:
    def handle(server: SocketServer, connection: Connection) -> None:
        connection.read_request()
        connection.send(response(b'{"global_rate": 0.1}', length=1000))

    with SocketServer(handle) as server:
        following = Following(server.url)
        following.tick()
        assert "no answer: RemoteProtocolError" in following.said[0]
        assert following.rate() == 0.2


def test_a_byte_at_a_time_ends_at_the_time_out() -> None:
    with PolicyStandIn() as stand_in:
        following = Following(stand_in.url, timeout=0.1)
        stand_in.drip = True
        stand_in.policy = b" " * 10_000_000
        began = time.monotonic()
        following.tick()
        assert 0.09 < time.monotonic() - began < 20
        assert following.rate() == 0.2
        assert re.search("no answer: (TimeoutError|ReadTimeout)", following.said[0])


def test_decisions_go_on_while_a_call_hangs() -> None:
    """The thread is in a call that is not answered until the test lets it be."""
    with PolicyStandIn() as stand_in:
        stand_in.gate.clear()
        said: list[str] = []
        sampler = Sampler()
        sampler.follow(
            PolicyServer(stand_in.url, service="shop", team_id=7, timeout=30, say=said.append)
        )
        sampler.decide("info", "User 0 logged in")
        assert stand_in.arrived.wait(10)
        began = time.monotonic()
        for number in range(2000):
            sampler.decide("info", f"User {number} logged in")
            assert sampler.decide("error", "Order failed").keep
        took = time.monotonic() - began
        assert took < 8  # far under the 10 s that the call takes
        began = time.monotonic()
        sampler.shutdown(0.05)
        assert time.monotonic() - began < 20  # its call may take 30
        stand_in.gate.set()
        _wait_for_the_thread()
    # What was counted is reported once the call is over, if the program still runs.
    assert [report["total_logs"] for report in stand_in.reports] == [4001]
    assert said == []


def test_what_goes_wrong_unforeseen_ends_neither_thread_nor_program() -> None:
    def http(
        method: str, url: str, headers: object, body: bytes | None, timeout: float
    ) -> Answer | NoAnswer:
        raise RuntimeError("a bug")

    server = PolicyServer("http://127.0.0.1:9", service="shop", team_id=7, _request=http)
    sampler = Sampler()
    sampler.follow(server)
    sampler.decide("info", "x")
    worker = server._polling.get().worker  # noqa: SLF001 - where it is counted
    sampler.shutdown(10)
    _wait_for_the_thread()
    assert worker.failures == 2


def test_a_warning_that_cannot_be_written_is_counted() -> None:
    def fail(text: str) -> None:
        raise OSError(text)

    with closed_port() as port:
        server = PolicyServer(f"http://127.0.0.1:{port}", service="shop", team_id=7, say=fail)
        server.fetch()
        assert server._fetching.unsaid == 1  # noqa: SLF001 - where it is counted


def _wait_for_the_thread() -> None:
    for thread in threading.enumerate():
        if thread.name == "LogwellPolicyServer":
            thread.join(10)
            assert not thread.is_alive()
