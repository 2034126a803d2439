"""Seven kinds of servers, seven answers, each over real sockets."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel.cli.check.server import MESSAGE
from support.certificates import certificate
from support.check import HTML, JSON, KEY_UNKNOWN, PAGE, Stub, only, results, server_lines
from support.server import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

pytestmark = pytest.mark.socket

ENDPOINT = "endpoint (LOGWELL_ENDPOINT)"


def not_run(*steps: str, since: str) -> list[str]:
    return [f"skipped {step}: not run: {since} failed" for step in steps]


def reached(port: int) -> list[str]:
    return [
        "pass DNS: 127.0.0.1 is an address, there is no name to look up",
        f"pass TCP: connected to 127.0.0.1 port {port}",
        "pass TLS: not used on this machine: the endpoint is http://",
    ]


def healthy(receiver: DevServer) -> list[str]:
    return [
        *reached(receiver.port),
        (
            "pass Health: healthy, database connected, version 1.1.3 (logwell-otel development "
            "server)"
        ),
    ]


CLOCK = "pass Clock: within 5 s of the server's"


def test_a_good_server(receiver: DevServer) -> None:
    assert server_lines(results(receiver.url, receiver.key, service="shop")) == [
        *healthy(receiver),
        "pass Key: the server knows it",
        "pass Entry: accepted; look for it under the service 'shop'",
        CLOCK,
    ]
    (entry,) = receiver.entries()
    assert (entry.level, entry.message, entry.service) == ("info", MESSAGE, "shop")
    assert entry.metadata == {"logwell.check": True}


def test_a_good_server_that_is_to_store_nothing(receiver: DevServer) -> None:
    assert server_lines(results(receiver.url, receiver.key, send=False)) == [
        *healthy(receiver),
        "pass Key: the server knows it",
        "skipped Entry: not sent, as asked",
        CLOCK,
    ]
    assert receiver.entries() == []


def test_nothing_listens() -> None:
    port = free_port()
    assert server_lines(results(f"http://127.0.0.1:{port}")) == [
        "pass DNS: 127.0.0.1 is an address, there is no name to look up",
        (
            f"fail TCP: nothing listens at 127.0.0.1 port {port} (127.0.0.1: connection "
            f"refused) -> Start the server, or correct host and port in {ENDPOINT}."
        ),
        *not_run("TLS", "Health", "Key", "Entry", "Clock", since="TCP"),
    ]


def test_a_wrong_key(receiver: DevServer) -> None:
    assert server_lines(results(receiver.url)) == [
        *healthy(receiver),
        (
            "fail Key: the server refuses the API key (unauthorized: Invalid API key) -> Check "
            "api_key (LOGWELL_API_KEY) or the file in api_key_file (LOGWELL_API_KEY_FILE) "
            "against the project's settings on the server."
        ),
        *not_run("Entry", since="Key"),
        CLOCK,
    ]


def test_a_name_that_does_not_resolve() -> None:
    asked: list[str] = []

    def getaddrinfo(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    found = results("https://logs.invalid", dependencies={"getaddrinfo": getaddrinfo})
    assert server_lines(found) == [
        (
            "fail DNS: logs.invalid does not resolve (Name or service not known) -> Correct "
            f"the host name in {ENDPOINT}, or have it added to the DNS that this machine uses."
        ),
        *not_run("TCP", "TLS", "Health", "Key", "Entry", "Clock", since="DNS"),
    ]
    assert asked == ["logs.invalid"]


def test_a_self_signed_certificate(tmp_path: Path) -> None:
    with Stub(certificate(tmp_path)) as stub:
        assert server_lines(results(stub.url)) == [
            *reached(stub.port)[:2],
            (
                f"fail TLS: the certificate of 127.0.0.1 port {stub.port} is not trusted: "
                "self-signed certificate -> If this is your server, save its certificate to a "
                "file and name that in certificate_file (LOGWELL_CERTIFICATE_FILE)."
            ),
            *not_run("Health", "Key", "Entry", "Clock", since="TLS"),
        ]
        assert stub.requests == []


def test_a_server_whose_database_is_down(receiver: DevServer) -> None:
    receiver.faults.health("down")
    assert server_lines(results(receiver.url, receiver.key)) == [
        *reached(receiver.port),
        (
            "fail Health: the server is up, its database is not (503, database disconnected) "
            "-> See the server's own log, and its database. Exporters hold entries meanwhile."
        ),
        *not_run("Key", "Entry", since="Health"),
        CLOCK,
    ]


def test_a_wrong_path(receiver: DevServer) -> None:
    assert server_lines(results(f"{receiver.url}/logwell", receiver.key)) == [
        *reached(receiver.port),
        (
            "fail Health: the server answered 404 (with text/plain, so perhaps from a proxy in "
            f"front of it) -> Check {ENDPOINT}, and what stands in front of the server."
        ),
        *not_run("Key", "Entry", "Clock", since="Health"),
    ]


def test_something_else_that_answers_200(stub: Stub) -> None:
    stub.health = stub.key = (200, HTML, PAGE)
    assert server_lines(results(stub.url)) == [
        *reached(stub.port),
        (
            "fail Health: something answered 200, but not as a Logwell server does (with "
            f"text/html, so perhaps from a proxy in front of it) -> Check {ENDPOINT}."
        ),
        *not_run("Key", "Entry", "Clock", since="Health"),
    ]


# Beyond the seven.


def test_a_server_that_cannot_insert(receiver: DevServer) -> None:
    receiver.faults.fail_inserts()
    assert server_lines(results(receiver.url, receiver.key))[4:] == [
        "pass Key: the server knows it",
        "fail Entry: the server answered 500 -> If it lasts, see the server's own log.",
        CLOCK,
    ]


def test_a_server_that_does_not_answer(receiver: DevServer) -> None:
    receiver.faults.health("hang")
    found = server_lines(results(receiver.url, receiver.key, timeout=0.2))
    assert found[3].startswith("fail Health: no answer from the server: ReadTimeout")
    assert found[4:] == not_run("Key", "Entry", "Clock", since="Health")


def test_the_rate_limit_is_used_up(stub: Stub) -> None:
    stub.key = stub.entry = (429, JSON, '{"error":"rate_limited","message":"x"}')
    said = (
        "the server's rate limit is reached (rate_limited: x): all processes of the project share "
        "it -> Entries are held and sent more slowly. If it lasts, log less, or raise the limit on "
        "the server."
    )
    assert server_lines(results(stub.url))[4:6] == [
        f"warning Key: the server knows it, but {said}",
        f"warning Entry: not sent: {said}",
    ]


def test_an_entry_that_is_refused(stub: Stub) -> None:
    stub.entry = (200, JSON, '{"accepted":0,"rejected":1,"errors":["Entry at index 0: bad"]}')
    assert only(results(stub.url), "Entry") == (
        "fail Entry: refused: Entry at index 0: bad -> Please report this: entries are made so "
        "that the server takes them."
    )


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (
            (301, {"Location": "https://logs.example.com/\x1b[31m"}, ""),
            (
                "the server redirects to https://logs.example.com/\N{REPLACEMENT CHARACTER}[31m, "
                "which is not followed because the API key would travel along -> If that is "
                "your server, set endpoint (LOGWELL_ENDPOINT) to it."
            ),
        ),
        (
            (503, HTML, PAGE),
            (
                "the server answered 503 (with text/html, so perhaps from a proxy in front of it) "
                "-> Check that the server is up, and what stands in front of it."
            ),
        ),
        (
            (500, {}, ""),
            "the server answered 500 -> If it lasts, see the server's own log.",
        ),
        (
            (407, HTML, PAGE),
            (
                "the server answered 407 (with text/html, so perhaps from a proxy in front of it) "
                "-> Check the user name and the password in HTTPS_PROXY or HTTP_PROXY."
            ),
        ),
        (
            (200, JSON, '{"status":"UP"}'),
            (
                "something answered 200, but not as a Logwell server does -> Check endpoint "
                "(LOGWELL_ENDPOINT)."
            ),
        ),
        (
            (200, JSON, "[" * 100_000),
            (
                "something answered 200, but not as a Logwell server does -> Check endpoint "
                "(LOGWELL_ENDPOINT)."
            ),
        ),
    ],
)
def test_other_answers_in_the_place_of_health(
    stub: Stub, reply: tuple[int, dict[str, str], str], line: str
) -> None:
    stub.health, stub.key = reply, (404, HTML, PAGE)
    assert only(results(stub.url), "Health") == f"fail Health: {line}"


@pytest.mark.parametrize("key_reply", [KEY_UNKNOWN, None])
def test_a_proxy_that_hides_the_health_but_passes_entries(
    stub: Stub, key_reply: tuple[int, dict[str, str], str] | None
) -> None:
    stub.health = (403, HTML, PAGE)
    stub.key = key_reply or stub.key
    found = server_lines(results(stub.url))
    assert found[3] == (
        "warning Health: the server answered 403 (with text/html, so perhaps from a proxy in "
        f"front of it); but {stub.url}/v1/ingest is Logwell's -> Have the proxy in front of it "
        "pass /api/health too: it tells an outage from an entry that the server cannot store."
    )
    assert [line.split(":")[0] for line in found[4:]] == (
        ["fail Key", "skipped Entry", "pass Clock"]
        if key_reply
        else ["pass Key", "pass Entry", "pass Clock"]
    )
    # The key is asked about once.
    assert [path for _, path, _ in stub.requests].count("/v1/ingest") == (1 if key_reply else 2)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (
            (401, HTML, PAGE),
            "the server refuses the API key (with text/html, so perhaps from a proxy in front",
        ),
        ((401, JSON, '{"message":"no"}'), "the server refuses the API key -> "),
        (
            (200, HTML, PAGE),
            "something answered 200, but not as a Logwell server does (with text/html, so",
        ),
        ((502, HTML, PAGE), "the server answered 502 (with text/html, so perhaps from"),
        (
            (415, JSON, '{"error":"unsupported_media_type","message":"no"}'),
            "the server answered 415 (unsupported_media_type: no) -> Check that the server is up",
        ),
        ((400, JSON, "{"), "the server answered 400 -> "),
    ],
)
def test_other_answers_to_the_key(
    stub: Stub, reply: tuple[int, dict[str, str], str], text: str
) -> None:
    stub.key = reply
    assert only(results(stub.url), "Key").startswith(f"fail Key: {text}")


def test_a_connection_cut_while_the_entry_is_sent(receiver: DevServer) -> None:
    receiver.faults.close()
    line = only(results(receiver.url, receiver.key), "Key")
    assert line.startswith("fail Key: no answer from the server: RemoteProtocolError")
