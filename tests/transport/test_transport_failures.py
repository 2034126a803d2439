"""What goes wrong between two sockets ends in time, as `NoAnswer`, and the next request works."""

from __future__ import annotations

import itertools
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING

import httpcore
import pytest

from logwell_otel import _http as transport_module
from logwell_otel._config.options import Config
from logwell_otel._delivery import engine
from logwell_otel._delivery.response import Action, outcome_of
from logwell_otel._http import Answer, HttpTransport, NoAnswer
from logwell_otel._network import Deadline, Stream
from support.clock import Clock
from support.config import KEY
from support.server import Connection, SocketServer, answer_all, closed_port, response

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.socket

BODY = b'[{"level":"info","message":"hello"}]'
LONG = 10.0
SHORT = 0.3
SLACK = 5.0  # for a machine that is busy with something else
OK = Answer(200, {"content-length": "14"}, b'{"accepted":1}')


def transport_to(url: str) -> HttpTransport:
    return engine.transport_to(Config.resolve({}, endpoint=url, api_key=KEY))


def post_within(seconds: float, url: str, body: bytes = BODY) -> Answer | NoAnswer:
    """The answer, or what came in its place, in time."""
    transport = transport_to(url)
    began = time.monotonic()
    try:
        return transport.post(body, seconds)
    finally:
        assert time.monotonic() - began < seconds + SLACK
        transport.close()


def test_refused() -> None:
    with closed_port() as port:
        reply = post_within(LONG, f"http://127.0.0.1:{port}")
    assert isinstance(reply, NoAnswer)
    assert reply.reason.startswith("ConnectError: [Errno")
    assert "refused" in reply.reason.lower()
    assert reply.reason.count("refused") == 1  # said once, although three exceptions say it


def test_no_such_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    reply = post_within(LONG, "http://logs.example.com:3000")
    assert reply == NoAnswer(f"ConnectError: [Errno {socket.EAI_NONAME}] Name or service not known")


def test_a_host_that_swallows_packets() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        reply = post_within(SHORT, f"http://127.0.0.1:{port}")
        for filler in fillers:
            filler.close()
    assert reply == NoAnswer("ConnectTimeout: not over within 0.3 s")


def test_a_listener_that_never_accepts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reply = post_within(SHORT, f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert reply == NoAnswer("ReadTimeout: timed out", timed_out=True)


def trickle(data: bytes) -> Callable[[SocketServer, Connection], None]:
    """Sends a byte every 20 ms: each read is in time, all of them together are not."""

    def handle(server: SocketServer, connection: Connection) -> None:
        connection.read_request()
        for byte in itertools.chain(data, itertools.repeat(ord("x"))):
            connection.send(bytes([byte]))
            if server.closed.wait(0.02):
                return

    return handle


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Long: ", id="headers"),
        pytest.param(response(b"", length=100_000), id="body"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, id="never more than 100 Continue"),
    ],
)
def test_a_trickle_ends_at_the_deadline(data: bytes) -> None:
    with SocketServer(trickle(data)) as server:
        reply = post_within(SHORT, server.url)
    assert isinstance(reply, NoAnswer)
    assert reply.reason in ("ReadTimeout: not over within 0.3 s", "ReadTimeout: timed out")
    assert reply.timed_out


def test_a_deadline_is_over_when_the_clock_says_so() -> None:
    clock = Clock()
    deadline = Deadline(clock)
    deadline.start(10)
    clock.sleep(4)
    assert deadline.left() == 6
    clock.sleep(6)
    with pytest.raises(TimeoutError, match=r"^not over within 10 s$"):
        deadline.left()
    deadline.start(0.5)
    assert deadline.left() == 0.5


def test_a_connection_whose_time_is_over_before_the_handshake_is_closed() -> None:
    """It was left to the garbage collector, which warned of it."""
    clock = Clock()
    deadline = Deadline(clock)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connected = socket.create_connection(listener.getsockname())
        stream = Stream(connected, deadline)
        deadline.start(1)
        clock.sleep(1)
        with pytest.raises(httpcore.ConnectTimeout):
            stream.start_tls(ssl.create_default_context(), "127.0.0.1")
    assert connected.fileno() == -1


def test_a_server_that_does_not_read() -> None:
    def handle(server: SocketServer, connection: Connection) -> None:
        server.closed.wait()

    with SocketServer(handle) as server:
        reply = post_within(SHORT, server.url, b"x" * 30_000_000)
    assert isinstance(reply, NoAnswer)
    assert reply.reason in ("WriteTimeout: timed out", "WriteTimeout: not over within 0.3 s")
    assert not reply.timed_out  # it was not sent, and so not stored


def close_at_once(server: SocketServer, connection: Connection) -> None:
    """The handler's end closes the connection."""


def close_after_request(server: SocketServer, connection: Connection) -> None:
    connection.read_request()


