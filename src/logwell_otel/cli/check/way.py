"""The way to the server: directly, or through the proxy that the environment names."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logwell_otel._config.options import Config

_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}

_SYSTEM: Final = "system settings"


@dataclass(frozen=True)
class Proxy:
    """A proxy, fit to be shown.

    Attributes:
        url: Its URL without user name and password.
        origin: The variable that names it, or `system settings`.
        scheme: Of its URL.
        host: Its name or address.
        port: Its port.
        authorization: Value of the Proxy-Authorization header, None where the URL names nobody.
    """

    url: str
    origin: str
    scheme: str
    host: str
    port: int
    authorization: str | None = field(repr=False)


@dataclass(frozen=True)
class Way:
    """Where connections go.

    Attributes:
        host: The server's name or address.
        port: The server's port.
        tls: Whether the endpoint is https.
        proxy: What stands between, None for a direct connection.
        bypass: Whether there is a proxy, but not for this server.
    """

    host: str
    port: int
    tls: bool
    proxy: Proxy | None
    bypass: bool = False

    @property
    def shown(self) -> tuple[str | None, str]:
        """The proxy's URL without secrets, and where it comes from."""
        if self.proxy is not None:
            return self.proxy.url, self.proxy.origin
        return None, "NO_PROXY" if self.bypass else "default"

    @property
    def first(self) -> tuple[str, int]:
        """Host and port of what is connected to: the proxy, or the server."""
        return (self.proxy.host, self.proxy.port) if self.proxy else (self.host, self.port)


def way_of(config: Config, environ: Mapping[str, str]) -> Way:
    """The way to `config.endpoint`.

    Raises:
        ValueError: A proxy variable holds no URL. The text shows nothing of it.
    """
    parts = urlsplit(config.endpoint)
    url = None if config.proxy is None else config.proxy.reveal()
    origin = _origin(parts.scheme, environ)
    return Way(
        host=parts.hostname or "",
        port=parts.port or _PORTS[parts.scheme],
        tls=parts.scheme == "https",
        proxy=None if url is None else _proxy(url, origin),
        bypass=url is None and origin != _SYSTEM,
    )


def _proxy(url: str, origin: str) -> Proxy:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 80)
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), 0
    if not parts.hostname:
        # Not shown: it may hold a password.
        raise ValueError(f"{origin} holds no URL of a proxy")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown = f"{parts.scheme}://{'***@' if authorization else ''}{host}:{port}"
    return Proxy(shown, origin, parts.scheme, parts.hostname, port, authorization)


def _origin(scheme: str, environ: Mapping[str, str]) -> str:
    """Which variable names the proxy; lower case comes first, as in the standard library."""
    for kind in (scheme, "all"):
        for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
            if environ.get(name):
                return name
    return _SYSTEM
