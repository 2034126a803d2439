"""What `logwell-otel serve` runs: a server until a signal stops it, and what it prints.

Log text comes from anywhere: everything that a terminal would act on (escape sequences, C1
controls, bidirectional overrides, line separators) is shown as an escape.
"""

from __future__ import annotations

import errno
import json
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from .server import DevServer, is_loopback
from .store import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from types import FrameType

    from .store import Entry

READY = "ready:"
"""First word of the line that says the server listens; URL and key follow."""

MAX_BYTES = 256 << 20
"""What the entries may take that a server keeps which runs for days."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_RESET = "\x1b[0m"
_DIM = "\x1b[2m"
_COLOURS = {
    "debug": "\x1b[36m",
    "info": "\x1b[32m",
    "warn": "\x1b[33m",
    "error": "\x1b[31m",
    "fatal": "\x1b[1;31m",
}
_MAX_MESSAGE = 4_000
_MAX_FIELD = 200
_MAX_METADATA = 160
_CONTINUATION = "    | "
"""In front of a message's further lines, so that none can pass for an entry of its own."""


def serve(
    host: str = "127.0.0.1",
    port: int = 3000,
    *,
    api_key: str | None = None,
    password: str | None = None,
    requests_per_minute: int | None = 600,
    db: str | Path | None = None,
    max_bytes: int | None = MAX_BYTES,
    faults: bool = False,
    quiet: bool = False,
    stream: TextIO | None = None,
    colour: bool = False,
) -> int:
    """Runs the development server until SIGINT or SIGTERM. Call it in the main thread.

    Once it listens it prints a line `ready: URL KEY`. Why it could not start is printed to
    standard error.

    Args:
        host: Name or address to listen on.
        port: TCP port to listen on; 0 picks a free one.
        api_key: The key to accept; None makes one at random.
        password: Of the user who reads; None makes one at random.
        requests_per_minute: The rate limit, at least 1; None for no limit.
        db: SQLite file to store in; None keeps entries in memory.
        max_bytes: What stored entries may take; beyond it the oldest go. None for no end.
        faults: Whether to offer the fault switches and the journal at `/_control`.
        quiet: Whether to leave entries unprinted.
        stream: Where to print; None for standard output.
        colour: Whether entries are printed in colour.

    Returns:
        The exit status: 0 after a signal, 1 when it could not start, 2 for a wrong argument.
    """
    output = ServeOutput(sys.stdout if stream is None else stream, colour=colour)
    try:
        server = DevServer(
            host=host,
            port=port,
            api_key=api_key,
            password=password,
            requests_per_minute=requests_per_minute,
            db=db,
            max_bytes=max_bytes,
            control=faults,
            journal=faults,
            on_stored=None if quiet else output.show,
        )
    except ValueError as error:
        return _fail(str(error), 2)
    except StoreError as error:
        return _fail(str(error), 1)
    with _stop_signals() as stop:
        try:
            server.start()
        except OSError as error:
            server.close()
            return _fail(_why_not(error, host, port), 1)
        _introduce(output, server, host=host, db=db, faults=faults)
        stop.wait()
    stored = server.count()
    server.close()
    output.say(f"stopped: {stored} entries stored")
    return 0


def _introduce(
    output: ServeOutput, server: DevServer, *, host: str, db: str | Path | None, faults: bool
) -> None:
    output.say("Logwell development server: for developing and testing, not for production.")
    output.say(f"open {server.url}/ to look at what arrives")
    output.say(f"  entries       {server.url}/api/logs")
    output.say(f"  stored in     {'memory, until it stops' if db is None else db}")
    if faults:
        output.say(f"  fault switch  {server.url}/_control/faults")
    if not is_loopback(host):
        open_to = "read all entries" + (" and set the fault switches" if faults else "")
        output.say(f"  WARNING       everybody who reaches {host} can {open_to}")
    output.say("Send to it with")
    output.say(f"  export LOGWELL_ENDPOINT={server.url} LOGWELL_API_KEY={server.key}")
    output.say("Read it with logwell-otel search, tail and incidents after")
    output.say(f"  export LOGWELL_USERNAME={server.username} LOGWELL_PASSWORD={server.password}")
    output.say(f"{READY} {server.url} {server.key}")


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: stop what runs there, or choose another --port"
    if error.errno == errno.EACCES:
        return f"not allowed to listen on port {port} of {host}: choose a --port above 1023"
    return f"cannot listen on port {port} of {host}: {error.strerror or error}"


def _fail(reason: str, status: int) -> int:
    print(f"logwell-otel serve: {reason}", file=sys.stderr)
    return status


class ServeOutput:
    """Prints entries, one line each and continuation lines for longer messages.

    Args:
        stream: Where to. When it goes away (`| head`), printing ends and the server goes on.
        colour: Whether entries are printed in colour.
    """

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._open = True
        # A terminal in another encoding than UTF-8 gets escapes for what it cannot show.
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")

    def say(self, text: str) -> None:
        """Prints a line of the server's own."""
        self._write([text])

    def show(self, entries: Sequence[Entry]) -> None:
        """Prints entries."""
        self._write(line for entry in entries for line in self._lines(entry))

    def _write(self, lines: Iterable[str]) -> None:
        if not self._open:
            return
        try:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
        except (OSError, ValueError):
            # The reader has gone. Nothing to tell and nobody to tell it to: entries are
            # stored all the same, and GET /api/logs has them.
            self._open = False

    def _lines(self, entry: Entry) -> list[str]:
        first, *further = _message_lines(entry.message)
        metadata = entry.metadata if isinstance(entry.metadata, dict) else {}
        details = []
        if entry.source_file is not None:
            line = "" if entry.line_number is None else f":{entry.line_number}"
            details.append(f"{_short(entry.source_file, _MAX_FIELD)}{line}")
        if isinstance(metadata.get("trace_id"), str):
            details.append(f"trace={_short(metadata['trace_id'], _MAX_FIELD)}")
        shown = _short_metadata(entry.metadata)
        if shown:
            details.append(shown)
        head = [
            self._paint(_DIM, entry.timestamp.replace("T", " ")),
            self._paint(_COLOURS[entry.level], f"{entry.level.upper():5}"),
            _short(entry.service or "-", _MAX_FIELD),
            first,
        ]
        if details:
            head.append(self._paint(_DIM, "  ".join(details)))
        return ["  ".join(head), *(f"{_CONTINUATION}{line}" for line in further)]

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colour else text


def escape(text: str) -> str:
    """Text with everything unprintable written out, as in a Python string literal.

    `str.isprintable` is False for controls, format characters (bidirectional overrides
    among them), surrogates, unassigned characters and all separators but the space.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )


def _message_lines(message: str) -> list[str]:
    """The message's lines, escaped; long ones cut."""
    cut = len(message) - _MAX_MESSAGE
    if cut > 0:
        message = f"{message[:_MAX_MESSAGE]}… ({cut} more characters)"
    return [escape(line) for line in message.replace("\r\n", "\n").rstrip("\n").split("\n")]


def _short(text: str, limit: int) -> str:
    escaped = escape(text[: limit + 1])
    return escaped if len(escaped) <= limit else f"{escaped[: limit - 1]}…"


def _short_metadata(metadata: Any) -> str:
    if not isinstance(metadata, dict):
        return "" if metadata is None else _short(_compact(metadata), _MAX_METADATA)
    pairs = (
        f"{key}={value if isinstance(value, str) else _compact(value)}"
        for key, value in metadata.items()
        if key != "trace_id"
    )
    return _short(" ".join(pairs), _MAX_METADATA)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
