"""The server's address: what people write -> one form, and what that form says."""

from __future__ import annotations

import base64
import os
import re
import sys
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit

from logwell_otel._config.secrets import Secret
from logwell_otel._process import stands_in_the_way
from logwell_otel.errors import config_error

if TYPE_CHECKING:
    import ipaddress
    from collections.abc import Iterator


INGEST_PATH: Final = "/v1/ingest"

PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
"""Where a URL of that scheme leads if it names no port."""

_UNPRINTABLE: Final = re.compile(r"[^\x21-\x7e]")
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*\.?")
_IPV4_LIKE: Final = re.compile(r"[\d.]+")


def base_url(text: str) -> str:
    """`text` as a base URL: scheme and host in lower case, without a slash at the end.

    One form for all spellings of an address: entries are found again by it in a spool. A
    path prefix stays; a full `…/v1/ingest` is cut back to what stands before it.

    Raises:
        ValueError: It is none. The text says what was found, without anything that may
            be a password, and has no exception behind it that might.
    """
    if "@" in text:
        # Anywhere: an unescaped slash in a password moves the @ into the path.
        raise ValueError("a URL with '@', where a user name and a password would stand")
    if _UNPRINTABLE.search(text):
        raise ValueError("a URL with white space or characters outside ASCII")
    parts, port = _split(text)
    if parts is None:
        raise ValueError("a URL that cannot be read")
    if parts.scheme not in ("http", "https"):
        raise ValueError("a URL that does not begin with https:// or http://")
    if "?" in text or "#" in text:
        raise ValueError("a URL with a query or a fragment")
    host = parts.hostname or ""
    # Before 3.11.4 urlsplit does not look at what brackets enclose.
    if not _is_host(host) or ("[" in parts.netloc and ":" not in host):
        raise ValueError("a URL without a valid host name or address")
    if port == 0:
        raise ValueError("a URL with port 0")
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != PORTS[parts.scheme]:
        netloc += f":{port}"
    path = parts.path.rstrip("/").removesuffix(INGEST_PATH).rstrip("/")
    return SplitResult(parts.scheme, netloc, path, "", "").geturl()


def is_insecure(url: str, proxy: Proxy | None = None) -> bool:
    """True if what is sent to `url` travels unencrypted to another machine, a proxy's included."""
    parts = urlsplit(url)
    hosts = [parts.hostname or "", *([] if proxy is None else [proxy.host])]
    return parts.scheme == "http" and not all(map(is_loopback, hosts))


def _split(text: str) -> tuple[SplitResult | None, int | None]:
    # The ValueError is not passed on: its text quotes what it cannot read.
    try:
        parts = urlsplit(text)
        return parts, parts.port
    except ValueError:
        return None, None


def _is_host(host: str) -> bool:
    if ":" in host or _IPV4_LIKE.fullmatch(host):
        return _address(host) is not None
    return _HOST_NAME.fullmatch(host) is not None


def is_loopback(host: str) -> bool:
    """True if a host name or an address is this machine's own."""
    if host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    import ipaddress  # noqa: PLC0415 - a millisecond of start-up, for a name or no name

    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


# The proxy between here and the server, as the environment names it.


class Proxy(Secret):
    """A proxy, whose URL may hold a user name and a password.

    Args:
        url: As the environment has it.

    Attributes:
        scheme: Of its URL: `http`, `https`, `socks5` or `socks5h`.
        host: Its name or address; empty where the URL cannot be read.
        port: Its port; where the URL has none, that of its scheme.
    """

    __slots__ = ("_url", "host", "port", "scheme")

    def __init__(self, url: str) -> None:
        self._url = url if "://" in url else f"http://{url}"
        parts, port = _split(self._url)
        self.scheme: str = parts.scheme if parts else ""
        self.host: str = (parts.hostname if parts else None) or ""
        self.port: int = port or PORTS.get(self.scheme, 80)

    def reveal(self) -> str:
        """The URL itself: for connecting only."""
        return self._url

    @property
    def authorization(self) -> str | None:
        """Value of the Proxy-Authorization header; None where the URL names no user."""
        parts, _ = _split(self._url)
        if parts is None or parts.username is None:
            return None
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    @property
    def shown(self) -> str:
        """The URL without user name and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{'***@' if self.authorization else ''}{host}:{self.port}"

    def __repr__(self) -> str:
        return "<Proxy>"


def proxy_of(endpoint: str) -> Proxy | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name for `endpoint`.

    None for one on this machine, whatever NO_PROXY says: the key and all logs would go to the
    proxy, and what it calls this machine is another one.

    Asked once, at construction: on macOS the system's settings count too, and asking for
    those in a forked child crashes it.
    """
    proxies = _proxies()
    if not proxies:
        return None
    from urllib.request import proxy_bypass  # noqa: PLC0415 - see `_proxies`

    parts = urlsplit(endpoint)
    if is_loopback(parts.hostname or ""):
        return None
    # With port or without, and with brackets around an IPv6 address or without.
    if proxy_bypass(parts.netloc) or proxy_bypass(parts.hostname or ""):
        return None
    url = proxies.get(parts.scheme) or proxies.get("all")
    return Proxy(url) if url else None


def proxy_secrets() -> Iterator[str]:
    """User names and passwords of all proxies, in every form that a message may have them."""
    for url in _proxies().values():
        # By hand: urlsplit raises for some URLs, and ends a password at its first slash.
        userinfo, at, _ = url.partition("://")[2].rpartition("@")
        if not at:
            userinfo, at, _ = url.rpartition("@")
        if not at:
            continue
        plain = unquote(userinfo)
        yield from (userinfo, *userinfo.split(":", 1))
        yield from (plain, *plain.split(":", 1))
        yield base64.b64encode(plain.encode("utf-8", "surrogatepass")).decode()


def _proxies() -> dict[str, str]:
    """As the standard library finds them."""
    # urllib.request imports ssl and http.client: a third of this package's start-up, which
    # nobody pays where there is nothing to find. The systems named have other places too.
    if sys.platform not in ("darwin", "win32") and not any(
        name.lower().endswith("_proxy") for name in os.environ
    ):
        return {}
    try:
        from urllib.request import getproxies  # noqa: PLC0415
    except (ImportError, AttributeError) as error:
        problem = f"Python's own urllib.request cannot be imported ({error})"
    else:
        return getproxies()
    module = stands_in_the_way()
    raise config_error(f"The proxy's settings cannot be read: {module or problem}.")
