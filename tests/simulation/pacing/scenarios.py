"""What the paces are measured with."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from logwell_otel._delivery.pacing import Pace
from simulation.pacing.load import Records, Saturated, one_a_second
from simulation.pacing.run import Limit, simulate
from simulation.pacing.server import Server
from support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulation.pacing.load import Load
    from simulation.pacing.run import Outcome, Paced

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
    return _run([Saturated(end=seconds)] * processes, seed, make_pace)


def trickle(
    seed: int,
    *,
    processes: int = 50,
    seconds: float = MINUTES_30,
    unevenness: float = 0.5,
    make_pace: MakePace = adaptive,
) -> Outcome:
    """Every process logs one record a second."""
    rng = random.Random(f"records {seed}")
    loads = [one_a_second(end=seconds, rng=rng, unevenness=unevenness) for _ in range(processes)]
    return _run(loads, seed, make_pace)


def backlog(
    seed: int, records: int, *, server_limit: float, make_pace: MakePace = adaptive
) -> Outcome:
    """One process has that many records to send, all at once; it believes in 600 a minute."""
    return _run([Records([0.0] * records)], seed, make_pace, server=Server(server_limit))


def late_joiner(seed: int, *, joins: float, end: float, make_pace: MakePace = adaptive) -> Outcome:
    """50 processes as in `saturated`, and a 51st that begins at `joins`."""
    loads = [Saturated(end=end)] * 50 + [Saturated(begin=joins, end=end)]
    return _run(loads, seed, make_pace)


def changed_limit(
    seed: int,
    *,
    processes: int,
    before: float,
    after: float,
    at: float,
    end: float,
    make_pace: MakePace = adaptive,
) -> Outcome:
    """The server's limit changes while every process sends as much as it can."""
    return _run(
        [Saturated(end=end)] * processes,
        seed,
        make_pace,
        server=Server(before),
        limits=[Limit(at, after)],
    )


def _run(
    loads: Sequence[Load],
    seed: int,
    make_pace: MakePace,
    *,
    server: Server | None = None,
    limits: Sequence[Limit] = (),
) -> Outcome:
    clock, rng = Clock(), random.Random(seed)
    return simulate(
        loads,
        [make_pace(clock, random.Random(rng.random())) for _ in loads],
        server=server or Server(),
        clock=clock,
        rng=rng,
        limits=limits,
    )
