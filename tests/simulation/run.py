"""One world from a seed."""

from __future__ import annotations

import faulthandler
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulation.world import Verdict

WORLD_SECONDS = 300
"""Real seconds after which a world hangs: a defect of the simulation, or an endless loop."""


def simulate(seed: int) -> Verdict:
    """Run the world of one seed."""
    from simulation.stdlib import import_exporter

    if import_exporter():
        gc.collect()
        gc.freeze()
    gc.collect()  # or what an earlier world left takes part in this one's forks
    from simulation.plan import Plan
    from simulation.world import World

    faulthandler.dump_traceback_later(WORLD_SECONDS, exit=True)
    try:
        return World(Plan(seed)).run()
    finally:
        faulthandler.cancel_dump_traceback_later()
