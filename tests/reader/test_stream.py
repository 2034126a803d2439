"""A stream's way to the server: TLS, proxies, and an answer whose head is not finished."""

from __future__ import annotations

import json
import ssl
from contextlib import ExitStack, closing
from typing import Any

import pytest
import trustme

from logwell_otel import LogwellError, LogwellErrorCode
from logwell_otel._config.address import Proxy
from logwell_otel.reader.stream import EventStream
from support.server import Connection, SocketServer, closed_port, tunnel

pytestmark = pytest.mark.socket

HALF_A_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
HOST = "logs.example.com"
AUTHORIZATION = "proxy-authorization: basic dxnlcjpzzxnhbwu="  # user:sesame, in lower case


def event(*messages: str) -> bytes:
    data = json.dumps(messages)
    body = f"event: logs\ndata: {data}\n\n".encode()
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


def serve(server: SocketServer, connection: Connection) -> None:
    """As Logwell: the rest of the head comes with the first event, and no end ever."""
    head = connection.read_head()
    if not head:
        return
    server.heads.append(head)
    connection.send(HALF_A_HEAD)
    connection.send(b"Transfer-Encoding: chunked\r\n\r\n" + event("one", "two"))
    connection.send(event("three") + b"ffff\r\nevent: logs\nda")


def between(server: SocketServer, connection: Connection) -> None:
    head = connection.read_head()
    server.heads.append(head)
    method, target, _ = head.split("\r\n")[0].split(" ")
    if AUTHORIZATION not in head.lower():
        connection.send(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    elif method == "CONNECT":
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        tunnel(connection.socket, target)
    else:
        connection.send(HALF_A_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + event("proxied"))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def for_server(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(context)
    return context


def read(url: str, authority: trustme.CA, proxy: str | None = None) -> tuple[int, list[Any]]:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    given = None if proxy is None else Proxy(proxy)
    headers = {"Cookie": "a=b"}
    with closing(EventStream(url, headers, tls=lambda: trusting, proxy=given)) as stream:
        return stream.status, [data for _, data in stream.events()]


EVENTS = [["one", "two"], ["three"]]


def test_the_head_is_not_waited_for(authority: trustme.CA) -> None:
    with SocketServer(serve) as server:
        assert read(f"http://127.0.0.1:{server.port}/x/stream", authority) == (200, EVENTS)
    (head,) = server.heads
    assert head.startswith("POST /x/stream HTTP/1.1\r\n")
    assert "Cookie: a=b" in head


@pytest.mark.parametrize("scheme", ["", "http", "https"])
def test_https_straight_and_through_a_tunnel(scheme: str, authority: trustme.CA) -> None:
    with ExitStack() as stack:
        tls = for_server(authority, HOST if scheme else "127.0.0.1")
        server = stack.enter_context(SocketServer(serve, tls))
        if scheme:
            outer = for_server(authority, "127.0.0.1") if scheme == "https" else None
            proxy = stack.enter_context(SocketServer(between, outer))
            through = f"{scheme}://user:sesame@127.0.0.1:{proxy.port}"
            found = read(f"https://{HOST}:{server.port}/x", authority, through)
            assert proxy.heads[0].startswith(f"CONNECT {HOST}:{server.port} HTTP/1.1\r\n")
            assert "Cookie" not in proxy.heads[0]
        else:
            found = read(f"https://127.0.0.1:{server.port}/x", authority)
        assert found == (200, EVENTS)
    assert "proxy-authorization" not in server.heads[0].lower()


def test_plain_http_goes_to_the_proxy_whole(authority: trustme.CA) -> None:
    with SocketServer(between) as proxy:
        through = f"http://user:sesame@127.0.0.1:{proxy.port}"
        assert read(f"http://{HOST}/x", authority, through) == (200, [["proxied"]])
    assert proxy.heads[0].startswith(f"POST http://{HOST}/x HTTP/1.1\r\n")


def test_what_goes_wrong_on_the_way(authority: trustme.CA) -> None:
    with SocketServer(between) as proxy:
        through = f"http://user:wrong@127.0.0.1:{proxy.port}"
        with pytest.raises(ConnectionError, match=r"answers HTTP/1\.1 407"):
            read(f"https://{HOST}/x", authority, through)
    with closed_port() as port, pytest.raises(ConnectionError, match="refused"):
        read(f"http://127.0.0.1:{port}/x", authority)
    tls = for_server(authority, "other.example.com")
    with SocketServer(serve, tls) as server, pytest.raises(ConnectionError, match="verify failed"):
        read(f"https://127.0.0.1:{server.port}/x", authority)
    with SocketServer(lambda *_: None) as silent, pytest.raises(ConnectionError):
        read(f"http://127.0.0.1:{silent.port}/x", authority)
    with pytest.raises(LogwellError, match="http or https proxy only") as caught:
        read(f"http://{HOST}/x", authority, "socks5://127.0.0.1:9")
    assert caught.value.code is LogwellErrorCode.INVALID_CONFIG
