"""`logwell-otel patterns`: which patterns a log is made of, and what sampling would save."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO
from urllib.parse import urlsplit

import msgspec

from logwell_otel._config.address import proxy_of, proxy_secrets
from logwell_otel._diagnostics import Secrets
from logwell_otel._encoding.fields import severity_of
from logwell_otel._http import HttpClient, NoAnswer
from logwell_otel._wire import LEVELS
from logwell_otel.errors import LogwellError
from logwell_otel.sampling.policy import Policy
from logwell_otel.sampling.rules import DEFAULT_RATES, SamplingRules, rates_of
from logwell_otel.sampling.signature import pattern, signature

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from logwell_otel._wire import Level
    from logwell_otel.cli.terminal import Terminal


_TIMEOUT: Final = 60.0
_MOST_BYTES: Final = 512 * 1024 * 1024
_MOST_ENTRIES: Final = 100_000
_LONGEST_LINE: Final = 1024 * 1024
_LEAST_EXAMPLE: Final = 40
_SIGN_IN: Final = (
    "a real server shows entries to who has signed in only: "
    "logwell-otel search --limit all --json | logwell-otel patterns -"
)
_HEAD: Final = (
    f"{'count':>9} {'share':>6} {'kept':>9} {'saved':>6}  {'levels':<21} {'signature':<16}  "
)


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "patterns",
        description="The most frequent patterns, and what given sampling rates would save.",
    )
    add = parser.add_argument
    add(
        "source",
        metavar="FILE|URL|-",
        help="lines of text or JSON from a file or, with -, from standard input; or the URL of "
        "a development server, such as http://127.0.0.1:3000 (for a real one, give what "
        "`logwell-otel search --limit all --json` prints to standard input)",
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
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command; gives the exit status, 1 when something cannot be read.

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
    parts = urlsplit(url)
    if parts.path in ("", "/"):
        parts = parts._replace(path="/api/logs")
    if parts.path.endswith("/api/logs") and not parts.query:
        parts = parts._replace(query=f"limit={_MOST_ENTRIES}")
    url = parts.geturl()
    proxy = proxy_of(url)
    client = HttpClient(
        proxy=None if proxy is None else proxy.reveal,
        mask=Secrets(proxy_secrets()).mask,
        keep_alive=False,
        max_answer_bytes=_MOST_BYTES,
    )
    answer = client.request("GET", url, {}, None, _TIMEOUT)
    if isinstance(answer, NoAnswer):
        raise OSError(0, f"no answer: {answer.reason}", url)
    if answer.status in (401, 403):
        raise OSError(0, f"answered {answer.status}: {_SIGN_IN}", url)
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


# Patterns of a log stream, counted, and what they would cost at given rates.

MAX_PATTERNS: Final = 100_000
FURTHER: Final = "further patterns"
"""The example of those that were too many to be told apart."""

_EXAMPLE_CHARACTERS: Final = 1000


class Row:
    """One pattern.

    Attributes:
        signature: Of our own algorithm; empty for all further patterns together.
        example: The first message of it.
        counts: Records by level.
        sizes: Bytes of their messages by level.
    """

    __slots__ = ("counts", "example", "signature", "sizes")

    def __init__(self, signature: str, example: str) -> None:
        self.signature: str = signature
        self.example: str = example[:_EXAMPLE_CHARACTERS]
        self.counts: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()


@dataclass(frozen=True, slots=True)
class Cost:
    """What records come to.

    Attributes:
        count: Records seen.
        kept: Records kept, as expected.
        size: Bytes of messages seen.
        kept_size: Bytes of messages kept, as expected.
    """

    count: int = 0
    kept: float = 0.0
    size: int = 0
    kept_size: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.count + other.count,
            self.kept + other.kept,
            self.size + other.size,
            self.kept_size + other.kept_size,
        )

    @property
    def saved(self) -> float:
        """The share of the records that is saved, from 0 to 1."""
        return 1 - self.kept / self.count if self.count else 0.0


class PatternTable:
    """Counts patterns.

    Args:
        size: How many are told apart. Further ones are one row together.
    """

    def __init__(self, size: int = MAX_PATTERNS) -> None:
        self._size = size
        self._rows: dict[str, Row] = {}

    def add(self, level: str, message: str) -> None:
        """Count a record."""
        key = signature(message)
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) < self._size:
                row = self._rows[key] = Row(key, message)
            else:
                row = self._rows.setdefault("", Row("", FURTHER))
        row.counts[level] += 1
        row.sizes[level] += len(message.encode("utf-8", "replace"))

    def rows(self) -> list[Row]:
        """Return the patterns, the most frequent first."""
        return sorted(self._rows.values(), key=lambda row: -row.counts.total())


def cost_of(row: Row, rules: SamplingRules) -> Cost:
    """Return what a pattern's records come to. The first of each level is always kept."""
    cost = Cost()
    for level, count in row.counts.items():
        rate = rules.rate(level, row.example, row.signature)
        kept = 1 + (count - 1) * rate
        size = row.sizes[level]
        cost += Cost(count, kept, size, size * kept / count)
    return cost


