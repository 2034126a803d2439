"""Bursts, handed to `export()` in the batches of OpenTelemetry's processor.

Not through its queue: that holds 2,048 and overflows on a machine that is busy. `scripts/chaos`
has the whole way, each batch size and delay to its end; here those that take long are left
when it is shown that all records are held.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for OpenTelemetry 1.39

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

from logwell_otel import LogwellLogExporter
from logwell_otel.devserver import DevServerProcess, FaultSettings
from support.records import records

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def process() -> Iterator[DevServerProcess]:
    """In a process of its own, so that a burst does not share its GIL with the receiver."""
    with DevServerProcess(requests_per_minute=None) as receiver:
        yield receiver


@pytest.fixture
def receiver(process: DevServerProcess) -> Iterator[DevServerProcess]:
    yield process
    process.set_faults(FaultSettings())


class Pipeline:
    """Batches -> the exporter."""

    def __init__(self, receiver: DevServerProcess, batch_size: int = 512) -> None:
        self.exporter = LogwellLogExporter(
            receiver.url, receiver.key, requests_per_minute=1_000_000
        )
        self._batch_size = batch_size

    def log(self, count: int) -> None:
        for first in range(0, count, self._batch_size):
            self.exporter.export(records(min(self._batch_size, count - first), first))

    def check(self, receiver: DevServerProcess, expected: int, before: int) -> None:
        assert self.exporter.force_flush(30_000)
        health = self.exporter.health()
        assert (health.handed_over, health.accepted, health.held) == (expected, expected, 0)
        assert len(receiver.entries()) - before == expected
        self.exporter.shutdown()


@pytest.mark.parametrize("batch_size", [100, 500, 512])
def test_two_bursts_arrive_whole(receiver: DevServerProcess, batch_size: int) -> None:
    before = len(receiver.entries())
    pipeline = Pipeline(receiver, batch_size)
    pipeline.log(5_000)
    pipeline.log(1_000)
    pipeline.check(receiver, 6_000, before)


@pytest.mark.parametrize("delay_ms", [45, 200])
def test_a_slow_server_loses_nothing(receiver: DevServerProcess, delay_ms: int) -> None:
    receiver.set_faults(FaultSettings(delay_ms=delay_ms))
    before = len(receiver.entries())
    pipeline = Pipeline(receiver)
    pipeline.log(5_000)
    pipeline.log(1_000)
    health = pipeline.exporter.health()
    assert health.handed_over == 6_000
    assert health.accepted + health.held == 6_000
    receiver.set_faults(FaultSettings())
    pipeline.check(receiver, 6_000, before)


def test_a_burst_that_begins_while_a_request_is_under_way(receiver: DevServerProcess) -> None:
    receiver.set_faults(FaultSettings(delay_ms=500))
    before = len(receiver.entries())
    pipeline = Pipeline(receiver)
    pipeline.log(1)
    pipeline.log(3_000)
    receiver.set_faults(FaultSettings())
    pipeline.check(receiver, 3_001, before)


def test_with_another_thread_flushing_all_the_while(receiver: DevServerProcess) -> None:
    before = len(receiver.entries())
    pipeline = Pipeline(receiver)
    done = threading.Event()

    def flush() -> None:
        while not done.is_set():
            pipeline.exporter.force_flush(50)

    thread = threading.Thread(target=flush)
    thread.start()
    pipeline.log(5_000)
    done.set()
    thread.join()
    pipeline.check(receiver, 5_000, before)


def test_with_the_simple_processor_logging_does_not_wait_for_the_server(
    receiver: DevServerProcess,
) -> None:
    receiver.set_faults(FaultSettings(delay_ms=2_000))
    before = len(receiver.entries())
    exporter = LogwellLogExporter(receiver.url, receiver.key)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = logging.Logger("simple")
    logger.addHandler(LoggingHandler(logger_provider=provider))
    for number in range(300):
        logger.info("simple %d", number)
    assert exporter.health().accepted == 0, "all were logged before the first answer came"
    receiver.set_faults(FaultSettings())
    assert exporter.force_flush(20_000)
    assert len(receiver.entries()) - before == 300
    provider.shutdown()
