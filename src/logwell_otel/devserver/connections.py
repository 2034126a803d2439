"""TCP connections with a number, and the means to cut one."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection:
    """One client's connection, to be found at `request.state.connection`.

    Attributes:
        number: 1 for the first.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.transport: asyncio.Transport | None = None

    def cut(self) -> None:
        """Ends it at once; what was not sent yet is lost."""
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        """Ends it once everything has been sent."""
        if self.transport is not None:
            self.transport.close()

    def fileno(self) -> int:
        """The socket's file descriptor, -1 when closed."""
        socket = None if self.transport is None else self.transport.get_extra_info("socket")
        return -1 if socket is None else int(socket.fileno())


class Connections:
    """The open connections of one receiver; numbers go on over restarts."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.open: set[Connection] = set()

    def protocol(self) -> type[H11Protocol]:
        """The protocol class to give to uvicorn."""
        connections = self

        class TrackedProtocol(H11Protocol):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self._tracked = Connection(next(connections._numbers))
                # uvicorn copies this mapping into each request's scope["state"].
                self.app_state = {**self.app_state, "connection": self._tracked}

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                self._tracked.transport = transport
                connections.open.add(self._tracked)

            def connection_lost(self, exc: Exception | None) -> None:
                connections.open.discard(self._tracked)
                super().connection_lost(exc)

        return TrackedProtocol

    async def end_all(self) -> None:
        """Ends every connection; what the sockets take at once is still sent."""
        for connection in list(self.open):
            connection.close()
        await asyncio.sleep(0)  # The loop runs connection_lost of those that had nothing to send.
        for connection in list(self.open):
            connection.cut()
