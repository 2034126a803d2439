"""The command `logwell-otel`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from logwell_otel._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="logwell-otel", description="OpenTelemetry logs for Logwell."
    )
    parser.add_argument("--version", action="version", version=f"logwell-otel {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="run a stand-in Logwell server to develop against",
        description="A Logwell-compatible server for developing and testing. Not for production.",
    )
    serve.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    serve.add_argument(
        "--port", type=int, default=3000, help="port, 0 for a free one (%(default)s)"
    )
    serve.add_argument("--api-key", metavar="lw_…", help="key to accept (default: a random one)")
    serve.add_argument(
        "--requests-per-minute", type=int, default=600, metavar="N", help="rate limit (%(default)s)"
    )
    serve.add_argument("--db", metavar="PATH", help="SQLite file (default: memory)")
    serve.add_argument("--faults", action="store_true", help="offer fault switches for tests")
    serve.add_argument("--quiet", action="store_true", help="do not print entries")
    serve.set_defaults(run=_serve)
    return parser


def _serve(options: argparse.Namespace) -> int:
    try:
        from logwell_otel.devserver.server import serve  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        print(
            f"logwell-otel serve needs {error.name}, which is not installed: "
            "pip install 'logwell-otel[devserver]'",
            file=sys.stderr,
        )
        return 1
    return serve(
        options.host,
        options.port,
        api_key=options.api_key,
        requests_per_minute=options.requests_per_minute,
        db=options.db,
        faults=options.faults,
        quiet=options.quiet,
    )


if __name__ == "__main__":
    sys.exit(main())
