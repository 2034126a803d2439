"""The event loop of the simulation, and what it measured."""

from __future__ import annotations

import heapq
import itertools
import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

from simulation.pacing.server import RETRY_AFTER

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from simulation.pacing.load import Load
    from simulation.pacing.server import Server
    from support.clock import Clock

LATENCY = 0.03
"""Seconds from a request's start to its answer, on average."""


class Paced(Protocol):
    """What the sender uses of a pace."""

    def ready_in(self) -> float: ...

    def take(self) -> None: ...

    def accepted(self) -> None: ...

    def rate_limited(self, retry_after: float | None) -> None: ...


class Request(NamedTuple):
    at: float
    process: int
    accepted: bool


class Arrival(NamedTuple):
    at: float
    age: float


class Limit(NamedTuple):
    """The server's limit is changed while it runs."""

    at: float
    requests_per_minute: float


class Outcome:
    """What was sent, what came of it, and how old records were on arrival."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self.requests: list[Request] = []
        self.arrivals: list[Arrival] = []

    def accepted(self, begin: float = 0.0, end: float = math.inf) -> int:
        return sum(request.accepted for request in self._during(begin, end))

    def refused(self, begin: float = 0.0, end: float = math.inf) -> int:
        return sum(not request.accepted for request in self._during(begin, end))

    def refused_share(self, begin: float = 0.0, end: float = math.inf) -> float:
        """Requests answered 429 among all requests."""
        return self.refused(begin, end) / len(self._during(begin, end))

    def shares(self, begin: float = 0.0, end: float = math.inf) -> list[float]:
        """Accepted requests of each process, 1.0 being a fair share."""
        counts = [0] * self.processes
        for request in self._during(begin, end):
            counts[request.process] += request.accepted
        fair = sum(counts) / self.processes
        return [count / fair for count in counts]

    def age(self, quantile: float, begin: float = 0.0) -> float:
        """Seconds: that part of the records were younger when they arrived."""
        ages = sorted(arrival.age for arrival in self.arrivals if arrival.at >= begin)
        return ages[min(len(ages) - 1, int(len(ages) * quantile))]

    def _during(self, begin: float, end: float) -> list[Request]:
        return [request for request in self.requests if begin <= request.at < end]


class _Process:
    """One exporter's sender: one request at a time, the next when its pace says so."""

    def __init__(self, pace: Paced, load: Load) -> None:
        self.pace = pace
        self.load = load
        self.in_flight = 0


def simulate(
    loads: Sequence[Load],
    paces: Sequence[Paced],
    *,
    server: Server,
    clock: Clock,
    rng: random.Random,
    limits: Sequence[Limit] = (),
) -> Outcome:
    """Let every process send what it has until nothing is left.

    Args:
        loads: What each process sends, in seconds since the simulation began.
        paces: The pace of each process; they read `clock`.
        server: Answers them all.
        clock: Set to the simulated instant before each call.
        rng: Unevenness of latency and of the processes' start within 10 ms.
        limits: Changes of the server's limit.

    Returns:
        Everything that happened, in seconds since the simulation began.
    """
    outcome = Outcome(len(loads))
    processes = [_Process(pace, load) for pace, load in zip(paces, loads, strict=True)]
    began = clock.now
    order = itertools.count()  # events of the same instant happen in the order they were made
    events = [(rng.random() * 0.01, next(order), index, "wake") for index in range(len(processes))]
    events += [(limit.at, next(order), index, "limit") for index, limit in enumerate(limits)]
    heapq.heapify(events)

    while events:
        now, _, index, event = heapq.heappop(events)
        clock.now = began + now
        if event == "limit":
            server.set_limit(limits[index].requests_per_minute, now)
            continue
        process = processes[index]
        if event == "wake":
            next_at, following = _wake(process, now, rng)
        elif event == "arrives":
            accepted = server.takes(now)
            outcome.requests.append(Request(now, index, accepted))
            next_at = now + _way(rng)
            following = "accepted" if accepted else "refused"
        else:
            if event == "accepted":
                process.pace.accepted()
                ages = process.load.delivered(process.in_flight, now)
                outcome.arrivals.extend(Arrival(now, age) for age in ages)
            else:
                process.pace.rate_limited(RETRY_AFTER)
            next_at, following = now, "wake"
        if next_at < math.inf:
            heapq.heappush(events, (next_at, next(order), index, following))
    return outcome


def _wake(process: _Process, now: float, rng: random.Random) -> tuple[float, str]:
    next_at = process.load.next_at(now)
    if next_at > now:
        return next_at, "wake"
    wait = process.pace.ready_in()
    if wait > 0:
        return now + wait, "wake"
    process.in_flight = process.load.waiting(now)
    process.pace.take()
    return now + _way(rng), "arrives"


def _way(rng: random.Random) -> float:
    return LATENCY / 2 * rng.uniform(0.5, 1.5)
