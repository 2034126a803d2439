"""`logwell-otel spool list|send|purge`."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from logwell_otel.cli import connection, spool_send
from logwell_otel.cli.pools import pools_of
from logwell_otel.cli.terminal import printable
from logwell_otel.spool import SpoolError, purge
from logwell_otel.words import count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from logwell_otel.cli.terminal import Terminal
    from logwell_otel.spool import PoolReport


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its own commands."""
    parser = commands.add_parser(
        "spool",
        help="look at, deliver or clear what lies in a spool directory",
        description="Entries that could not be delivered lie in a spool directory, in one pool "
        "for each server and service. Applications deliver theirs by themselves; this is for "
        "what nobody else will. Run it as the user who runs the application.",
    )
    inner = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    lister = inner.add_parser("list", help="what lies there", description="Changes nothing.")
    lister.add_argument("--json", action="store_true", help="print JSON")
    lister.set_defaults(run=_safely(_list))

    sender = inner.add_parser(
        "send",
        help="deliver it",
        description="Delivers what no running process holds. Exit status 0 if all that lay there "
        "is delivered, 1 if something is left or was lost.",
    )
    sender.add_argument(
        "--any-endpoint",
        action="store_true",
        help="also what was meant for another server than the one given",
    )
    connection.add_arguments(sender)
    sender.set_defaults(run=_safely(spool_send.run))

    purger = inner.add_parser(
        "purge",
        help="delete it, delivered or not",
        description="Deletes what no running process holds. Exit status 1 if something is left.",
    )
    purger.add_argument("--yes", action="store_true", help="do not ask")
    purger.set_defaults(run=_safely(_purge))

    for command in (lister, sender, purger):
        command.add_argument("directory", metavar="DIR", help="the spool directory")
        command.add_argument("--pool", metavar="NAME", help="one pool only, by its name")


def _safely(
    run: Callable[[argparse.Namespace, Terminal], int],
) -> Callable[[argparse.Namespace, Terminal], int]:
    def guarded(options: argparse.Namespace, terminal: Terminal) -> int:
        try:
            return run(options, terminal)
        except SpoolError as error:
            terminal.error(f"logwell-otel spool: {printable(str(error))}")
            return 1

    return guarded


def _list(options: argparse.Namespace, terminal: Terminal) -> int:
    pools = pools_of(options)
    if options.json:
        document = msgspec.json.encode([_as_json(pool) for pool in pools])
        terminal.raw(msgspec.json.format(document, indent=2).decode() + "\n")
        return 0
    for pool in pools:
        terminal.line(terminal.style("bold", pool.name))
        for name, value in _rows(pool):
            terminal.line(f"  {name.ljust(9)}  {value}")
    terminal.line(_sum(pools, options.directory))
    return 0


def _rows(pool: PoolReport) -> list[tuple[str, str]]:
    alive = sum(one.entries for one in pool.instances if one.alive)
    held = f", {alive} of them held by running processes" if alive else ""
    oldest = "" if pool.oldest is None else f", the oldest of {_time(pool.oldest)}"
    rows = [
        ("endpoint", printable(pool.endpoint or "not known")),
        ("service", printable(pool.service or "not known")),
        ("entries", f"{pool.entries}{held}{oldest}"),
        ("bytes", str(pool.bytes)),
    ]
    if aside := sum(one.set_aside_files for one in pool.instances):
        rows.append(("set aside", f"{count(aside, 'file')} that could not be read"))
    return rows


def _as_json(pool: PoolReport) -> dict[str, Any]:
    return {
        "name": pool.name,
        "endpoint": pool.endpoint,
        "service": pool.service,
        "entries": pool.entries,
        "bytes": pool.bytes,
        "oldest": None if pool.oldest is None else _time(pool.oldest),
        "instances": [
            {
                "name": one.path.name,
                "alive": one.alive,
                "entries": one.entries,
                "bytes": one.bytes,
                "oldest": None if one.oldest is None else _time(one.oldest),
                "set_aside_files": one.set_aside_files,
                "set_aside_bytes": one.set_aside_bytes,
            }
            for one in pool.instances
        ],
    }


def _sum(pools: Sequence[PoolReport], directory: str) -> str:
    if not pools:
        return f"Nothing lies in {directory}."
    entries = sum(pool.entries for pool in pools)
    size = sum(pool.bytes for pool in pools)
    return f"{count(entries, 'entry', 'entries')} in {count(len(pools), 'pool')}, {size} bytes"


def _purge(options: argparse.Namespace, terminal: Terminal) -> int:
    pools = pools_of(options)
    doomed = sum(one.entries for pool in pools for one in pool.instances if not one.alive)
    if not options.yes:
        if not terminal.person:
            terminal.error("logwell-otel spool purge: nobody to ask; give --yes to delete.")
            return 1
        question = (
            f"Delete {count(doomed, 'undelivered entry', 'undelivered entries')} of "
            f"{count(len(pools), 'pool')} in {options.directory}? [y/N]"
        )
        if terminal.ask(question).lower() not in ("y", "yes"):
            terminal.line("Nothing was deleted.")
            return 1
    report = purge(options.directory, pool=options.pool)
    terminal.line(
        f"Deleted {count(report.files, 'file')} with "
        f"{count(report.entries, 'entry', 'entries')}, {report.bytes} bytes."
    )
    for path in report.left:
        terminal.line(f"Left alone, as a running process holds it: {path}")
    return 1 if report.left else 0


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
