"""`logwell-otel patterns`: which patterns a log is made of, and what sampling would save."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from logwell_otel.cli.terminal import Terminal


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    from logwell_otel.sampling.patterns_command import add_arguments  # noqa: PLC0415 - its own

    parser = commands.add_parser(
        "patterns",
        help="show the patterns that a log is made of",
        description="The most frequent patterns, and what given sampling rates would save.",
    )
    add_arguments(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    from logwell_otel.sampling.patterns_command import run  # noqa: PLC0415 - see above

    return run(options, terminal)
