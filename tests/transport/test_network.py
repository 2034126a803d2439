"""Names with dead addresses, readers that are slow, descriptors that are not ours any more."""

from __future__ import annotations

import os
import socket
import ssl
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from logwell_otel._config.options import Config
from logwell_otel._delivery import engine
from logwell_otel._http import Answer, HttpTransport, NoAnswer
from logwell_otel._network import NEXT_ADDRESS_AFTER, Deadline, first_connected
from support.config import KEY
from support.server import ACCEPTED, Connection, SocketServer, answer_all, closed_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logwell_otel._network import AddressInfo

pytestmark = pytest.mark.socket

BODY = b'[{"level":"info","message":"hello"}]'
OK = Answer(200, {"content-length": "14"}, ACCEPTED)
LONG = 10.0


def transport_to(url: str, **settings: object) -> HttpTransport:
    return engine.transport_to(Config.resolve({}, endpoint=url, api_key=KEY, **settings))


def address(port: int, host: str = "127.0.0.1", family: int = socket.AF_INET) -> AddressInfo:
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)


@contextmanager
def swallowing() -> Iterator[int]:
    """A port on loopback that answers nothing: its queue of connections is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
        for filler in fillers:
            filler.close()


def descriptors() -> int:
    """How many this process has open; 0 where that cannot be seen."""
    folder = Path("/proc/self/fd")
    return len([*folder.iterdir()]) if folder.is_dir() else 0


def resolving(monkeypatch: pytest.MonkeyPatch, *found: AddressInfo) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*found])


@pytest.mark.parametrize("dead", [1, 4])
def test_a_name_whose_first_addresses_swallow_packets_is_reached(
    dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with swallowing() as port, SocketServer(answer_all()) as server:
        resolving(monkeypatch, *[address(port)] * dead, address(server.port))
        transport = transport_to("http://logs.example.com")
        began = time.monotonic()
        assert transport.post(BODY, LONG) == OK
        assert (
            time.monotonic() - began < dead * NEXT_ADDRESS_AFTER + 7
        )  # its connection may take 10
        transport.close()
    assert server.connections == 1


def test_an_address_that_refuses_costs_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as port, SocketServer(answer_all()) as server:
        found = [*[address(port)] * 40, address(server.port)]
        began = time.monotonic()
        deadline = Deadline()
        deadline.start(LONG)
        with first_connected(found, deadline) as connected:
            assert connected.getpeername() == ("127.0.0.1", server.port)
        assert time.monotonic() - began < 40 * NEXT_ADDRESS_AFTER


def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with an IPv6 that leads nowhere, and a name with many such addresses."""
    tried: list[int] = []

    class Socket(socket.socket):
        def connect(self, target: object) -> None:
            tried.append(self.family)
            raise OSError("no route")

    monkeypatch.setattr(socket, "socket", Socket)
    found = [address(1, "::1", socket.AF_INET6)] * 3 + [address(1)] * 2
    deadline = Deadline()
    deadline.start(LONG)
    with pytest.raises(OSError, match="no route"):
        first_connected(found, deadline)
    six, four = socket.AF_INET6, socket.AF_INET
    assert tried == [six, four, six, four, six]


def test_a_name_whose_addresses_all_swallow_packets_ends_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = descriptors()
    with swallowing() as port:
        resolving(monkeypatch, *[address(port)] * 3)
        transport = transport_to("http://logs.example.com")
        began = time.monotonic()
        reply = transport.post(BODY, 1.0)
        assert 1.0 <= time.monotonic() - began < 9
        assert reply == NoAnswer("ConnectTimeout: not over within 1 s")
    assert descriptors() == before  # none of the attempts is left open


def test_a_name_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch)
    reply = transport_to("http://logs.example.com").post(BODY, LONG)
    assert reply == NoAnswer("ConnectError: the name has no address")


def read_slowly(server: SocketServer, connection: Connection) -> None:
    """A few bytes at a time: each write is in time, all of them together are not."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    while not server.closed.wait(0.02) and connection.socket.recv(2048):
        pass


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_server_that_reads_slowly_is_given_up_at_the_deadline(
    secure: bool, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    files = {"certificate_file": tmp_path / "ca.pem"} if secure else {}
    with SocketServer(read_slowly, tls if secure else None) as server:
        transport = transport_to(server.url, **files)
        began = time.monotonic()
        reply = transport.post(b"x" * 20_000_000, 1.0)
        assert time.monotonic() - began < 9
    assert isinstance(reply, NoAnswer)
    assert reply.reason.startswith("WriteTimeout: ")
    assert not reply.timed_out


def test_an_idle_connection_whose_descriptor_is_another_files_by_now_touches_it_not(
    tmp_path: Path,
) -> None:
    """As `os.closerange` and a daemon that detaches leave it: the number is given out again."""
    with SocketServer(answer_all()) as server:
        transport = transport_to(server.url)
        assert transport.post(BODY, LONG) == OK
        assert transport._client._connection is not None  # noqa: SLF001
        connection: Any = transport._client._connection._made  # noqa: SLF001
        stream = connection._connection._network_stream  # noqa: SLF001
        number = stream._sock.fileno()  # noqa: SLF001
        path = tmp_path / "data"
        with path.open("wb") as file:
            os.dup2(file.fileno(), number)  # the application's own file, with that number
            assert transport.post(BODY, LONG) == OK
            transport.close()
            os.fstat(number)  # it is open still
            os.close(number)
        assert path.read_bytes() == b""
        assert server.connections == 2


def test_closed_descriptors_cost_one_connection() -> None:
    with SocketServer(answer_all()) as server:
        transport = transport_to(server.url)
        for _ in range(3):
            assert transport.post(BODY, LONG) == OK
            assert transport._client._connection is not None  # noqa: SLF001
            connection: Any = transport._client._connection._made  # noqa: SLF001
            stream = connection._connection._network_stream  # noqa: SLF001
            os.close(stream._sock.fileno())  # noqa: SLF001
        assert server.connections == 3
        stream._sock.detach()  # noqa: SLF001 - or the garbage collector closes another's
        transport.close()
