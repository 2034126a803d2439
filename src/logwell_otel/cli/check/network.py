"""The route to the server, step by step: its name, something that listens, TLS."""

from __future__ import annotations

import contextlib
import errno
import http.client
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from logwell_otel._config.address import PORTS
from logwell_otel._delivery.engine import tls_files
from logwell_otel._network import tls_context, usual_tls_context, usual_tls_problem
from logwell_otel.cli.check.report import Finding, Setting, failed, passed, skipped, warning

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from logwell_otel._config.address import Proxy
    from logwell_otel._config.options import Config

_ENDPOINT: Final = "endpoint (LOGWELL_ENDPOINT)"
_CERTIFICATE_FILE: Final = "certificate_file (LOGWELL_CERTIFICATE_FILE)"
_SYSTEM: Final = "system settings"
_USUAL_AUTHORITIES: Final = (
    "Correct or unset the variable, or name the authorities to trust in certificate_file "
    "(LOGWELL_CERTIFICATE_FILE)."
)


@dataclass(frozen=True)
class Route:
    """Where connections go.

    Attributes:
        host: The server's name or address.
        port: The server's port.
        tls: Whether the endpoint is https.
        proxy: What stands between, None for a direct connection.
        origin: The variable that names a proxy, or `system settings`.
    """

    host: str
    port: int
    tls: bool
    proxy: Proxy | None = None
    origin: str = _SYSTEM

    @property
    def shown(self) -> Setting:
        """The proxy's URL without secrets, and where it comes from."""
        if self.proxy is not None:
            return Setting("proxy", self.proxy.shown, self.origin)
        # A variable names one, but not for this server.
        return Setting("proxy", None, "default" if self.origin == _SYSTEM else "NO_PROXY")

    @property
    def first(self) -> tuple[str, int]:
        """Host and port of what is connected to: the proxy, or the server."""
        return (self.proxy.host, self.proxy.port) if self.proxy else (self.host, self.port)

    @property
    def setting(self) -> str:
        """What to correct where `first` is wrong."""
        return self.origin if self.proxy else _ENDPOINT


def route_of(config: Config, environ: Mapping[str, str]) -> Route:
    """The route to `config.endpoint`.

    Raises:
        ValueError: A proxy variable holds no URL. The text shows nothing of it.
    """
    parts = urlsplit(config.endpoint)
    origin = _proxy_variable(parts.scheme, environ)
    if config.proxy is not None and not config.proxy.host:
        # Not shown: it may hold a password.
        raise ValueError(f"{origin} holds no URL of a proxy")
    port = parts.port or PORTS[parts.scheme]
    return Route(parts.hostname or "", port, parts.scheme == "https", config.proxy, origin)


def _proxy_variable(scheme: str, environ: Mapping[str, str]) -> str:
    """Which variable names a proxy; lower case comes first, as in the standard library."""
    for kind in (scheme, "all"):
        for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
            if environ.get(name):
                return name
    return _SYSTEM


# Its name, and something that listens there.

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
"""What `socket.getaddrinfo` gives."""

_MAX_SHOWN: Final = 4


def resolve(
    route: Route, getaddrinfo: Callable[..., list[Any]]
) -> tuple[Finding, list[AddressInfo]]:
    """Look up what is connected to."""
    host, port = route.first
    try:
        addresses: list[AddressInfo] = getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return _unresolved(host, error, where=route.setting), []
    shown = list(dict.fromkeys(str(info[4][0]) for info in addresses))
    if _is_address(host):
        return passed(f"{host} is an address, there is no name to look up"), addresses
    more = f" and {len(shown) - _MAX_SHOWN} more" if len(shown) > _MAX_SHOWN else ""
    return passed(f"{host} is {', '.join(shown[:_MAX_SHOWN])}{more}"), addresses


def connect(route: Route, addresses: list[AddressInfo], timeout: float) -> Finding:
    """Connect to the first of `addresses` that answers, as a request would."""
    host, port = route.first
    what = f"the proxy {host} port {port}" if route.proxy else f"{host} port {port}"
    refused: list[tuple[str, OSError]] = []
    for family, kind, protocol, _, address in addresses:
        try:
            with contextlib.closing(socket.socket(family, kind, protocol)) as connection:
                connection.settimeout(timeout)
                connection.connect(address)
        except OSError as error:
            refused.append((str(address[0]), error))
            continue
        if refused:
            return warning(
                f"connected to {what} at {address[0]}, but not at {_listed(refused)}",
                "Every new connection tries those first: correct the name's addresses, or what "
                "keeps this machine from them.",
            )
        return passed(f"connected to {what}")
    return _unconnected(what, refused, timeout, route)


