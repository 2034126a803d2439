"""Following a project: through idle closes and restarts, nothing missing and nothing twice."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from logwell_otel.devserver import DevServer
    from logwell_otel.reader import LogRow, LogwellReader

pytestmark = pytest.mark.socket

DEADLINE = 60.0


class Followed:
    """A tail on a thread of its own, and what it has yielded."""

    def __init__(self, reader: LogwellReader, rows: Iterator[LogRow]) -> None:
        self.messages: list[str] = []
        self.error: BaseException | None = None
        self._reader = reader
        self._rows = rows
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        try:
            for row in self._rows:
                self.messages.append(row.message)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.error = error

    def wait_for(self, *messages: str) -> None:
        """Until it has yielded these and no others."""
        until = time.monotonic() + DEADLINE
        while len(self.messages) < len(messages) and time.monotonic() < until:
            time.sleep(0.01)
        assert (self.messages, self.error) == ([*messages], None)

    def end(self) -> None:
        self._reader.close()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        assert self.error is None


def streaming(server: DevServer) -> None:
    """Until a stream is open."""
    until = time.monotonic() + DEADLINE
    while not server.streams and time.monotonic() < until:
        time.sleep(0.01)


def test_history_first_then_what_comes(
    server: DevServer, reader: LogwellReader, ingest: Callable[..., None]
) -> None:
    ingest("one")
    ingest("two")
    ingest("three")
    tail = Followed(reader, reader.tail(history=2))
    tail.wait_for("two", "three")
    streaming(server)
    ingest("four")
    time.sleep(0.005)  # rows of one millisecond have no order
    ingest({"level": "error", "message": "five"})
    tail.wait_for("two", "three", "four", "five")
    tail.end()


def test_since_begins_with_all_since_then(
    server: DevServer, reader: LogwellReader, ingest: Callable[..., None]
) -> None:
    ingest({"level": "info", "message": "old", "timestamp": "2026-11-20T10:00:00Z"})
    ingest("one")
    ingest("two")
    tail = Followed(reader, reader.tail(since="1h"))
    tail.wait_for("one", "two")
    streaming(server)
    late = {"level": "info", "message": "old and late", "timestamp": "2026-11-20T10:00:00Z"}
    ingest(late, "three")
    tail.wait_for("one", "two", "three")
    tail.end()


def test_a_dead_first_address_is_passed_by(
    server: DevServer,
    reader: LogwellReader,
    ingest: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name's first address refuses; a search gets past it, and so must a stream."""
    live = socket.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = [(*one[:4], unused.getsockname()) for one in live]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*dead, *live])
        tail = Followed(reader, reader.tail())
        streaming(server)
        ingest("one")
        tail.wait_for("one")
        tail.end()


@pytest.mark.parametrize("when", ["opening", "reading"])
def test_end_reaches_a_tail_wherever_it_is(
    server: DevServer, reader: LogwellReader, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    opened = reader._open_stream  # noqa: SLF001 - ended just then

    def open_stream() -> object:
        stream = opened()
        if when == "opening":
            reader.close()
        return stream

    monkeypatch.setattr(reader, "_open_stream", open_stream)
    tail = Followed(reader, reader.tail())
    if when == "reading":
        streaming(server)
    tail.end()


def test_filters_are_applied_here(
    server: DevServer, reader: LogwellReader, ingest: Callable[..., None]
) -> None:
    tail = Followed(reader, reader.tail("Order", level="error,fatal", where={"shop": 1}))
    streaming(server)
    wanted = {"level": "error", "message": "an order failed", "metadata": {"shop": 1}}
    ingest(
        {**wanted, "level": "info"},
        {**wanted, "message": "another"},
        {**wanted, "metadata": {"shop": 2}},
        wanted,
        {**wanted, "message": "reordered", "level": "fatal"},
    )
    tail.wait_for("an order failed", "reordered")
    tail.end()


@pytest.mark.slow
def test_ten_minutes_through_idle_closes_and_restarts(
    server: DevServer, reader: LogwellReader, ingest: Callable[..., None]
) -> None:
    """A minute of the stream is a second here: ten idle closes, and two restarts."""
    tail = Followed(reader, reader.tail())
    streaming(server)
    sent = []
    for number in range(20):
        sent += [f"{number}a", f"{number}b"]
        ingest(f"{number}a")
        ingest(f"{number}b")
        if number in {7, 14}:
            server.stop()
            time.sleep(0.3)
            server.start()
        elif number % 2:
            time.sleep(0.5)  # three idle times
    tail.wait_for(*sent)
    assert server.stream_cuts >= 10
    tail.end()


def test_what_came_while_no_stream_was_open_is_asked_for(
    server: DevServer,
    reader: LogwellReader,
    ingest: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ingest("before")
    opened = reader._open_stream  # noqa: SLF001 - the gap is made here

    def late() -> object:
        ingest("in the gap")
        return opened()

    monkeypatch.setattr(reader, "_open_stream", late)
    assert next(reader.tail()).message == "in the gap"
    reader.close()
