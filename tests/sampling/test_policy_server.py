"""A policy server over a real socket: what is called when, and what is done with the answers."""

from __future__ import annotations

import copy
import io
import logging
import pickle
import threading
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from logwell_otel.errors import LogwellError, LogwellErrorCode
from logwell_otel.redaction import Redactor
from logwell_otel.sampling import (
    PolicyServer,
    Sampler,
    SamplingLogRecordProcessor,
    client_signature,
    signature,
)
from support.clock import Clock
from support.policy import POLICY, PolicyStandIn
from support.server import SocketServer, answer_all, response

MESSAGE = "User 17 logged in"
TOKEN = "s3cret-bearer-t0ken"  # made up


class Following:
    """A sampler that follows a policy server, a clock for both, and what was said."""

    def __init__(self, url: str, **options: Any) -> None:
        self.clock = Clock(1000.0)
        self.said: list[str] = []
        self.server = PolicyServer(
            url,
            **{"service": "shop", "team_id": 7, "rng": lambda: 0.5, **options},
            clock=self.clock,
            wall=lambda: 5000.0,
            say=self.said.append,
        )
        self.sampler = Sampler(clock=lambda: 0.0, rng=lambda: 0.0)
        self._judge("info")  # the first of its minute is kept in any case
        self.sampler.follow(self.server)

    def _judge(self, level: str) -> float:
        return self.sampler._judge(level, MESSAGE, 0).rate  # noqa: SLF001 - starts no thread

    @property
    def rate(self) -> float:
        return self._judge("info")

    def count(self, message: str, *, kept: bool = True) -> None:
        polling = self.server._polling.get()  # noqa: SLF001 - as `saw` does, without the thread
        polling.statistics.record(message, kept=kept)

    def tick(self, seconds: float = 0.0) -> float:
        self.clock.now += seconds
        return self.server.tick()


def test_the_policy_is_fetched_every_300_seconds(stand_in: PolicyStandIn) -> None:
    following = Following(stand_in.url)
    assert (following.rate, stand_in.requests) == (0.2, [])
    assert following.tick() == pytest.approx(300)
    assert following.rate == 0.3
    stand_in.policy = {**POLICY, "pattern_rates": {client_signature("User 1 logged in"): 0.01}}
    stand_in.policy["version"] = 1
    assert following.tick(299) == pytest.approx(1)
    assert following.rate == 0.3
    following.tick(1)
    assert following.rate == 0.01
    assert stand_in.requests == ["GET /api/v1/policies/shop?team_id=7"] * 2
    assert following.said == []


def test_times_are_jittered(stand_in: PolicyStandIn) -> None:
    assert Following(stand_in.url, rng=lambda: 0.0).tick() == pytest.approx(270)
    assert Following(stand_in.url, rng=lambda: 0.999).tick() == pytest.approx(330, rel=0.01)


def test_the_version_tells_whether_it_changed(stand_in: PolicyStandIn) -> None:
    following = Following(stand_in.url)
    following.tick()
    stand_in.policy = {**POLICY, "severity_rates": {"INFO": 0.9}}
    following.tick(300)
    assert following.rate == 0.3
    stand_in.policy = {**POLICY, "severity_rates": {"INFO": 0.9}, "version": 1}
    following.tick(300)
    assert following.rate == 0.9


def test_a_policy_without_a_version_is_always_used(stand_in: PolicyStandIn) -> None:
    following = Following(stand_in.url)
    for rate in (0.4, 0.6):
        stand_in.policy = {"severity_rates": {"INFO": rate}}
        following.tick(300)
        assert following.rate == rate


def test_an_etag_is_used_if_offered(stand_in: PolicyStandIn) -> None:
    following = Following(stand_in.url)
    following.tick()
    stand_in.etag = '"1"'
    following.tick(300)
    following.tick(300)
    assert [headers.get("if-none-match") for headers in stand_in.headers] == [None, None, '"1"']
    assert following.rate == 0.3
    stand_in.etag, stand_in.policy = '"2"', {**POLICY, "global_rate": 0.5, "version": 2}
    stand_in.policy["severity_rates"] = {}
    following.tick(300)
    assert following.rate == 0.5
    assert following.said == []


def test_a_service_that_is_not_known_is_registered_once(stand_in: PolicyStandIn) -> None:
    following = Following(stand_in.url, service="a/b ü")
    following.tick()
    assert stand_in.services == [(7, "shop"), (7, "a/b ü")]
    policy = "GET /api/v1/policies/a%2Fb%20%C3%BC?team_id=7"
    assert stand_in.requests == [policy, "POST /api/v1/services/", policy]
    assert following.rate == 0.3
    stand_in.services.clear()
    following.tick(300)
    assert stand_in.services == []
    assert following.rate == 0.3
    assert following.said == [
        (
            f"The sampling policy of {stand_in.url} could not be had: it answered 404. "
            "The sampling rates in use stay."
        )
    ]


