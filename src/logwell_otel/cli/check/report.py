"""The check's results as text and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from logwell_otel._version import __version__
from logwell_otel.cli.check.result import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from logwell_otel.cli.check.result import Result
    from logwell_otel.cli.check.run import Check

Style = Callable[[str, str], str]
"""Makes a text fit to be printed, `plain` or in `green`, `yellow`, `red`, `dim`, `bold`."""

_HEADINGS: Final = {"settings": "Settings", "server": "Server", "opentelemetry": "OpenTelemetry"}
_WORDS: Final = {
    Status.PASS: ("ok", "green"),
    Status.WARNING: ("warning", "yellow"),
    Status.FAIL: ("FAIL", "red"),
    Status.SKIPPED: ("skipped", "dim"),
}
_INDENT: Final = " " * 32


def text(check: Check, results: Iterable[Result], style: Style) -> Iterator[str]:
    """The report line by line, each as soon as it is known.

    Args:
        check: Its settings come first.
        results: Its results, which may still be coming.
        style: Colours words, or does not.
    """
    yield style("bold", f"logwell-otel {__version__} check")
    group = ""
    counts = dict.fromkeys(Status, 0)
    for result in results:
        if result.group != group:
            group = result.group
            yield ""
            yield style("bold", _HEADINGS[group])
            if group == "settings":
                yield from _settings(check, style)
        word, colour = _WORDS[result.status]
        found = style("plain", f"{result.step.ljust(20)} {result.text}")
        yield f"  {style(colour, word.ljust(8))} {found}"
        if result.advice is not None:
            yield style("plain", f"{_INDENT}-> {result.advice}")
        counts[result.status] += 1
    yield ""
    yield _sum(counts, style)


def json(check: Check, results: Iterable[Result]) -> bytes:
    """The same as one JSON object."""
    collected = list(results)
    url, origin = (None, "default") if check.way is None else check.way.shown
    document: dict[str, Any] = {
        "version": __version__,
        "ok": ok(collected),
        "settings": [
            {"name": one.name, "value": one.value, "origin": one.origin} for one in check.settings
        ],
        "proxy": {"url": url, "origin": origin},
        "results": [
            {
                "group": result.group,
                "step": result.step,
                "status": str(result.status),
                "text": result.text,
                "advice": result.advice,
            }
            for result in collected
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def ok(results: Iterable[Result]) -> bool:
    """Whether nothing failed."""
    return all(result.status is not Status.FAIL for result in results)


def _settings(check: Check, style: Style) -> Iterator[str]:
    if not check.settings:
        return
    rows = [(one.name, one.value or "-", one.origin) for one in check.settings]
    if check.way is not None:
        url, origin = check.way.shown
        rows.append(("proxy", url or "-", origin))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, origin in rows:
        line = f"  {name.ljust(widths[0])}  {value.ljust(widths[1])}  {origin}"
        yield style("dim" if origin == "default" else "plain", line)
    yield ""


def _sum(counts: dict[Status, int], style: Style) -> str:
    warnings = counts[Status.WARNING]
    said = f", {warnings} warning{'s' if warnings != 1 else ''}" if warnings else ""
    if failures := counts[Status.FAIL]:
        return style("red", f"{failures} failed{said}")
    return style("green", f"Nothing failed{said}")
