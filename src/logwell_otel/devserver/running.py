"""uvicorn on a thread of its own, from a listening socket to the last connection's end."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

import uvicorn

from .forking import close_in_children

if TYPE_CHECKING:
    import socket

    from .connections import Connections

_KEEP_ALIVE_SECONDS = 10
"""The real server closes idle connections after 10 to 12 s."""

_START_SECONDS = 10.0
_STOP_SECONDS = 10.0
_FINISH_SECONDS = 5.0
"""Requests in progress get that long to end when it stops."""


class _Server(uvicorn.Server):
    """uvicorn's server, which starts and stops without waiting."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self.up = threading.Event()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.up.set()
        seconds = 0
        while not await self.on_tick(seconds * 10):  # Each tenth renews the Date header.
            seconds += 1
            try:
                await asyncio.wait_for(self._stop.wait(), 1)
            except asyncio.TimeoutError:
                continue
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn's own sleeps 0.1 s at least and then waits for every connection to end by
        # itself; tests stop many receivers, and a stopped one has to be gone.
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        if self.server_state.tasks:
            await asyncio.wait(list(self.server_state.tasks), timeout=_FINISH_SECONDS)
        await self._connections.end_all()

    def stop_soon(self) -> None:
        """Asks it to stop; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)


class Running:
    """One run between `start` and `stop`: a listener, a server, a thread."""

    def __init__(self, app: object, listener: socket.socket, connections: Connections) -> None:
        self._listener = listener
        self._connections = connections
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]
            http=connections.protocol(),
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        self._server = _Server(config, connections)
        self._thread = threading.Thread(target=self._run, name="logwell-receiver", daemon=True)

    def start(self) -> None:
        """Returns once it answers; RuntimeError when it does not come up."""
        close_in_children(self)
        self._thread.start()
        self._server.up.wait(_START_SECONDS)
        if not self._server.started:
            raise RuntimeError("the receiver did not come up")

    def stop(self) -> None:
        """Returns once thread and sockets are gone."""
        self._server.stop_soon()
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            raise RuntimeError("the receiver did not stop")

    def descriptors(self) -> list[int]:
        """The file descriptors of all its sockets."""
        open_connections = list(self._connections.open)
        return [self._listener.fileno(), *(one.fileno() for one in open_connections)]

    def _run(self) -> None:
        quiet = _QuietHere()
        loggers = [logging.getLogger(name) for name in ("asyncio", "uvicorn.error")]
        for logger in loggers:
            logger.addFilter(quiet)
        try:
            asyncio.run(self._server.serve(sockets=[self._listener]))
        finally:
            self._listener.close()
            self._server.up.set()  # Also when it failed: nobody is to wait for it.
            for logger in loggers:
                logger.removeFilter(quiet)


class _QuietHere(logging.Filter):
    """Drops what is said below ERROR in this thread.

    "Started server process", "Using selector" and the like would otherwise go to the root
    logger's handlers, and so through the very exporter that a test looks at.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or record.thread != self._thread
