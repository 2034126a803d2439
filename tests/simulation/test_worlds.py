"""The simulator: a seed is one world, told in the same words each time, and checked.

In processes of its own, where the exporter is imported with simulated modules.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import logwell_otel

pytestmark = pytest.mark.process

TESTS = Path(__file__).resolve().parents[1]
PACKAGE = Path(logwell_otel.__file__).parents[1]

CALM = 22
"""A world in which nothing is wrong."""

EVENTFUL = 43
"""One with a spool, several processes and kills."""

LOSING = 373
"""One in which a gateway stores everything and answers nothing of it for nine seconds."""


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (PACKAGE, TESTS))),
        **variables,
    }
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_a_seed_is_told_in_the_same_words_by_every_process() -> None:
    first, second = (
        python("-m", "simulation", "--seed", str(EVENTFUL), PYTHONHASHSEED=seed)
        for seed in ("1", "2")
    )
    assert first.stdout.startswith(f"world {EVENTFUL}: with a spool")
    assert first.stdout == second.stdout
    assert (first.returncode, first.stderr) == (0, "")


def test_a_handful_of_worlds_is_without_a_finding() -> None:
    done = python("-m", "simulation", "--first", "37", "--worlds", "8")
    assert done.stdout.endswith("0 findings\n"), done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_a_gateway_that_loses_every_answer_makes_two_copies() -> None:
    done = python("-m", "simulation", "--seed", str(LOSING))
    assert "no finding" in done.stdout
    assert "POST nothing (0 entries, 2 bytes)" in done.stdout


# Each takes something away that the exporter relies on, and has to be found by what is checked.
BREAK = """
import sys
from simulation.stdlib import import_exporter
import_exporter()
from simulation import world, network, plan
{change}
verdict = world.World(plan.Plan({seed})).run()
sys.stdout.write(verdict.text)
sys.exit(bool(verdict.findings))
"""

BREAKS = {
    "entries that the server says it has and has not": (
        """
serve = network.Network._serve
def forgets(self, process, entries):
    return serve(self, process, [one for one in entries if not one["message"].startswith("r7 ")])
network.Network._serve = forgets
""",
        "r7",
    ),
    "an account that does not add up": (
        """
import dataclasses
from logwell_otel import LogwellLogExporter
right = LogwellLogExporter.health
def health(self):
    return dataclasses.replace(right(self), held=right(self).held + 1)
LogwellLogExporter.health = health
""",
        "is not accepted",
    ),
    "a call that waits for the network": (
        """
from logwell_otel import LogwellLogExporter
export = LogwellLogExporter.export
def slow(self, batch):
    machine = world.machines.running()
    machine.sleep(0.2)
    return export(self, batch)
LogwellLogExporter.export = slow
""",
        "0.05 s are promised",
    ),
    "a call that never returns": (
        """
from logwell_otel import LogwellLogExporter
def hangs(self, batch):
    world.machines.running().block(world.machines.Waiters())
LogwellLogExporter.export = hangs
""",
        "has not returned",
    ),
    "entries that ask whether answers come back": (
        """
from logwell_otel._delivery.retry import LostAnswers
LostAnswers.asks = False
""",
        "this world justifies 2",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_found(name: str) -> None:
    change, finding = BREAKS[name]
    seed = LOSING if "ask" in name else CALM
    done = python("-c", BREAK.format(change=change, seed=seed))
    assert done.returncode == 1, done.stderr
    assert finding in done.stdout.splitlines()[-1]


# Faults that the exporter once had, put back.
FAULTS = {
    "only the server's own 500 makes a chunk step aside": (
        """
from logwell_otel._delivery import delivery
from logwell_otel._delivery.response import Action
def again(self, chunk, outcome):
    self._breaker.failed()
    self._return(chunk)
delivery._HANDLERS[Action.RETRY] = again
""",
        7,
        "with nothing in their way",
    ),
    "failures with one cause are taken for independent ones": (
        """
from logwell_otel._delivery import common_cause, isolation
isolation.Quarantine._unwanted = lambda self, chunk, suspicion: isolation.Verdict.GIVEN_UP
common_cause.CommonCauses.look = lambda self, alone, evidence: None
""",
        40,
        "dropped for 'poison'",
    ),
    "a gateway's 403, 413 or 415 condemns entries": (
        """
from logwell_otel._delivery import delivery, response
right = delivery.outcome_of
def outcome_of(answer, **options):
    outcome = right(answer, **options)
    condemned = getattr(answer, "status", 0) in (403, 413, 415)
    return outcome._replace(action=response.Action.INVALID) if condemned else outcome
delivery.outcome_of = outcome_of
""",
        2,
        "a flush says True",
    ),
    "what a gateway taught of sizes is never forgotten": (
        """
from logwell_otel._delivery import limits
limits.LearnedLimit.exceeded_by = lambda self, size: size > self.value
limits.LearnedLimit.forget = lambda self: None
""",
        45,
        "long after all trouble",
    ),
    "one flush alone is told of a loss": (
        """
from logwell_otel._buffer import account
ended = account.Flushes.ended
def once(self, mark):
    seen = self._waiting.get(mark, set())
    stored = ended(self, mark)
    for others in self._waiting.values():
        others -= seen
    return stored
account.Flushes.ended = once
""",
        44,
        "a flush says True",
    ),
    "what flushes have marked is never joined again": (
        """
from logwell_otel._buffer import account
account.Flushes.of = lambda self, generation: generation
""",
        103,
        "entries that were held",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_there_was_is_found(name: str) -> None:
    change, seed, finding = FAULTS[name]
    done = python("-c", BREAK.format(change=change, seed=seed))
    assert done.returncode == 1, done.stderr
    assert finding in done.stdout.splitlines()[-1]


def test_the_worlds_of_those_faults_are_without_a_finding() -> None:
    seeds = [seed for _, seed, _ in FAULTS.values()]
    run = "from simulation.run import simulate; import sys; print([simulate(int(seed)).findings"
    done = python("-c", f"{run} for seed in sys.argv[1:]])", *map(str, seeds))
    assert done.stdout == f"{[[] for _ in seeds]}\n", done.stderr
