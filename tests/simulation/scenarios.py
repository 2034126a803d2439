"""The two loads a shared limit is measured with: all that goes, and a trickle from everyone."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from logwell_otel.pacing import Pace
from simulation.clock import Clock
from simulation.load import Saturated, one_a_second
from simulation.run import simulate
from simulation.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulation.run import Outcome, Paced

    MakePace = Callable[[Clock, random.Random], Paced]

MINUTES_30 = 30 * 60.0


def adaptive(clock: Clock, rng: random.Random) -> Paced:
    """The exporter's own pace."""
    return Pace(clock=clock, rng=rng)


def saturated(
    seed: int,
    *,
    processes: int = 50,
    seconds: float = MINUTES_30,
    make_pace: MakePace = adaptive,
) -> Outcome:
    """Every process has as much to send as it can."""
    clock, rng = Clock(), random.Random(seed)
    return simulate(
        [Saturated(end=seconds) for _ in range(processes)],
        [make_pace(clock, random.Random(rng.random())) for _ in range(processes)],
        server=Server(),
        clock=clock,
        rng=rng,
    )


def trickle(
    seed: int,
    *,
    processes: int = 50,
    seconds: float = MINUTES_30,
    unevenness: float = 0.5,
    make_pace: MakePace = adaptive,
) -> Outcome:
    """Every process logs one record a second."""
    clock, rng = Clock(), random.Random(seed)
    loads = [one_a_second(end=seconds, rng=rng, unevenness=unevenness) for _ in range(processes)]
    return simulate(
        loads,
        [make_pace(clock, random.Random(rng.random())) for _ in range(processes)],
        server=Server(),
        clock=clock,
        rng=rng,
    )
