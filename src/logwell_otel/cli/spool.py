"""`logwell-otel spool list|send|purge`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from logwell_otel._buffer.spool import Spool
from logwell_otel._buffer.spool.names import pool_name, project_name
from logwell_otel._config.options import Config
from logwell_otel._delivery.engine import Dependencies, Engine
from logwell_otel._diagnostics import count
from logwell_otel._storage import StorageError
from logwell_otel.cli import add_server_arguments, server_arguments
from logwell_otel.cli.pools import list_spools, purge, purge_dead, revive
from logwell_otel.cli.terminal import printable
from logwell_otel.errors import LogwellError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from logwell_otel.cli.pools import PoolReport
    from logwell_otel.cli.terminal import Terminal
    from logwell_otel.health import Health


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
    sender.add_argument(
        "--any-key",
        action="store_true",
        help="also what was stored with another key: that of another project, or a replaced one",
    )
    add_server_arguments(sender)
    sender.set_defaults(run=_safely(send))

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
    for command, help_text in (
        (lister, "what was given up, instead"),
        (sender, "also what was given up: it waits again, and what is accepted is gone"),
        (purger, "what was given up, instead"),
    ):
        command.add_argument("--dead", action="store_true", help=f"dead letters: {help_text}")


def _safely(
    run: Callable[[argparse.Namespace, Terminal], int],
) -> Callable[[argparse.Namespace, Terminal], int]:
    def guarded(options: argparse.Namespace, terminal: Terminal) -> int:
        try:
            return run(options, terminal)
        except StorageError as error:
            terminal.error(f"logwell-otel spool: {printable(str(error))}")
            return 1

    return guarded


def _list(options: argparse.Namespace, terminal: Terminal) -> int:
    pools = pools_of(options)
    if options.dead:
        pools = [pool for pool in pools if pool.dead]
    else:  # a database outlives what lay in it
        pools = [one for one in pools if one.entries or one.dead or one.damaged or one.problem]
    if options.json:
        document = msgspec.json.encode([_as_json(pool) for pool in pools])
        terminal.raw(msgspec.json.format(document, indent=2).decode() + "\n")
        return 0
    for pool in pools:
        terminal.line(terminal.style("bold", pool.name))
        for name, value in _dead_rows(pool) if options.dead else _rows(pool):
            terminal.line(f"  {name.ljust(9)}  {value}")
    terminal.line(_dead_sum(pools, options) if options.dead else _sum(pools, options.directory))
    return 0


def _rows(pool: PoolReport) -> list[tuple[str, str]]:
    alive = pool.entries - _dead_entries(pool)
    held = f", {alive} of them held by running processes" if alive else ""
    oldest = "" if pool.oldest is None else f", the oldest of {_time(pool.oldest)}"
    rows = [
        ("endpoint", printable(pool.endpoint or "not known")),
        ("service", printable(pool.service or "not known")),
        ("entries", f"{pool.entries}{held}{oldest}"),
        ("bytes", str(pool.bytes)),
    ]
    if (keys := len({one.project for one in pool.owners})) > 1:
        rows.append(("keys", f"stored for {keys} different keys"))
    if pool.dead:
        rows.append(("dead", f"{_entries(_given_up(pool))} given up; --dead shows them"))
    if pool.damaged:
        rows.append(("set aside", f"a damaged database of {pool.damaged} bytes"))
    if pool.problem is not None:
        rows.append(("problem", printable(pool.problem)))
    return rows


def _dead_rows(pool: PoolReport) -> list[tuple[str, str]]:
    rows = [
        ("endpoint", printable(pool.endpoint or "not known")),
        ("service", printable(pool.service or "not known")),
    ]
    for one in pool.dead:
        since = f"the first of {_time(one.oldest)}, key {printable(one.project)}"
        rows.append((printable(one.reason), f"{_entries(one.entries)}, {one.bytes} bytes, {since}"))
    return rows


def _dead_sum(pools: Sequence[PoolReport], options: argparse.Namespace) -> str:
    if not pools:
        return f"No dead letters lie in {options.directory}."
    return f"{_entries(sum(map(_given_up, pools)))} given up in {count(len(pools), 'pool')}"


def _given_up(pool: PoolReport) -> int:
    return sum(one.entries for one in pool.dead)


def _entries(number: int) -> str:
    return count(number, "entry", "entries")


def _as_json(pool: PoolReport) -> dict[str, Any]:
    return {
        "name": pool.name,
        "endpoint": pool.endpoint,
        "service": pool.service,
        "entries": pool.entries,
        "bytes": pool.bytes,
        "oldest": None if pool.oldest is None else _time(pool.oldest),
        "owners": [
            {
                "token": one.token,
                "project": one.project,
                "alive": one.alive,
                "entries": one.entries,
                "bytes": one.bytes,
                "oldest": _time(one.oldest),
            }
            for one in pool.owners
        ],
        "dead": [
            {
                "project": one.project,
                "reason": one.reason,
                "entries": one.entries,
                "bytes": one.bytes,
                "oldest": _time(one.oldest),
            }
            for one in pool.dead
        ],
        "damaged_bytes": pool.damaged,
        "problem": pool.problem,
    }


def _sum(pools: Sequence[PoolReport], directory: str) -> str:
    if not pools:
        return f"Nothing lies in {directory}."
    entries = sum(pool.entries for pool in pools)
    size = sum(pool.bytes for pool in pools)
    return f"{count(entries, 'entry', 'entries')} in {count(len(pools), 'pool')}, {size} bytes"


def _purge(options: argparse.Namespace, terminal: Terminal) -> int:
    pools = pools_of(options)
    doomed = sum(map(_given_up if options.dead else _dead_entries, pools))
    if not options.yes:
        if not terminal.person:
            terminal.error("logwell-otel spool purge: nobody to ask; give --yes to delete.")
            return 1
        what = count(doomed, "undelivered entry", "undelivered entries")
        question = (
            f"Delete {count(doomed, 'dead letter') if options.dead else what} of "
            f"{count(len(pools), 'pool')} in {options.directory}? [y/N]"
        )
        if terminal.ask(question).lower() not in ("y", "yes"):
            terminal.line("Nothing was deleted.")
            return 1
    if options.dead:
        deleted, size = purge_dead(options.directory, pool=options.pool)
        terminal.line(f"Deleted {count(deleted, 'dead letter')}, {size} bytes.")
        return 0
    report = purge(options.directory, pool=options.pool)
    terminal.line(f"Deleted {_entries(report.entries)}, {report.bytes} bytes.")
    if report.damaged:
        terminal.line(f"Deleted {count(report.damaged, 'damaged database')}.")
    for pool, left in report.left.items():
        terminal.line(f"{pool}: left alone, as running processes hold them: {left}")
    return 1 if report.left else 0


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


# `logwell-otel spool send`: what lies in a spool directory, through an exporter's own engine.
#
# So it is paced, retried, split and accounted for as in an application, step by step on this
# thread.


PATIENCE: Final = 120.0
"""Seconds without an accepted entry after which it stops: twice what a rate limit asks for."""

PROGRESS_SECONDS: Final = 2.0
_LONGEST_SLEEP: Final = 0.5
# Who asks for delivery gets it: no cap of a spool drops what it finds.
_NO_CAP_BYTES: Final = 2**60
_NO_CAP_SECONDS: Final = 1e11


@dataclass
class Sum:
    """What became of the entries that were found.

    Attributes:
        found: Entries taken over.
        delivered: Entries that the server accepted.
        refused: Entries that it refused for good.
        lost: Entries dropped: poison, or unreadable on disk.
        left: Entries that still lie in the directory.
    """

    found: int = 0
    delivered: int = 0
    refused: int = 0
    lost: int = 0
    left: int = 0

    def __str__(self) -> str:
        parts = [f"{self.delivered} delivered"]
        parts += [f"{self.refused} refused by the server"] if self.refused else []
        parts += [f"{self.lost} lost"] if self.lost else []
        found = count(self.found, "entry", "entries")
        return f"{found} found: {', '.join(parts)}; {self.left} left in the directory"

    @property
    def complete(self) -> bool:
        """Whether all that lay there is delivered."""
        return not (self.left or self.refused or self.lost)


def send(
    options: argparse.Namespace, terminal: Terminal, dependencies: Dependencies | None = None
) -> int:
    """Deliver; gives the exit status.

    Raises:
        StorageError: The directory cannot be used.
    """
    try:
        config = Config.resolve(**server_arguments(options))
    except LogwellError as error:
        terminal.error(f"logwell-otel spool send: {error.message}")
        return 1
    total = Sum()
    pools = pools_of(options)
    for pool in pools:
        if (problem := _refusal(pool, config, any_endpoint=options.any_endpoint)) is not None:
            terminal.error(f"{pool.name}: not sent: {printable(problem)}")
            continue
        for project in _projects(pool, config, terminal, options):
            left = _left_behind(pool, options, project)
            terminal.line(f"{pool.name}: {_entries(left)} to {config.endpoint}")
            if options.dead:
                revive(pool.path, project)
            Courier(pool, project, config, terminal, dependencies or Dependencies()).deliver(total)
            if total.left:
                break  # the next one would meet the same server
        if total.left:
            break
    total.left = _left(options, pools, terminal)
    terminal.line(f"{total}.")
    return 0 if total.complete and all(pool.problem is None for pool in pools) else 1


def _projects(
    pool: PoolReport, config: Config, terminal: Terminal, options: argparse.Namespace
) -> list[str]:
    """The projects, by the hashes of their keys, whose entries are to be sent with this key."""
    projects = [one.project for one in pool.owners if not one.alive]
    if options.dead:
        projects += [one.project for one in pool.dead]
    found = list(dict.fromkeys(projects))
    mine = project_name(config.api_key.reveal())
    if options.any_key:
        return found
    for other in found:
        if other != mine:
            terminal.error(
                f"{pool.name}: not sent: {_entries(_left_behind(pool, options, other))} stored for "
                "another key. Give --any-key to send them with this one all the same."
            )
    return [project for project in found if project == mine]


def _left_behind(pool: PoolReport, options: argparse.Namespace, project: str) -> int:
    """Entries of a project to be sent: what dead processes left, and dead letters if asked for."""
    letters = sum(one.entries for one in pool.dead if one.project == project)
    return _dead_entries(pool, project) + (letters if options.dead else 0)


class Courier:
    """Delivers what one pool has for one project.

    Args:
        pool: What to deliver.
        project: Of which project.
        config: Where to.
        terminal: Told of the progress.
        dependencies: What tests replace.
    """

    def __init__(
        self,
        pool: PoolReport,
        project: str,
        config: Config,
        terminal: Terminal,
        dependencies: Dependencies,
    ) -> None:
        assert pool.endpoint is not None  # noqa: S101 - see _refusal
        assert pool.service is not None  # noqa: S101
        self._pool = pool
        self._terminal = terminal
        self._clock = dependencies.clock
        self._sleep: Callable[[float], object] = dependencies.sleep or time.sleep
        self._ending = False
        spool = Spool(
            pool.path.parent,
            endpoint=pool.endpoint,
            service=pool.service,
            project=lambda: project,
            max_bytes=_NO_CAP_BYTES,
            max_age=_NO_CAP_SECONDS,
        )
        self._engine = Engine(
            config, lambda *_: None, replace(dependencies, threads=False, say=self._say), spool
        )

    def _say(self, text: str) -> None:
        # At the end the engine says what is left; here the sum does.
        if not self._ending:
            self._terminal.error(f"{self._pool.name}: {text}")

    def deliver(self, total: Sum) -> None:
        """Deliver as long as that goes well, and add to `total`."""
        engine = self._engine
        engine.outbox.look_after_disk()
        try:
            self._drive()
        except KeyboardInterrupt:
            self._terminal.error(f"{self._pool.name}: interrupted.")
        finally:
            health = engine.health()
            self._ending = True
            engine.shutdown(0.0)
        ended = health.refused + health.dropped_total
        total.found += health.recovered
        # Losses are reported to the server in an entry of their own, which is not one of these.
        total.delivered += max(0, min(health.accepted, health.recovered - ended))
        total.refused += health.refused
        total.lost += health.dropped_total
        total.left += health.held

    def _drive(self) -> None:
        accepted, accepted_at = 0, self._clock()
        told_at = self._clock()
        while True:
            wait = self._engine.delivery.step()
            self._engine.notices.dispatch()
            if wait is None:
                return
            now, health = self._clock(), self._engine.health()
            if health.accepted > accepted:
                accepted, accepted_at = health.accepted, now
            if now - told_at >= PROGRESS_SECONDS:
                told_at = now
                self._terminal.line(
                    f"{self._pool.name}: {health.accepted} of {health.recovered} delivered"
                )
            if (reason := self._hopeless(health, now - accepted_at)) is not None:
                self._terminal.error(f"{self._pool.name}: stopped: {reason}")
                return
            if wait > 0:
                self._sleep(min(wait, _LONGEST_SLEEP))

    def _hopeless(self, health: Health, idle: float) -> str | None:
        """Why a person should not be kept waiting any longer."""
        if self._engine.delivery.held_for > 0 or health.breaker != "closed":
            return "" if health.last_error is None else health.last_error.message
        if health.held and health.held == self._engine.delivery.failing_alone:
            return " ".join(f"{reason}." for reason in health.reasons)
        if idle > PATIENCE:
            return f"nothing was accepted for {PATIENCE:.0f} s."
        return None


def _refusal(pool: PoolReport, config: Config, *, any_endpoint: bool) -> str | None:
    """Why a pool is not to be sent to `config.endpoint`."""
    if pool.endpoint is None or pool.service is None:
        return pool.problem or "nobody knows whose it is."
    named = pool_name(pool.endpoint, pool.service)
    if named != pool.name:
        return f"what is in it belongs to another pool, {named}."
    if not any_endpoint and config.endpoint != pool.endpoint:
        return (
            f"its entries are for {pool.endpoint}, not for {config.endpoint}. Give --any-endpoint "
            "to send them there all the same."
        )
    return None


def _dead_entries(pool: PoolReport, project: str | None = None) -> int:
    return sum(
        one.entries for one in pool.owners if not one.alive and project in (None, one.project)
    )


def _left(options: argparse.Namespace, pools: list[PoolReport], terminal: Terminal) -> int:
    """Entries that still lie in the pools, and who holds them."""
    names = {pool.name for pool in pools}
    left = 0
    for pool in list_spools(options.directory):
        if pool.name in names:
            left += pool.entries
            alive = pool.entries - _dead_entries(pool)
            if alive:
                terminal.line(
                    f"{pool.name}: {count(alive, 'entry', 'entries')} held by running processes"
                )
    return left


# Which pools a command is about, and how many of something there are.


def pools_of(options: argparse.Namespace) -> list[PoolReport]:
    """The pools that the options select.

    Raises:
        StorageError: There is no such directory or pool.
    """
    pools = list_spools(options.directory)
    if options.pool is None:
        return pools
    chosen = [pool for pool in pools if pool.name == options.pool]
    if not chosen:
        raise StorageError(f"{options.directory} has no pool named {options.pool}.")
    return chosen
