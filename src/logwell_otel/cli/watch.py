"""`logwell-otel watch`: act when rules are met, or say when they would have been."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from logwell_otel._diagnostics import count
from logwell_otel.cli.read import (
    FAILED,
    FOUND,
    NOTHING_FOUND,
    add_reader_arguments,
    reader_of,
    with_status,
)
from logwell_otel.cli.terminal import printable
from logwell_otel.errors import config_error
from logwell_otel.reader.filters import moment
from logwell_otel.reader.rules_file import load_rules
from logwell_otel.reader.watch import LogwellWatch, would_have_fired

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from logwell_otel.cli.terminal import Terminal
    from logwell_otel.reader import LogwellReader
    from logwell_otel.reader.rules import Rule


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `watch`."""
    parser = commands.add_parser(
        "watch",
        description="Read what is new, and act when rules are met, until Ctrl-C. Run one for a "
        "project: two would both act. With --test, say what would have been: exit status 0 "
        "something, 1 nothing, 2 error.",
    )
    add = parser.add_argument
    add("rules", metavar="RULES.yaml", help="what to look for, and what to do then")
    add("--test", action="store_true", help="of the past; nothing is done")
    add("--since", metavar="TIME", help="from when on, with --test: 15m, 2h, 1d, 2026-11-21")
    add("--until", metavar="TIME", help="until when, with --test (default: now)")
    add("--every", type=float, default=10.0, metavar="SECONDS", help="how often (default: 10)")
    add("--state", metavar="FILE", help="what outlives a restart (default: one for each file)")
    add_reader_arguments(parser)
    parser.set_defaults(run=with_status(watch))


def watch(options: argparse.Namespace, terminal: Terminal) -> int:
    """Watch, or test."""
    if not options.test and (options.since or options.until):
        raise config_error("--since and --until: expected with --test only, got them without.")
    rules = load_rules(options.rules)
    with reader_of(options) as reader:
        if options.test:
            return _test(options, rules, terminal, reader)
        state = options.state or default_state(reader.endpoint, options, os.environ)
        with LogwellWatch(
            reader,
            rules,
            state=state,
            every=options.every,
            say=lambda text: terminal.error(f"logwell-otel: {printable(text)}"),
            log=terminal.line,
        ) as running:
            running.step()  # from here on rows count
            number = count(len(rules), "rule")
            terminal.error(f"Watching {reader.endpoint} by {number}; the state is in {state}.")
            running.run()
    return FAILED  # only Ctrl-C or an error ends it


def _test(
    options: argparse.Namespace, rules: list[Rule], terminal: Terminal, reader: LogwellReader
) -> int:
    now = datetime.now(timezone.utc)
    since = moment("--since", options.since or "1d", now)
    until = moment("--until", options.until or "now", now)
    assert since is not None  # noqa: S101 - given
    assert until is not None  # noqa: S101
    if since >= until:
        raise config_error("--since: expected a time before --until and now, got a later one.")
    fired = 0
    for firing in would_have_fired(reader, rules, since, until):
        fired += 1
        shown = terminal.style("dim", firing.time.replace("T", " ", 1))
        rule = terminal.style("bold", firing.rule)
        terminal.line(f"{shown}  {rule}  {terminal.style('', firing.described)}")
    terminal.error(
        f"{count(len(rules), 'rule')} would have fired {count(fired, 'time')}; nothing was done."
    )
    return FOUND if fired else NOTHING_FOUND


def default_state(endpoint: str, options: argparse.Namespace, environ: Mapping[str, str]) -> Path:
    """Where the state is: one for each rules file, server and project."""
    base = environ.get("XDG_STATE_HOME")
    home = Path(base) if base and Path(base).is_absolute() else Path.home() / ".local" / "state"
    path = Path(options.rules).resolve()
    project = options.project or environ.get("LOGWELL_PROJECT") or ""
    which = hashlib.sha256(f"{path}|{endpoint}|{project}".encode()).hexdigest()[:8]
    return home / "logwell" / f"watch-{path.stem}-{which}.db"
