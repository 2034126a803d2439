"""`logwell-otel search`, `tail`, `incidents`, `login`, `logout`: logs on the terminal.

Whatever an entry holds is somebody else's text: nothing of it reaches the terminal that the
terminal would act on.
"""

from __future__ import annotations

import argparse
import csv
import getpass
import io
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from logwell_otel._clock import monotonic
from logwell_otel.cli.terminal import Terminal, printable
from logwell_otel.errors import LogwellError, config_error
from logwell_otel.reader import LogwellReader
from logwell_otel.reader.filters import as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from logwell_otel.reader import Incident, LogRow

FOUND: Final = 0
NOTHING_FOUND: Final = 1
FAILED: Final = 2

_STYLES: Final = {
    "debug": "dim",
    "info": "green",
    "warn": "yellow",
    "error": "red",
    "fatal": "bold",
}
_STACK_TRACE: Final = "exception.stacktrace"
_EXCEPTION: Final = ("exception.type", "exception.message")
_PROGRESS_SECONDS: Final = 1.0
_CSV_COLUMNS: Final = (
    "timestamp",
    "level",
    "service",
    "message",
    "source",
    "trace_id",
    "request_id",
    "user_id",
    "metadata",
)


def add_search(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `search`."""
    parser = commands.add_parser(
        "search",
        description="Entries that match, newest first. Exit status: 0 found, 1 nothing found, "
        "2 error.",
    )
    _add_filters(parser)
    parser.add_argument("--since", metavar="TIME", help="15m, 2h, 1d, 2026-11-21, an ISO 8601 time")
    parser.add_argument("--until", metavar="TIME", help="likewise")
    parser.add_argument(
        "--limit",
        type=_limit,
        default=100,
        metavar="N",
        help="at most so many; all for all (default: %(default)s)",
    )
    _add_output(parser)
    add_reader_arguments(parser)
    parser.set_defaults(run=with_status(search))


def add_tail(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `tail`."""
    parser = commands.add_parser(
        "tail",
        description="The newest entries, oldest of them first; with -f also what comes, until "
        "Ctrl-C. Reconnects by itself, without a gap and without a repetition.",
    )
    _add_filters(parser)
    parser.add_argument("-n", type=int, default=10, metavar="N", help="so many (default: 10)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    _add_output(parser)
    add_reader_arguments(parser)
    parser.set_defaults(run=with_status(tail))


def add_incidents(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `incidents`."""
    parser = commands.add_parser(
        "incidents",
        description="Errors grouped by what they have in common, the latest first. Exit status: "
        "0 found, 1 nothing found, 2 error.",
    )
    parser.add_argument("id", nargs="?", help="one incident, with where it comes from")
    parser.add_argument("--resolved", action="store_true", help="those that ended, not the open")
    parser.add_argument("--range", choices=("15m", "1h", "24h", "7d"), default="24h")
    parser.add_argument("--service", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_reader_arguments(parser)
    parser.set_defaults(run=with_status(incidents))


def add_login(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `login`."""
    parser = commands.add_parser(
        "login",
        description="Sign in with a user of Logwell's own pages, and keep the session, not the "
        "password, in a file that only you can read.",
    )
    add_reader_arguments(parser)
    parser.set_defaults(run=with_status(login))


def add_logout(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `logout`."""
    parser = commands.add_parser("logout", description="End the session, and remove it.")
    add_reader_arguments(parser)
    parser.set_defaults(run=with_status(logout))


def _add_filters(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("text", nargs="*", help="words that must all occur in message or attributes")
    add("--level", metavar="LEVELS", help="debug, info, warn, error, fatal; several with commas")
    add("--service", metavar="NAME", help="the whole name")
    add(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an attribute and its value; may be given several times",
    )
    add("--trace", metavar="ID", help="a trace id, 32 hexadecimal digits")


def _add_output(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line, as stored")
    form.add_argument("--csv", action="store_true", help="CSV with a line of names")
    add("-o", "--output", metavar="FILE", help="write there")
    add("-v", "--verbose", action="store_true", help="all attributes and stack traces")


def add_reader_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which server, and who reads."""
    group = parser.add_argument_group("the server, where the LOGWELL_* variables do not name it")
    add = group.add_argument
    add("--endpoint", metavar="URL", help="base URL of the server (LOGWELL_ENDPOINT)")
    add("--project", metavar="NAME", help="name or id of the project (LOGWELL_PROJECT)")
    add("--username", metavar="NAME", help="who reads (LOGWELL_USERNAME)")
    add("--password-file", metavar="FILE", help="a file with the password (LOGWELL_PASSWORD_FILE)")
    add("--certificate-file", metavar="FILE", help="CA certificates to trust, PEM")


def _limit(text: str) -> int | None:
    if text == "all":
        return None
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, or all, got {text}")
    return number


def with_status(
    command: Callable[[argparse.Namespace, Terminal], int],
) -> Callable[[argparse.Namespace, Terminal], int]:
    """The command, with what can go wrong said in one line and status 2."""

    def run(options: argparse.Namespace, terminal: Terminal) -> int:
        try:
            return command(options, terminal)
        except LogwellError as error:
            terminal.error(f"logwell-otel: {error}")
        except OSError as error:
            terminal.error(f"logwell-otel: {error.filename or 'output'}: {error.strerror}")
        return FAILED

    return run


def reader_of(options: argparse.Namespace, password: str | None = None) -> LogwellReader:
    """The reader that these arguments ask for."""
    return LogwellReader(
        options.endpoint,
        options.username,
        password,
        project=options.project,
        password_file=options.password_file,
        keep_session=True,
        certificate_file=options.certificate_file,
    )


def _filters(options: argparse.Namespace) -> dict[str, Any]:
    where = {}
    for pair in options.where:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise config_error(f"--where: expected KEY=VALUE, got {pair!r}.")
        where[name] = value
    return {
        "text": " ".join(options.text),
        "level": options.level,
        "service": options.service,
        "where": where,
        "trace": options.trace,
    }


def search(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print what matches."""
    with reader_of(options) as reader, _printer(options, terminal) as printer:
        rows = reader.search(
            **_filters(options), since=options.since, until=options.until, limit=options.limit
        )
        printer.print_all(rows)
    if options.limit is not None and printer.count == options.limit and terminal.person:
        terminal.error(f"The newest {printer.count:,}; --limit all shows all.")
    return FOUND if printer.count else NOTHING_FOUND


def tail(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print the newest, and with `-f` what comes."""
    with reader_of(options) as reader, _printer(options, terminal) as printer:
        filters = _filters(options)
        if options.follow:
            printer.print_all(reader.tail(**filters, history=options.n))
        else:
            printer.print_all(list(reader.search(**filters, limit=options.n))[::-1])
    return FOUND if printer.count else NOTHING_FOUND


def incidents(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print incidents."""
    with reader_of(options) as reader:
        if options.id:
            detail = reader.incident(options.id)
            _print_incident(detail, options, terminal)
            if not options.json:
                for source in detail.root_cause_candidates:
                    place = f"{source.source_file}:{source.line_number or ''}"
                    terminal.line(f"    {source.count:>7,} from {terminal.style('', place)}")
                for request in detail.requests:
                    name = terminal.style("", request.request_id)
                    terminal.line(f"    {request.count:>7,} in request {name}")
            return FOUND
        status = "resolved" if options.resolved else "open"
        found = False
        for incident in reader.incidents(status=status, range=options.range):
            if options.service in {None, incident.service_name}:
                found = True
                _print_incident(incident, options, terminal)
        return FOUND if found else NOTHING_FOUND


def _print_incident(incident: Incident, options: argparse.Namespace, terminal: Terminal) -> None:
    if options.json:
        terminal.line(msgspec.json.encode(incident).decode())
        return
    level = terminal.style(_STYLES.get(incident.highest_level, ""), incident.highest_level.upper())
    place = f"{incident.source_file}:{incident.line_number or ''}" if incident.source_file else ""
    parts = [
        terminal.style("dim", _short(incident.last_seen)),
        f"{incident.total_events:>7,} ×",
        level,
        terminal.style("", incident.service_name or "-"),
        terminal.style("bold", incident.title),
        terminal.style("dim", place),
        terminal.style("dim", incident.id),
    ]
    terminal.line("  ".join(part for part in parts if part))


def login(options: argparse.Namespace, terminal: Terminal) -> int:
    """Sign in and keep the session."""
    if not options.username and not os.environ.get("LOGWELL_USERNAME"):
        options.username = terminal.ask("User name:")
    password = None
    if not options.password_file and not any(
        os.environ.get(name) for name in ("LOGWELL_PASSWORD", "LOGWELL_PASSWORD_FILE")
    ):
        password = getpass.getpass("Password: ") if terminal.person else terminal.ask("Password:")
    with reader_of(options, password) as reader:
        reader.login()
        terminal.line(f"Signed in at {reader.endpoint}; the session is kept until it is over.")
    return FOUND


def logout(options: argparse.Namespace, terminal: Terminal) -> int:
    """End and forget the session."""
    with reader_of(options) as reader:
        reader.logout()
        terminal.line(f"Signed out at {reader.endpoint}.")
    return FOUND


class _Printer:
    """Prints rows in the form that was asked for, and counts them.

    Args:
        write: Takes a text.
        terminal: For colours, and for telling how far it is.
        form: `json`, `csv` or `text`.
        verbose: All attributes, and stack traces.
        progress: Whether to say on standard error how far it is.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        terminal: Terminal,
        form: str,
        *,
        verbose: bool,
        progress: bool,
    ) -> None:
        self.count = 0
        self._write = write
        self._terminal = terminal
        self._form = form
        self._verbose = verbose
        self._progress = progress
        self._said = monotonic()

    def print_all(self, rows: Iterable[LogRow]) -> None:
        """Print each row as it comes, until whoever reads has gone."""
        if self._form == "csv":
            self._write(_csv_line(_CSV_COLUMNS))
        for row in rows:
            self.count += 1
            self._write(self._text(row))
            if self._terminal.reader_gone:
                return
            now = monotonic()
            if self._progress and now - self._said >= _PROGRESS_SECONDS:
                self._said = now
                self._terminal.progress(f"{self.count:,} entries …")
        if self._progress:
            self._terminal.progress("")

    def _text(self, row: LogRow) -> str:
        if self._form == "json":
            text = msgspec.json.encode(row).decode()
            return f"{printable(text) if self._terminal.shows else text}\n"
        if self._form == "csv":
            values = _csv_row(row)
            return _csv_line(map(printable, values) if self._terminal.shows else values)
        return "\n".join(self._lines(row)) + "\n"

    def _lines(self, row: LogRow) -> Iterator[str]:
        style = self._terminal.style
        level = style(_STYLES.get(row.level, ""), f"{row.level.upper():<5}")
        message, *more = row.message.splitlines() or [""]
        parts = [style("dim", _short(row.timestamp)), level, style("", row.service_name or "-")]
        parts.append(style("bold" if row.level in {"error", "fatal"} else "", message))
        if row.source_file:
            parts.append(style("dim", f"{row.source_file}:{row.line_number or ''}"))
        if row.trace_id:
            parts.append(style("dim", f"trace={row.trace_id}"))
        attributes = row.metadata if isinstance(row.metadata, dict) else {}
        folded = _STACK_TRACE in attributes
        if folded and not self._verbose:
            said = ": ".join(as_text(attributes[name]) for name in _EXCEPTION if name in attributes)
            parts.append(style("red", f"[{said}; -v shows the stack trace]"))
        yield "  ".join(parts)
        for line in more:
            yield f"    | {style('', line)}"
        if self._verbose:
            yield from self._details(row)

    def _details(self, row: LogRow) -> Iterator[str]:
        style = self._terminal.style
        attributes = row.metadata if isinstance(row.metadata, dict) else {}
        for name, value in attributes.items():
            if name != _STACK_TRACE:
                yield f"    {style('dim', name)}={style('', as_text(value))}"
        for line in as_text(attributes.get(_STACK_TRACE, "")).splitlines():
            yield f"    | {style('', line)}"


@contextmanager
def _printer(options: argparse.Namespace, terminal: Terminal) -> Iterator[_Printer]:
    form = "json" if options.json else "csv" if options.csv else "text"
    if options.output is None:
        progress = terminal.person and not terminal.shows
        yield _Printer(terminal.raw, terminal, form, verbose=options.verbose, progress=progress)
        return
    with Path(options.output).open("w", encoding="utf-8", newline="") as file:
        plain = Terminal(file, sys.stderr)
        yield _Printer(file.write, plain, form, verbose=options.verbose, progress=terminal.person)


def _csv_row(row: LogRow) -> list[str]:
    source = f"{row.source_file}:{row.line_number or ''}" if row.source_file else ""
    metadata = "" if row.metadata is None else json.dumps(row.metadata, ensure_ascii=False)
    values = (
        row.timestamp,
        row.level,
        row.service_name,
        row.message,
        source,
        row.trace_id,
        row.request_id,
        row.user_id,
        metadata,
    )
    # What a spreadsheet would run as a formula gets a quote in front, as in the server's export.
    return [
        f"'{value}" if value and value.lstrip()[:1] in {"=", "+", "-", "@"} else value or ""
        for value in values
    ]


def _csv_line(values: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def _short(timestamp: str) -> str:
    return timestamp.replace("T", " ", 1)
