"""A receiver that does as little as it can, in a process of its own.

The project's stand-in server (`logwell-otel serve`) answers as a real one does and is
slower for it; a benchmark of senders wants the receiver out of the way. This one reads a
request, counts the entries in it and answers 200, after a wait if it was told so.

    python benchmarks/sink.py [--delay MILLISECONDS]

It writes its port, then takes commands on standard input: `hold` keeps answers back, `go`
lets them out, `fail` answers 503 until `go`, `count` writes what was received, and the end
of the input ends it.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import subprocess
import sys
import threading
import time
from typing import IO, Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Sink:
    """The sink as its user sees it: a child process.

    Args:
        delay: Seconds until a request is answered.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--delay", str(delay * 1000)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._answer())
        self.url = f"http://127.0.0.1:{self.port}"

    def hold(self) -> None:
        """Answer nothing until `go`."""
        self._tell("hold")

    def fail(self) -> None:
        """Answer 503 until `go`."""
        self._tell("fail")

    def go(self) -> None:
        """Answer 200."""
        self._tell("go")

    def count(self) -> dict[str, int]:
        """Requests, entries and bytes received so far."""
        self._tell("count")
        counted: dict[str, int] = json.loads(self._answer())
        return counted

    def _tell(self, command: str) -> None:
        _pipe(self._process.stdin).write(f"{command}\n")
        _pipe(self._process.stdin).flush()

    def _answer(self) -> str:
        return str(_pipe(self._process.stdout).readline())

    def __enter__(self) -> Sink:  # noqa: PYI034 - typing.Self is 3.11
        return self

    def __exit__(self, *_: object) -> None:
        _pipe(self._process.stdin).close()
        self._process.wait(timeout=10)
        _pipe(self._process.stdout).close()


def _pipe(pipe: IO[Any] | None) -> IO[Any]:
    assert pipe is not None
    return pipe


class _Receiver:
    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._gate = threading.Event()
        self._gate.set()
        self._lock = threading.Lock()
        self.failing = False
        self.counted = {"requests": 0, "entries": 0, "bytes": 0}

    def hold(self) -> None:
        self._gate.clear()

    def go(self) -> None:
        self.failing = False
        self._gate.set()

    def accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = bytearray()
        with connection:
            while (body := _request(connection, buffer)) is not None:
                if self._delay:
                    time.sleep(self._delay)
                self._gate.wait()
                connection.sendall(self._answer(body))

    def _answer(self, body: bytes) -> bytes:
        if self.failing:
            return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        entries = body.count(b'{"level":"')
        with self._lock:
            self.counted["requests"] += 1
            self.counted["entries"] += entries
            self.counted["bytes"] += len(body)
        said = b'{"accepted":%d}' % entries
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(said), said)
        )


def _request(connection: socket.socket, buffer: bytearray) -> bytes | None:
    """The next request's body; what comes behind it stays in `buffer`. None at the end."""
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        if not _receive(connection, buffer):
            return None
    found = _LENGTH.search(buffer, 0, end)
    length = end + 4 + (int(found[1]) if found else 0)
    while len(buffer) < length:
        if not _receive(connection, buffer):
            return None
    body = bytes(memoryview(buffer)[end + 4 : length])
    del buffer[:length]
    return body


def _receive(connection: socket.socket, buffer: bytearray) -> bool:
    try:
        received = connection.recv(262_144)
    except ConnectionError:
        return False
    buffer += received
    return bool(received)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds to an answer")
    receiver = _Receiver(parser.parse_args().delay / 1000)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=receiver.accept, args=(listener,), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    for line in sys.stdin:
        match line.strip():
            case "hold":
                receiver.hold()
            case "fail":
                receiver.failing = True
            case "go":
                receiver.go()
            case "count":
                print(json.dumps(receiver.counted), flush=True)


if __name__ == "__main__":
    main()
