"""`logwell-otel check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from logwell_otel.cli import add_server_arguments, server_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from logwell_otel.cli.check.report import Finding
    from logwell_otel.cli.check.run import Check
    from logwell_otel.cli.terminal import Terminal


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check",
        description="Shows the settings and where they come from, and tries, step by step, "
        "whether entries reach the server. Run it where the application runs, with the "
        "application's environment. Exit status 0 if nothing failed, else 1.",
    )
    add_server_arguments(parser)
    parser.add_argument("--service", metavar="NAME", help="service of the entry (LOGWELL_SERVICE)")
    parser.add_argument("--no-send", action="store_true", help="do not send an entry")
    parser.add_argument(
        "--verbose", action="store_true", help="show also the settings that are as by default"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with all settings")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Run the check; gives the exit status."""
    from logwell_otel.cli.check import report  # noqa: PLC0415 - see logwell_otel.cli
    from logwell_otel.cli.check.run import Check  # noqa: PLC0415

    arguments = {**server_arguments(options), "service": options.service}
    check = Check(arguments, send=not options.no_send)
    seen: list[Finding] = []
    if options.json:
        found = list(_kept(check, seen))
        terminal.raw(report.json(check.settings, check.proxy, found).decode())
    else:
        results = _kept(check, seen)
        for line in report.text(
            check.settings, check.proxy, results, terminal.style, verbose=options.verbose
        ):
            terminal.line(line)
    return 0 if report.ok(seen) else 1


def _kept(check: Check, seen: list[Finding]) -> Iterator[Finding]:
    for result in check.results():
        seen.append(result)
        yield result
