"""A child of a fork has a queue and a thread of its own; what its parent holds is the parent's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from logwell_otel import LogwellBatchLogRecordProcessor
from support.process import Child, say
from support.processor import Emitting, Keeping

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]


def test_a_child_exports_its_own_records_and_none_of_its_parents() -> None:
    exporter = Keeping()
    pipeline = Emitting(LogwellBatchLogRecordProcessor(exporter, schedule_delay_millis=60_000))
    for number in range(10):
        pipeline.log(number)

    def work(fd: int) -> None:
        threads = [thread.name for thread in threading.enumerate()]
        assert "LogwellBatch" not in threads, "none before the child's first record"
        assert exporter.health().queued == 0
        pipeline.log("child")
        assert pipeline.processor.hand_over(30_000)
        say(fd, *exporter.bodies)
        pipeline.processor.shutdown()

    assert Child(work).join() == ["child"]
    pipeline.processor.shutdown()
    assert exporter.bodies == list(range(10))


def test_a_fork_while_the_thread_exports_and_others_flush() -> None:
    exporter = Keeping()
    pipeline = Emitting(LogwellBatchLogRecordProcessor(exporter, max_export_batch_size=1))
    exporter.gate.clear()
    pipeline.log("parent")
    assert exporter.entered.wait(30)
    flush = threading.Thread(target=pipeline.processor.hand_over, args=(30_000,))
    flush.start()

    def work(fd: int) -> None:
        exporter.gate.set()
        pipeline.log("child")
        assert pipeline.processor.hand_over(30_000)
        say(fd, *exporter.bodies)

    assert Child(work).join() == ["child"]
    exporter.gate.set()
    flush.join(30)
    pipeline.processor.shutdown()
    assert exporter.bodies == ["parent"]


FORKS_IN_C = """
import ctypes, sys, threading, time

sys.path.insert(0, TESTS)
from logwell_otel import LogwellBatchLogRecordProcessor
from support.process import Child, say
from support.processor import Emitting, Keeping

exporter = Keeping()
pipeline = Emitting(LogwellBatchLogRecordProcessor(exporter, schedule_delay_millis=1_000))
pipeline.log("parent")
if not WAITING:
    assert pipeline.processor.hand_over(30_000)
    exporter.batches.clear()
# A thread that is awake may hold a lock of the interpreter's own, which then stays locked.
time.sleep(0.2)

def work(fd):
    for _ in range(1_000):
        pipeline.log("child")
        threading.Event().wait(0.01)
        if "child" in exporter.bodies:
            break
    say(fd, "child" in exporter.bodies)

assert Child(work, ctypes.PyDLL(None).fork).join() == ["True"]
pipeline.processor.shutdown()
assert [body for body in exporter.bodies if body != "parent"] == []
"""


@pytest.mark.skipif(not os.path.exists("/proc"), reason="ctypes finds fork() on Linux")  # noqa: PTH110
@pytest.mark.parametrize("waiting", [False, True])
def test_c_code_that_forks_without_running_hooks(waiting: bool) -> None:
    """As uWSGI does. The thread is missed with the first record, or when it should have come.

    In a process without the threads of other tests, which may be awake at the fork.
    """
    tests = str(Path(__file__).parents[1])
    program = FORKS_IN_C.replace("TESTS", repr(tests)).replace("WAITING", str(waiting))
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
