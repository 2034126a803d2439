"""Print the table of `docs/pacing.md`: the worst of five seeds for each pace."""

from __future__ import annotations

import functools
import sys
import time
from typing import TYPE_CHECKING

from simulation.pacing import scenarios
from simulation.pacing.additive import Additive

if TYPE_CHECKING:
    from simulation.pacing.run import Outcome
    from simulation.pacing.scenarios import MakePace

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


def long_run_row(make_pace: MakePace) -> str:
    hour, end = 3600.0, 3 * 3600.0
    outcomes = [scenarios.saturated(seed, seconds=end, make_pace=make_pace) for seed in SEEDS]
    return (
        f"{max(o.refused_share(hour) for o in outcomes):8.2%}"
        f" {min(min(o.shares(hour, end)) for o in outcomes):8.2f}"
        f" {max(max(o.shares(hour, end)) for o in outcomes):8.2f}"
    )


def change_row(make_pace: MakePace) -> str:
    joins, end = 20 * 60.0, 50 * 60.0
    late = [scenarios.late_joiner(s, joins=joins, end=end, make_pace=make_pace) for s in SEEDS]
    shares = [outcome.shares(joins, end)[50] for outcome in late]
    small = [scenarios.backlog(s, 10_000, server_limit=60, make_pace=make_pace) for s in SEEDS]
    raised = scenarios.changed_limit(
        1, processes=1, before=60, after=600, at=1800, end=4 * 3600.0, make_pace=make_pace
    )
    minute = next(
        (m for m in range(209) if raised.accepted(1800 + m * 60, 1860 + m * 60) >= 570), None
    )
    return (
        f"{min(shares):8.2f} {max(shares):8.2f} {max(o.refused() for o in small):8}"
        f" {max(o.age(1.0) for o in small):8.0f} {'never' if minute is None else minute:>8}"
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
    write("\n50 processes, hours 2 and 3              429    least     most\n")
    for name, make_pace in PACES.items():
        write(f"{'':15s} {name:16s} {long_run_row(make_pace)}\n")
    write("\nWhen things change               a 51st: least     most   60: 429  seconds   raised\n")
    for name, make_pace in PACES.items():
        write(f"{'':15s} {name:16s} {change_row(make_pace)}\n")
    write(f"\nworst of {len(SEEDS)} seeds; {time.perf_counter() - began:.0f} s\n")


if __name__ == "__main__":
    main()
