"""A signal handler or a finalizer logs in the middle of a logging call, on the same thread."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel import LogwellBatchLogRecordProcessor, processor
from support.process import environment
from support.processor import Emitting, Keeping

if TYPE_CHECKING:
    from types import FrameType

    from logwell_otel.devserver import DevServer


def test_a_record_logged_at_any_line_of_the_logging_call() -> None:
    """Each line that runs in the logging call is interrupted by a record, as a signal would."""
    exporter = Keeping()
    pipeline = Emitting(
        LogwellBatchLogRecordProcessor(exporter, max_queue_size=10_000, max_export_batch_size=20)
    )
    lines: set[int] = set()
    sent = 0

    def interrupt(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal sent
        if frame.f_code.co_filename not in (processor.__file__, threading.__file__):
            return interrupt if event == "call" else None
        if event == "line":
            lines.add(frame.f_lineno)
            sys.settrace(None)
            pipeline.log(f"within {sent}")
            sent += 1
            sys.settrace(interrupt)
        return interrupt

    def log() -> None:
        sys.settrace(interrupt)
        for number in range(60):
            pipeline.log(f"record {number}")
        sys.settrace(None)

    thread = threading.Thread(target=log)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "deadlock"
    pipeline.processor.shutdown()
    assert len(lines) > 20
    assert sent > 500
    assert sorted(exporter.bodies) == sorted(
        [f"record {number}" for number in range(60)]
        + [f"within {number}" for number in range(sent)]
    )


def test_the_first_record_comes_while_a_thread_is_being_started() -> None:
    """Starting a thread takes a lock of the standard library's, and a signal may come then."""
    exporter = Keeping()
    pipeline = Emitting(LogwellBatchLogRecordProcessor(exporter, schedule_delay_millis=1))
    done = threading.Event()

    def log() -> None:
        with threading._active_limbo_lock:  # type: ignore[attr-defined] # noqa: SLF001
            pipeline.log("first")
        done.set()

    threading.Thread(target=log, daemon=True).start()
    assert done.wait(30), "deadlock"
    assert pipeline.processor.hand_over(30_000)
    assert exporter.bodies == ["first"]
    pipeline.processor.shutdown()


PROGRAM = """
import logging, os, signal, threading, time
import logwell_otel

pipeline = logwell_otel.configure(requests_per_minute=1_000_000, max_queue_bytes=1 << 29)
got = 0

def handler(number, frame):
    global got
    got += 1
    logging.getLogger().info("signal %d", got)

signal.signal(signal.SIGUSR1, handler)

def send():
    for number in range(100):
        before = got
        os.kill(os.getpid(), signal.SIGUSR1)
        while got == before:
            time.sleep(0.0002)

thread = threading.Thread(target=send)
thread.start()
logged = 0
while thread.is_alive():
    logging.getLogger().info("record %d", logged)
    logged += 1
thread.join()
pipeline.force_flush(60_000)  # False where a signal has interrupted its own handler
dropped = pipeline.health().dropped
print(got, logged, sum(dropped.values()) - dropped.get("recursive", 0), flush=True)
"""


@pytest.mark.process
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signal here")
def test_a_hundred_signals_whose_handler_logs(receiver: DevServer) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment(receiver, {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    got, logged, dropped = map(int, run.stdout.split())
    assert (got, dropped) == (100, 0)
    texts = [entry.message for entry in receiver.entries()]
    # One that interrupts the handler itself is what the handler keeps back.
    signals = [text for text in texts if text.startswith("signal ")]
    assert len(signals) == len(set(signals)) <= 100
    assert len([text for text in texts if text.startswith("record ")]) == logged
