"""The figures as a picture: what the exporters take, beside each other."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from figures import number
from subjects import JSON, LOGWELL_OTEL, PROTOBUF

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from figures import Row

# Row, its title, and the names that its figures have there.
_PANELS: Final = {
    "encode, typical": "Encoding",
    "export tax": "CPU beyond the pipeline",
    "zero-code start-up": "Start-up imports",
    "throughput": "Throughput, 20 ms a request",
}
_COLOURS: Final = {
    LOGWELL_OTEL: "#0b7a75",
    "logwell": "#0b7a75",
    PROTOBUF: "#b0893b",
    JSON: "#c9a86a",
}
_OTHER_COLOUR: Final = "#9aa0a6"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw those of `rows` that compare exporters.

    Args:
        rows: What was measured.
        path: Where to write the PNG.

    Raises:
        ValueError: None of them was.
    """
    panels = [row for row in rows if row.name in _PANELS]
    if not panels:
        raise ValueError(f"a picture needs one of these rows: {', '.join(_PANELS)}")
    # Not typed, and not needed to check the types of everything else.
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(1, len(panels), figsize=(3.6 * len(panels), 3.2), squeeze=False)
    for axis, row in zip(axes[0], panels, strict=True):
        _bars(axis, row)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _bars(axis: Any, row: Row) -> None:
    names = [*row.figures]
    figures = [*row.figures.values()]
    medians = [figure.median for figure in figures]
    spread = [
        [figure.median - figure.low for figure in figures],
        [figure.high - figure.median for figure in figures],
    ]
    colours = [_COLOURS.get(name, _OTHER_COLOUR) for name in names]
    bars = axis.bar(names, medians, yerr=spread, color=colours, width=0.65, ecolor="#555555")
    axis.bar_label(bars, [number(median) for median in medians], padding=3, fontsize=8)
    axis.set_title(_PANELS[row.name], fontsize=10)
    axis.set_ylabel(row.unit, fontsize=8)
    axis.tick_params(axis="x", labelsize=7, rotation=25)
    axis.tick_params(axis="y", labelsize=7)
    axis.margins(y=0.15)
    axis.spines[["top", "right"]].set_visible(False)
