"""What the check found, and how it is shown: as text and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from logwell_otel._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Status(str, Enum):
    """How a step went."""

    PASS = "pass"  # noqa: S105 - no password
    WARNING = "warning"
    """Entries arrive, but something about it is not as one would want it."""
    FAIL = "fail"
    SKIPPED = "skipped"
    """Not run, or not to be run; the text says why."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Finding:
    """What one step of the check found.

    Attributes:
        status: How it went.
        text: What was found. Holds no secret.
        advice: What to do about it; None where there is nothing to do.
        group: Heading it stands under: `settings`, `server` or `opentelemetry`.
        step: What was looked at.
    """

    status: Status
    text: str
    advice: str | None = None
    group: str = ""
    step: str = ""

    def of(self, group: str, step: str) -> Finding:
        """The same as that of a step."""
        return replace(self, group=group, step=step)


def passed(text: str) -> Finding:
    """All is well."""
    return Finding(Status.PASS, text)


def warning(text: str, advice: str) -> Finding:
    """It works, but not as one would want it."""
    return Finding(Status.WARNING, text, advice)


def failed(text: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(Status.FAIL, text, advice)


def skipped(text: str, advice: str | None = None) -> Finding:
    """Not run."""
    return Finding(Status.SKIPPED, text, advice)


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: Its name as an argument.
        value: What it is, with secrets masked; None where it is not set.
        origin: `argument`, a variable's name, or `default`.
    """

    name: str
    value: str | None
    origin: str


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


NO_PROXY: Final = Setting("proxy", None, "default")


def text(
    settings: Sequence[Setting],
    proxy: Setting,
    results: Iterable[Finding],
    style: Style,
    *,
    verbose: bool = False,
) -> Iterator[str]:
    """The report line by line, each as soon as it is known.

    Args:
        settings: The settings, which come first; empty where they are wrong.
        proxy: The proxy, and where it comes from.
        results: What was found, which may still be coming.
        style: Colours words, or does not.
        verbose: Whether to show settings that are left as they are by default.
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
                yield from _settings(settings, proxy, style, verbose=verbose)
        word, colour = _WORDS[result.status]
        found = style("plain", f"{result.step.ljust(20)} {result.text}")
        yield f"  {style(colour, word.ljust(8))} {found}"
        if result.advice is not None:
            yield style("plain", f"{_INDENT}-> {result.advice}")
        counts[result.status] += 1
    yield ""
    yield _sum(counts, style)


def json(settings: Sequence[Setting], proxy: Setting, results: Sequence[Finding]) -> bytes:
    """The same as one JSON object."""
    document: dict[str, Any] = {
        "version": __version__,
        "ok": ok(results),
        "settings": settings,
        "proxy": {"url": proxy.value, "origin": proxy.origin},
        "results": results,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def ok(results: Iterable[Finding]) -> bool:
    """Whether nothing failed."""
    return all(result.status is not Status.FAIL for result in results)


def _settings(
    settings: Sequence[Setting], proxy: Setting, style: Style, *, verbose: bool
) -> Iterator[str]:
    if not settings:
        return
    everything = [*settings, proxy]
    shown = [one for one in everything if verbose or one.origin != "default"]
    rows = [(one.name, one.value or "-", one.origin) for one in shown]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for name, value, origin in rows:
        line = f"  {name.ljust(widths[0])}  {value.ljust(widths[1])}  {origin}"
        yield style("dim" if origin == "default" else "plain", line)
    if left := len(everything) - len(shown):
        yield style("dim", f"  {left} more as they are by default: --verbose shows them")
    yield ""


def _sum(counts: dict[Status, int], style: Style) -> str:
    warnings = counts[Status.WARNING]
    said = f", {warnings} warning{'s' if warnings != 1 else ''}" if warnings else ""
    if failures := counts[Status.FAIL]:
        return style("red", f"{failures} failed{said}")
    return style("green", f"Nothing failed{said}")
