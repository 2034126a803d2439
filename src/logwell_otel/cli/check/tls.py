"""The TLS handshake: does this machine trust the server's certificate, and for how long."""

from __future__ import annotations

import contextlib
import http.client
import ssl
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._delivery.engine import tls_files
from logwell_otel._http import tls_context, usual_tls_context
from logwell_otel.cli.check.result import Finding, failed, passed, skipped, warning

if TYPE_CHECKING:
    from logwell_otel._config.options import Config
    from logwell_otel.cli.check.way import Way

EXPIRES_SOON_DAYS: Final = 14
"""Authorities that renew by themselves do so 30 days before the end."""

_ENDPOINT: Final = "endpoint (LOGWELL_ENDPOINT)"
_CERTIFICATE_FILE: Final = "certificate_file (LOGWELL_CERTIFICATE_FILE)"

# OpenSSL's X509_V_ERR_*: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
_ADVICE: Final = {
    9: "See that this machine's clock is right; else wait, or install the right certificate.",
    10: "Renew the certificate on the server. If it is a new one, see that this machine's clock "
    "is right.",
    18: f"If this is your server, save its certificate to a file and name that in "
    f"{_CERTIFICATE_FILE}.",
    19: f"Name the certificate of the authority that signed it in {_CERTIFICATE_FILE}.",
    20: f"Name the certificate of the authority that signed it in {_CERTIFICATE_FILE}; if a public "
    "one did, have the server send its intermediate certificates too.",
    62: f"Use the name that the certificate is for in {_ENDPOINT}, or get one for this name.",
    64: f"Use the name that the certificate is for in {_ENDPOINT}: it is not for this address.",
}
_ADVICE_ELSE: Final = (
    f"Have the certificate made anew, or name the authority to trust in {_CERTIFICATE_FILE}. "
    "Python 3.13 and later ask more of certificates than earlier ones."
)

_SPEAKS_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})


def handshake(config: Config, way: Way, now: float) -> Finding:
    """Shake hands with the server, through the proxy where there is one.

    Args:
        config: Which certificates are trusted and shown.
        way: Where to connect.
        now: Wall clock, in seconds since 1970.
    """
    if not way.tls:
        return _without_tls(config)
    if way.proxy is not None and way.proxy.scheme != "http":
        return skipped(f"not looked at through a proxy of the kind {way.proxy.scheme}://: see next")
    try:
        context = tls_context(tls_files(config)) or usual_tls_context()
    except (OSError, ValueError) as error:
        return failed(
            f"the certificate files cannot be used ({_short(error)})",
            f"Name PEM files in {_CERTIFICATE_FILE}, client_certificate_file and client_key_file; "
            "the private key must not be encrypted.",
        )
    connection = http.client.HTTPSConnection(*way.first, context=context, timeout=config.timeout)
    if way.proxy is not None:
        authorization = way.proxy.authorization
        headers = {"Proxy-Authorization": authorization} if authorization else {}
        connection.set_tunnel(way.host, way.port, headers)
    with contextlib.closing(connection):
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            return _without_handshake(error, way, config)
        assert isinstance(connection.sock, ssl.SSLSocket)  # noqa: S101 - for mypy
        return _looked_at(connection.sock, now)


def _without_tls(config: Config) -> Finding:
    if config.insecure:
        return warning(
            "the API key travels unencrypted to another machine",
            f"Use https:// in {_ENDPOINT} where the way to the server is not your own.",
        )
    return passed("not used on this machine: the endpoint is http://")


def _without_handshake(error: Exception, way: Way, config: Config) -> Finding:
    host = f"{way.host} port {way.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message.rstrip(".")
        return failed(
            f"the certificate of {host} is not trusted: {said}",
            _ADVICE.get(error.verify_code, _ADVICE_ELSE),
        )
    if isinstance(error, ssl.SSLError) and error.reason in _SPEAKS_NO_TLS:
        return failed(
            f"{host} does not speak TLS",
            f"If that port is right, use http:// in {_ENDPOINT}; else correct the port.",
        )
    if way.proxy is not None and str(error).startswith("Tunnel connection failed"):
        return failed(
            f"the proxy opens no way to {host} ({config.secrets.mask(str(error))})",
            f"See user name and password in {way.proxy.origin}, and what the proxy allows; or name "
            "the server in NO_PROXY.",
        )
    return failed(
        f"{host} ends the TLS handshake ({config.secrets.mask(_short(error))})",
        "See whether host and port are those of the server, which TLS versions it speaks, and "
        "whether it asks for a client certificate (LOGWELL_CLIENT_CERTIFICATE_FILE).",
    )


def _looked_at(connection: ssl.SSLSocket, now: float) -> Finding:
    certificate = connection.getpeercert() or {}
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    day = datetime.fromtimestamp(ends, timezone.utc).strftime("%Y-%m-%d")
    signed = f"{connection.version()}, certificate signed by {_issuer(certificate)}"
    days = int((ends - now) // 86_400)
    if days < EXPIRES_SOON_DAYS:
        left = f"{days} days" if days != 1 else "1 day"
        return warning(
            f"{signed}, but good for {left} only, until {day}",
            "Renew the certificate on the server: nothing is delivered once it has expired.",
        )
    return passed(f"{signed}, good until {day}")


def _issuer(certificate: Any) -> str:
    parts = {name: value for pairs in certificate.get("issuer", ()) for name, value in pairs}
    return str(parts.get("organizationName") or parts.get("commonName") or "an unnamed authority")


def _short(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