def test_patterns_are_reported_every_600_seconds(stand_in: PolicyStandIn) -> None:
    following = Following(stand_in.url, redactor=Redactor())
    following.tick()
    following.count("User 17 logged in")
    following.count("User 18 logged in", kept=False)
    following.count("Mail to bob@example.com")
    following.tick(599)
    assert stand_in.reports == []
    following.tick(1)
    assert stand_in.reports == [
        {
            "service_name": "shop",
            "team_id": 7,
            "timestamp": 5000.0,
            "total_logs": 3,
            "unique_patterns": 2,
            "patterns": [
                {
                    "signature": signature("User 1 logged in"),
                    "count": 2,
                    "sampled_count": 1,
                    "first_seen": 5000.0,
                    "last_seen": 5000.0,
                    "example": "User 17 logged in",
                },
                {
                    "signature": signature("Mail to x@example.com"),
                    "count": 1,
                    "sampled_count": 1,
                    "first_seen": 5000.0,
                    "last_seen": 5000.0,
                    "example": "Mail to [redacted:email]",
                },
            ],
        }
    ]
    following.tick(600)
    assert len(stand_in.reports) == 1


def test_a_report_that_fails_is_made_up_for(stand_in: PolicyStandIn) -> None:
    following = Following(stand_in.url)
    following.tick()
    following.count("a")
    stand_in.status = 422
    following.tick(600)
    following.count("a")
    following.tick(600)
    assert following.said == [
        (
            f"The sampling policy of {stand_in.url} could not be had: it answered 422. "
            "The sampling rates in use stay."
        ),
        (
            f"The report of log patterns to {stand_in.url} failed: it answered 422. "
            "The sampling rates in use stay."
        ),
    ]
    stand_in.status = None
    following.tick(600)
    assert [report["total_logs"] for report in stand_in.reports] == [2]
    assert stand_in.reports[0]["patterns"][0]["count"] == 2
    assert following.said[2:] == [
        f"The sampling policy of {stand_in.url} comes again.",
        f"The report of log patterns to {stand_in.url} goes through again.",
    ]


def test_without_reports_nothing_is_counted(stand_in: PolicyStandIn) -> None:
    server = PolicyServer(stand_in.url, service="shop", team_id=7, report=False)
    sampler = Sampler()
    sampler.follow(server)
    assert sampler.always_keeps("error")
    sampler.decide("error", "")
    sampler.shutdown(10)
    assert stand_in.reports == []


def test_the_whole_with_its_thread(stand_in: PolicyStandIn) -> None:
    """Errors are reported with their messages, whichever way they come."""
    before = threading.active_count()
    sampler = Sampler(clock=lambda: 0.0, rng=lambda: 0.9)
    sampler.follow(PolicyServer(stand_in.url, service="shop", team_id=7))
    assert threading.active_count() == before
    logger = logging.getLogger("test_policy_server")
    logger.propagate = False
    handler = logging.StreamHandler(io.StringIO())
    handler.addFilter(sampler.as_logging_filter())
    handler.handle(logger.makeRecord("x", logging.ERROR, "f", 1, "Order %d failed", (17,), None))
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("LogwellPolicyServer") == 1
    kept = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(
        SamplingLogRecordProcessor(SimpleLogRecordProcessor(kept), sampler)
    )
    provider.get_logger("x").emit(severity_text="ERROR", body="Order 18 failed")
    for number in range(10):
        sampler.decide("info", f"User {number} logged in")
    assert stand_in.arrived.wait(10)
    sampler.shutdown(10)
    assert threading.active_count() <= before + 1  # the stand-in's may still be about to end
    assert "LogwellPolicyServer" not in [thread.name for thread in threading.enumerate()]
    (report,) = stand_in.reports
    assert report["total_logs"] == 12
    assert [(p["count"], p["sampled_count"], p["example"]) for p in report["patterns"]] == [
        (2, 2, "Order 17 failed"),
        (10, 1, "User 0 logged in"),
    ]
    sampler.shutdown(10)
    assert sampler.decide("error", "x").keep
    assert len(kept.get_finished_logs()) == 1


