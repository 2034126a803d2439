"""What a world is made of and what happens in it, all from one seed."""

from __future__ import annotations

import math
import random
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from simulation.network import GATEWAY_ANSWERS, GIVEN_UP, LOST_ANSWERS, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulation.world import App, World

EVIL = "<script>alert(1)</script>"
"""What a firewall takes for an attack."""

ERRORS = frozenset({"error", "fatal"})


KINDS = (
    *("gateway", "gateway", "firewall", "firewall", "poison", "table", "table", "outage"),
    *("outage", "flaky", "after", "size", "rejects", "unauthorized"),
)


class Happening(NamedTuple):
    """What happens at an instant; `name` says what, for `Plan.timeline`."""

    at: float
    name: str
    seconds: float = 0.0
    detail: str = ""

    def __str__(self) -> str:
        seconds = f" {self.seconds:g} s" if self.seconds else ""
        return f"{self.name}{' ' + self.detail if self.detail else ''}{seconds} at {self.at:.0f} s"


class Plan:
    """One world.

    Args:
        seed: What all of it is drawn from.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = self._rng = random.Random(f"plan {seed}")
        self.preemption = rng.choice([2.0, 5.0, 20.0, 100.0, 500.0])
        self.spooled = rng.random() < 0.5
        self.max_age = rng.choice([3600.0, 48 * 3600.0])
        self.max_queue_bytes = rng.choice([1, 32]) * 1024 * 1024
        self.timeout = rng.choice([2.0, 10.0])
        self.per_minute = rng.choice([600.0] * 5 + [60.0])
        self.busy_until = rng.uniform(5.0, 90.0)
        self.life = rng.choice([math.inf, math.inf, rng.uniform(3.0, 40.0)])
        self.callers = rng.choice([1, 1, 2, 3])
        # Most worlds are small: many of them find more than a large one.
        self.batches, calls, self.sizes = rng.choice(
            [
                ([1], 50, [30, 200]),
                ([1, 2, 5], 12, [200, 3000, 30_000]),
                ([1, 2, 5], 30, [30, 200, 2000]),
                ([1, 2, 5], 50, [30]),
                ([1, 10, 40], 8, [30, 200]),
                ([5, 120, 300], 2, [200, 3000]),
            ]
        )
        self.pause = self.busy_until / calls * self.callers
        self.levels = rng.choice([["info"], ["info", "info", "warn", "error"], [*ERRORS, "debug"]])
        self.levels.sort()  # of a set, whose order is not the seed's
        self.flushes = rng.choice([0.0, 0.0, 0.2, 1.0])
        self.flush_seconds = rng.choice([[0.05], [0.1, 2.0], [2.0, 30.0]])
        self.words: dict[str, float] = {}
        self.troubles: list[Trouble] = []
        for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3])):
            self._add_trouble(rng)
        self.happenings = [Happening(0.0, "start")] * rng.choice([1, 1, 1, 1, 2, 3])
        self._add_happenings(rng)
        self.happenings.sort(key=lambda one: one.at)
        passing = [one.end for one in self.troubles if one.end < math.inf]
        over = [one.at + one.seconds for one in self.happenings if one.name == "disk"]
        last = [one.at for one in self.happenings]
        self.ends_at = max(self.busy_until, *passing, *over, *last) + 1.0
        # What a 413 has taught is to be forgotten again.
        taught = any("413" in one.answer for one in self.troubles)
        probes = rng.choice([0, 0, 0, 0, 0, 3])
        self.probes = (3 if taught else probes) if len(passing) == len(self.troubles) else 0

    # What goes wrong.

    def _window(self, rng: random.Random) -> tuple[float, float]:
        begin = rng.uniform(0.0, self.busy_until)
        return begin, begin + rng.choice([rng.uniform(0.5, 10.0), rng.uniform(10.0, 120.0)])

    def _add_trouble(self, rng: random.Random) -> None:
        kind = rng.choice(KINDS)
        begin, end = self._window(rng)
        answer = rng.choice(sorted(GATEWAY_ANSWERS))
        share = rng.choice([0.01, 0.05, 0.2])
        if max(self.batches) > 100:
            share = 0.01  # each such entry costs a dozen requests to be found
        if kind == "gateway":
            self.troubles.append(Trouble("gateway", begin, end, answer=answer))
        elif kind == "firewall":
            self.words[EVIL] = share
            what = rng.choice(["gateway", "gateway", "gateway", "reset", "silent"])
            said = answer if what == "gateway" else ""
            self.troubles.append(Trouble(what, answer=said, word=EVIL))
        elif kind == "poison":
            self.words["poison"] = share
            self.troubles.append(Trouble("fails", word="poison"))
        elif kind == "rejects":
            self.words["blank"] = share
            self.troubles.append(Trouble("rejects", word="blank"))
        elif kind == "table":
            # While everything else is stored: then nothing but the level tells why it fails.
            self.levels = ["error", "info", "info", "info", "warn"]
            self.batches = [1, 2, 5]
            self.pause = self.busy_until / 80 * self.callers
            end = begin + rng.uniform(5.0, 120.0)
            self.troubles.append(Trouble("fails", begin, end, levels=ERRORS))
        elif kind == "outage":
            what = rng.choice(["down", "refused", "silent", "reset"])
            if rng.random() < 0.2:
                # A flush after every unit of work, as jobs do, in the middle of it.
                self.batches, self.flushes, self.flush_seconds = [1], 1.0, [0.05]
                self.pause = self.busy_until / 150 * self.callers
                begin, end = 0.1 * self.busy_until, 0.9 * self.busy_until
            self.troubles.append(Trouble(what, begin, end))
        elif kind == "flaky":
            what = rng.choice(["fails", "reset", "gateway", "lost", "slow", "given up"])
            said = {"gateway": answer, "given up": rng.choice(GIVEN_UP)}.get(what, "")
            part = rng.uniform(0.1, 0.9)
            self.troubles.append(Trouble(what, begin, end, answer=said, share=part))
        elif kind == "after":
            what = rng.choice(["lost", "slow", "unclear", "given up", "swallowed"])
            lost, given_up = rng.choice(sorted(LOST_ANSWERS)), rng.choice(GIVEN_UP)
            said = {"unclear": lost, "given up": given_up}.get(what, "")
            storing = rng.random() < 0.3
            self.troubles.append(Trouble(what, begin, end, answer=said, storing=storing))
        elif kind == "size":
            limit = rng.choice([10_000, 50_000, 200_000])
            said = rng.choice(["413 html", "413 json", "413 html", "502 html"])
            until = rng.choice([end, math.inf]) if said.startswith("413") else end
            self.troubles.append(Trouble("gateway", begin, until, answer=said, over=limit))
        else:
            self.troubles.append(Trouble("unauthorized", begin, end))

    def _add_happenings(self, rng: random.Random) -> None:
        add = self.happenings.append
        if rng.random() < (0.4 if self.spooled else 0.1):
            for _ in range(rng.choice([1, 1, 2, 4])):
                at = rng.uniform(0.2, self.busy_until)
                add(Happening(at, "kill", detail=str(rng.choice([0, 0, 3, 30, 300]))))
                add(Happening(at + rng.choice([0.1, 2.0, 15.0]), "start"))
        if rng.random() < 0.15:
            for _ in range(rng.choice([1, 3])):
                seconds = rng.choice([-86_400.0, -3600.0, -5.0, 5.0, 3600.0, 86_400.0])
                add(Happening(rng.uniform(0.0, self.busy_until), "clock", seconds))
        if self.spooled and rng.random() < 0.3:
            at, seconds = rng.uniform(0.0, self.busy_until), rng.uniform(0.5, 30.0)
            add(Happening(at, "disk", seconds, rng.choice(["full", "read-only", "hanging"])))
        self._add_to_processes(rng)

    def _add_to_processes(self, rng: random.Random) -> None:
        add = self.happenings.append
        if rng.random() < 0.1:
            for _ in range(rng.choice([1, 10])):
                points = str(rng.choice([0, rng.randrange(1, 40)]))
                add(Happening(rng.uniform(0.1, self.busy_until), "signal", detail=points))
        if rng.random() < 0.1:
            at = rng.uniform(0.1, self.busy_until)
            add(Happening(at, "sigterm", detail=str(rng.choice([0, rng.randrange(1, 40)]))))
            if rng.random() < 0.3:
                add(Happening(at + rng.uniform(0.01, 3.0), "sigterm", detail="0"))
        if rng.random() < 0.05:
            add(Happening(rng.uniform(0.0, self.busy_until), "no threads"))
        if rng.random() < 0.1:
            for _ in range(rng.choice([1, 2])):
                add(Happening(rng.uniform(0.0, self.busy_until), "fork"))

    def timeline(self, world: World) -> list[tuple[float, Callable[[], object]]]:
        """What the world does, and when."""
        found: list[tuple[float, Callable[[], object]]] = []
        for one in self.happenings:
            match one.name:
                case "start":
                    found.append((one.at, world.start))
                case "kill":
                    found.append((one.at, partial(_kill, world, int(one.detail))))
                case "clock":
                    found.append((one.at, partial(world.step_clock, one.seconds)))
                case "disk":
                    found.append((one.at, partial(world.set_disk, one.detail, one.seconds)))
                    well = partial(world.set_disk, "well", 0.0)
                    found.append((one.at + one.seconds, well))
                case "fork":
                    found.append((one.at, partial(_fork, world)))
                case "no threads":
                    found.append((one.at, partial(_no_threads, world)))
                case name:
                    found.append((one.at, partial(_signal, world, name, int(one.detail))))
        return sorted(found, key=lambda timed: timed[0])

    def __str__(self) -> str:
        life = "" if self.life == math.inf else f", processes end after {self.life:.0f} s"
        words = ", ".join(f"{word!r} in {share:.0%}" for word, share in self.words.items())
        spool = "with" if self.spooled else "without"
        logs = f"{self.callers} callers, batches of {self.batches}, sizes {self.sizes}, levels "
        flushes = f"a pause of {self.pause:.1f} s, {self.flushes:.0%} flush for "
        limits = f"time-out {self.timeout:g} s, {self.per_minute:g} requests/min, memory "
        lines = [
            f"world {self.seed}: {spool} a spool, busy until {self.busy_until:.0f} s{life}",
            f"  {logs}{'/'.join(self.levels)}{', ' + words if words else ''}",
            f"  {flushes}{self.flush_seconds}; {limits}{self.max_queue_bytes >> 20} MiB",
            f"  preempted every {self.preemption:g} locks",
            *(f"  trouble: {one}" for one in self.troubles),
            *(f"  happens: {one}" for one in self.happenings),
        ]
        return "\n".join(lines)


def _living(world: World) -> list[App]:
    return [app for app in world.apps if app.alive and app.process.main is not None]


def _kill(world: World, points: int) -> None:
    for app in _living(world)[:1]:
        app.process.arm(points, partial(world.kill, app))


def _signal(world: World, name: str, points: int) -> None:
    for app in _living(world)[:1]:
        handler = app.handle_sigterm if name == "sigterm" else app.handle_signal
        app.process.arm(points, partial(app.process.signal, handler), on_main=True)


def _fork(world: World) -> None:
    for app in _living(world)[:1]:
        app.forks += 1


def _no_threads(world: World) -> None:
    for app in _living(world)[:1]:
        world.note(f"{app.name} can start no more threads")
        app.process.no_threads = True
