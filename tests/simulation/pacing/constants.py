"""What each constant of `Pace` is worth: print the last table of `docs/pacing.md`.

`python -m simulation.pacing.constants` (with `src` and `tests` on the path)
"""

from __future__ import annotations

import sys
from unittest import mock

from logwell_otel._delivery import pacing
from simulation.pacing import scenarios

END = scenarios.MINUTES_30
LAST_20 = END - 20 * 60.0
VARIANTS: dict[str, dict[str, float]] = {
    "as it is": {},
    "no memory of the plateau": {"_MEMORY": 0.0},
    "all of the plateau kept": {"_MEMORY": 1.0},
    "no haste": {"_HASTE": 1.0},
    "plateau at 75 %": {"_PLATEAU": 0.75},
    "plateau at 95 %": {"_PLATEAU": 0.95},
    "curve twice as steep": {"_CURVE": 1e-5},
    "curve half as steep": {"_CURVE": 2.5e-6},
    "the whole burst": {"_MARGIN": 1.0},
}


def row() -> str:
    """The worst of 15 seeds with as much as goes, of 5 with a trickle, 8 newcomers."""
    full = [scenarios.saturated(seed) for seed in range(1, 16)]
    five = [scenarios.saturated(seed, processes=5) for seed in range(1, 6)]
    alone = [scenarios.saturated(seed, processes=1, seconds=3600.0) for seed in range(1, 6)]
    trickle = [scenarios.trickle(seed) for seed in range(1, 6)]
    late = [scenarios.late_joiner(seed, joins=3600.0, end=4200.0) for seed in range(1, 9)]
    tokens = 600 + END * 10
    return (
        f"{min(o.accepted(0, END) for o in full) / tokens:8.1%}"
        f" {min(o.accepted(0, END) for o in five) / tokens:8.1%}"
        f" {min(min(o.shares(LAST_20, END)) for o in full):8.2f}"
        f" {max(o.refused_share(LAST_20, END) for o in trickle):8.2%}"
        f" {min(o.shares(3600.0, 4200.0)[50] for o in late):8.2f}"
        f" {max(o.refused() for o in alone):8}"
    )


def main() -> None:
    write = sys.stdout.write
    write(f"{'':24s}     used   used/5    least      429     late    alone\n")
    for name, constants in VARIANTS.items():
        with mock.patch.dict(vars(pacing), constants):
            write(f"{name:24s} {row()}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
