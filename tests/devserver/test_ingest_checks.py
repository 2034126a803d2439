"""What is checked before an entry is looked at, and in which order."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logwell_otel.devserver import DevServer

GOOD = b'{"level":"info","message":"good"}'
TOO_LONG = 524_289


def exchange(receiver: DevServer, request: bytes) -> bytes:
    """Sends bytes and reads until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    return answer


def head(receiver: DevServer, length: int, **headers: str) -> bytes:
    lines = ["POST /v1/ingest HTTP/1.1", f"Host: 127.0.0.1:{receiver.port}"]
    lines += [f"Content-Length: {length}", f"Authorization: Bearer {receiver.key}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_large_body_is_refused_unread_and_the_connection_closed(receiver: DevServer) -> None:
    answer = exchange(receiver, head(receiver, TOO_LONG) + b"[")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"\r\n\r\n")
    (noted,) = receiver.requests
    assert (noted.status, noted.body_bytes, noted.entries) == (413, TOO_LONG, 0)


def test_a_large_body_sent_without_a_length_is_refused(
    receiver: DevServer, client: httpx.Client
) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(9):
            yield b" " * 65_536

    # The receiver closes the connection; whether the client sees the answer or the end of
    # the connection first is a race.
    with contextlib.suppress(httpx.TransportError):
        assert client.post("/v1/ingest", content=chunks()).status_code == 413
    assert receiver.count() == 0


def test_a_body_without_a_length_within_the_limit_is_taken(
    receiver: DevServer, client: httpx.Client
) -> None:
    answer = client.post("/v1/ingest", content=iter([GOOD[:10], GOOD[10:]]))
    assert answer.json() == {"accepted": 1}


ORDER = [
    # path, content type, authorization, body -> status. Each is also wrong in all later ways.
    ("/v1/ingest/", "text/plain", None, b"no JSON", 403),
    ("/v1/ingest/", "text/html", None, b"no JSON", 308),
    ("/v1/ingest", "text/html", None, b"no JSON", 415),
    ("/v1/ingest", "application/json", "Bearer", b"no JSON", 401),
    ("/v1/ingest", "application/json", "good", b"no JSON", 400),
]


@pytest.mark.parametrize("case", ORDER)
def test_order_of_the_checks(
    receiver: DevServer, case: tuple[str, str, str | None, bytes, int]
) -> None:
    path, kind, authorization, body, status = case
    headers = {"Content-Type": kind}
    if authorization is not None:
        headers["Authorization"] = authorization.replace("good", f"Bearer {receiver.key}")
    answer = httpx.post(
        receiver.url + path, content=body, headers=headers, trust_env=False, verify=False
    )
    assert answer.status_code == status


def test_413_comes_before_everything(receiver: DevServer) -> None:
    answer = exchange(receiver, head(receiver, TOO_LONG, **{"Content-Type": "text/plain"}))
    assert answer.startswith(b"HTTP/1.1 413 ")


FORMS = ["text/plain", "TEXT/PLAIN; charset=utf-8", "multipart/form-data; boundary=x"]


@pytest.mark.parametrize("kind", [*FORMS, "application/x-www-form-urlencoded"])
def test_a_form_is_403(client: httpx.Client, kind: str) -> None:
    answer = client.post("/v1/ingest", content=GOOD, headers={"Content-Type": kind})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("kind", ["application/jsonp", "application/json-seq", "json", ""])
def test_other_types_are_415(client: httpx.Client, kind: str) -> None:
    answer = client.post("/v1/ingest", content=GOOD, headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert answer.json()["error"] == "unsupported_media_type"


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON", "application/json;x=y"])
def test_json_with_parameters_is_taken(client: httpx.Client, kind: str) -> None:
    answer = client.post("/v1/ingest", content=GOOD, headers={"Content-Type": kind})
    assert answer.status_code == 200


KEY = "lw_" + "k" * 32


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        ("", "Missing or invalid authorization header"),
        (KEY, "Missing or invalid authorization header"),
        (f"bearer {KEY}", "Missing or invalid authorization header"),
        (f"BEARER {KEY}", "Missing or invalid authorization header"),
        (f"Bearer\t{KEY}", "Missing or invalid authorization header"),
        (f"Bearer  {KEY}", "Invalid API key format"),
        (f"Bearer {KEY}k", "Invalid API key format"),
        (f"Bearer {KEY[:-1]}", "Invalid API key format"),
        (f"Bearer {KEY[:-1]}.", "Invalid API key format"),
        (f"Bearer {KEY[:-1]}ä", "Invalid API key format"),
        (f"Bearer LW{KEY[2:]}", "Invalid API key format"),
        (f"Bearer {KEY}", "Invalid API key"),
    ],
)
def test_wrong_keys(client: httpx.Client, authorization: str, message: str) -> None:
    headers = {"Authorization": authorization.encode("latin-1"), "Content-Type": "application/json"}
    answer = client.post("/v1/ingest", content=GOOD, headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()) == (
        401,
        {"error": "unauthorized", "message": message},
    )


