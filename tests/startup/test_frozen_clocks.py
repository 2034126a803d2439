"""A pipeline that is set up under a frozen clock sends, and goes on when the clock does."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.process import environment

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

pytestmark = pytest.mark.process

FREEZERS = {
    "freezegun": "import freezegun; frozen = freezegun.freeze_time('2026-01-01')",
    "time-machine": "import time_machine; frozen = time_machine.travel(1767225600, tick=False)",
}
PROGRAM = """
import logging, time
{freezer}
frozen.start()
import logwell_otel
pipeline = logwell_otel.configure(sampling=True, redact=True, {options})
logging.getLogger().error("frozen")
assert pipeline.force_flush(20_000), pipeline.health()
frozen.stop()
logging.getLogger().error("thawed")
assert pipeline.force_flush(20_000), pipeline.health()
assert pipeline.health().reasons == (), pipeline.health()
"""


@pytest.mark.parametrize("freezer", FREEZERS)
@pytest.mark.parametrize("options", ["", "spool_dir='spool'"])
def test_under_a_frozen_clock(
    receiver: DevServer, tmp_path: Path, freezer: str, options: str
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(freezer=FREEZERS[freezer], options=options)],
        env=environment(receiver, {}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # What no other handler prints, the standard library does.
    assert (run.returncode, run.stderr) == (0, "frozen\nthawed\n")
    assert [entry.message for entry in receiver.entries()] == ["frozen", "thawed"]
    # Records bear the time that the program saw.
    assert receiver.entries()[0].timestamp == "2026-01-01T00:00:00.000Z"
