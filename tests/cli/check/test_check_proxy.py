"""A proxy from the environment is used, and shown without its password."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel.cli.check.run import Check, CheckDependencies
from support.certificates import certificate
from support.check import Stub, only, results
from support.server import ConnectProxy, free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.socket

KEY = "lw_" + "k" * 32
# base64 of user:pa ss
AUTHORIZATION = "basic dxnlcjpwysbzcw=="


def environ_of(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def test_https_through_a_tunnel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = certificate(tmp_path, host="logs.example.com")
    with Stub(own) as stub, ConnectProxy() as proxy:
        environ = environ_of(monkeypatch, HTTPS_PROXY=f"http://user:pa%20ss@127.0.0.1:{proxy.port}")
        url = f"https://logs.example.com:{stub.port}"
        found = results(url, environ=environ, certificate_file=str(own))
    assert only(found, "TCP") == (f"pass TCP: connected to the proxy 127.0.0.1 port {proxy.port}")
    assert only(found, "TLS").startswith("pass TLS: TLSv1.3, certificate signed by test of")
    assert only(found, "Entry").startswith("pass Entry")
    # Once for the handshake that is looked at, once for the requests.
    tunnel = (f"CONNECT logs.example.com:{stub.port} HTTP/1.1", AUTHORIZATION)
    assert [(line.replace("1.0", "1.1"), pair) for line, pair in proxy.asked] == [tunnel] * 2


def test_a_proxy_that_opens_no_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    with ConnectProxy("407 Proxy Authentication Required") as proxy:
        environ = environ_of(monkeypatch, HTTPS_PROXY=f"http://user:secret@127.0.0.1:{proxy.port}")
        found = results("https://logs.example.com", environ=environ)
    assert only(found, "DNS") == "pass DNS: 127.0.0.1 is an address, there is no name to look up"
    assert only(found, "TLS") == (
        "fail TLS: the proxy opens no way to logs.example.com port 443 (Tunnel connection failed: "
        "407 Proxy Authentication Required) -> See user name and password in HTTPS_PROXY, and what "
        "the proxy allows; or name the server in NO_PROXY."
    )


def test_http_through_a_proxy(monkeypatch: pytest.MonkeyPatch, stub: Stub) -> None:
    environ = environ_of(monkeypatch, ALL_PROXY=f"127.0.0.1:{stub.port}")
    found = results("http://logs.example.com", environ=environ)
    assert only(found, "Entry").startswith("pass Entry")
    assert stub.requests[0][:2] == ("GET", "http://logs.example.com/api/health")


def test_a_proxy_whose_name_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, *_: Any, **__: Any) -> list[Any]:
        assert host == "proxy.invalid"
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    environ = environ_of(monkeypatch, https_proxy="http://proxy.invalid:3128")
    dependencies = {"getaddrinfo": getaddrinfo}
    found = results("https://logs.example.com", environ=environ, dependencies=dependencies)
    assert only(found, "DNS") == (
        "fail DNS: proxy.invalid does not resolve (Name or service not known) -> Correct the host "
        "name in https_proxy, or have it added to the DNS that this machine uses."
    )


def test_a_proxy_that_is_not_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with ConnectProxy() as proxy:
        environ = environ_of(monkeypatch, HTTPS_PROXY=f"https://127.0.0.1:{proxy.port}")
        found = results("https://logs.example.com", environ=environ, timeout=0.3)
    assert only(found, "TLS") == (
        "skipped TLS: not looked at through a proxy of the kind https://: see next"
    )
    assert only(found, "Health").startswith("fail Health: no answer")


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({}, (None, "default")),
        ({"HTTPS_PROXY": "http://p:1"}, ("http://p:1", "HTTPS_PROXY")),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": "http://q"}, ("http://q:80", "https_proxy")),
        ({"ALL_PROXY": "socks5://p"}, ("socks5://p:1080", "ALL_PROXY")),
        ({"HTTP_PROXY": "http://p:1"}, (None, "default")),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, (None, "NO_PROXY")),
        ({"HTTPS_PROXY": "http://u:hush@p"}, ("http://***@p:80", "HTTPS_PROXY")),
        ({"HTTPS_PROXY": "http://[2001:db8::1]:8"}, ("http://[2001:db8::1]:8", "HTTPS_PROXY")),
    ],
)
def test_how_it_is_shown(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], shown: tuple[str | None, str]
) -> None:
    environ = environ_of(monkeypatch, **variables)
    check = Check(
        {"endpoint": "https://logs.example.com", "api_key": KEY},
        dependencies=CheckDependencies(environ=environ),
    )
    assert (check.proxy.value, check.proxy.origin) == shown
    assert "hush" not in repr(check.proxy)


def test_one_that_is_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = environ_of(monkeypatch, HTTPS_PROXY="http://user:pass@:x")
    found = results("https://logs.example.com", environ=environ)
    assert only(found, "Settings") == (
        "fail Settings: HTTPS_PROXY holds no URL of a proxy -> Give it as http://host:port, or "
        "http://user:password@host:port."
    )
    assert only(found, "Clock") == "skipped Clock: not run: Settings failed"


def test_one_that_nobody_listens_at(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    environ = environ_of(monkeypatch, HTTPS_PROXY=f"http://127.0.0.1:{port}")
    assert only(results("https://logs.example.com", environ=environ), "TCP") == (
        f"fail TCP: nothing listens at the proxy 127.0.0.1 port {port} (127.0.0.1: connection "
        "refused) -> Start the proxy, or correct host and port in HTTPS_PROXY."
    )
