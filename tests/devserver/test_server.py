"""The server in a thread: starting, stopping, starting again, leaving nothing behind."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from logwell_otel.devserver import DevServer, Entry, StoreError
from logwell_otel.devserver.server import is_loopback, listen, url_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.socket

GOOD = b'{"level":"info","message":"good"}'


def post(receiver: DevServer, body: bytes = GOOD) -> httpx.Response:
    headers = {"Authorization": f"Bearer {receiver.key}", "Content-Type": "application/json"}
    return httpx.post(
        f"{receiver.url}/v1/ingest", content=body, headers=headers, trust_env=False, verify=False
    )


def test_entries_come_back_as_stored_and_in_order(receiver: DevServer) -> None:
    body = b"""[{"level":"warn","message":"a","timestamp":"2026-11-20T10:00:00Z","service":"s",
        "sourceFile":"f.py","lineNumber":7,"metadata":{"request_id":"r","user_id":"u","ip":"i"}},
        {"level":"info","message":"b","timestamp":"2020-01-01T00:00:00Z"}]"""
    assert post(receiver, body).json() == {"accepted": 2}
    assert receiver.entries() == [
        Entry(
            level="warn",
            message="a",
            timestamp="2026-11-20T10:00:00.000Z",
            service="s",
            metadata={"request_id": "r", "user_id": "u", "ip": "i"},
            source_file="f.py",
            line_number=7,
            request_id="r",
            user_id="u",
            ip_address="i",
        ),
        Entry(level="info", message="b", timestamp="2020-01-01T00:00:00.000Z"),
    ]
    assert [entry.message for entry in receiver.entries(1)] == ["b"]
    assert receiver.count() == 2


def test_stop_refuses_connections_and_start_is_the_same_server_again(receiver: DevServer) -> None:
    url, key = receiver.url, receiver.key
    post(receiver)
    receiver.stop()
    receiver.stop()
    with pytest.raises(httpx.ConnectError):
        post(receiver)
    receiver.start()
    assert (receiver.url, receiver.key) == (url, key)
    assert post(receiver).status_code == 200
    assert receiver.count() == 2
    assert [request.connection for request in receiver.requests] == [1, 2]


def idle_connection(receiver: DevServer) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", receiver.port), timeout=2)
    connection.sendall(b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while not answer.endswith(b"}"):
        answer += connection.recv(65_536)
    return connection


def test_stopping_ends_idle_connections(receiver: DevServer) -> None:
    with idle_connection(receiver) as connection:
        receiver.stop()
        assert connection.recv(1) == b""


def in_background(receiver: DevServer) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(post(receiver).status_code)
        except httpx.TransportError as error:
            results.append(type(error))

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 60
    while not receiver.requests:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return thread, results


def test_stopping_lets_a_request_in_progress_end(receiver: DevServer) -> None:
    receiver.faults.delay(100)
    thread, results = in_background(receiver)
    receiver.stop()
    thread.join()
    assert results == [200]
    assert receiver.count() == 1


def test_stopping_cuts_what_hangs(receiver: DevServer) -> None:
    receiver.faults.hang()
    thread, results = in_background(receiver)
    before = time.monotonic()
    receiver.stop()
    assert time.monotonic() - before < 30  # for ever, or a minute
    thread.join()
    assert results == [httpx.RemoteProtocolError]
    assert receiver.faults.settings.outcome is not None  # The switch itself stays.


def test_stopping_does_not_wait_for_long_delays(
    receiver: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logwell_otel.devserver.server._FINISH_SECONDS", 0.05)
    receiver.faults.delay(60_000)
    thread, results = in_background(receiver)
    before = time.monotonic()
    receiver.stop()
    assert time.monotonic() - before < 30  # for ever, or a minute
    thread.join()
    assert results == [httpx.RemoteProtocolError]
    (request,) = receiver.requests
    assert (request.outcome, request.stored) == ("closed", 1)


def test_quick_and_without_traces() -> None:
    def open_files() -> int:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208

    with DevServer():
        pass  # Whatever is loaded once is loaded now.
    threads, files = threading.active_count(), open_files()
    before = time.monotonic()
    for _ in range(5):
        with DevServer() as receiver:
            post(receiver)
    # A second here and there is the machine's; a time-out in starting or stopping is ours.
    assert time.monotonic() - before < 5 * 5
    assert (threading.active_count(), open_files()) == (threads, files)


def test_wait_for(receiver: DevServer) -> None:
    assert receiver.wait_for(0, timeout=0)
    assert not receiver.wait_for(1, timeout=0.01)
    timer = threading.Timer(0.05, post, [receiver])
    timer.start()
    assert receiver.wait_for(1)
    timer.join()


def test_on_stored_sees_each_batch_after_its_commit() -> None:
    seen: list[tuple[int, list[str]]] = []

    def note(entries: Sequence[Entry]) -> None:
        seen.append((receiver.count(), [entry.message for entry in entries]))

    with DevServer(on_stored=note) as receiver:
        post(receiver)
        post(receiver, b"[5]")
        post(receiver, b'[{"level":"info","message":"x"},{"level":"info","message":"y"}]')
    assert seen == [(1, ["good"]), (3, ["x", "y"])]


def test_nothing_it_does_shows_up_in_the_applications_logs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("asyncio", "uvicorn.error"):
        caplog.set_level(logging.DEBUG, name)
    with DevServer() as receiver:
        with socket.create_connection(("127.0.0.1", receiver.port)) as connection:
            connection.sendall(b"garbage\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 400"
        logging.getLogger("uvicorn.error").info("the application's own")
    assert [record.getMessage() for record in caplog.records] == ["the application's own"]
    assert logging.getLogger("uvicorn.error").filters == []


def test_a_file_outlives_the_server(tmp_path: Path) -> None:
    path = tmp_path / "logs.db"
    with DevServer(db=path) as receiver:
        post(receiver)
    with DevServer(db=str(path)) as receiver:
        post(receiver)
        assert receiver.count() == 2


def test_files_that_are_something_else(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a database, " * 100)
    with pytest.raises(StoreError, match=r"notes\.txt"):
        DevServer(db=other)
    assert other.read_text() == "not a database, " * 100
    with pytest.raises(StoreError, match="missing"):
        DevServer(db=tmp_path / "missing" / "logs.db")


def test_anothers_database_is_left_alone(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE log (mine)")
    with pytest.raises(StoreError, match="other data"):
        DevServer(db=path)


@pytest.mark.parametrize("key", ["", "secret", "lw_short", f"lw_{'k' * 33}", f"lw_{'é' * 32}"])
def test_a_key_of_the_wrong_form_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="must be lw_") as caught:
        DevServer(api_key=key)
    assert not key or key not in str(caught.value)


def test_keys_are_made_at_random() -> None:
    with DevServer() as one, DevServer() as other:
        assert one.key != other.key
        assert len(one.key) == 35
        assert one.port != other.port


def test_a_port_in_use_is_an_error(receiver: DevServer) -> None:
    second = DevServer(port=receiver.port)
    with pytest.raises(OSError, match=r"in use") as caught:
        second.start()
    assert caught.value.errno == errno.EADDRINUSE
    second.close()
    with pytest.raises(RuntimeError, match="already"):
        receiver.start()


def test_repr_says_what_there_is(receiver: DevServer) -> None:
    post(receiver)
    assert repr(receiver) == f"<DevServer {receiver.url} running entries=1>"
    receiver.stop()
    assert "stopped" in repr(receiver)
    assert receiver.key not in repr(receiver)


def test_forget_empties_the_journal_only(receiver: DevServer) -> None:
    post(receiver)
    receiver.forget()
    assert receiver.requests == []
    assert receiver.counts.requests == 0
    assert receiver.count() == 1


def test_the_free_ports_are_not_those_of_outgoing_connections() -> None:
    for _ in range(5):
        with listen("127.0.0.1", 0) as one:
            assert 20_000 <= one.getsockname()[1] < 30_000


def test_a_taken_free_port_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("logwell_otel.devserver.server._FREE_PORTS", range(port, port + 1))
        with listen("127.0.0.1", 0) as other:
            assert other.getsockname()[1] != port


def test_an_address_of_another_machine() -> None:
    with pytest.raises(OSError, match=r".") as caught:
        listen("192.0.2.1", 0)
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_urls_and_loopback() -> None:
    assert url_of("::1", 3000) == "http://[::1]:3000"
    assert [is_loopback(host) for host in ("localhost", "127.1.2.3", "::1", "0.0.0.0")] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_sockets_open(
    receiver: DevServer,
) -> None:
    connection = idle_connection(receiver)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)  # Until the parent is done.
        os._exit(0)
    try:
        assert post(receiver).status_code == 200  # The parent goes on as before.
        receiver.stop()
        # Neither has the connection stayed open, nor does the port listen.
        assert connection.recv(1) == b""
        with pytest.raises(httpx.ConnectError):
            post(receiver)
    finally:
        connection.close()
        os.close(writing)
        os.close(reading)
        os.waitpid(child, 0)
    assert receiver.count() == 1


def test_many_clients_at_once(receiver: DevServer) -> None:
    def run() -> None:
        headers = {"Authorization": f"Bearer {receiver.key}", "Content-Type": "application/json"}
        with httpx.Client(
            base_url=receiver.url, headers=headers, trust_env=False, verify=False
        ) as client:
            for _ in range(10):
                assert client.post("/v1/ingest", content=GOOD).status_code == 200

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert receiver.count() == 50
    assert receiver.counts.connections == 5
