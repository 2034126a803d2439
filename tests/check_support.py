"""What the tests of `check` share: servers that are not Logwell, certificates, a proxy."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import os
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from logwell_otel.cli.check.probe import Handler, Start
from logwell_otel.cli.check.run import Check, CheckDependencies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import pytest

    from logwell_otel.cli.check.report import Result

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


class Stub:
    """An HTTP server that answers as it is told to.

    Attributes:
        health: The answer to every GET.
        key: The answer to a POST of nothing.
        entry: The answer to every other POST.
        requests: Method, path and headers (names in lower case) of each request.
        context: TLS settings, where there is a certificate.
        date: Value of the Date header, None for the right one, "" for none.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.health: Reply = HEALTHY
        self.key: Reply = KEY_KNOWN
        self.entry: Reply = ACCEPTED
        self.date: str | None = None
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        scheme = "http"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if certificate is not None:
            self.context.load_cert_chain(certificate)
            self._server.socket = self.context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.port: int = self._server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    def __enter__(self) -> Stub:  # noqa: PYI034 - typing.Self came with 3.11
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._note()
                self._reply(stub.health)

            def do_POST(self) -> None:
                self._note()
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._reply(stub.key if body == b"[]" else stub.entry)

            def _note(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                stub.requests.append((self.command, self.path, headers))

            def _reply(self, reply: Reply) -> None:
                status, headers, body = reply
                self.send_response_only(status)
                if stub.date != "":
                    self.send_header("Date", stub.date or self.date_time_string())
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


class ConnectProxy:
    """A proxy that opens tunnels.

    Attributes:
        status: What it answers; anything but 200 opens none.
        asked: The first line and the Proxy-Authorization of each request.
    """

    def __init__(self, status: str = "200 Connection established") -> None:
        self.status = status
        self.asked: list[tuple[str, str | None]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> ConnectProxy:  # noqa: PYI034
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone does not wake a thread in accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, target: Callable[..., None], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                part = client.recv(65_536)
                if not part:
                    return
                request += part
            first, *headers = request.decode("latin-1").split("\r\n")
            pairs = dict(line.lower().split(": ", 1) for line in headers if ": " in line)
            self.asked.append((first, pairs.get("proxy-authorization")))
            client.sendall(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
            if not self.status.startswith("200"):
                return
            host, port = first.split()[1].rsplit(":", 1)
            with socket.create_connection((host, int(port)), 5) as server:
                back = self._start(_pipe, server, client)
                _pipe(client, server)
                back.join(5)


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65_536):
            target.sendall(part)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def certificate(
    directory: Path,
    *,
    host: str = "127.0.0.1",
    begins: float = -1.0,
    ends: float = 90.0,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None,
    key_usage: bool = True,
) -> Path:
    """A PEM file with a certificate and its key; begin and end in days from now."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test of {host}")])
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.timezone.utc)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=begins))
        .not_valid_after(now + dt.timedelta(days=ends))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is not None:
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key())
        builder = builder.add_extension(signer, critical=False)
    if key_usage:  # Python 3.13 insists on it for an authority
        uses = dict.fromkeys(_USES, False) | {"digital_signature": True, "key_cert_sign": True}
        builder = builder.add_extension(x509.KeyUsage(**uses), critical=True)
    made = builder.sign(key if issuer is None else issuer[1], hashes.SHA256())
    path = directory / f"{made.serial_number:x}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def authority(
    directory: Path, *, key_usage: bool = True
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate that may sign others, and its key."""
    data = certificate(directory, host="authority.test", key_usage=key_usage).read_bytes()
    key = serialization.load_pem_private_key(data, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate(data), key


UP = Start(
    provider=True,
    endpoints=["https://logs.example.com"],
    handlers=[Handler("opentelemetry.instrumentation.logging.handler", logging.INFO)],
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
) -> list[Result]:
    """All results of a check with nothing but these settings, and a start that is not real."""
    made = CheckDependencies(
        environ=environ or {}, **{"start": lambda *_: UP, **(dependencies or {})}
    )
    given = {"endpoint": endpoint, "api_key": key, **arguments}
    check = Check(given, send=send, dependencies=made)
    return list(check.results())


def server_lines(found: list[Result]) -> list[str]:
    """The server's part, one line for each result, with its advice behind `->`."""
    return list(lines(found, "server"))


def lines(found: list[Result], group: str) -> Iterator[str]:
    for one in found:
        if one.group == group:
            advice = "" if one.advice is None else f" -> {one.advice}"
            yield f"{one.status} {one.step}: {one.text}{advice}"


def only(found: list[Result], step: str) -> str:
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


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
