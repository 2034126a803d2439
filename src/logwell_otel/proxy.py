"""The proxy between here and the server, as the environment names it."""

from __future__ import annotations

import base64
import os
import sys
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote, urlsplit

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
    proxies = _proxies()
    if not proxies:
        return None
    from urllib.request import proxy_bypass  # noqa: PLC0415 - see `_proxies`

    parts = urlsplit(endpoint)
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
    from urllib.request import getproxies  # noqa: PLC0415

    return getproxies()
