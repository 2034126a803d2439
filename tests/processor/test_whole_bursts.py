"""A burst with what `configure()` sets up, beside a process that computes: nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from logwell_otel.devserver import DevServerProcess
from support.nightly import nightly
from support.process import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

BURST = """
import logging, sys, threading
import logwell_otel

pipeline = logwell_otel.configure(requests_per_minute=1_000_000)

def log(thread, count):
    for number in range(count):
        logging.info("thread %d record %d", thread, number, extra={"order_id": number})

count, records = map(int, sys.argv[1:])
threads = [threading.Thread(target=log, args=(n, records // count)) for n in range(count)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert pipeline.force_flush(120_000), pipeline.health()
health = pipeline.health()
print(health.handed_over, health.accepted, health.dropped_total)
"""


@pytest.fixture
def server() -> Iterator[DevServerProcess]:
    with DevServerProcess(requests_per_minute=None) as receiver:
        yield receiver


@pytest.mark.process
@pytest.mark.socket
@pytest.mark.slow
@pytest.mark.parametrize(("threads", "records"), [(4, 30_000), *nightly((1, 50_000), (4, 50_000))])
def test_all_of_a_burst_arrives(server: DevServerProcess, threads: int, records: int) -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        run = subprocess.run(
            [sys.executable, "-c", BURST, str(threads), str(records)],
            env=environment(server, {}),
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
    finally:
        busy.kill()
        busy.wait(10)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [str(records), str(records), "0"]
    assert len(server.entries()) == records
