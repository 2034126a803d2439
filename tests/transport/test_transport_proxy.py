"""Through a proxy: both ways, with credentials, and with nothing of them seen."""

from __future__ import annotations

import base64
import logging
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from logwell_otel._config.address import Proxy, is_insecure
from logwell_otel._config.options import Config
from logwell_otel._delivery.engine import transport_to
from logwell_otel._http import Answer, NoAnswer
from support.config import KEY
from support.server import (
    ACCEPTED,
    Connection,
    SocketServer,
    answer_all,
    closed_port,
    response,
    tunnel,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.socket

BODY = b'[{"level":"info","message":"hello"}]'
OK = Answer(200, {"content-length": "14"}, ACCEPTED)
USER, PASSWORD = "pr0xyuser", "pr0xyp4ss"
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def proxy(server: SocketServer, connection: Connection) -> None:
    """A proxy for one request or tunnel, to loopback only; it wants the credentials."""
    head = connection.read_head()
    if not head:
        return
    server.heads.append(head)
    if f"Proxy-Authorization: Basic {BASIC}".lower() not in head.lower():
        connection.send(response(b"", "407 Proxy Authentication Required"))
        return
    method, target, _ = head.split("\r\n")[0].split(" ")
    if method != "CONNECT":
        connection.send(response())
        return
    connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    tunnel(connection.socket, target)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def post(url: str, **settings: object) -> Answer | NoAnswer:
    config = Config.resolve({}, endpoint=url, api_key=KEY, **settings)
    transport = transport_to(config)
    try:
        reply = transport.post(BODY, 10)
        shown = f"{config!r} {vars(config)!r} {transport!r} {vars(transport)!r} {reply!r}"
        assert not any(secret in shown for secret in (USER, PASSWORD, BASIC))
        return reply
    finally:
        transport.close()


def with_credentials(server: SocketServer, password: str = PASSWORD) -> str:
    return f"http://{USER}:{password}@127.0.0.1:{server.port}"


def test_plain_http_goes_to_the_proxy_whole(
    monkeypatch: pytest.MonkeyPatch, everything_logged: pytest.LogCaptureFixture
) -> None:
    with SocketServer(proxy) as server:
        monkeypatch.setenv("HTTP_PROXY", with_credentials(server))
        assert post("http://logs.example.com/prefix") == OK
    (head,) = server.heads
    assert head.startswith("POST http://logs.example.com/prefix/v1/ingest HTTP/1.1\r\n")
    assert everything_logged.records == []


def test_https_goes_through_a_tunnel_that_does_not_see_the_key(
    monkeypatch: pytest.MonkeyPatch,
    everything_logged: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("logs.example.com").configure_cert(tls)
    with SocketServer(answer_all(), tls) as server, SocketServer(proxy) as between:
        monkeypatch.setenv("HTTPS_PROXY", with_credentials(between))
        url = f"https://logs.example.com:{server.port}"
        assert post(url, certificate_file=tmp_path / "ca.pem") == OK
    assert [head.split("\r\n")[0] for head in between.heads] == [
        f"CONNECT logs.example.com:{server.port} HTTP/1.1"
    ]
    assert not any(KEY in head for head in between.heads)
    assert [head.split("\r\n")[0] for head in server.heads] == ["POST /v1/ingest HTTP/1.1"]
    assert "proxy-authorization" not in server.heads[0].lower()
    assert everything_logged.records == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
def test_this_machine_is_never_reached_through_a_proxy(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SocketServer(answer_all()) as server, SocketServer(proxy) as between:
        monkeypatch.setenv("HTTP_PROXY", with_credentials(between))
        monkeypatch.setenv("ALL_PROXY", with_credentials(between))
        assert post(f"http://{host}:{server.port}") == OK
    assert (server.connections, between.connections) == (1, 0)


def test_no_proxy_goes_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "logs.example.com")
    config = Config.resolve({}, endpoint="http://logs.example.com", api_key=KEY)
    assert config.proxy is None
    assert Config.resolve({}, endpoint="http://other.example.com", api_key=KEY).proxy is not None


@pytest.mark.parametrize(
    ("endpoint", "through", "insecure"),
    [
        ("http://logs.example.com", "", True),
        ("http://localhost:3000", "", False),
        ("http://[::1]:3000", "http://proxy.example.com:8080", False),
        ("https://logs.example.com", "http://proxy.example.com:8080", False),
        ("http://logs.example.com", "http://127.0.0.1:8080", True),
    ],
)
def test_what_counts_as_unencrypted(
    endpoint: str, through: str, insecure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", through)
    assert Config.resolve({}, endpoint=endpoint, api_key=KEY).insecure is insecure


def test_a_proxy_elsewhere_makes_plain_http_to_this_machine_unencrypted() -> None:
    assert is_insecure("http://localhost", Proxy("http://proxy.example.com:8080"))
    assert not is_insecure("http://localhost", Proxy("http://127.0.0.1:8080"))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_wrong_credentials_are_said_and_not_shown(
    scheme: str, monkeypatch: pytest.MonkeyPatch, everything_logged: pytest.LogCaptureFixture
) -> None:
    with SocketServer(proxy) as server:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", with_credentials(server, "wr0ngp4ss"))
        reply = post(f"{scheme}://logs.example.com")
    if scheme == "http":
        assert isinstance(reply, Answer)
        assert reply.status == 407
    else:
        assert reply == NoAnswer("ProxyError: 407 Proxy Authentication Required")
    assert everything_logged.records == []


@pytest.mark.parametrize(
    "url",
    [
        f"http://{USER}:{PASSWORD}/x@127.0.0.1:9",
        f"http://{USER}:{PASSWORD}@127.0.0.1:port",
        f"http://{USER}:{PASSWORD}@[::1",
        f"gopher://{USER}:{PASSWORD}@127.0.0.1:9",
        f"socks5://{USER}:{PASSWORD}@127.0.0.1:9",
        f"{USER}:{PASSWORD}@",
    ],
)
def test_a_proxy_that_cannot_be_used(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", url)
    reply = post("https://logs.example.com")
    assert isinstance(reply, NoAnswer)
    assert PASSWORD[:6] not in reply.reason


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{USER}:{PASSWORD}@127.0.0.1:{port}")
        reply = post("https://logs.example.com")
    assert isinstance(reply, NoAnswer)
    assert reply.reason.startswith("ConnectError: ")
