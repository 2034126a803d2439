"""The command `logwell-otel`: one module for each subcommand.

A subcommand's module says what its arguments are, and imports what it needs only when it
runs: `check` and `spool` work without the extra that `serve` needs.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from logwell_otel._version import __version__
from logwell_otel.cli import check, patterns, serve, spool
from logwell_otel.cli.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: By default those of the process.

    Returns:
        The exit status: 0 when all went well, 1 when something did not, 130 after Ctrl-C.

    Raises:
        SystemExit: With 2 for arguments that make no sense, 0 for `--help` and `--version`.
    """
    options = _parser().parse_args(arguments)
    with Terminal.standard() as terminal:
        try:
            return int(options.run(options, terminal))
        except KeyboardInterrupt:
            return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="logwell-otel", description="OpenTelemetry logs for Logwell."
    )
    parser.add_argument("--version", action="version", version=f"logwell-otel {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (check, serve, spool, patterns):
        command.add_to(commands)
    return parser
