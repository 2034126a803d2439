"""Names and connections, where the machine's own network must not be asked."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel._config.options import Config
from logwell_otel.cli.check import network
from logwell_otel.cli.check.network import Route, route_of
from support.check import only, results
from support.server import free_port

if TYPE_CHECKING:
    from support.check import Stub


def route(host: str = "logs.example.com", port: int = 443) -> Route:
    return Route(host, port, tls=True)


def info(address: str, port: int = 443) -> network.AddressInfo:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))


def line(finding: Any) -> str:
    return f"{finding.status} {finding.text} -> {finding.advice}"


def test_a_name_with_addresses() -> None:
    addresses = [info(f"192.0.2.{number}") for number in (1, 1, 2, 3, 4, 5, 6)]
    finding, found = network.resolve(route(), lambda *_, **__: addresses)
    assert finding.text == (
        "logs.example.com is 192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4 and 2 more"
    )
    assert found == addresses


def test_a_resolver_that_is_not_reached() -> None:
    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    assert line(network.resolve(route(), getaddrinfo)[0]) == (
        "fail logs.example.com cannot be looked up now (Temporary failure in name resolution) -> "
        "See that this machine reaches its name servers (/etc/resolv.conf; in a container, its "
        "network), and try again."
    )


def test_a_name_that_is_none() -> None:
    # The real one: it fails before it asks anybody.
    finding, found = network.resolve(route("a" * 64 + ".invalid"), socket.getaddrinfo)
    assert finding.text.startswith("a" * 64 + ".invalid does not resolve (")
    assert found == []


def test_the_second_address_answers(stub: Stub) -> None:
    closed = free_port()
    addresses = [info("127.0.0.1", closed), info("127.0.0.1", stub.port)]
    assert line(network.connect(route(port=stub.port), addresses, 5.0)) == (
        f"warning connected to logs.example.com port {stub.port} at 127.0.0.1, but not at "
        "127.0.0.1: connection refused -> Every new connection tries those first: correct the "
        "name's addresses, or what keeps this machine from them."
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            TimeoutError("timed out"),
            (
                "fail no answer from logs.example.com port 443 within 5 s (192.0.2.1: timed out) "
                "-> See whether a firewall between here and there swallows the packets, and "
                "whether host and port in endpoint (LOGWELL_ENDPOINT) are right."
            ),
        ),
        (
            OSError(errno.ENETUNREACH, "Network is unreachable"),
            (
                "fail no connection to logs.example.com port 443 (192.0.2.1: network is "
                "unreachable) -> See that this machine has a way to that network (in a "
                "container, its network)."
            ),
        ),
        (
            OSError("strange"),
            (
                "fail no connection to logs.example.com port 443 (192.0.2.1: oserror) "
                "-> See that this machine has a way to that network (in a container, its network)."
            ),
        ),
    ],
)
def test_no_connection(error: OSError, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert line(network.connect(route(), [info("192.0.2.1")], 5.0)) == said


@pytest.mark.socket
def test_an_address_in_brackets() -> None:
    port = free_port()
    found = results(f"http://[::1]:{port}")
    assert only(found, "DNS") == "pass DNS: ::1 is an address, there is no name to look up"
    assert only(found, "TCP").startswith("fail TCP: ")


def test_a_key_that_travels_unencrypted() -> None:
    config = Config.resolve({}, endpoint="http://logs.example.com", api_key="lw_" + "k" * 32)
    assert line(network.handshake(config, route_of(config, {}), 0.0)) == (
        "warning the API key travels unencrypted to another machine -> Use https:// in endpoint "
        "(LOGWELL_ENDPOINT) where the way to the server is not your own."
    )
