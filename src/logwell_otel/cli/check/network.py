"""Is there a way to the server at all: its name, and something that listens there."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from typing import TYPE_CHECKING, Any, Final

from logwell_otel.cli.check.result import Finding, failed, passed, warning

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel.cli.check.way import Way

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
"""What `socket.getaddrinfo` gives."""

_MAX_SHOWN: Final = 4


def resolve(way: Way, getaddrinfo: Callable[..., list[Any]]) -> tuple[Finding, list[AddressInfo]]:
    """Look up what is connected to."""
    host, port = way.first
    try:
        addresses: list[AddressInfo] = getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return _unresolved(host, error, where=_named_by(way)), []
    shown = list(dict.fromkeys(str(info[4][0]) for info in addresses))
    if _is_address(host):
        return passed(f"{host} is an address, there is no name to look up"), addresses
    more = f" and {len(shown) - _MAX_SHOWN} more" if len(shown) > _MAX_SHOWN else ""
    return passed(f"{host} is {', '.join(shown[:_MAX_SHOWN])}{more}"), addresses


def connect(way: Way, addresses: list[AddressInfo], timeout: float) -> Finding:
    """Connect to the first of `addresses` that answers, as a request would."""
    host, port = way.first
    what = f"the proxy {host} port {port}" if way.proxy else f"{host} port {port}"
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
    return _unconnected(what, refused, timeout, way)


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
    what: str, refused: list[tuple[str, OSError]], timeout: float, way: Way
) -> Finding:
    reason, where = _listed(refused), _named_by(way)
    errors = [error for _, error in refused]
    if any(isinstance(error, ConnectionRefusedError) for error in errors):
        return failed(
            f"nothing listens at {what} ({reason})",
            f"Start the {'proxy' if way.proxy else 'server'}, or correct host and port in {where}.",
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


def _named_by(way: Way) -> str:
    return way.proxy.origin if way.proxy else "endpoint (LOGWELL_ENDPOINT)"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
