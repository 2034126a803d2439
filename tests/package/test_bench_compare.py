"""`scripts/bench --compare FILE`: what is worse than before, beyond the spread, is an error."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = spec_from_file_location("figures", ROOT / "benchmarks" / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "figures", module)  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


def row(figures: ModuleType, value: float, *, spread: float = 0.0, better: str = "lower") -> Any:
    figure = figures.Figure(10.0, 10.0 * (1 - spread), 10.0 * (1 + spread), 5)
    checks = [figures.Check("of theirs", value, 1.0, better=better)]
    return figures.Row("call", "what", "µs", {"ours": figure}, checks)


@pytest.mark.parametrize(
    ("now", "spread", "better", "worse"),
    [
        (0.50, 0.0, "lower", False),
        (0.54, 0.0, "lower", False),
        (0.56, 0.0, "lower", True),
        (0.40, 0.0, "lower", False),
        (0.60, 0.3, "lower", False),
        (0.66, 0.3, "lower", True),
        (0.44, 0.0, "higher", True),
        (0.46, 0.0, "higher", False),
    ],
)
def test_beyond_a_tenth_and_beyond_the_spread(
    figures: ModuleType, now: float, spread: float, better: str, worse: bool
) -> None:
    before = json.loads(json.dumps({"rows": [row(figures, 0.5, better=better).to_json()]}))
    found = figures.compared([row(figures, now, spread=spread, better=better)], before)
    assert bool(found) is worse
    if worse:
        assert found[0].startswith(f"call: of theirs: {now:.2f}, was 0.50: worse by more than")


def test_what_was_not_measured_before_is_not_compared(figures: ModuleType) -> None:
    new = row(figures, 5.0)
    assert figures.compared([new], {"rows": []}) == []
    before = row(figures, 0.5).to_json()
    before["checks"] = []
    assert figures.compared([new], {"rows": [before]}) == []


def test_the_last_releases_figures_are_there_and_can_be_read(figures: ModuleType) -> None:
    text = (ROOT / "benchmarks" / "last_release.json").read_text(encoding="utf-8")
    earlier = json.loads(text)
    assert {row["name"] for row in earlier["rows"]} >= {"call", "on_emit"}
    assert figures.compared([], earlier) == []
