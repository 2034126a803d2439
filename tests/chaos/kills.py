"""`kill -9` of processes that log, at random moments."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chaos.pipeline import texts
from chaos.process import SubjectProcess
from chaos.result import Trial
from logwell_otel._wire import MAX_ENTRIES
from logwell_otel.devserver import DevServer

if TYPE_CHECKING:
    from chaos.result import Result

RATE = 200
PROMISED_SECONDS = 1.0
_RECOVERY_SECONDS = 20.0


def at_random(
    server: Literal["refusing", "hanging", "slow"],
    kills: int,
    *,
    at_once: int = 5,
    longest: float = 4.0,
    seed: int = 1,
) -> Result:
    """Some processes at a time share a spool; after each round one is started to deliver it.

    Everything that was logged more than a second before its process was killed arrives,
    whatever OTEL_BLRP_SCHEDULE_DELAY asks for; what is younger may. With a server that is
    only slow, the chunk whose answer was under way arrives twice.
    """
    trial, rng = Trial(), random.Random(seed)
    maybe: set[str] = set()
    with (
        tempfile.TemporaryDirectory() as directory,
        DevServer(requests_per_minute=None) as receiver,
    ):
        spool = Path(directory, "spool")
        for first in range(0, kills, at_once):
            if server == "refusing":
                receiver.stop()
            elif server == "hanging":
                receiver.faults.hang()
            else:
                receiver.faults.delay(300)
            victims = [
                SubjectProcess(receiver, f"victim-{number}", spool, OTEL_BLRP_SCHEDULE_DELAY="5000")
                for number in range(first, min(first + at_once, kills))
            ]
            maybe |= _kill_all(trial, victims, [rng.uniform(0.05, longest) for _ in victims])
            receiver.faults.clear()
            if server == "refusing":
                receiver.start()
            _recover(trial, receiver, spool, f"rescuer-{first}")
        return trial.judge(
            (entry.message for entry in receiver.entries()),
            maybe=maybe,
            duplicates=kills * MAX_ENTRIES if server == "slow" else 0,
            remark=f"{kills} kills, {len(maybe)} records younger than a second",
        )


def _kill_all(trial: Trial, victims: list[SubjectProcess], lives: list[float]) -> set[str]:
    """Lets each live that many seconds; returns what may be lost."""
    for victim in victims:
        victim.started()
    began = time.monotonic()
    for victim in victims:
        victim.write(f"run {RATE}")
    maybe: set[str] = set()
    for life, victim in zip(sorted(lives), victims, strict=True):
        time.sleep(max(0.0, began + life - time.monotonic()))
        with victim:
            killed_at = victim.kill()
            maybe |= _young(trial, victim, killed_at)
    return maybe


def _young(trial: Trial, victim: SubjectProcess, killed_at: float) -> set[str]:
    logged = safe = 0
    for line in victim.lines():
        number, _, moment = line.partition(" ")
        logged = int(number)
        if float(moment) < killed_at - PROMISED_SECONDS:
            safe = logged
    trial.send(texts(logged, prefix=victim.prefix))
    # Killed between the logging call and the line about it: logged, or not.
    unsaid = texts(8, logged, victim.prefix)
    trial.send(unsaid)
    return {*texts(logged - safe, safe, victim.prefix), *unsaid}


def _recover(trial: Trial, receiver: DevServer, spool: Path, prefix: str) -> None:
    with SubjectProcess(receiver, prefix, spool) as rescuer:
        rescuer.started()
        trial.send(texts(1, prefix=prefix))
        rescuer.tell("hand", 0, 1)
        time.sleep(0.5)  # its flusher looks for dead processes as it starts
        figures = rescuer.wait_until_nothing_is_held(_RECOVERY_SECONDS)
        trial.ledger(figures)
        trial.expect(figures.held == 0, f"{figures.held} still held by {prefix}")
        trial.expect(rescuer.end() == 0, f"{prefix} failed: {rescuer.said()}")
