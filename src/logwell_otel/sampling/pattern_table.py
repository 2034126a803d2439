"""Patterns of a log stream, counted, and what they would cost at given rates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from logwell_otel.sampling.signature import pattern, signature
from logwell_otel.severity import LEVELS

if TYPE_CHECKING:
    from logwell_otel.sampling.rules import SamplingRules

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
        self.signature = signature
        self.example = example[:_EXAMPLE_CHARACTERS]
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
