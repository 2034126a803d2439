"""Shutdown and the end of the interpreter: what is queued is exported, or counted."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel import LogwellBatchLogRecordProcessor, processor
from logwell_otel._process import Worker
from support.clock import Clock, run_together
from support.process import environment
from support.processor import Emitting, Keeping

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer


def pipeline_of(exporter: Keeping, **options: Any) -> Emitting:
    return Emitting(LogwellBatchLogRecordProcessor(exporter, **options))


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_no_thread_before_the_first_record() -> None:
    pipeline = pipeline_of(Keeping())
    assert pipeline.processor.hand_over(0)
    assert "LogwellBatch" not in names()
    pipeline.processor.shutdown()
    assert "LogwellBatch" not in names()


def test_shutdown_exports_what_is_queued_and_ends_the_thread() -> None:
    exporter = Keeping()
    pipeline = pipeline_of(exporter, schedule_delay_millis=60_000)
    for number in range(1_000):
        pipeline.log(number)
    pipeline.processor.shutdown()
    pipeline.processor.shutdown()
    assert exporter.bodies == list(range(1_000))
    assert exporter.closed
    assert "LogwellBatch" not in names()


def test_records_of_other_threads_during_shutdown_are_exported_or_counted() -> None:
    exporter = Keeping()
    pipeline = pipeline_of(exporter, max_queue_size=100_000)
    logged = [0] * 4

    def log(thread: int) -> None:
        for _ in range(2_000):
            pipeline.log(thread)
            logged[thread] += 1

    run_together(
        *[lambda thread=thread: log(thread) for thread in range(4)], pipeline.processor.shutdown
    )
    health = exporter.health()
    assert health.queued == 0
    assert len(exporter.bodies) + health.dropped.get("shutdown", 0) == sum(logged) == 8_000


@pytest.mark.filterwarnings("ignore")
def test_what_comes_after_shutdown_is_counted_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exporter = Keeping()
    pipeline = pipeline_of(exporter)
    pipeline.processor.shutdown()
    for number in range(3):
        pipeline.log(number)
    health = exporter.health()
    assert (health.handed_over, health.dropped, health.queued) == (3, {"shutdown": 3}, 0)
    assert [record.name for record in caplog.records] == ["logwell_otel"]
    assert not pipeline.processor.force_flush(0)
    assert not pipeline.processor.enabled()


def test_an_export_that_hangs_does_not_hold_up_the_end() -> None:
    exporter = Keeping()
    pipeline = pipeline_of(exporter, max_export_batch_size=2, schedule_delay_millis=1)
    exporter.gate.clear()
    for number in range(5):
        pipeline.log(number)
    assert exporter.entered.wait(30)
    pipeline.processor.shutdown(100)
    health = exporter.health()
    exporter.gate.set()
    assert health.queued == 0
    assert health.dropped["shutdown"] in (3, 4)


def test_where_no_thread_can_be_started_the_logging_call_exports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the end of the interpreter, from Python 3.12 on; or the system has no more."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr("logwell_otel._process.start_new_thread", refuse)
    exporter = Keeping()
    pipeline = pipeline_of(exporter)
    for number in range(3):
        pipeline.log(number)
    assert exporter.batches == [[0], [1], [2]]
    assert pipeline.processor.hand_over(0)
    pipeline.processor.shutdown()


def test_where_the_last_thread_is_taken_the_logging_call_exports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One more thread may be started, which then cannot start the one that stays."""
    monkeypatch.setattr(Worker, "start", lambda _: False)
    exporter = Keeping()
    pipeline = pipeline_of(exporter)
    pipeline.log("first")
    for _ in range(1_000):
        if pipeline.processor.hand_over(50):
            break
    assert exporter.bodies == ["first"]


PROGRAM = """
import atexit, logging, logwell_otel

class Logs:
    def __del__(self):
        logging.info("finalizer")

pipeline = logwell_otel.configure()
atexit.register(logging.info, "at exit")
if {early!r}:
    logging.info("before")
kept = Logs()
"""


@pytest.mark.process
@pytest.mark.parametrize("early", [True, False])
def test_a_script_that_just_ends(receiver: DevServer, early: bool) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(early=early)],
        env=environment(receiver, {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    texts = [entry.message for entry in receiver.entries()]
    assert texts == (["before", "at exit"] if early else ["at exit"])
    assert "Traceback" not in run.stderr


def test_a_flush_through_the_provider_leaves_the_exporter_the_rest_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For a batch processor that OpenTelemetry's start-up made, however it ends."""
    clock = Clock()
    monkeypatch.setattr(processor, "monotonic", clock)

    class Slow:
        def __init__(self, seconds: float, answer: bool = True) -> None:
            self.seconds = seconds
            self.answer = answer
            self.asked: list[float] = []

        def force_flush(self, timeout_millis: float) -> bool:
            self.asked.append(timeout_millis)
            clock.now += self.seconds
            return self.answer

        shutdown = force_flush

    for seconds, answer, left in ((0.25, True, 750), (2, True, 0), (0.25, False, 750)):
        provider: Any = Slow(seconds, answer)
        exporter: Any = Slow(0)
        behind = processor.UnreachableProcessor(provider, exporter)
        assert behind.force_flush(1000) is answer
        behind.shutdown(1000)
        assert (provider.asked, exporter.asked) == ([1000, 1000], [left, left])
