"""Servers on loopback that do what a test tells them, down to the single byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from typing_extensions import Self

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody else will meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