def test_a_bearer_token_is_sent_and_shown_nowhere(stand_in: PolicyStandIn) -> None:
    following = Following(stand_in.url, bearer=TOKEN)
    following.tick()
    assert stand_in.headers[0]["authorization"] == f"Bearer {TOKEN}"
    server = following.server
    calls: Any = server._calls  # noqa: SLF001
    client = calls._request.__self__  # noqa: SLF001
    shown = map(repr, (server, vars(server), vars(calls), vars(client)))
    assert TOKEN not in " ".join(shown)
    assert repr(server) == f"<PolicyServer {stand_in.url}, 'shop' of team 7>"
    with pytest.raises(TypeError):
        pickle.dumps(server._token)  # noqa: SLF001
    assert repr(server._token) == "<BearerToken>"  # noqa: SLF001


def test_without_a_token_there_is_no_authorization(stand_in: PolicyStandIn) -> None:
    Following(stand_in.url).tick()
    assert "authorization" not in stand_in.headers[0]


def test_a_token_over_plain_http_to_elsewhere_is_warned_about() -> None:
    said: list[str] = []
    for url in ("http://policies.example", "https://policies.example", "http://127.0.0.1:9"):
        server = PolicyServer(url, service="shop", team_id=7, bearer=TOKEN, say=said.append)
        server.feed(lambda rules: None)
    assert said == [
        (
            "The bearer token travels unencrypted to http://policies.example. Use https where the "
            "way to the server is not your own."
        )
    ]


def test_a_policy_over_plain_http_from_elsewhere_is_warned_about_without_a_token_too() -> None:
    said: list[str] = []
    for url in ("http://policies.example", "https://policies.example", "http://localhost:9"):
        PolicyServer(url, service="shop", team_id=7, say=said.append).feed(lambda rules: None)
    (warning,) = said
    assert warning == (
        "The sampling policy comes unencrypted from http://policies.example, and who is on the way "
        "can have records dropped. Use https where the way to the server is not your own."
    )


@pytest.mark.parametrize("rates", [{"DEBUG": 0, "INFO": 0, "WARNING": 0}, {}, {"INFO": 1e-9}])
def test_a_policy_that_drops_everything_below_error_is_refused(
    rates: dict[str, float], stand_in: PolicyStandIn
) -> None:
    stand_in.policy = {"severity_rates": rates, "global_rate": 0, "version": 1}
    for allow_zero in (False, True):
        said: list[str] = []
        used: list[object] = []
        server = PolicyServer(
            stand_in.url, service="shop", team_id=7, allow_zero=allow_zero, say=said.append
        )
        server.feed(used.append)
        server.fetch()
        assert (len(used), len(said)) == ((1, 0) if allow_zero else (0, 1))
        assert allow_zero or "LOGWELL_SAMPLING_ALLOW_ZERO" in said[0]
    stand_in.policy = {"severity_rates": {"WARNING": 0.1}, "global_rate": 0, "version": 2}
    server = PolicyServer(stand_in.url, service="shop", team_id=7, say=said.append)
    server.feed(used.append)
    server.fetch()
    assert len(used) == 2


def test_our_requests_log_and_trace_nothing(
    stand_in: PolicyStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    Following(stand_in.url).tick()
    assert stand_in.requests
    assert caplog.records == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "policies.example"},
        {"url": f"https://u:{TOKEN}@policies.example"},
        {"service": " "},
        {"service": None},
        {"team_id": "7"},
        {"team_id": True},
        {"bearer": ""},
        {"bearer": f"{TOKEN}\r\nX: y"},
        {"timeout": 0},
        {"fetch_seconds": float("nan")},
        {"report_seconds": float("inf")},
        {"report_seconds": "600"},
    ],
    ids=repr,
)
def test_settings_that_are_none(wrong: dict[str, Any]) -> None:
    options = {"url": "https://policies.example", "service": "shop", "team_id": 7, **wrong}
    with pytest.raises(LogwellError) as caught:
        PolicyServer(options.pop("url"), **copy.copy(options))
    assert caught.value.code is LogwellErrorCode.INVALID_CONFIG
    assert TOKEN not in caught.value.message
    assert TOKEN not in str(caught.value.__cause__)


@pytest.mark.socket
def test_the_environments_proxy_is_used_and_its_password_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with SocketServer(answer_all(response(b"", "407 Proxy Authentication Required"))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", f"//user:{TOKEN}@"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        following = Following("http://policies.example")
        following.tick()
    assert proxy.heads[0].startswith("GET http://policies.example/api/v1/policies/shop?team_id=7 ")
    assert TOKEN not in " ".join(following.said)
    unencrypted, refused = following.said
    assert "unencrypted" in unencrypted
    assert "it answered 407" in refused
