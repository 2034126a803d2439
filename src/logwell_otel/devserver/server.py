"""The command: `logwell-otel serve`, also `python -m logwell_otel.devserver`."""

from __future__ import annotations

import argparse
import errno
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from .receiver import DevServer
from .sockets import is_loopback
from .store import StoreError
from .terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import FrameType

READY = "ready:"
"""First word of the line that says the receiver listens; URL and key follow."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(
    host: str = "127.0.0.1",
    port: int = 3000,
    *,
    api_key: str | None = None,
    requests_per_minute: int = 600,
    db: str | Path | None = None,
    faults: bool = False,
    quiet: bool = False,
    stream: TextIO | None = None,
) -> int:
    """Runs the receiver until SIGINT or SIGTERM. Call it in the main thread.

    Once it listens it prints a line `ready: URL KEY`.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 picks a free one.
        api_key: The key to accept; None makes one at random.
        requests_per_minute: The rate limit.
        db: SQLite file to store in; None keeps entries in memory.
        faults: Whether to offer the fault switches and the journal at `/_control`.
        quiet: Whether to leave entries unprinted.
        stream: Where to print; None for standard output.

    Returns:
        The exit status: 0 after a signal, 1 when it could not start, 2 for a wrong argument.
    """
    output = sys.stdout if stream is None else stream
    _print_anything(output)
    terminal = Terminal(output)
    try:
        receiver = DevServer(
            host=host,
            port=port,
            api_key=api_key,
            requests_per_minute=requests_per_minute,
            db=db,
            control=faults,
            journal=faults,
            on_stored=None if quiet else terminal.show,
        )
    except ValueError as error:
        return _fail(str(error), 2)
    except StoreError as error:
        return _fail(str(error), 1)
    with _stop_signals() as stop:
        try:
            receiver.start()
        except OSError as error:
            receiver.close()
            return _fail(_why_not(error, host, port), 1)
        _introduce(terminal, receiver, host=host, db=db, faults=faults)
        stop.wait()
    stored = receiver.count()
    receiver.close()
    terminal.say(f"stopped: {stored} entries stored")
    return 0


def _print_anything(stream: TextIO) -> None:
    # A terminal in another encoding than UTF-8 gets escapes for what it cannot show.
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _introduce(
    terminal: Terminal, receiver: DevServer, *, host: str, db: str | Path | None, faults: bool
) -> None:
    terminal.say("Logwell development receiver: for developing and testing, not for production.")
    terminal.say(f"  entries       {receiver.url}/api/logs")
    terminal.say(f"  stored in     {'memory, until it stops' if db is None else db}")
    if faults:
        terminal.say(f"  fault switch  {receiver.url}/_control/faults")
    if not is_loopback(host):
        open_to = "read all entries" + (" and set the fault switches" if faults else "")
        terminal.say(f"  WARNING       everybody who reaches {host} can {open_to}")
    terminal.say("Send to it with")
    terminal.say(f"  export LOGWELL_ENDPOINT={receiver.url} LOGWELL_API_KEY={receiver.key}")
    terminal.say(f"{READY} {receiver.url} {receiver.key}")


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options to a parser."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=3000, help="0 picks a free one (default: %(default)s)")
    add(
        "--api-key",
        metavar="KEY",
        help="lw_ and 32 characters (default: made at random)",
    )
    add(
        "--requests-per-minute",
        type=int,
        default=600,
        metavar="N",
        help="rate limit (default: %(default)s)",
    )
    add("--db", metavar="PATH", help="SQLite file to store in (default: memory)")
    add("--faults", action="store_true", help="offer switches for misbehaving at /_control")
    add("--quiet", action="store_true", help="do not print entries")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command with the parsed options; gives the exit status."""
    return serve(
        host=arguments.host,
        port=arguments.port,
        api_key=arguments.api_key,
        requests_per_minute=arguments.requests_per_minute,
        db=arguments.db,
        faults=arguments.faults,
        quiet=arguments.quiet,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m logwell_otel.devserver`."""
    parser = argparse.ArgumentParser(
        prog="python -m logwell_otel.devserver",
        description="A Logwell-compatible server for developing and testing.",
    )
    add_arguments(parser)
    return run(parser.parse_args(argv))


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"must be 0 to 65,535, got {port}")
    return port