def _unresolved(host: str, error: Exception, *, where: str) -> Finding:
    # The resolver was not reached, or has no answer at the moment.
    passing = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
    said = getattr(error, "strerror", None) or str(error)
    if passing:
        return failed(
            f"{host} cannot be looked up now ({said})",
            "See that this machine reaches its name servers (/etc/resolv.conf; in a container, "
            "its network), and try again.",
        )
    return failed(
        f"{host} does not resolve ({said})",
        f"Correct the host name in {where}, or have it added to the DNS that this machine uses.",
    )


def _unconnected(
    what: str, refused: list[tuple[str, OSError]], timeout: float, route: Route
) -> Finding:
    reason, where = _listed(refused), route.setting
    machine = "proxy" if route.proxy else "server"
    errors = [error for _, error in refused]
    if any(isinstance(error, ConnectionRefusedError) for error in errors):
        return failed(
            f"nothing listens at {what} ({reason})",
            f"Start the {machine}, or correct host and port in {where}.",
        )
    if any(isinstance(error, TimeoutError) for error in errors):
        return failed(
            f"no answer from {what} within {timeout:g} s ({reason})",
            "See whether a firewall between here and there swallows the packets, and whether "
            f"host and port in {where} are right.",
        )
    return failed(
        f"no connection to {what} ({reason})",
        "See that this machine has a way to that network (in a container, its network).",
    )


def _listed(refused: list[tuple[str, OSError]]) -> str:
    return ", ".join(f"{address}: {_reason(error)}" for address, error in refused)


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    name = errno.errorcode.get(error.errno or 0)
    return (error.strerror or name or type(error).__name__).lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


# The TLS handshake: does this machine trust the server's certificate, and for how long.

EXPIRES_SOON_DAYS: Final = 14
"""Authorities that renew by themselves do so 30 days before the end."""

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


def handshake(config: Config, route: Route, now: float) -> Finding:
    """Shake hands with the server, through the proxy where there is one.

    Args:
        config: Which certificates are trusted and shown.
        route: Where to connect.
        now: Wall clock, in seconds since 1970.
    """
    if not route.tls:
        return _without_tls(config)
    if route.proxy is not None and route.proxy.scheme != "http":
        return skipped(
            f"not looked at through a proxy of the kind {route.proxy.scheme}://: see next"
        )
    if config.certificate_file is None and (problem := usual_tls_problem()) is not None:
        return failed(problem, _USUAL_AUTHORITIES)
    try:
        context = tls_context(tls_files(config)) or usual_tls_context()
    except (OSError, ValueError) as error:
        return failed(
            f"the certificate files cannot be used ({_short(error)})",
            f"Name PEM files in {_CERTIFICATE_FILE}, client_certificate_file and client_key_file; "
            "the private key must not be encrypted.",
        )
    connection = http.client.HTTPSConnection(*route.first, context=context, timeout=config.timeout)
    if route.proxy is not None:
        authorization = route.proxy.authorization
        headers = {"Proxy-Authorization": authorization} if authorization else {}
        connection.set_tunnel(route.host, route.port, headers)
    with contextlib.closing(connection):
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            return _without_handshake(error, route, config)
        assert isinstance(connection.sock, ssl.SSLSocket)  # noqa: S101 - for mypy
        return _looked_at(connection.sock, now)


def _without_tls(config: Config) -> Finding:
    if config.insecure:
        return warning(
            "the API key travels unencrypted to another machine",
            f"Use https:// in {_ENDPOINT} where the way to the server is not your own.",
        )
    return passed("not used on this machine: the endpoint is http://")


def _without_handshake(error: Exception, route: Route, config: Config) -> Finding:
    host = f"{route.host} port {route.port}"
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
    if route.proxy is not None and str(error).startswith("Tunnel connection failed"):
        return failed(
            f"the proxy opens no way to {host} ({config.secrets.mask(str(error))})",
            f"See user name and password in {route.origin}, and what the proxy allows; or name "
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
