"""`on_queue_full="wait"`: the logging call waits for room, for a second, where it may."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from logwell_otel import LogwellBatchLogRecordProcessor
from logwell_otel.processor import LONGEST_WAIT
from support.processor import Emitting, Keeping


@pytest.fixture
def exporter() -> Keeping:
    return Keeping()


@pytest.fixture
def pipeline(exporter: Keeping) -> Emitting:
    return Emitting(
        LogwellBatchLogRecordProcessor(
            exporter, max_queue_size=5, max_export_batch_size=5, on_queue_full="wait"
        )
    )


def block(exporter: Keeping, pipeline: Emitting) -> None:
    """Have the thread hang in an export, and the queue full."""
    exporter.gate.clear()
    for _ in range(5):
        pipeline.log("first")
    assert exporter.entered.wait(30)
    while pipeline.processor.queued < 5:
        pipeline.log("queued")


def test_a_burst_is_delivered_whole(exporter: Keeping, pipeline: Emitting) -> None:
    for number in range(2_000):
        pipeline.log(number)
    pipeline.processor.shutdown()
    assert exporter.bodies == list(range(2_000))
    assert exporter.health().dropped == {}


def test_a_call_waits_until_there_is_room(exporter: Keeping, pipeline: Emitting) -> None:
    block(exporter, pipeline)
    threading.Timer(0.1, exporter.gate.set).start()
    pipeline.log("waited")
    pipeline.processor.shutdown()
    assert exporter.bodies[-1] == "waited"
    assert exporter.health().dropped == {}


def test_it_waits_for_a_second_once_and_not_for_each_record(
    exporter: Keeping, pipeline: Emitting
) -> None:
    block(exporter, pipeline)
    began = time.monotonic()
    for _ in range(50):
        pipeline.log("lost")
    assert LONGEST_WAIT <= time.monotonic() - began < 20 * LONGEST_WAIT
    assert exporter.health().dropped == {"processor_queue_full": 50}
    exporter.gate.set()
    assert pipeline.processor.hand_over(30_000)
    block(exporter, pipeline)
    threading.Timer(0.1, exporter.gate.set).start()
    pipeline.log("waits again, since something has left")
    pipeline.processor.shutdown()
    assert exporter.bodies[-1] == "waits again, since something has left"
    assert exporter.health().dropped["processor_queue_full"] == 50


def test_an_event_loop_is_not_held_up(exporter: Keeping, pipeline: Emitting) -> None:
    block(exporter, pipeline)

    async def log() -> float:
        began = time.monotonic()
        pipeline.log("lost")
        return time.monotonic() - began

    assert asyncio.run(log()) < LONGEST_WAIT / 2
    exporter.gate.set()
    assert exporter.health().dropped == {"processor_queue_full": 1}
    pipeline.processor.shutdown()


def test_what_an_export_logs_does_not_wait_for_itself(
    exporter: Keeping, pipeline: Emitting
) -> None:
    taken: list[float] = []

    def log() -> None:
        exporter.hook = lambda: None
        began = time.monotonic()
        for _ in range(6):
            pipeline.log("of a hook")
        taken.append(time.monotonic() - began)

    exporter.hook = log
    pipeline.log("first")
    assert pipeline.processor.hand_over(30_000)
    pipeline.processor.shutdown()
    assert taken[0] < LONGEST_WAIT / 2
    assert exporter.health().dropped["processor_queue_full"] >= 1