def level_mix(row: Row) -> dict[str, float]:
    """Return the share of each level, least severe first."""
    total = row.counts.total()
    return {level: row.counts[level] / total for level in LEVELS if row.counts[level]}


def as_json(rows: list[Row], rules: SamplingRules, top: int) -> dict[str, Any]:
    """Return the whole as plain values: the top patterns, and the total of all."""
    costs = [cost_of(row, rules) for row in rows]
    total = sum(costs, Cost())
    return {
        "patterns": [
            {
                "signature": row.signature,
                "pattern": pattern(row.example) if row.signature else FURTHER,
                "example": row.example,
                "share": cost.count / total.count,
                "levels": dict(row.counts),
                **_cost_as_json(cost),
            }
            for row, cost in list(zip(rows, costs, strict=True))[:top]
        ],
        "total": {"patterns": len(rows), **_cost_as_json(total)},
    }


def _cost_as_json(cost: Cost) -> dict[str, Any]:
    return {
        "count": cost.count,
        "kept": round(cost.kept, 1),
        "saved": round(cost.saved, 4),
        "bytes": cost.size,
        "kept_bytes": round(cost.kept_size),
    }


# Log lines as they come, plain or JSON -> level and message.

# As structlog, python-json-logger, pino, zap, OpenTelemetry and others call them.
_MESSAGE_NAMES: Final = ("message", "msg", "body", "event", "text", "log")
_LEVEL_NAMES: Final = (
    "level",
    "severity",
    "severityText",
    "severity_text",
    "levelname",
    "lvl",
    "log.level",
)
_NUMBER_NAMES: Final = ("severityNumber", "severity_number")

# Where a line says its level, which is at its beginning. In capitals, or as level=info: the
# word "error" in a sentence is none.
_BEGINNING: Final = 120
_LEVEL: Final = re.compile(
    r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERR|ERROR|CRIT|CRITICAL|ALERT|EMERG|FATAL|PANIC)\b"
    r"|\b(?i:level|lvl|severity)=\"?(\w+)"
)


def entries_of(lines: Iterable[str]) -> Iterator[tuple[Level, str]]:
    """Yield level and message of each record.

    A line that is a JSON object is a record, or a receiver's answer with records under
    `logs`; a JSON array holds several. Any other line is a message itself; its level is
    taken from its first 120 characters, and is info where there is none.
    """
    for raw in lines:
        line = raw.strip()
        if not line:
            continue
        if line[0] in "{[":
            try:
                value = msgspec.json.decode(line)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                pass  # `[12:30:01] INFO …` and the like
            else:
                yield from _from_json(value, line)
                continue
        yield _level_in(line), line


def _from_json(value: Any, line: str) -> Iterator[tuple[Level, str]]:
    records = value
    if isinstance(value, dict):
        records = value["logs"] if isinstance(value.get("logs"), list) else [value]
    for record in records:
        if isinstance(record, dict):
            yield _level_of(record), _message_of(record, line)
        else:
            yield "info", _as_text(record)


def _message_of(record: dict[str, Any], line: str) -> str:
    for name in _MESSAGE_NAMES:
        if record.get(name) is not None:
            return _as_text(record[name])
    return line


def _as_text(value: Any) -> str:
    if isinstance(value, dict) and isinstance(value.get("stringValue"), str):
        return str(value["stringValue"])  # OTLP's JSON
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _level_of(record: dict[str, Any]) -> Level:
    number = next((record[name] for name in _NUMBER_NAMES if name in record), None)
    text = next((record[name] for name in _LEVEL_NAMES if isinstance(record.get(name), str)), None)
    return severity_of(number, text).level


def _level_in(line: str) -> Level:
    match = _LEVEL.search(line[:_BEGINNING])
    return severity_of(None, match[1] or match[2]).level if match else "info"
