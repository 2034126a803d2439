"""Print the table of `docs/pacing.md`: the worst of five seeds for each pace."""

from __future__ import annotations

import functools
import sys
import time
from typing import TYPE_CHECKING

from simulation import scenarios
from simulation.additive import Additive

if TYPE_CHECKING:
    from simulation.run import Outcome
    from simulation.scenarios import MakePace

SEEDS = range(1, 6)
END = scenarios.MINUTES_30
LAST_20 = END - 20 * 60.0
PACES: dict[str, MakePace] = {
    "Pace": scenarios.adaptive,
    "+0.05 a request": functools.partial(Additive, per_request=0.05),
    "+0.3 a minute": functools.partial(Additive, per_minute=0.3),
}


def used(outcome: Outcome, begin: float) -> float:
    """Accepted requests as a share of the tokens there were."""
    burst = 600 if begin == 0 else 0
    return outcome.accepted(begin, END) / (burst + (END - begin) * 10)


def saturated_row(make_pace: MakePace, processes: int) -> str:
    outcomes = [
        scenarios.saturated(seed, processes=processes, make_pace=make_pace) for seed in SEEDS
    ]
    return (
        f"{min(used(o, 0) for o in outcomes):8.1%} {min(used(o, LAST_20) for o in outcomes):8.1%}"
        f" {max(o.refused_share(LAST_20) for o in outcomes):8.2%}"
        f" {min(min(o.shares()) for o in outcomes):8.2f}"
        f" {max(max(o.shares()) for o in outcomes):8.2f}"
    )


def trickle_row(make_pace: MakePace, unevenness: float) -> str:
    outcomes = [
        scenarios.trickle(seed, unevenness=unevenness, make_pace=make_pace) for seed in SEEDS
    ]
    return (
        f"{max(o.refused_share(LAST_20, END) for o in outcomes):8.2%}"
        f" {max(o.age(0.5, LAST_20) for o in outcomes):8.1f}"
        f" {max(o.age(0.99, LAST_20) for o in outcomes):8.1f}"
        f" {max(o.age(0.99) for o in outcomes):8.1f}"
        f" {max(o.age(1.0) for o in outcomes):8.1f}"
    )


def main() -> None:
    write = sys.stdout.write
    began = time.perf_counter()
    write("As much to send as goes, 30 minutes    used  last 20      429 least share most\n")
    for processes in (1, 2, 5, 15, 50, 150):
        for name, make_pace in PACES.items():
            write(f"{processes:4d} processes  {name:16s} {saturated_row(make_pace, processes)}\n")
    write("\n50 processes, a record a second         429  age 50%  age 99%  99% all   oldest\n")
    for unevenness, rhythm in ((0.5, "uneven"), (0.0, "even")):
        for name, make_pace in PACES.items():
            write(f"{rhythm:15s} {name:16s} {trickle_row(make_pace, unevenness)}\n")
    write(f"\nworst of {len(SEEDS)} seeds; {time.perf_counter() - began:.0f} s\n")


if __name__ == "__main__":
    main()