def test_a_trailing_slash_redirects(client: httpx.Client) -> None:
    answer = client.post("/v1/ingest/?a=b", content=GOOD)
    assert (answer.status_code, answer.headers["location"]) == (308, "/v1/ingest?a=b")


def test_a_redirect_stays_on_this_host(receiver: DevServer) -> None:
    request = head(receiver, 0, Connection="close").replace(b"/v1/ingest", b"//evil.example//")
    assert b"\r\nlocation: /evil.example\r\n" in exchange(receiver, request)


def test_another_method_is_405(client: httpx.Client) -> None:
    answer = client.get("/v1/ingest")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_unknown_paths_are_404(client: httpx.Client) -> None:
    assert client.post("/v1/other", content=GOOD).status_code == 404


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_compressed_bodies_are_not_decoded(client: httpx.Client, encoding: str) -> None:
    answer = client.post(
        "/v1/ingest", content=gzip.compress(GOOD), headers={"Content-Encoding": encoding}
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_json")


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        (None, False),
        ("*/*", True),
        ("application/json", True),
        ("application/*", True),
        ("application/json, text/plain, */*", True),
        ("text/html", False),
        ("text/plain", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/html;q=0.5, application/json", True),
        ("application/json;q=0.5, text/html", False),
        ("text/html, application/json", False),
        ("nonsense", False),
    ],
)
def test_500_is_a_page_or_json(receiver: DevServer, accept: str | None, is_json: bool) -> None:
    body = b'{"level":"info","message":"\\u0000"}'
    extra = {"Content-Type": "application/json", "Connection": "close"}
    if accept is not None:
        extra["Accept"] = accept
    answer = exchange(receiver, head(receiver, len(body), **extra) + body)
    head_part, _, content = answer.partition(b"\r\n\r\n")
    assert head_part.startswith(b"HTTP/1.1 500 ")
    if is_json:
        assert b"content-type: application/json" in head_part
        assert json.loads(content)["message"] == "Internal server error"
    else:
        assert b"content-type: text/html" in head_part
        assert content.startswith(b"<!doctype html>")


def test_one_connection_serves_many_requests(receiver: DevServer, client: httpx.Client) -> None:
    for body in (GOOD, b"broken", GOOD):
        client.post("/v1/ingest", content=body)
    client.post("/v1/ingest", content=GOOD, headers={"Content-Type": "x/y"})
    assert {request.connection for request in receiver.requests} == {1}
    assert receiver.counts.by_status == {200: 2, 400: 1, 415: 1}


def test_a_client_that_leaves_in_the_middle_of_its_body_stores_nothing(receiver: DevServer) -> None:
    request = head(receiver, len(GOOD), **{"Content-Type": "application/json"})
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as connection:
        connection.sendall(request + GOOD[:-1])
    httpx.get(f"{receiver.url}/api/health", trust_env=False, verify=False)
    assert receiver.count() == 0
    assert receiver.requests == []


def test_garbage_is_400_and_the_receiver_goes_on(receiver: DevServer, client: httpx.Client) -> None:
    assert exchange(receiver, b"\x16\x03\x01\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert client.post("/v1/ingest", content=GOOD).status_code == 200


def test_errors_name_a_wrong_level_whatever_its_characters(client: httpx.Client) -> None:
    answer = client.post("/v1/ingest", content=b'{"level":"\\ud800\xc3\xa4","message":"x"}')
    (error,) = answer.json()["errors"]
    assert error.startswith("Entry at index 0: invalid level '\ud800ä' (must be one of: debug,")
