"""The command `logwell-otel`: one module for each subcommand, one for those that read.

A subcommand's module is imported when that command is asked for: `check` and `spool` work
without the extra that `serve` needs, and no command pays for what another one imports.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn

from logwell_otel._version import __version__
from logwell_otel.cli.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS: Final = {
    "check": "find out whether what is logged here arrives, and if not, why",
    "serve": "run a stand-in Logwell server to develop against",
    "spool": "look at, deliver or clear what lies in a spool directory",
    "patterns": "show the patterns that a log is made of",
    "search": "find entries at the server",
    "tail": "show the newest entries, and follow",
    "incidents": "show errors, grouped",
    "watch": "act when rules are met: webhooks, commands",
    "login": "sign in to read, and keep the session",
    "logout": "end that session",
}
_SERVER_ARGUMENTS: Final = (
    ("endpoint", "URL", "base URL of the server"),
    ("api_key", "KEY", "the project's key; others on this machine can see arguments"),
    ("api_key_file", "FILE", "a file that holds the key instead"),
    ("certificate_file", "FILE", "CA certificates to trust, PEM"),
    ("timeout", "SECONDS", "what one request may take"),
)
_MODULES: Final = dict.fromkeys(("search", "tail", "incidents", "login", "logout"), "read")
"""Where a command's module bears another name: it then has an `add_` for each command."""

_INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: By default those of the process.

    Returns:
        The exit status: 0 when all went well, 1 when something did not (for commands that read,
        1 when nothing was found and 2 when something went wrong), 130 after Ctrl-C.

    Raises:
        SystemExit: With 2 for arguments that make no sense, 0 for `--help` and `--version`.
    """
    given = sys.argv[1:] if arguments is None else arguments
    with Terminal.standard() as terminal:
        options = _parser(*given[:1]).parse_args(given)
        try:
            status = int(options.run(options, terminal))
        except KeyboardInterrupt:
            status = _INTERRUPTED
    if terminal.failed:
        return 2 if given[0] in _MODULES else status or 1
    return status


class _Parser(argparse.ArgumentParser):
    """Shows no value of an option that it does not know: that may be a password.

    For the same reason `--password` is none of its abbreviations: not of `--password-file`,
    whose value is shown when there is no such file.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        from logwell_otel._diagnostics import hide_keys  # noqa: PLC0415 - errors are few

        known, names, unknown = message.partition("unrecognized arguments: ")
        if names:
            options = [one.partition("=")[0] for one in unknown.split() if one.startswith("-")]
            message = f"{known}{names}{' '.join(options) or 'more than it takes'}"
        super().error(hide_keys(message))


def _parser(command: str = "") -> argparse.ArgumentParser:
    """The parser, which knows the arguments of `command` alone."""
    parser = _Parser(prog="logwell-otel", description="OpenTelemetry logs for Logwell.")
    parser.add_argument("--version", action="version", version=f"logwell-otel {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, summary in _COMMANDS.items():
        if name == command:
            module = import_module(f"{__name__}.{_MODULES.get(name, name)}")
            getattr(module, f"add_{name}" if name in _MODULES else "add_to")(commands)
        else:
            commands.add_parser(name, help=summary)
    return parser


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which server, with which key, to a command's parser.

    Every further setting can be given as its `LOGWELL_*` variable.
    """
    from logwell_otel._config.settings import variable_of  # noqa: PLC0415 - `serve` has no settings

    group = parser.add_argument_group("the server, where the LOGWELL_* variables do not name it")
    for name, metavar, meaning in _SERVER_ARGUMENTS:
        group.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=metavar,
            help=f"{meaning} ({variable_of(name)})",
        )


def server_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given by those arguments."""
    given = {name: getattr(options, name) for name, _, _ in _SERVER_ARGUMENTS}
    return {name: value for name, value in given.items() if value is not None}
