"""Nobody reads standard error, or a log handler hangs: it costs the warning, nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from logwell_otel.devserver import DevServer
from support.process import environment

pytestmark = [pytest.mark.process, pytest.mark.socket]

PROGRAM = """
import logging, os, sys, threading, time
import logwell_otel

FULL

class Hangs(logging.Handler):
    def emit(self, record):
        threading.Event().wait()

class OwnStream(logging.StreamHandler):
    def emit(self, record):
        super().emit(record)

HANDLER
pipeline = logwell_otel.configure()
logger = logging.getLogger("shop")
for number in range(250):
    logger.info("order %d", number)
began = time.monotonic()
health = pipeline.exporter.health
while health().accepted < 250 and time.monotonic() - began < 40:
    time.sleep(0.05)
print(health().accepted, health().dropped_total, flush=True)
"""
FILLED = """
os.set_blocking(2, False)
try:
    while True:
        os.write(2, b"x" * 4096)
except BlockingIOError:
    os.set_blocking(2, True)
"""
OURS = 'logging.getLogger("logwell_otel").addHandler({})'
HANDLERS = {
    "OpenTelemetry's only": "",
    "a stream": OURS.format("logging.StreamHandler()"),
    "a stream of one's own": OURS.format("OwnStream()"),
    "one that hangs": OURS.format("Hangs()"),
}


@pytest.mark.parametrize("handler", HANDLERS)
def test_what_nobody_reads_holds_up_neither_delivery_nor_the_exit(
    handler: str, tmp_path: Path
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for 1.39
    path = tmp_path / "main.py"
    path.write_text(PROGRAM.replace("FULL", FILLED).replace("HANDLER", HANDLERS[handler]))
    with DevServer() as receiver:
        receiver.faults.answer(503, times=4)  # enough for a warning, and one when it is over
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, str(path)],
            env=environment(receiver, {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,  # and nobody reads it
        )
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline() == b"250 0\n"
            assert process.wait(20) == 0
            assert time.monotonic() - began < 60
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
        assert receiver.count() == 250


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk to try")
@pytest.mark.parametrize("handler", ["OpenTelemetry's only", "a stream"])
def test_a_warning_that_a_full_disk_does_not_take_is_no_failure_of_the_program(
    handler: str, tmp_path: Path
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")
    path = tmp_path / "main.py"
    path.write_text(PROGRAM.replace("FULL", "").replace("HANDLER", HANDLERS[handler]))
    with DevServer() as receiver, Path("/dev/full").open("wb") as full:
        receiver.faults.answer(503, times=4)
        done = subprocess.run(
            [sys.executable, str(path)],
            env=environment(receiver, {}),
            stdout=subprocess.PIPE,
            stderr=full,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, b"250 0\n")


def test_a_warning_is_there_before_the_line_that_follows_it() -> None:
    program = (
        "import sys\n"
        "from logwell_otel._diagnostics import warn\n"
        "for number in range(3):\n"
        "    warn(f'warning {number}')\n"
        "    sys.stderr.write(f'line {number}\\n')\n"
    )
    with DevServer() as receiver:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment(receiver, {}),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    expected = [f"{kind} {number}" for number in range(3) for kind in ("warning", "line")]
    assert done.stderr.split("\n")[:-1] == expected
