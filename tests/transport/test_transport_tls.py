"""Certificates: one's own authority, client certificates, and what is not accepted."""

from __future__ import annotations

import ssl
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING

import certifi
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from logwell_otel import LogwellError, LogwellErrorCode, LogwellLogExporter
from logwell_otel._config.options import Config
from logwell_otel._delivery.engine import tls_files, transport_to
from logwell_otel._delivery.response import outcome_of
from logwell_otel._http import Answer, NoAnswer
from logwell_otel._network import tls_context
from logwell_otel.cli.check.network import Route, handshake
from support.config import KEY
from support.server import ACCEPTED, Connection, SocketServer, answer_all, response

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.socket

BODY = b'[{"level":"info","message":"hello"}]'
OK = Answer(200, {"content-length": "14"}, ACCEPTED)


class Certificates:
    """An authority's, a server's and a client's, as files."""

    def __init__(self, directory: Path, authority: trustme.CA | None = None) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.authority = authority or trustme.CA()
        self.ca = directory / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        client = self.authority.issue_cert("client@example.com")
        self.client = directory / "client.pem"
        self.client_key = directory / "client-key.pem"
        self.client_both = directory / "client-both.pem"
        client.cert_chain_pems[0].write_to_path(str(self.client))
        client.private_key_pem.write_to_path(str(self.client_key))
        client.private_key_and_cert_chain_pem.write_to_path(str(self.client_both))
        self.encrypted_key = directory / "encrypted-key.pem"
        self.encrypted_key.write_bytes(
            load_pem_private_key(client.private_key_pem.bytes(), None).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
            )
        )

    def another_client(self) -> Certificates:
        """The same authority's, with a certificate renewed."""
        return Certificates(self.directory / "another", self.authority)

    def server(self, *names: str, ask_client: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(*names).configure_cert(context)
        if ask_client:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def post(url: str, **settings: object) -> Answer | NoAnswer:
    transport = transport_to(Config.resolve({}, endpoint=url, api_key=KEY, **settings))
    try:
        return transport.post(BODY, 10)
    finally:
        transport.close()


def reason(reply: Answer | NoAnswer) -> str:
    assert isinstance(reply, NoAnswer), reply
    return reply.reason


def test_an_unknown_authority_is_refused_before_anything_is_sent(
    certificates: Certificates,
) -> None:
    with SocketServer(answer_all(), certificates.server("127.0.0.1")) as server:
        reply = post(server.url)
    assert "CERTIFICATE_VERIFY_FAILED" in reason(reply)
    assert server.heads == []
    message = str(outcome_of(reply).error)
    assert "name that in certificate_file (LOGWELL_CERTIFICATE_FILE)" in message


def test_an_authority_of_ones_own(certificates: Certificates) -> None:
    with SocketServer(answer_all(), certificates.server("127.0.0.1")) as server:
        assert post(server.url, certificate_file=certificates.ca) == OK
    assert server.connections == 1


def test_the_variables_that_httpx_reads_count_too(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    with SocketServer(answer_all(), certificates.server("127.0.0.1")) as server:
        assert post(server.url) == OK


def test_another_host_name_is_refused(certificates: Certificates) -> None:
    with SocketServer(answer_all(), certificates.server("logs.example.com")) as server:
        reply = post(server.url, certificate_file=certificates.ca)
    assert "CERTIFICATE_VERIFY_FAILED" in reason(reply)
    assert "not valid for '127.0.0.1'" in reason(reply)
    assert server.heads == []


def test_a_client_certificate(certificates: Certificates) -> None:
    tls = certificates.server("127.0.0.1", ask_client=True)
    ca = certificates.ca
    with SocketServer(answer_all(), tls) as server:
        without = post(server.url, certificate_file=ca)
        assert "alert" in reason(without).lower()
        one_file = post(
            server.url, certificate_file=ca, client_certificate_file=certificates.client_both
        )
        two_files = post(
            server.url,
            certificate_file=ca,
            client_certificate_file=certificates.client,
            client_key_file=certificates.client_key,
        )
    assert [one_file, two_files] == [OK, OK]


def test_a_client_certificate_beside_the_usual_authorities(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    tls = certificates.server("127.0.0.1", ask_client=True)
    with SocketServer(answer_all(), tls) as server:
        assert post(server.url, client_certificate_file=certificates.client_both) == OK


def test_plain_http_where_https_is_spoken_and_the_reverse(certificates: Certificates) -> None:
    with SocketServer(answer_all(), certificates.server("127.0.0.1")) as server:
        assert reason(post(f"http://127.0.0.1:{server.port}"))

    def plain(server: SocketServer, connection: Connection) -> None:
        received.append(connection.socket.recv(65536))
        connection.send(response(b"", "400 Bad Request"))

    received: list[bytes] = []
    with SocketServer(plain) as server:
        assert "SSL" in reason(post(f"https://127.0.0.1:{server.port}"))
    assert KEY.encode() not in b"".join(received)


def test_a_handshake_that_does_not_end(certificates: Certificates) -> None:
    def never(server: SocketServer, connection: Connection) -> None:
        server.closed.wait()

    with SocketServer(never) as server:
        config = Config.resolve(
            {},
            endpoint=f"https://127.0.0.1:{server.port}",
            api_key=KEY,
            certificate_file=certificates.ca,
        )
        reply = transport_to(config).post(BODY, 0.3)
    assert reason(reply).startswith(("ConnectTimeout", "TimeoutError"))


def certificate_shown(server: SocketServer, connection: Connection) -> None:
    """Answers with the serial number of the client's certificate."""
    shown = connection.socket.getpeercert()  # type: ignore[attr-defined]
    while connection.read_request():
        connection.send(response(str(shown["serialNumber"]).encode()))


def test_certificates_that_were_renewed_are_used_without_a_restart(tmp_path: Path) -> None:
    """The authority as well as the client's own; between a new file and its key the old ones."""
    old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
    live = tmp_path / "live"
    live.mkdir()
    names = {"certificate_file": "ca", "client_certificate_file": "client"}
    files = {setting: live / f"{name}.pem" for setting, name in names.items()}
    files["client_key_file"] = live / "client-key.pem"

    def install(certificates: Certificates, *names: str) -> None:
        for name in names:  # as Kubernetes does: another file in the place of the first
            path = live / f"{name}.new"
            path.write_bytes((certificates.directory / f"{name}.pem").read_bytes())
            path.replace(live / f"{name}.pem")

    def shown() -> str:
        reply = transport.post(BODY, 10)
        assert isinstance(reply, Answer), reply
        return reply.body.decode()

    install(old, "ca", "client", "client-key")
    tls = old.server("127.0.0.1", ask_client=True)
    with SocketServer(certificate_shown, tls) as server:
        transport = transport_to(Config.resolve({}, endpoint=server.url, api_key=KEY, **files))
        first = shown()
        assert shown() == first
        install(old.another_client(), "client")  # its key is still to come
        assert shown() == first
        install(old.another_client(), "client", "client-key")
        second = shown()
        assert second != first
    with SocketServer(certificate_shown, new.server("127.0.0.1", ask_client=True)) as server:
        transport._ingest_url = f"{server.url}/v1/ingest"  # noqa: SLF001 - the same server, renewed
        transport.close()
        assert "CERTIFICATE_VERIFY_FAILED" in reason(transport.post(BODY, 10))
        install(new, "ca", "client", "client-key")
        assert shown() not in (first, second)
        transport.close()


def test_a_renewed_file_that_cannot_be_read_is_said_where_the_server_refuses_the_old(
    tmp_path: Path,
) -> None:
    old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
    with SocketServer(answer_all(), old.server("127.0.0.1")) as server:
        config = Config.resolve({}, endpoint=server.url, api_key=KEY, certificate_file=old.ca)
        transport = transport_to(config)
        assert transport.post(BODY, 10) == OK
        transport.close()
    old.ca.write_text("no certificate")
    with SocketServer(answer_all(), new.server("127.0.0.1")) as server:
        transport._ingest_url = f"{server.url}/v1/ingest"  # noqa: SLF001
        said = reason(transport.post(BODY, 10))
    assert "CERTIFICATE_VERIFY_FAILED" in said
    assert "; changed certificates cannot be read (" in said


@pytest.mark.parametrize(
    ("variable", "content", "named"),
    [
        ("SSL_CERT_FILE", None, "SSL_CERT_FILE: expected a file of certificates in PEM form (No"),
        ("SSL_CERT_FILE", "", "SSL_CERT_FILE: expected a file of certificates in PEM form (NO_"),
        ("SSL_CERT_FILE", "x", "SSL_CERT_FILE: expected a file of certificates in PEM form (NO_"),
        ("SSL_CERT_DIR", None, "SSL_CERT_DIR: expected a directory of certificates, found none"),
    ],
)
def test_tls_settings_of_the_environment_are_refused_for_https_and_let_http_be(
    variable: str,
    content: str | None,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "authorities"
    if content is not None:
        path.write_text(content)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, str(path))
    with pytest.raises(LogwellError) as caught:
        LogwellLogExporter("https://logs.example.com", KEY)
    assert caught.value.code is LogwellErrorCode.INVALID_CONFIG
    assert caught.value.message.startswith(f"Nothing could be sent from here: {named}")
    finding = handshake(
        Config.resolve({}, endpoint="https://logs.example.com", api_key=KEY),
        Route("logs.example.com", 443, tls=True),
        0.0,
    )
    assert finding.text.startswith(named)  # `logwell-otel check` says the same
    with SocketServer(answer_all()) as server:
        LogwellLogExporter(server.url, KEY).shutdown()
        assert post(server.url) == OK


def test_missing_authorities_are_refused_for_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "cacert.pem"))
    monkeypatch.setattr("logwell_otel._network.find_spec", lambda _: ModuleSpec("certifi", None))
    with pytest.raises(LogwellError, match=r"certifi, which has the usual authorities, is not"):
        LogwellLogExporter("https://logs.example.com", KEY)
    spec = ModuleSpec("certifi", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr("logwell_otel._network.find_spec", lambda _: spec)
    with pytest.raises(LogwellError, match=r"certifi has no cacert\.pem with the usual"):
        LogwellLogExporter("https://logs.example.com", KEY)


def test_no_context_of_our_own_without_files() -> None:
    assert tls_context(tls_files(Config.resolve({}, endpoint="https://host", api_key=KEY))) is None


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"certificate_file": "client_key"}, "certificate_file (argument)"),
        ({"client_certificate_file": "ca"}, "client_certificate_file (argument)"),
        (
            {"client_certificate_file": "client", "client_key_file": "encrypted_key"},
            "client_certificate_file (argument), client_key_file (argument)",
        ),
        (
            {"client_certificate_file": "client", "client_key_file": "ca"},
            "client_certificate_file (argument), client_key_file (argument)",
        ),
    ],
)
def test_files_that_openssl_does_not_take_are_refused_at_construction(
    settings: dict[str, str], named: str, certificates: Certificates
) -> None:
    files = {name: getattr(certificates, file) for name, file in settings.items()}
    with pytest.raises(LogwellError) as caught:
        LogwellLogExporter("https://logs.example.com", KEY, **files)
    assert caught.value.code is LogwellErrorCode.INVALID_CONFIG
    assert caught.value.message.startswith(f"{named}: expected certificates and an unencrypted ")
