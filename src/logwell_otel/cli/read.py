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
from collections import deque
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from logwell_otel._clock import monotonic
from logwell_otel.cli.terminal import Terminal, printable
from logwell_otel.errors import LogwellError, config_error
from logwell_otel.reader import Incident, IncidentDetail, LogRow, LogwellReader
from logwell_otel.reader.filters import as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from logwell_otel.reader import Filters, SourceCount

_T = TypeVar("_T")

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


def add_search(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `search`."""
    parser = commands.add_parser(
        "search",
        description="Entries that match, newest first. Exit status: 0 found, 1 nothing found, "
        "2 error.",
    )
    _add_words(parser)
    _add_filters(parser, "at most so many; all for all (default: %(default)s)", 100)
    _add_output(parser)
    add_reader_arguments(parser)
    parser.set_defaults(run=with_status(search))


def add_tail(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `tail`."""
    parser = commands.add_parser(
        "tail",
        description="The newest entries, oldest of them first; with -f also what comes, until "
        "Ctrl-C. Reconnects by itself, without a gap and without a repetition. Exit status: 0 "
        "found, 1 nothing found, 2 error.",
    )
    _add_words(parser)
    parser.add_argument(
        "-n",
        type=_number,
        metavar="N",
        help="so many of the newest (default: 10, or all since --since)",
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    _add_filters(parser, "end after so many (default: all)", None)
    _add_output(parser)
    add_reader_arguments(parser)
    parser.set_defaults(run=with_status(tail))


def add_incidents(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `incidents`."""
    parser = commands.add_parser(
        "incidents",
        description="Errors grouped by what they have in common, the latest first: those of the "
        "last day, or since --since. With --where or --trace those that such an entry belongs to. "
        "Exit status: 0 found, 1 nothing found, 2 error.",
    )
    parser.add_argument("id", nargs="?", help="one incident, with where it comes from")
    parser.add_argument(
        "--status",
        choices=("open", "resolved"),
        help="open: an error within the last 30 minutes (default: both)",
    )
    _add_filters(parser, "at most so many (default: all)", None)
    _add_output(parser)
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


def _add_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "text", nargs="*", help="words that must all occur in message or attributes"
    )


def _add_filters(parser: argparse.ArgumentParser, limit_help: str, limit: int | None) -> None:
    add = parser.add_argument
    add("--level", metavar="LEVELS", help="debug, info, warn, error, fatal; several with commas")
    add("--service", metavar="NAME", help="the whole name")
    add("--since", metavar="TIME", help="15m, 2h, 1d, 2026-11-21, an ISO 8601 time")
    add("--until", metavar="TIME", help="likewise")
    add(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an attribute and its value; may be given several times",
    )
    add("--trace", metavar="ID", help="a trace id, 32 hexadecimal digits")
    add("--limit", type=_limit, default=limit, metavar="N", help=limit_help)


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
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, or all, got {text}")
    return int(text)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be 0 or more, got {text}")
    return int(text)


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


def _filters(options: argparse.Namespace) -> Filters:
    where = {}
    for pair in options.where:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise config_error(f"--where: expected KEY=VALUE, got {pair!r}.")
        where[name] = value
    return {
        "level": options.level,
        "service": options.service,
        "since": options.since,
        "until": options.until,
        "where": where,
        "trace": options.trace,
    }


def search(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print what matches."""
    with reader_of(options) as reader, _printer(options, terminal, _ROW) as printer:
        text, limit = " ".join(options.text), options.limit
        printer.print_all(reader.search(text, limit=limit, **_filters(options)))
    if limit is not None and printer.count == limit and terminal.tells:
        terminal.error(f"The newest {printer.count:,}; --limit all shows all.")
    return FOUND if printer.count else NOTHING_FOUND


def tail(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print the newest, and with `-f` what comes."""
    if options.follow and options.until:
        raise config_error("--until: expected without -f, which goes on with what comes.")
    text, filters = " ".join(options.text), _filters(options)
    history = 10 if options.n is None and options.since is None else options.n
    with reader_of(options) as reader, _printer(options, terminal, _ROW) as printer:
        rows: Iterable[LogRow]
        if options.follow:
            rows = reader.tail(text, history=history, **filters)
        else:
            # Of those the oldest, which come last, are printed.
            found = reader.search(text, limit=history, **filters)
            rows = reversed(deque(found, options.limit))
        printer.print_all(islice(rows, options.limit))
    return FOUND if printer.count else NOTHING_FOUND


def incidents(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print incidents."""
    filters = _filters(options)
    with reader_of(options) as reader, _printer(options, terminal, _INCIDENT) as printer:
        found: Iterable[Incident]
        if options.id:
            found = [reader.incident(options.id)]
        else:
            found = reader.incidents(status=options.status, limit=options.limit, **filters)
        printer.print_all(found)
    return FOUND if printer.count else NOTHING_FOUND


def login(options: argparse.Namespace, terminal: Terminal) -> int:
    """Sign in and keep the session."""
    if not options.username and not os.environ.get("LOGWELL_USERNAME"):
        options.username = terminal.ask("User name:")
    password = None
    if not options.password_file and not any(
        os.environ.get(name) for name in ("LOGWELL_PASSWORD", "LOGWELL_PASSWORD_FILE")
    ):
        password = _ask_password(terminal) or None
    with reader_of(options, password) as reader:
        reader.login()
        terminal.line(f"Signed in at {reader.endpoint}; the session is kept until it is over.")
    return FOUND


def _ask_password(terminal: Terminal) -> str:
    if not terminal.person:
        return terminal.ask("Password:")
    try:
        return getpass.getpass("Password: ")
    except EOFError:  # Ctrl-D
        terminal.error("")
        return ""


def logout(options: argparse.Namespace, terminal: Terminal) -> int:
    """End and forget the session."""
    with reader_of(options) as reader:
        reader.logout()
        terminal.line(f"Signed out at {reader.endpoint}.")
    return FOUND


class _Form(Generic[_T]):
    """What rows of a kind look like.

    Args:
        lines: For people; takes whether to show everything.
        columns: What CSV has, by name.
    """

    def __init__(
        self,
        lines: Callable[[_T, Terminal, bool], Iterator[str]],
        columns: Mapping[str, Callable[[_T], Any]],
    ) -> None:
        self.lines = lines
        self.columns = columns

    def values(self, item: _T) -> list[str]:
        """A line of CSV."""
        return [_csv_text(get(item)) for get in self.columns.values()]


class _Printer(Generic[_T]):
    """Prints rows in the form that was asked for, and counts them.

    Args:
        write: Takes a text.
        begin: Called once before that, when the first row has come, or their end.
        terminal: For colours, and for telling how far it is.
        form: What a row looks like.
        options: `json`, `csv` and `verbose`.
        progress: Whether to say on standard error how far it is.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        begin: Callable[[], object],
        terminal: Terminal,
        form: _Form[_T],
        options: argparse.Namespace,
        *,
        progress: bool,
    ) -> None:
        self.count = 0
        self._write = write
        self._begin = begin
        self._terminal = terminal
        self._form = form
        self._options = options
        self._progress = progress
        self._said = monotonic()

    def print_all(self, items: Iterable[_T]) -> None:
        """Print each as it comes, until whoever reads has gone."""
        told = False
        try:
            for item in self._begun(items):
                self.count += 1
                self._write(self._text(item))
                if self._terminal.reader_gone:
                    return
                now = monotonic()
                if self._progress and now - self._said >= _PROGRESS_SECONDS:
                    self._said, told = now, True
                    self._terminal.progress(f"{self.count:,} entries …")
        finally:
            if told:  # also at Ctrl-C: what the shell writes next begins a line
                self._terminal.progress("")

    def _begun(self, items: Iterable[_T]) -> Iterator[_T]:
        items = iter(items)
        first = [*islice(items, 1)]
        self._begin()
        if self._options.csv:
            self._write(_csv_line(self._form.columns))
        yield from chain(first, items)

    def _text(self, item: _T) -> str:
        shows = self._terminal.shows
        if self._options.json:
            text = msgspec.json.encode(item).decode()
            return f"{printable(text, _json_escape) if shows else text}\n"
        if self._options.csv:
            values = self._form.values(item)
            return _csv_line(map(printable, values) if shows else values)
        lines = self._form.lines(item, self._terminal, self._options.verbose)
        return "".join(f"{line}\n" for line in lines)


@contextmanager
def _printer(
    options: argparse.Namespace, terminal: Terminal, form: _Form[_T]
) -> Iterator[_Printer[_T]]:
    if options.output is None:
        progress = terminal.tells and not terminal.shows
        yield _Printer(terminal.raw, lambda: None, terminal, form, options, progress=progress)
        return
    path = Path(options.output)
    with path.open("a", encoding="utf-8", newline="") as file:

        def empty() -> None:
            """What the file held is worth more than a question that failed."""
            if path.is_file():
                file.truncate(0)

        plain = Terminal(file, sys.stderr)
        yield _Printer(file.write, empty, plain, form, options, progress=terminal.tells)


def _row_lines(row: LogRow, terminal: Terminal, verbose: bool) -> Iterator[str]:
    style = terminal.style
    level = style(_STYLES.get(row.level, ""), f"{row.level.upper():<5}")
    message, *more = row.message.splitlines() or [""]
    parts = [style("dim", _short(row.timestamp)), level, style("", row.service_name or "-")]
    parts.append(style("bold" if row.level in {"error", "fatal"} else "", message))
    if source := _source(row):
        parts.append(style("dim", source))
    if row.trace_id:
        parts.append(style("dim", f"trace={row.trace_id}"))
    attributes = row.metadata if isinstance(row.metadata, dict) else {}
    if _STACK_TRACE in attributes and not verbose:
        said = ": ".join(as_text(attributes[name]) for name in _EXCEPTION if name in attributes)
        parts.append(style("red", f"[{said}; -v shows the stack trace]"))
    yield "  ".join(parts)
    for line in more:
        yield f"    | {style('', line)}"
    if not verbose:
        return
    for name, value in attributes.items():
        if name != _STACK_TRACE:
            yield f"    {style('dim', name)}={style('', as_text(value))}"
    for line in as_text(attributes.get(_STACK_TRACE, "")).splitlines():
        yield f"    | {style('', line)}"


def _incident_lines(incident: Incident, terminal: Terminal, _: bool) -> Iterator[str]:
    style = terminal.style
    parts = [
        style("dim", _short(incident.last_seen)),
        f"{incident.total_events:>7,} ×",
        style(_STYLES.get(incident.highest_level, ""), incident.highest_level.upper()),
        style("", incident.service_name or "-"),
        style("bold", incident.title),
        style("dim", _source(incident)),
        style("dim", incident.id),
        style("", "" if incident.status == "open" else incident.status),
    ]
    yield "  ".join(filter(None, parts))
    if isinstance(incident, IncidentDetail):
        for source in incident.root_cause_candidates:
            yield f"    {source.count:>7,} from {style('', _source(source))}"
        for request in incident.requests:
            yield f"    {request.count:>7,} in request {style('', request.request_id)}"


def _source(of: LogRow | Incident | SourceCount) -> str:
    return f"{of.source_file}:{of.line_number or ''}" if of.source_file else ""


_ROW: Final = _Form[LogRow](
    _row_lines,
    {
        "timestamp": lambda row: row.timestamp,
        "level": lambda row: row.level,
        "service": lambda row: row.service_name,
        "message": lambda row: row.message,
        "source": _source,
        "trace_id": lambda row: row.trace_id,
        "request_id": lambda row: row.request_id,
        "user_id": lambda row: row.user_id,
        "metadata": lambda row: row.metadata,
    },
)
_INCIDENT: Final = _Form[Incident](
    _incident_lines,
    {
        "last_seen": lambda incident: incident.last_seen,
        "first_seen": lambda incident: incident.first_seen,
        "events": lambda incident: incident.total_events,
        "level": lambda incident: incident.highest_level,
        "service": lambda incident: incident.service_name,
        "title": lambda incident: incident.title,
        "source": _source,
        "status": lambda incident: incident.status,
        "id": lambda incident: incident.id,
    },
)


def _csv_text(value: Any) -> str:
    text = "" if value is None else as_text(value)
    # What a spreadsheet would run as a formula gets a quote in front, as in the server's export.
    return f"'{text}" if text.lstrip()[:1] in {*"=+-@"} else text


def _csv_line(values: Iterable[str]) -> str:
    text = io.StringIO()
    # What is part of a line's end gets quotes: many programs end a line at a \r, too.
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _json_escape(character: str) -> str:
    return json.dumps(character)[1:-1]


def _short(timestamp: str) -> str:
    return timestamp.replace("T", " ", 1)
