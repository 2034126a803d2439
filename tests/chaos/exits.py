"""The ways in which programs end, and what arrives then: `endings.py` has the programs."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from chaos.pipeline import texts
from chaos.process import Program, environment
from chaos.result import Trial
from logwell_otel.devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.result import Result


StartMethod = Literal["fork", "spawn", "forkserver"]

_COUNT: Final = 10


class Ending(NamedTuple):
    """What is to be expected of one of the programs.

    Attributes:
        logged: Prefixes of what it logs.
        lost: Those of them that cannot arrive.
        status: Its exit status, negative for a signal.
    """

    logged: Sequence[str] = ("main",)
    lost: Sequence[str] = ()
    status: int = 0


_POOL = ("child-1", "child-2")

ENDINGS = {
    "returns": Ending(),
    "raises": Ending(status=1),
    "is_terminated": Ending(lost=["main"], status=-signal.SIGTERM),
    "is_terminated_with_handler": Ending(),
    "leaves_by_os_exit": Ending(lost=["main"]),
    "shuts_down_before_os_exit": Ending(),
    "has_a_child": Ending(["child-1", "main"], lost=["child-1"]),
    "has_a_child_that_shuts_down": Ending(["child-1", "main"]),
    "has_a_pool": Ending([*_POOL, "main"], lost=_POOL),
    "has_a_pool_that_is_joined": Ending([*_POOL, "main"]),
}


def ends(how: str, start_method: StartMethod = "fork", *, configured: bool = False) -> Result:
    """One program from start to end.

    Args:
        how: One of `ENDINGS`.
        start_method: Of the children it has.
        configured: Whether `configure()` makes its pipeline, which is then also shut down in
            children that return.
    """
    trial, ending = Trial(), ENDINGS[how]
    with DevServer() as receiver:
        env = {**environment(receiver), "CHAOS_START_METHOD": start_method}
        env["CHAOS_COUNT"] = str(_COUNT)
        if configured:
            env["CHAOS_CONFIGURED"] = "yes"
        with Program("chaos.endings", how, env=env) as program:
            status = program.end()
            trial.expect(status == ending.status, f"exit status {status}: {program.said()}")
        trial.send(text for prefix in ending.logged for text in texts(_COUNT, prefix=prefix))
        # A spawned child ends as a program does, atexit included. `configure()` has SIGTERM
        # deliver first, which a pool that is left sends to its workers.
        ends_well = (how == "has_a_child" and (configured or start_method == "spawn")) or (
            how in {"is_terminated", "has_a_pool"} and configured
        )
        prefixes = () if ends_well else ending.lost
        lost = [text for prefix in prefixes for text in texts(_COUNT, prefix=prefix)]
        return trial.judge(
            (entry.message for entry in receiver.entries()),
            lost=lost,
            remark="lost, as documented" if lost else "",
        )