def close_in_headers(server: SocketServer, connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-")


def close_in_body(server: SocketServer, connection: Connection) -> None:
    connection.read_request()
    connection.send(response(b'{"accepted"', length=14))


def reset(server: SocketServer, connection: Connection) -> None:
    connection.read_request()
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def speak_something_else(server: SocketServer, connection: Connection) -> None:
    connection.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    connection.read_request()


@pytest.mark.parametrize(
    "handle",
    [
        close_at_once,
        close_after_request,
        close_in_headers,
        close_in_body,
        reset,
        speak_something_else,
    ],
)
def test_a_broken_exchange_is_no_answer(
    handle: Callable[[SocketServer, Connection], None],
) -> None:
    def first_broken(server: SocketServer, connection: Connection) -> None:
        if connection.number == 1:
            handle(server, connection)
        else:
            answer_all()(server, connection)

    with SocketServer(first_broken) as server:
        transport = transport_to(server.url)
        reply = transport.post(BODY, LONG)
        assert isinstance(reply, NoAnswer), reply
        assert outcome_of(reply).action is Action.RETRY
        assert transport.post(BODY, LONG) == OK
        transport.close()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(response(b"", length=50_000_000), id="length"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="until the connection closes"),
    ],
)
def test_an_oversized_answer_is_cut_and_its_connection_not_used_again(head: bytes) -> None:
    def handle(server: SocketServer, connection: Connection) -> None:
        if connection.number == 1:
            connection.read_request()
            connection.send(head)
            while not server.closed.is_set():
                connection.send(b"x" * 65536)
        else:
            answer_all()(server, connection)

    with SocketServer(handle) as server:
        transport = transport_to(server.url)
        reply = transport.post(BODY, LONG)
        assert isinstance(reply, Answer)
        assert (reply.status, len(reply.body)) == (200, 256 * 1024)
        assert transport.post(BODY, LONG) == OK
        assert server.connections == 2
        transport.close()


def test_a_connection_is_kept() -> None:
    with SocketServer(answer_all()) as server:
        transport = transport_to(server.url)
        assert [transport.post(BODY, LONG) for _ in range(5)] == [OK] * 5
        assert transport.healthy(LONG) is True
        assert server.connections == 1
        transport.close()
        assert transport.post(BODY, LONG) == OK
        assert server.connections == 2
        transport.close()
        transport.close()


def test_a_connection_that_the_server_closed_meanwhile_costs_nothing() -> None:
    def one_request(server: SocketServer, connection: Connection) -> None:
        connection.read_request()
        connection.send(response())

    with SocketServer(one_request) as server:
        transport = transport_to(server.url)
        for _ in range(5):
            assert transport.post(BODY, LONG) == OK
            wait_until_closed_by_peer(transport)
        assert server.connections == 5
        transport.close()


def test_a_connection_that_was_reset_meanwhile_costs_nothing() -> None:
    def one_request(server: SocketServer, connection: Connection) -> None:
        connection.read_request()
        connection.send(response())
        time.sleep(0.02)  # or the reset may overtake the answer
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.socket.close()

    with SocketServer(one_request) as server:
        transport = transport_to(server.url)
        for _ in range(3):
            assert transport.post(BODY, LONG) == OK
            time.sleep(0.1)
        assert server.connections == 3
        transport.close()


def test_a_second_answer_is_not_taken_for_that_to_the_next_request() -> None:
    with SocketServer(answer_all(response() + response(b'{"accepted":99}'))) as server:
        transport = transport_to(server.url)
        for _ in range(3):
            assert transport.post(BODY, LONG) == OK
        assert server.connections == 3
        transport.close()


def wait_until_closed_by_peer(transport: HttpTransport) -> None:
    connection = transport._client._connection  # noqa: SLF001
    assert connection is not None
    deadline = time.monotonic() + LONG
    while not connection.ended:
        assert time.monotonic() < deadline


def test_a_connection_is_not_kept_longer_than_the_server_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert transport_module._KEEPALIVE_SECONDS < 10  # noqa: SLF001 - CONTRACT: 10 to 12 s
    monkeypatch.setattr(transport_module, "_KEEPALIVE_SECONDS", 0.0)
    with SocketServer(answer_all()) as server:
        transport = transport_to(server.url)
        for _ in range(3):
            assert transport.post(BODY, LONG) == OK
            wait_until_closed_by_peer(transport)
        assert server.connections == 3
        transport.close()


def test_a_connection_that_breaks_while_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(stream: Stream) -> None:
        stream._sock.close()  # noqa: SLF001
        raise OSError("broken")

    with SocketServer(answer_all()) as server:
        transport = transport_to(server.url)
        assert transport.post(BODY, LONG) == OK
        with monkeypatch.context() as patch:
            patch.setattr(Stream, "close", broken)
            transport.close()
        assert transport.post(BODY, LONG) == OK
        assert server.connections == 2
        transport.close()
