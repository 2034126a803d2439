"""The arguments that say which server, with which key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from logwell_otel._config.settings import variable_of

if TYPE_CHECKING:
    import argparse

_ARGUMENTS: Final = (
    ("endpoint", "URL", "base URL of the server"),
    ("api_key", "KEY", "the project's key; others on this machine can see arguments"),
    ("api_key_file", "FILE", "a file that holds the key instead"),
    ("certificate_file", "FILE", "CA certificates to trust, PEM"),
    ("timeout", "SECONDS", "what one request may take"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them. Every further setting can be given as its LOGWELL_* variable."""
    group = parser.add_argument_group("the server, where the LOGWELL_* variables do not name it")
    for name, metavar, meaning in _ARGUMENTS:
        group.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=metavar,
            help=f"{meaning} ({variable_of(name)})",
        )


def arguments_of(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as arguments."""
    given = {name: getattr(options, name) for name, _, _ in _ARGUMENTS}
    return {name: value for name, value in given.items() if value is not None}
