"""`logwell-otel patterns`: what a log stream is made of, and what sampling would save."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO
from urllib.parse import urlsplit

import msgspec

from logwell_otel.errors import LogwellError
from logwell_otel.sampling.log_stream import entries_of
from logwell_otel.sampling.pattern_table import (
    Cost,
    PatternTable,
    Row,
    as_json,
    cost_of,
    level_mix,
)
from logwell_otel.sampling.policy import Policy
from logwell_otel.sampling.rate_text import rates_of
from logwell_otel.sampling.rules import DEFAULT_RATES, SamplingRules
from logwell_otel.transport import NoAnswer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from logwell_otel.cli.terminal import Terminal

_TIMEOUT: Final = 60.0
_MOST_BYTES: Final = 512 * 1024 * 1024
_MOST_ENTRIES: Final = 100_000
_LONGEST_LINE: Final = 1024 * 1024
_LEAST_EXAMPLE: Final = 40
_HEAD: Final = (
    f"{'count':>9} {'share':>6} {'kept':>9} {'saved':>6}  {'levels':<21} {'signature':<16}  "
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    add = parser.add_argument
    add(
        "source",
        metavar="FILE|URL|-",
        help="lines of text or JSON from a file or, with -, from standard input; or the URL of "
        "a receiver, such as http://127.0.0.1:3000/api/logs",
    )
    add(
        "--rates",
        metavar="LEVEL=RATE,…",
        default="",
        help="rates to reckon with, such as info=0.2,debug=0.05 (default: those of sampling)",
    )
    add("--policy", metavar="FILE", help="a sampling policy to reckon with, instead of --rates")
    add("--top", metavar="N", type=int, default=20, help="patterns to show (default: %(default)s)")
    add("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command; returns the exit status, 1 when something cannot be read.

    Ctrl-C ends the reading, not the command: what was read until then is shown.
    """
    try:
        rules = _rules(options)
        table = PatternTable()
        try:
            for level, message in entries_of(_lines(options.source)):
                table.add(level, message)
        except KeyboardInterrupt:
            terminal.error("Interrupted: what was read until now.")
    except LogwellError as error:
        terminal.error(f"logwell-otel patterns: {terminal.style('', error.message)}")
        return 1
    except OSError as error:
        reason = error.strerror or type(error).__name__
        name = error.filename or options.source
        terminal.error(f"logwell-otel patterns: {terminal.style('', f'{name}: {reason}')}")
        return 1
    rows = table.rows()
    top = max(0, options.top)
    if options.json:
        terminal.line(msgspec.json.encode(as_json(rows, rules, top)).decode())
    else:
        for line in _text(rows, rules, top, terminal):
            terminal.line(line)
    return 0


def _rules(options: argparse.Namespace) -> SamplingRules:
    if options.policy is not None:
        return Policy.parse(Path(options.policy).read_bytes()).rules()
    return SamplingRules(DEFAULT_RATES | rates_of(options.rates))


def _lines(source: str) -> Iterator[str]:
    if source.startswith(("http://", "https://")):
        yield from _fetched(source)
        return
    if source == "-":
        # Not closed: it is the process's.
        yield from _read(io.TextIOWrapper(sys.stdin.buffer, "utf-8", errors="replace"))
        return
    with Path(source).open(encoding="utf-8-sig", errors="replace") as file:
        yield from _read(file)


def _read(file: TextIO) -> Iterator[str]:
    # Not all of a line: what has no line ends would be read into memory whole.
    while line := file.readline(_LONGEST_LINE):
        yield line


def _fetched(url: str) -> Iterator[str]:
    from logwell_otel.sampling.policy_http import HttpxHttp  # noqa: PLC0415 - only for URLs

    parts = urlsplit(url)
    if parts.path in ("", "/"):
        parts = parts._replace(path="/api/logs")
    if parts.path.endswith("/api/logs") and not parts.query:
        parts = parts._replace(query=f"limit={_MOST_ENTRIES}")
    url = parts.geturl()
    answer = HttpxHttp(url, max_answer_bytes=_MOST_BYTES)("GET", url, {}, None, _TIMEOUT)
    if isinstance(answer, NoAnswer):
        raise OSError(0, f"no answer: {answer.reason}", url)
    if answer.status != 200:
        raise OSError(0, f"answered {answer.status}", url)
    yield from answer.body.decode("utf-8", "replace").split("\n")


def _text(rows: list[Row], rules: SamplingRules, top: int, terminal: Terminal) -> Iterator[str]:
    costs = [cost_of(row, rules) for row in rows]
    total = sum(costs, Cost())
    room = max(_LEAST_EXAMPLE, shutil.get_terminal_size((160, 24)).columns - len(_HEAD))
    yield terminal.style("bold", f"{_HEAD}example")
    for row, cost in list(zip(rows, costs, strict=True))[:top]:
        example = terminal.style("", row.example)[:room]
        mix = " ".join(f"{level} {_percent(share)}" for level, share in level_mix(row).items())
        yield (
            f"{cost.count:>9,} {cost.count / total.count:>6.1%} {cost.kept:>9,.0f} "
            f"{cost.saved:>6.1%}  {mix:<21} {row.signature:<16}  {example}"
        )
    rest = len(rows) - min(top, len(rows))
    if rest:
        cost = sum(costs[top:], Cost())
        yield (
            f"{cost.count:>9,} {cost.count / total.count:>6.1%} {cost.kept:>9,.0f} "
            f"{cost.saved:>6.1%}  in {rest:,} more {'pattern' if rest == 1 else 'patterns'}"
        )
    yield terminal.style(
        "bold",
        f"{total.count:>9,} {1 if total.count else 0:>6.0%} {total.kept:>9,.0f} "
        f"{total.saved:>6.1%}  total: {len(rows):,} patterns; of {_size(total.size)} of messages "
        f"{_size(total.kept_size)} kept",
    )


def _percent(share: float) -> str:
    # Never 100 % where something else is there as well.
    return "100%" if share == 1 else f"{min(share, 0.99):.0%}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
