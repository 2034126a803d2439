"""What the tests of `check` share: a server that answers as told, results as lines."""

from __future__ import annotations

import json
import logging
import os
import ssl
from typing import TYPE_CHECKING, Any

from logwell_otel.cli.check.probe import Handler, Start
from logwell_otel.cli.check.run import Check, CheckDependencies
from support.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    import pytest

    from logwell_otel.cli.check.report import Finding


KEY = "lw_" + "k" * 28 + "last"
JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html; charset=utf-8"}
PAGE = "<!doctype html><title>Welcome</title>"
Reply = tuple[int, dict[str, str], str]
HEALTHY: Reply = (
    200,
    JSON,
    json.dumps({"status": "healthy", "database": "connected", "version": "1.1.3"}),
)
KEY_KNOWN: Reply = (400, JSON, json.dumps({"error": "validation_error", "message": "empty"}))
ACCEPTED: Reply = (200, JSON, json.dumps({"accepted": 1}))
KEY_UNKNOWN: Reply = (
    401,
    JSON,
    json.dumps({"error": "unauthorized", "message": "Invalid API key"}),
)


class Stub(HttpServer):
    """Answers the three requests of a check as it is told to.

    Attributes:
        health: The answer to every GET.
        key: The answer to a POST of nothing.
        entry: The answer to every other POST.
        requests: Method, path and headers (names in lower case) of each request.
        context: TLS settings, where there is a certificate.
        date: Value of the Date header, None for the right one, "" for none.
    """

    protocol = "HTTP/1.1"

    def __init__(self, certificate: Path | None = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if certificate is not None:
            self.context.load_cert_chain(certificate)
        super().__init__(None if certificate is None else self.context)
        self.health: Reply = HEALTHY
        self.key: Reply = KEY_KNOWN
        self.entry: Reply = ACCEPTED
        self.date: str | None = None
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    def respond(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        sent = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.command, request.path, sent))
        if request.command == "GET":
            status, headers, text = self.health
        else:
            status, headers, text = self.key if body == b"[]" else self.entry
        request.send_response_only(status)
        if self.date != "":
            request.send_header("Date", self.date or request.date_time_string())
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(text.encode())))
        request.end_headers()
        request.wfile.write(text.encode())


UP = Start(
    provider=True,
    endpoints=["https://logs.example.com"],
    handlers=[Handler(sdks_own=False, level=logging.INFO)],
    root_level=logging.INFO,
    exporters={"logs": "logwell", "traces": "none", "metrics": "console"},
)
"""What a start finds where nothing is wrong."""


def results(
    endpoint: str,
    key: str | None = KEY,
    *,
    send: bool = True,
    environ: Mapping[str, str] | None = None,
    dependencies: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> list[Finding]:
    """All results of a check with nothing but these settings, and a start that is not real."""
    made = CheckDependencies(
        environ=environ or {}, **{"start": lambda *_: UP, **(dependencies or {})}
    )
    given = {"endpoint": endpoint, "api_key": key, **arguments}
    check = Check(given, send=send, dependencies=made)
    return list(check.results())


def server_lines(found: list[Finding]) -> list[str]:
    """The server's part, one line for each result, with its advice behind `->`."""
    return list(lines(found, "server"))


def lines(found: list[Finding], group: str) -> Iterator[str]:
    for one in found:
        if one.group == group:
            advice = "" if one.advice is None else f" -> {one.advice}"
            yield f"{one.status} {one.step}: {one.text}{advice}"


def only(found: list[Finding], step: str) -> str:
    """The line of one step."""
    (line,) = (
        line
        for group in ("settings", "server", "opentelemetry")
        for line in lines([one for one in found if one.step == step], group)
    )
    return line


def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, no setting of the machine that the tests run on."""
    for name in list(os.environ):
        if name.upper().startswith(("LOGWELL_", "OTEL_", "SSL_CERT_")) or "PROXY" in name.upper():
            monkeypatch.delenv(name)
