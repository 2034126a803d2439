"""The one request: every byte of its head, where the key goes, and what is not followed."""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING, NoReturn

import httpx
import opentelemetry.sdk.version
import pytest
import respx

from logwell_otel import __version__
from logwell_otel._config.options import Config
from logwell_otel._delivery import engine
from logwell_otel._delivery.response import Action, outcome_of
from logwell_otel._http import Answer, HttpTransport, NoAnswer
from support.config import KEY
from support.server import ACCEPTED, SocketServer, answer_all, response

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.socket

BODY = b'[{"level":"info","message":"hello"}]'


def transport_to(url: str, **settings: object) -> HttpTransport:
    return engine.transport_to(Config.resolve({}, **{"endpoint": url, "api_key": KEY, **settings}))


def lines(head: str) -> list[str]:
    """The first line, and the headers in an order that says nothing."""
    first, *headers = head.split("\r\n")
    return [first, *sorted(headers)]


def test_a_post_on_the_wire() -> None:
    with SocketServer(answer_all()) as server:
        transport = transport_to(f"{server.url}/prefix/", headers={"X-Tenant": "blue"})
        reply = transport.post(BODY, 10)
        transport.close()
    assert reply == Answer(200, {"content-length": "14"}, ACCEPTED)
    sdk, python = opentelemetry.sdk.version.__version__, platform.python_version()
    assert [lines(head) for head in server.heads] == [
        [
            "POST /prefix/v1/ingest HTTP/1.1",
            "Accept-Encoding: identity",
            "Accept: application/json",
            f"Authorization: Bearer {KEY}",
            f"Content-Length: {len(BODY)}",
            "Content-Type: application/json",
            f"Host: 127.0.0.1:{server.port}",
            f"User-Agent: logwell-otel/{__version__} opentelemetry-sdk/{sdk} python/{python}",
            "X-Tenant: blue",
        ]
    ]


def test_a_health_check_carries_no_key() -> None:
    with SocketServer(answer_all()) as server:
        transport = transport_to(server.url, headers={"X-Tenant": "blue"})
        assert transport.healthy(10) is True
        transport.close()
    (head,) = server.heads
    assert head.startswith("GET /api/health HTTP/1.1\r\n")
    assert "X-Tenant: blue" in head  # a gateway in front may ask for it
    assert "authorization" not in head.lower()
    assert KEY not in head


@pytest.mark.parametrize(
    ("status", "body", "healthy"),
    [
        (200, '{"status":"healthy"}', True),
        (200, "", None),  # something else, which says yes to everything
        (200, "<html>", None),
        (503, '{"status":"unhealthy"}', False),
        (503, "", None),  # something else, which passes nothing on
        (503, "<html>", None),
        (404, "{}", None),
        (302, "", None),
        (500, "{}", None),
        (204, "", None),
    ],
)
@respx.mock
def test_what_a_health_check_says(status: int, body: str, healthy: bool | None) -> None:
    respx.get("http://logs.example.com/api/health").respond(status, text=body)
    assert transport_to("http://logs.example.com").healthy(10) is healthy


@respx.mock
def test_a_health_check_without_answer_says_nothing() -> None:
    respx.get("http://logs.example.com/api/health").mock(side_effect=httpx.ReadTimeout)
    assert transport_to("http://logs.example.com").healthy(10) is None


@respx.mock
def test_names_of_headers_are_in_lower_case() -> None:
    respx.post("http://logs.example.com/v1/ingest").respond(429, headers={"Retry-After": "60"})
    reply = transport_to("http://logs.example.com").post(BODY, 10)
    assert isinstance(reply, Answer)
    assert reply.headers["retry-after"] == "60"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed(status: str) -> None:
    with SocketServer(answer_all()) as elsewhere:
        target = f"Location: {elsewhere.url}/v1/ingest"
        with SocketServer(answer_all(response(b"", status, target))) as server:
            transport = transport_to(server.url)
            reply = transport.post(BODY, 10)
            assert transport.healthy(10) is None
            transport.close()
        outcome = outcome_of(reply)
        assert outcome.action is Action.HOLD
        assert f"redirects to {elsewhere.url}/v1/ingest" in str(outcome.error)
        assert len(server.heads) == 2
        assert elsewhere.connections == 0


def test_a_key_that_was_rotated_is_in_the_next_request(tmp_path: Path) -> None:
    other = "lw_" + "o" * 32
    path = tmp_path / "key"
    path.write_text(KEY)
    with SocketServer(answer_all()) as server:
        config = Config.resolve({}, endpoint=server.url, api_key_file=path)
        transport = engine.transport_to(config)
        transport.post(BODY, 10)
        path.write_text(other)
        assert config.api_key.reload()
        transport.post(BODY, 10)
        transport.close()
    keys = [re.findall("Authorization: Bearer (.*)\r\n", head) for head in server.heads]
    assert keys == [[KEY], [other]]


@respx.mock
def test_reasons_hold_no_secret() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        first = ValueError(f"inner {request.headers['authorization']}")
        raise httpx.ReadError(f"outer {request.headers['x-token']}") from first

    respx.post("http://logs.example.com/v1/ingest").mock(side_effect=fail)
    transport = transport_to("http://logs.example.com", headers={"X-Token": "s3cr3tvalue"})
    reply = transport.post(BODY, 10)
    assert isinstance(reply, NoAnswer)
    # respx puts an exception of its own between, and makes a circle of the chain.
    assert reply.reason.startswith("ReadError: outer ***; ")
    assert KEY not in reply.reason
    assert "s3cr3t" not in reply.reason


def chain(length: int) -> Exception:
    """An exception with that many behind it."""
    error: Exception = ValueError("cause 0")
    for number in range(1, length + 1):
        following = ValueError(f"cause {number}")
        following.__cause__ = error
        error = following
    return error


@respx.mock
def test_a_long_chain_of_causes_is_cut() -> None:
    transport = transport_to("http://logs.example.com")
    transport._client._open = raiser(chain(20))  # type: ignore[assignment, method-assign]  # noqa: SLF001
    reply = transport.post(BODY, 10)
    numbers = range(20, 14, -1)
    reason = "; ".join(f"ValueError: cause {number}" for number in numbers)
    assert reply == NoAnswer(reason, "process")


@respx.mock
def test_a_circle_of_causes_ends() -> None:
    first, second = OSError("first"), OSError("second")
    first.__cause__, second.__context__ = second, first
    transport = transport_to("http://logs.example.com")
    transport._client._open = raiser(first)  # type: ignore[assignment, method-assign]  # noqa: SLF001
    assert transport.post(BODY, 10) == NoAnswer("OSError: first; OSError: second", "process")


def raiser(error: Exception) -> Callable[[str], NoReturn]:
    def fail(_: str) -> NoReturn:
        raise error

    return fail
