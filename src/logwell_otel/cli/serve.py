"""`logwell-otel serve`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from logwell_otel._config.secrets import ApiKey, credential_of
from logwell_otel._config.settings import Resolver
from logwell_otel.cli.terminal import wants_colour
from logwell_otel.errors import LogwellError

if TYPE_CHECKING:
    from logwell_otel.cli.terminal import Terminal


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command. The server itself, which needs an extra, is imported when it runs."""
    parser = commands.add_parser(
        "serve",
        description="A Logwell-compatible server for developing and testing. Not for production. "
        "Needs logwell-otel[devserver]. LOGWELL_SERVE_PASSWORD is the password of its user "
        "`admin`, who reads; without it one is made at random.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=3000, help="0 picks a free one (default: %(default)s)")
    add(
        "--api-key",
        metavar="KEY",
        help="lw_ and 32 characters (default: LOGWELL_SERVE_API_KEY, else made at random). "
        "Everybody on this machine sees it in the list of processes; not so the variable or a file",
    )
    add(
        "--api-key-file",
        metavar="PATH",
        help="file that holds the key (default: LOGWELL_SERVE_API_KEY_FILE)",
    )
    add(
        "--requests-per-minute",
        type=int,
        default=600,
        metavar="N",
        help="rate limit (default: %(default)s)",
    )
    add("--db", metavar="PATH", help="SQLite file to store in (default: memory)")
    add(
        "--max-mib",
        type=_size,
        default=256,
        metavar="N",
        help="what stored entries may take, the oldest go beyond it; 0 for no end "
        "(default: %(default)s)",
    )
    add("--faults", action="store_true", help="offer switches for misbehaving at /_control")
    add("--quiet", action="store_true", help="do not print entries")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Run the server until it is stopped; gives the exit status."""
    try:
        from logwell_otel.devserver import serve  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        terminal.error(
            f"logwell-otel serve needs {error.name}, which is not installed: "
            "pip install 'logwell-otel[devserver]'"
        )
        return 1
    key = options.api_key
    if key is None:
        try:
            # Not LOGWELL_API_KEY: that is a real server's, and this one prints its key.
            settings = Resolver({"serve_api_key_file": options.api_key_file})
            found = credential_of(settings, "serve_api_key", ApiKey)
        except LogwellError as error:
            terminal.error(f"logwell-otel serve: {error.message}")
            return 2
        key = None if found is None else found.reveal()
    return serve(
        host=options.host,
        port=options.port,
        api_key=key,
        requests_per_minute=options.requests_per_minute,
        db=options.db,
        max_bytes=options.max_mib << 20 or None,
        password=os.environ.get("LOGWELL_SERVE_PASSWORD") or None,
        faults=options.faults,
        quiet=options.quiet,
        colour=wants_colour(sys.stdout, os.environ),
    )


def _size(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be a whole number of MiB, got {text}")
    return int(text)


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"must be 0 to 65,535, got {text}")
    return port
