from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider

from logwell_otel import LogwellBatchLogRecordProcessor, LogwellLogExporter
from logwell_otel._process import losses
from logwell_otel.devserver import DevServer
from support.bench import Bench
from support.records import messages, records
from support.server import REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def receiver() -> Iterator[DevServer]:
    with DevServer(requests_per_minute=None) as running:
        yield running


@pytest.mark.parametrize("count", [1, 100, 511, 512, 513, 1024])
def test_after_a_flush_everything_is_at_the_server(receiver: DevServer, count: int) -> None:
    exporter = LogwellLogExporter(receiver.url, receiver.key)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(LogwellBatchLogRecordProcessor(exporter))
    logger = provider.get_logger("test")
    for text in messages(count):
        logger.emit(body=text)
    assert provider.force_flush(10_000)
    assert [entry.message for entry in receiver.entries()] == messages(count)
    provider.shutdown()


def test_a_flush_waits_only_for_what_was_handed_over_before(receiver: DevServer) -> None:
    exporter = LogwellLogExporter(receiver.url, receiver.key)
    stop = threading.Event()

    def log_for_ever() -> None:
        number = 0
        while not stop.is_set():
            exporter.export(records(10, number))
            number += 10
            time.sleep(0.0005)

    thread = threading.Thread(target=log_for_ever)
    thread.start()
    try:
        for _ in range(20):
            assert exporter.force_flush(5_000)
    finally:
        stop.set()
        thread.join()
        exporter.shutdown()


def test_a_flush_says_false_when_the_time_is_over() -> None:
    bench = Bench()
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(3))
    assert not bench.exporter.force_flush(0)
    assert bench.exporter.health().held == 3


def test_a_flush_tries_at_once_although_a_retry_is_waiting() -> None:
    bench = Bench()
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(3))
    bench.run(600)
    bench.server.always = lambda _: None
    assert bench.exporter.force_flush(1_000)
    assert bench.server.stored == messages(3)


def test_a_loss_fails_the_flush_that_waited_for_it_and_no_other() -> None:
    bench = Bench(max_queue_bytes=1024 * 1024)
    bench.exporter.export(records(10_000))
    assert not bench.exporter.force_flush(60_000)
    assert bench.exporter.health().dropped["queue_overflow"] > 0
    bench.exporter.export(records(10))
    assert bench.exporter.force_flush(60_000)


def test_three_flushes_under_way_together_all_report_a_loss() -> None:
    bench = Bench(max_queue_bytes=1024 * 1024)
    bench.exporter.export(records(10_000))
    assert bench.exporter.health().dropped["queue_overflow"] > 0
    outbox = bench.engine.outbox
    marks = [outbox.mark() for _ in range(3)]
    bench.run()
    assert [outbox.wait_settled(mark, 0.0) for mark in marks] == [False] * 3
    assert bench.exporter.force_flush(1000), "the next one has no part in it"


def test_a_loss_during_flushes_is_told_to_those_that_wait_for_it() -> None:
    bench = Bench(max_queue_bytes=1024 * 1024)
    outbox = bench.engine.outbox
    bench.exporter.export(records(10))
    before = outbox.mark()
    bench.exporter.export(records(10_000))  # what was there before is the oldest
    after = outbox.mark()
    bench.run()
    assert [outbox.wait_settled(mark, 0.0) for mark in (after, before)] == [False, False]
    assert bench.exporter.force_flush(1000)


@pytest.mark.slow
@pytest.mark.parametrize("spool", [False, True])
def test_flushes_that_are_over_stop_nothing_from_being_joined(spool: bool, tmp_path: Path) -> None:
    """A job that flushes after each unit of work, in an outage: cron, Lambda, Celery."""
    bench = Bench(spool_dir=tmp_path if spool else None)
    bench.server.always = lambda _: REFUSED
    for number in range(1500):
        bench.exporter.export(records(1, number))
        if spool:
            bench.keep()
        assert not bench.exporter.force_flush(10)
    bench.server.always = lambda _: None
    before = len(bench.server.requests)
    assert bench.exporter.force_flush(60_000)
    assert sorted(bench.server.stored) == sorted(messages(1500))
    assert len(bench.server.requests) - before <= 16
    bench.check_ledger()


def test_what_a_flush_waits_for_is_not_joined_with_what_comes_later() -> None:
    bench = Bench()
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(1))
    mark = bench.engine.outbox.mark()
    bench.exporter.export(records(1, 1))
    bench.server.always = lambda _: None
    bench.run()
    assert bench.server.requests == [["message 0"], ["message 1"]]
    assert bench.engine.outbox.wait_settled(mark, 0.0)


def test_nothing_handed_over_is_flushed_at_once() -> None:
    bench = Bench()
    assert bench.exporter.force_flush(0)
    assert bench.server.requests == []


def test_a_callback_that_flushes_is_told_no_and_does_not_deadlock(receiver: DevServer) -> None:
    results: list[bool] = []

    def flush(_: int) -> None:
        exporter.export(records(1))
        results.append(exporter.force_flush())

    exporter = LogwellLogExporter(receiver.url, receiver.key, on_flush=flush)
    exporter.export(records(1))
    assert receiver.wait_for(2)
    exporter.shutdown()
    assert results[0] is False


def test_a_flush_reports_what_was_lost_before_it_became_an_entry_and_the_next_does_not() -> None:
    bench = Bench()
    bench.exporter.export(records(10))
    losses.get().count += 1  # as the handler counts what is logged while a record is handled
    assert not bench.exporter.force_flush()
    assert bench.exporter.health().dropped == {"recursive": 1}
    assert bench.exporter.force_flush()
    bench.check_ledger()


def test_what_the_application_leaves_out_is_no_loss() -> None:
    bench = Bench(before_send=lambda _: None)
    bench.exporter.export(records(10))
    assert bench.exporter.force_flush()
    assert bench.exporter.health().dropped == {"before_send": 10}


def test_a_record_is_held_whose_export_an_exit_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    put, interrupted = bench.engine.outbox.put, iter([True])

    def interrupts(*taken: Any) -> int:
        if next(interrupted, False):
            raise SystemExit(0)  # by a signal handler, at the lock
        count: int = put(*taken)
        return count

    monkeypatch.setattr(bench.engine.outbox, "put", interrupts)
    with pytest.raises(SystemExit):
        bench.exporter.export(records(10))
    health = bench.exporter.health()
    assert (health.handed_over, health.held) == (10, 10)
    assert bench.exporter.force_flush()
    assert bench.server.stored == messages(10)
