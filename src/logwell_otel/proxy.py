"""The proxy between here and the server, as the environment names it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

if TYPE_CHECKING:
    from collections.abc import Iterator


class Proxy:
    """A proxy, whose URL may hold a user name and a password.

    Args:
        url: As the environment has it.
    """

    __slots__ = ("_url",)

    def __init__(self, url: str) -> None:
        self._url = url if "://" in url else f"http://{url}"

    def reveal(self) -> str:
        """The URL itself: for connecting only."""
        return self._url

    def __repr__(self) -> str:
        return "<Proxy>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Proxy is not pickled: it would leave the process in clear text")


def proxy_of(endpoint: str) -> Proxy | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name for `endpoint`.

    Asked once, at construction: on macOS the system's settings count too, and asking for
    those in a forked child crashes it.
    """
    parts = urlsplit(endpoint)
    # With port or without, and with brackets around an IPv6 address or without.
    if proxy_bypass(parts.netloc) or proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    url = proxies.get(parts.scheme) or proxies.get("all")
    return Proxy(url) if url else None


def proxy_secrets() -> Iterator[str]:
    """User names and passwords of all proxies, in every form that a message may have them."""
    for url in getproxies().values():
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
