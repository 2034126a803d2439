"""The development server on a thread of its own: start, stop, and everything with a socket."""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import os
import secrets
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .app import create_app
from .faults import Faults
from .ingest import KEY_FORMAT, Ingest, RateLimit
from .journal import Journal
from .page import Page
from .reading import Reading
from .session import Sessions
from .store import Store
from .stream import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from typing_extensions import Self

    from .journal import IngestRequest, RequestCounts
    from .store import Entry

_KEEP_ALIVE_SECONDS = 10
"""The real server closes idle connections after 10 to 12 s."""

_START_SECONDS = 10.0
_STOP_SECONDS = 10.0
_FINISH_SECONDS = 5.0
"""Requests in progress get that long to end when it stops."""

_FREE_PORTS = range(20_000, 30_000)
"""Below the ports that systems give to outgoing connections (Linux from 32,768, others from
49,152). A port from that range can be lost to another program while the server is stopped,
and a client that keeps trying it can even connect to itself."""

_QUIET = ("asyncio", "uvicorn.access", "uvicorn.error")
_TRIES = 50
_BACKLOG = 512


def new_key() -> str:
    """A random API key of the right form."""
    return f"lw_{secrets.token_urlsafe(24)}"


class DevServer:
    """A Logwell-compatible server in this process, on a thread of its own.

    Example::

        with DevServer() as server:
            exporter = LogwellLogExporter(server.url, server.key)
            ...
            assert [entry.message for entry in server.entries()] == ["hello"]

    The context manager starts and closes it. Entries, counts and fault switches outlive
    `stop()` and `start()`, and the port stays the same.

    Args:
        host: Name or address to listen on; this machine only by default.
        port: TCP port to listen on; 0 picks a free one at the first start.
        api_key: The key to accept: `lw_` and 32 of `A-Z a-z 0-9 _ -`. None makes one.
        requests_per_minute: The rate limit, at least 1: a bucket of that many requests, full
            at the start and refilled evenly. 600 as on a real server; None for no limit.
        clock: The rate limit's clock: seconds that never go backwards.
        db: SQLite file to store entries in, made where it is missing; None keeps them in
            memory.
        max_bytes: What stored entries may take there; beyond it the oldest go. None for no end.
        control: Whether the fault switches and the journal are offered to other processes,
            at `/_control`.
        username: Who signs in to read: three or more of `A-Z a-z 0-9 _ .`.
        password: The account's password; None makes one.
        stream_speed: Streams wait that much shorter: for their batches, until their
            heartbeat, until they are cut for being idle. For tests.
        journal: Whether single requests are remembered (the last 100,000); without, `requests`
            is empty and there are counts only.
        on_stored: Called with each batch's entries, after the commit, in the server's thread.

    Attributes:
        key: The key it accepts.
        username: Who signs in to read.
        password: The account's password.
        faults: The fault switches.

    Raises:
        ValueError: The form of the key or of the user name, or the rate limit is wrong.
        StoreError: The file cannot be opened, or is not this server's.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        requests_per_minute: int | None = 600,
        clock: Callable[[], float] = time.monotonic,
        db: str | Path | None = None,
        max_bytes: int | None = None,
        control: bool = True,
        username: str = "admin",
        password: str | None = None,
        stream_speed: float = 1.0,
        journal: bool = True,
        on_stored: Callable[[Sequence[Entry]], None] | None = None,
    ) -> None:
        self.key: str = new_key() if api_key is None else api_key
        self.password: str = secrets.token_urlsafe(12) if password is None else password
        del api_key, password  # what shows a frame's locals would show them
        if not KEY_FORMAT.fullmatch(self.key):
            raise ValueError("the API key must be lw_ and 32 of A-Z a-z 0-9 _ -")
        limit = None if requests_per_minute is None else RateLimit(requests_per_minute, clock)
        self.faults: Faults = Faults()
        self._host = host
        self._port = port
        self._journal = Journal(keep=journal)
        self._connections = _Connections()
        self._store = Store(db, max_bytes=max_bytes)
        ingest = Ingest(
            self._store,
            self.key,
            limit=limit,
            faults=self.faults,
            journal=self._journal,
            on_stored=on_stored,
        )
        self.username = username
        sessions = Sessions(username, self.password, clock)
        reading = Reading(self._store, sessions)
        self._streams = Streams(self._store, reading, speed=stream_speed)
        self._page = Page(
            self._store,
            self.faults,
            self._journal,
            limit,
            switchable=control or is_loopback(host),
        )
        self._app = create_app(
            ingest,
            self._store,
            [*sessions.routes(), *self._streams.routes(), *reading.routes()],
            self.faults,
            self._journal,
            page=self._page,
            host=host,
            with_control=control,
        )
        self._run: _Run | None = None

    @property
    def port(self) -> int:
        """The TCP port; 0 before the first start where none was given."""
        return self._port

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return url_of(self._host, self._port)

    def start(self) -> Self:
        """Listens and answers from now on.

        Returns:
            The server itself.

        Raises:
            OSError: The port is taken, or the address is not this machine's.
            RuntimeError: It is running already, or did not come up within 10 s.
        """
        if self._run is not None:
            raise RuntimeError("the development server is running already")
        listener = listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._run = _Run(self._app, listener, self._connections)
        self._run.start()
        return self

    def stop(self) -> None:
        """Stops listening, lets requests in progress end and cuts those that hang.

        Requests in progress get up to 5 s. Connecting is refused afterwards. Stopping twice
        does no harm.

        Raises:
            RuntimeError: Its thread did not end within 10 s.
        """
        run, self._run = self._run, None
        if run is not None:
            # Any change of the switches releases what hangs.
            self.faults.apply(self.faults.settings)
            self._page.end_streams()
            run.stop()

    def close(self) -> None:
        """Stops for good and closes the database."""
        self.stop()
        self._store.close()

    def __enter__(self) -> Self:
        return self if self._run is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def entries(self, skip: int = 0) -> list[Entry]:
        """Everything stored, in the order of storing, without the first `skip` entries."""
        return self._store.entries(skip)

    def count(self) -> int:
        """Number of entries stored."""
        return self._store.count()

    def wait_for(self, count: int, timeout: float = 5.0) -> bool:
        """Waits until at least `count` entries are stored; False after `timeout` seconds."""
        return self._store.wait_for(count, timeout)

    @property
    def requests(self) -> list[IngestRequest]:
        """The ingest requests in order of arrival: copies."""
        return self._journal.requests()

    @property
    def counts(self) -> RequestCounts:
        """Totals of requests, answers, entries and connections."""
        return self._journal.counts()

    @property
    def streams(self) -> int:
        """Streams that are open."""
        return self._streams.open

    @property
    def stream_cuts(self) -> int:
        """Streams cut so far for having been idle."""
        return self._streams.cuts

    def forget(self) -> None:
        """Empties the list of requests and the counts; entries stay."""
        self._journal.clear()

    def __repr__(self) -> str:
        if not hasattr(self, "_app"):
            return "<DevServer, not constructed>"
        state = "stopped" if self._run is None else "running"
        return f"<DevServer {self.url} {state} entries={self.count()}>"


class _Run:
    """One run between `start` and `stop`: a listener, uvicorn, a thread."""

    def __init__(self, app: object, listener: socket.socket, connections: _Connections) -> None:
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
        self._server = _UvicornServer(config, connections)
        self._thread = threading.Thread(target=self._serve, name="logwell-devserver", daemon=True)

    def start(self) -> None:
        """Returns once it answers; RuntimeError when it does not come up."""
        _runs.add(self)
        self._thread.start()
        self._server.up.wait(_START_SECONDS)
        if not self._server.started:
            raise RuntimeError("the development server did not come up")

    def stop(self) -> None:
        """Returns once thread and sockets are gone."""
        self._server.stop_soon()
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            raise RuntimeError("the development server did not stop")

    def descriptors(self) -> list[int]:
        """The file descriptors of all its sockets."""
        open_connections = list(self._connections.open)
        return [self._listener.fileno(), *(one.fileno() for one in open_connections)]

    def _serve(self) -> None:
        quiet = _QuietHere()
        loggers = [logging.getLogger(name) for name in _QUIET]
        for logger in loggers:
            logger.addFilter(quiet)
        try:
            asyncio.run(self._server.serve(sockets=[self._listener]))
        finally:
            self._listener.close()
            self._server.up.set()  # Also when it failed: nobody is to wait for it.
            for logger in loggers:
                logger.removeFilter(quiet)


class _UvicornServer(uvicorn.Server):
    """uvicorn's server, which starts and stops without waiting."""

    def __init__(self, config: uvicorn.Config, connections: _Connections) -> None:
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
        # itself; tests stop many servers, and a stopped one has to be gone.
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


class _TrackedConnection:
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


class _Connections:
    """The open connections of one server; numbers go on over restarts."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.open: set[_TrackedConnection] = set()

    def protocol(self) -> type[H11Protocol]:
        """The protocol class to give to uvicorn."""
        connections = self

        class TrackedProtocol(H11Protocol):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self._tracked = _TrackedConnection(next(connections._numbers))
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


_runs: weakref.WeakSet[_Run] = weakref.WeakSet()


def _let_go_in_child() -> None:
    """After a fork, in the child: lets go of the sockets of every server.

    A child has copies of all descriptors. Without this, a server stopped in the parent would
    still seem to listen (connections are taken and never answered), and connections that the
    parent closes would stay open, for as long as the child lives.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for run in list(_runs):
        for descriptor in run.descriptors():
            if descriptor >= 0:
                # Put something harmless in its place instead of closing: the objects that
                # know this number would later close whatever has it by then.
                os.dup2(null, descriptor)
    os.close(null)


if hasattr(os, "register_at_fork"):  # Not on Windows, which has no fork.
    os.register_at_fork(after_in_child=_let_go_in_child)


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
