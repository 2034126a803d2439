"""What a benchmark found: figures, and whether they are what was asked for."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Figure:
    """A measurement that was repeated.

    Attributes:
        median: Its median.
        low: The lower quartile.
        high: The upper quartile.
        repeats: How often it was taken.
    """

    median: float
    low: float
    high: float
    repeats: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """The figure of repeated measurements."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))

    def __str__(self) -> str:
        if self.repeats == 1:
            return number(self.median)
        return f"{number(self.median)} ({number(self.low)}–{number(self.high)})"


@dataclass(frozen=True)
class Check:
    """A figure held against what it must be.

    Attributes:
        what: Which figure.
        value: The figure.
        limit: What it must keep to.
        goal: What it should reach, where that is more.
        better: Which side of the limit is the right one.
    """

    what: str
    value: float
    limit: float
    goal: float | None = None
    better: Literal["lower", "higher"] = "lower"

    @property
    def kept(self) -> bool:
        """Whether the limit is kept."""
        return self._reaches(self.limit)

    @property
    def verdict(self) -> str:
        """In words."""
        if not self.kept:
            return "NOT KEPT"
        if self.goal is None:
            return "kept"
        return "goal reached" if self._reaches(self.goal) else "kept, goal not reached"

    def _reaches(self, bound: float) -> bool:
        return self.value <= bound if self.better == "lower" else self.value >= bound

    def __str__(self) -> str:
        least = "at most" if self.better == "lower" else "at least"
        asked = f"{least} {number(self.limit)}"
        if self.goal is not None:
            asked += f", goal {number(self.goal)}"
        return f"{self.what}: {number(self.value)} ({asked}): {self.verdict}"


@dataclass
class Row:
    """A line of the table.

    Attributes:
        name: What it is called.
        measures: What it measures, in one line.
        unit: Of the figures.
        figures: By subject.
        checks: What is asked of them.
    """

    name: str
    measures: str
    unit: str
    figures: dict[str, Figure]
    checks: list[Check] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        checks = [{**asdict(check), "verdict": check.verdict} for check in self.checks]
        return {**asdict(self), "checks": checks}


_LEAST_SPREAD = 0.1
"""Ratios of one machine vary by a tenth from run to run: docs/performance.md."""


def compared(rows: Sequence[Row], earlier: Mapping[str, Any]) -> list[str]:
    """The checks that are worse than in an earlier run, beyond the spread of both.

    Args:
        rows: What was measured.
        earlier: What `--json` wrote of an earlier run.
    """
    before = {row["name"]: row for row in earlier["rows"]}
    worse: list[str] = []
    for row in rows:
        known = before.get(row.name)
        if known is None:
            continue
        spread = max(
            _LEAST_SPREAD,
            _spread(row.figures.values()),
            _spread(Figure(**figure) for figure in known["figures"].values()),
        )
        values = {check["what"]: check["value"] for check in known["checks"]}
        for check in row.checks:
            if check.what not in values:
                continue
            was = values[check.what]
            grown = check.value - was if check.better == "lower" else was - check.value
            if grown > spread * abs(was):
                worse.append(
                    f"{row.name}: {check.what}: {number(check.value)}, was {number(was)}: worse "
                    f"by more than the spread of {spread:.0%}"
                )
    return worse


def _spread(figures: Iterable[Figure]) -> float:
    """How far a quartile is from the median at most, as a share of it."""
    return max(
        (
            (figure.high - figure.low) / 2 / abs(figure.median)
            for figure in figures
            if figure.median
        ),
        default=0.0,
    )


def number(value: float) -> str:
    """With about three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(rows: Sequence[Row]) -> str:
    """All rows as text: figures as medians with the quartiles behind them."""
    lines: list[str] = []
    for row in rows:
        lines += [f"{row.name} ({row.unit})", f"  {row.measures}"]
        width = max(len(subject) for subject in row.figures)
        lines += [f"    {subject:<{width}}  {figure}" for subject, figure in row.figures.items()]
        lines += [f"    → {check}" for check in row.checks]
        lines.append("")
    return "\n".join(lines)
