"""The listening socket."""

from __future__ import annotations

import errno
import os
import secrets
import socket

_FREE_PORTS = range(20_000, 30_000)
"""Below the ports that systems give to outgoing connections (Linux from 32,768, others from
49,152). A port from that range can be lost to another program while the receiver is stopped,
and a client that keeps trying it can even connect to itself."""

_TRIES = 50
_BACKLOG = 512


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    Args:
        host: Name or address.
        port: 0 picks a free one.

    Raises:
        OSError: The port is taken, or the address is not this machine's.
    """
    if port:
        return _open(host, port)
    for _ in range(_TRIES):
        try:
            return _open(host, secrets.choice(_FREE_PORTS))
        except OSError as error:
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise
    return _open(host, 0)


def _open(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # The port is free again at once after a stop or a kill. On Windows this option
            # means something else: sharing the port with another program.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def url_of(host: str, port: int) -> str:
    """The base URL for a host and port; IPv6 addresses in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    return host in {"localhost", "::1"} or host.startswith("127.")
