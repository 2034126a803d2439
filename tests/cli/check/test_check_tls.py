"""Certificates and handshakes, with real ones."""

from __future__ import annotations

import re
import socket
import ssl
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from support.certificates import authority, certificate
from support.check import Stub, only, results

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.socket

FILE = "certificate_file (LOGWELL_CERTIFICATE_FILE)"
DAY = 86_400.0


def test_a_certificate_of_an_authority_that_is_trusted(tmp_path: Path) -> None:
    signer = authority(tmp_path)
    trusted = next(tmp_path.iterdir())
    with Stub(certificate(tmp_path, issuer=signer)) as stub:
        found = results(stub.url, certificate_file=str(trusted))
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 90 * DAY))
    assert only(found, "TLS") == (
        f"pass TLS: TLSv1.3, certificate signed by test of authority.test, good until {day}"
    )
    assert only(found, "Entry").startswith("pass Entry")


@pytest.mark.parametrize(("ends", "left"), [(13.5, "13 days"), (1.5, "1 day"), (0.5, "0 days")])
def test_a_certificate_that_expires_soon(tmp_path: Path, ends: float, left: str) -> None:
    own = certificate(tmp_path, ends=ends)
    with Stub(own) as stub:
        found = results(stub.url, certificate_file=str(own))
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + ends * DAY))
    assert only(found, "TLS") == (
        f"warning TLS: TLSv1.3, certificate signed by test of 127.0.0.1, but good for {left} only, "
        f"until {day} -> Renew the certificate on the server: nothing is delivered once it has "
        "expired."
    )
    assert only(found, "Entry").startswith("pass Entry")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            {"ends": -0.5},
            (
                "certificate has expired -> Renew the certificate on the server. If it is a new "
                "one, see that this machine's clock is right."
            ),
        ),
        (
            {"begins": 1.0},
            (
                "certificate is not yet valid -> See that this machine's clock is right; else "
                "wait, or install the right certificate."
            ),
        ),
        (
            {"host": "127.0.0.2"},
            (
                "IP address mismatch, certificate is not valid for '127.0.0.1' -> Use the name "
                "that the certificate is for in endpoint (LOGWELL_ENDPOINT): it is not for this "
                "address."
            ),
        ),
    ],
)
def test_a_certificate_that_is_not_good(tmp_path: Path, made: dict[str, float], said: str) -> None:
    own = certificate(tmp_path, **made)  # type: ignore[arg-type] # a table of arguments
    with Stub(own) as stub:
        line = only(results(stub.url, certificate_file=str(own)), "TLS")
        assert line == (
            f"fail TLS: the certificate of 127.0.0.1 port {stub.port} is not trusted: {said}"
        )


def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    own = certificate(tmp_path, host="logs.example.com")
    with Stub(own) as stub:
        found = results(f"https://localhost:{stub.port}", certificate_file=str(own))
    assert only(found, "TLS").endswith(
        "Hostname mismatch, certificate is not valid for 'localhost' -> Use the name that the "
        "certificate is for in endpoint (LOGWELL_ENDPOINT), or get one for this name."
    )


def test_an_authority_that_nobody_knows(tmp_path: Path) -> None:
    with Stub(certificate(tmp_path, issuer=authority(tmp_path))) as stub:
        line = only(results(stub.url), "TLS")
    assert line.endswith(
        "unable to get local issuer certificate -> Name the certificate of the authority that "
        f"signed it in {FILE}; if a public one did, have the server send its intermediate "
        "certificates too."
    )


@pytest.mark.skipif(sys.version_info < (3, 13), reason="earlier ones take it")
def test_an_authority_that_is_not_strict_enough(tmp_path: Path) -> None:
    signer = authority(tmp_path, key_usage=False)
    trusted = next(tmp_path.iterdir())
    with Stub(certificate(tmp_path, issuer=signer)) as stub:
        line = only(results(stub.url, certificate_file=str(trusted)), "TLS")
    assert line.endswith(
        "CA cert does not include key usage extension -> Have the certificate made anew, or name "
        f"the authority to trust in {FILE}. Python 3.13 and later ask more of certificates than "
        "earlier ones."
    )


def test_a_server_that_does_not_speak_tls(stub: Stub) -> None:
    found = results(stub.url.replace("http:", "https:"))
    assert only(found, "TLS") == (
        f"fail TLS: 127.0.0.1 port {stub.port} does not speak TLS -> If that port is right, use "
        "http:// in endpoint (LOGWELL_ENDPOINT); else correct the port."
    )


def test_a_server_that_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            for _ in range(2):
                listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        line = only(results(f"https://127.0.0.1:{port}"), "TLS")
        thread.join()
    assert re.fullmatch(
        rf"fail TLS: 127\.0\.0\.1 port {port} ends the TLS handshake \(\w+: .+\) -> See whether "
        r"host and port are those of the server, which TLS versions it speaks, and whether it asks "
        r"for a client certificate \(LOGWELL_CLIENT_CERTIFICATE_FILE\)\.",
        line,
    )


def test_certificate_files_that_hold_none(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with Stub(certificate(tmp_path)) as stub:
        line = only(results(stub.url, certificate_file=str(empty)), "TLS")
    assert line.startswith("fail TLS: the certificate files cannot be used (SSLError: ")
    assert "client_key_file" in line


def test_a_server_that_asks_for_a_client_certificate(tmp_path: Path) -> None:
    own = certificate(tmp_path)
    with Stub(own) as stub:
        stub.context.verify_mode = ssl.CERT_REQUIRED
        stub.context.load_verify_locations(own)
        without = results(stub.url, certificate_file=str(own))
        having = results(stub.url, certificate_file=str(own), client_certificate_file=str(own))
    # In TLS 1.3 the server refuses only after the client's part of the handshake.
    assert only(without, "TLS").startswith("pass")
    assert only(without, "Health").startswith("fail Health: no answer from the server: ")
    assert only(having, "Entry").startswith("pass Entry")
