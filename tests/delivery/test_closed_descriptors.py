"""Something closes all descriptors of the process: the next request opens a connection."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from logwell_otel.devserver import DevServer
from support.process import environment

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.socket]

PROGRAM = """
import logging, os
import logwell_otel

pipeline = logwell_otel.configure()
logger = logging.getLogger("shop")
logger.info("before")
assert pipeline.force_flush(20_000)
os.closerange(3, 256)  # as `DaemonContext(detach_process=False)` does
files = [open("data", "ab") for _ in range(5)]  # which get the same numbers
for number in range(3):
    logger.info("after %d", number)
    assert pipeline.force_flush(20_000), pipeline.health()
pipeline.shutdown()
for file in files:
    file.write(b"x")
    file.close()
print(os.path.getsize("data"))
"""


def test_delivery_goes_on_and_leaves_the_applications_files_alone(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for 1.39
    path = tmp_path / "main.py"
    path.write_text(PROGRAM)
    with DevServer() as receiver:
        done = subprocess.run(
            [sys.executable, str(path)],
            env=environment(receiver, {}),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr
        said = [entry.message for entry in receiver.entries()]
    assert said == ["before", "after 0", "after 1", "after 2"]
