"""Servers of three kinds: without a socket, for whole requests, and down to the single byte.

`Server` is a transport, for everything that needs no network. `HttpServer` answers requests
on loopback; its subclasses play other programs. `SocketServer` does what no HTTP library would.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import msgspec

from logwell_otel._http import Answer, NoAnswer
from support.clock import Clock

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from typing_extensions import Self


Reply = Answer | NoAnswer | None
"""None: answered as the server would."""


def answer(status: int, body: object = None, **headers: str) -> Answer:
    """An answer as the server, or with a text body a proxy, gives it."""
    if isinstance(body, str):
        return Answer(status, {"content-type": "text/html", **headers}, body.encode())
    content = b"" if body is None else msgspec.json.encode(body)
    return Answer(status, {"content-type": "application/json", **headers}, content)


REFUSED = NoAnswer("ConnectError: connection refused")
SERVER_ERROR = answer(500, {"message": "Internal server error", "id": "x"})
RATE_LIMITED = answer(429, {"error": "rate_limited", "message": "x"}, **{"retry-after": "60"})
NO_ENTRIES = answer(400, {"error": "validation_error", "message": "cannot be an empty array"})
UNAUTHORIZED = answer(401, {"error": "unauthorized", "message": "Invalid API key"})


class Server:
    """A Logwell server as a `Transport`: stores, refuses, and fails as it is told to.

    Attributes:
        stored: Messages stored, in order, without our own reports of losses.
        requests: Messages of each request, whatever became of it.
        questions: Requests without entries, which ask whether answers come back.
        replies: The next requests' answers; None in it is the right answer.
        always: Asked for every request when `replies` is empty.
        poison: Requests with an entry that holds this text are answered 500.
        is_healthy: What `/api/health` says.
    """

    def __init__(self, clock: Clock | None = None, latency: float = 0.03) -> None:
        self.clock = clock or Clock()
        self.latency = latency
        self.stored: list[str] = []
        self.requests: list[list[str]] = []
        self.questions = 0
        self.bodies: list[bytes] = []
        self.replies: list[Reply] = []
        self.always: Callable[[list[dict[str, Any]]], Reply] = lambda entries: None
        self.poison: str | None = None
        self.is_healthy: bool | None = True
        self.health_checks = 0
        self.closed = 0

    def post(self, body: bytes, timeout: float) -> Answer | NoAnswer:
        self.clock.now += self.latency
        entries = msgspec.json.decode(body)
        messages = [entry["message"] for entry in entries]
        if not entries:
            self.questions += 1
            return self.always(entries) or NO_ENTRIES
        self.requests.append(messages)
        self.bodies.append(body)
        reply = self.replies.pop(0) if self.replies else self.always(entries)
        if reply is not None:
            return reply
        if len(entries) > 100:
            return answer(400, {"error": "batch_too_large", "message": "over 100"})
        if self.poison is not None and any(re.search(self.poison, text) for text in messages):
            return SERVER_ERROR
        self.stored += [text for text in messages if not text.startswith("logwell-otel dropped")]
        return answer(200, {"accepted": len(entries)})

    def healthy(self, timeout: float) -> bool | None:
        self.health_checks += 1
        return self.is_healthy

    def close(self) -> None:
        self.closed += 1


class HttpServer:
    """Answers each request with `respond`, on a thread of the request's connection.

    A context manager; `url` and `port` are known before it is entered.
    """

    protocol = "HTTP/1.0"

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = self.protocol

            def do_GET(self) -> None:
                server.respond(self, self.rfile.read(int(self.headers["Content-Length"] or 0)))

            do_POST = do_GET  # noqa: N815 - http.server looks for these names

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def respond(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


ACCEPTED = b'{"accepted":1}'


def response(
    body: bytes = ACCEPTED, status: str = "200 OK", *headers: str, length: int | None = None
) -> bytes:
    """An HTTP answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*head, *headers, "", ""]).encode() + body


class Connection:
    """One accepted connection."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.socket = sock
        self.number = number
        self._rest = b""

    def read_head(self) -> str:
        """A request's first line and headers; empty when the client has closed."""
        while b"\r\n\r\n" not in self._rest:
            part = self.socket.recv(65536)
            if not part:
                return ""
            self._rest += part
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def read_request(self) -> str:
        """The same, and its body is read too."""
        head = self.read_head()
        for line in head.split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "content-length":
                while len(self._rest) < int(value):
                    self._rest += self.socket.recv(65536)
                self._rest = self._rest[int(value) :]
        return head

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)


class SocketServer:
    """Calls `handle` on a thread of its own for each connection, which it closes afterwards.

    Attributes:
        heads: First line and headers of every request that `answer_all` read.
        connections: How many connections were accepted.
    """

    def __init__(
        self,
        handle: Callable[[SocketServer, Connection], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._handle = handle
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.heads: list[str] = []
        self.connections = 0
        self.closed = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            self._start(self._serve, sock, self.connections)

    def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(sock)
            if self._tls is not None:
                sock = stack.enter_context(self._tls.wrap_socket(sock, server_side=True))
                self._open.append(sock)
            self._handle(self, Connection(sock, number))


def answer_all(answer: bytes = response()) -> Callable[[SocketServer, Connection], None]:
    """Answers every request of every connection."""

    def handle(server: SocketServer, connection: Connection) -> None:
        while head := connection.read_request():
            server.heads.append(head)
            connection.send(answer)

    return handle


class ConnectProxy(SocketServer):
    """A proxy that opens tunnels to loopback.

    Attributes:
        status: What it answers; anything but 200 opens none.
        asked: The first line and the Proxy-Authorization of each request.
    """

    def __init__(self, status: str = "200 Connection established") -> None:
        super().__init__(lambda _, connection: self._tunnel(connection))
        self.status = status
        self.asked: list[tuple[str, str | None]] = []

    def _tunnel(self, connection: Connection) -> None:
        first, *headers = connection.read_head().split("\r\n")
        if not first:
            return
        pairs = dict(line.lower().split(": ", 1) for line in headers if ": " in line)
        self.asked.append((first, pairs.get("proxy-authorization")))
        connection.send(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
        if self.status.startswith("200"):
            tunnel(connection.socket, first.split()[1])


def tunnel(client: socket.socket, target: str) -> None:
    """Carry bytes both ways between a client and the port of `host:port`, until both have ended.

    On loopback, whatever the host is called: this machine is not reached through a proxy.
    """
    port = target.rpartition(":")[2]
    with socket.create_connection(("127.0.0.1", int(port)), 5) as upstream:
        back = threading.Thread(target=_pump, args=(upstream, client), daemon=True)
        back.start()
        _pump(client, upstream)
        back.join(5)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody else will meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def free_port() -> int:
    """A port on which nobody listens at the moment, for a server to be given or to be missing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
