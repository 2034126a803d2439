"""Whatever an exporter or a hook raises, the thread goes on and the batch is accounted for."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from opentelemetry.context import get_value

from logwell_otel import LogwellBatchLogRecordProcessor, LogwellLogExporter
from logwell_otel._otel import SUPPRESS_INSTRUMENTATION
from support.processor import Emitting, Keeping

if TYPE_CHECKING:
    from logwell_otel import LogEntry
    from logwell_otel.devserver import DevServer

ERRORS = [
    RuntimeError("a bug"),
    SystemExit(3),
    KeyboardInterrupt(),
    asyncio.CancelledError(),
    GeneratorExit(),
    MemoryError(),
    BaseException("of a class of its own"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_an_exporter_raises_costs_its_batch_and_is_counted(error: BaseException) -> None:
    others = set(threading.enumerate())
    exporter = Keeping()
    pipeline = Emitting(LogwellBatchLogRecordProcessor(exporter))

    def fail() -> None:
        exporter.hook = lambda: None
        raise error

    exporter.hook = fail
    pipeline.log("lost")
    assert pipeline.processor.hand_over(30_000)
    pipeline.log("kept")
    assert pipeline.processor.hand_over(30_000)
    assert exporter.bodies == ["kept"]
    assert exporter.health().dropped == {"internal_error": 1}
    assert [t.name for t in set(threading.enumerate()) - others].count("LogwellBatch") == 1
    pipeline.processor.shutdown()


def test_what_a_hook_raises_once_costs_no_record_after_it(receiver: DevServer) -> None:
    raised: list[int] = []

    def before_send(entry: LogEntry) -> LogEntry:
        if entry.message == "record 10" and not raised:
            raised.append(1)
            raise SystemExit
        return entry

    exporter = LogwellLogExporter(receiver.url, receiver.key, before_send=before_send)
    pipeline = Emitting(
        LogwellBatchLogRecordProcessor(exporter, max_queue_size=20_480, max_export_batch_size=100)
    )
    for number in range(3_000):
        pipeline.log(f"record {number}")
    pipeline.processor.force_flush(30_000)
    stored = [e.message for e in receiver.entries() if e.message.startswith("record ")]
    assert len(stored) == len(set(stored)) >= 2_900
    assert len(stored) + exporter.health().dropped_total == 3_000
    pipeline.processor.shutdown()


def test_an_interrupt_on_a_callers_own_thread_is_the_callers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr("logwell_otel._process.start_new_thread", refuse)
    exporter = Keeping()
    pipeline = Emitting(LogwellBatchLogRecordProcessor(exporter))

    def interrupt() -> None:
        exporter.hook = lambda: None
        raise KeyboardInterrupt

    exporter.hook = interrupt
    with pytest.raises(KeyboardInterrupt):
        pipeline.log("lost")
    pipeline.log("kept")
    assert exporter.bodies == ["kept"]
    assert exporter.health().dropped == {"internal_error": 1}


def test_instrumentation_is_suppressed_while_it_exports_and_only_then() -> None:
    exporter = Keeping()
    pipeline = Emitting(LogwellBatchLogRecordProcessor(exporter))
    seen: list[object] = []
    exporter.hook = lambda: seen.append(get_value(SUPPRESS_INSTRUMENTATION))
    pipeline.log("record")
    assert pipeline.processor.hand_over(30_000)
    assert seen == [True]
    assert get_value(SUPPRESS_INSTRUMENTATION) is None
    pipeline.processor.shutdown()


def test_an_export_that_flushes_is_told_no_and_one_that_shuts_down_ends() -> None:
    exporter = Keeping()
    pipeline = Emitting(LogwellBatchLogRecordProcessor(exporter))
    answers: list[bool] = []

    def flush() -> None:
        answers.append(pipeline.processor.force_flush(30_000))
        pipeline.processor.shutdown()

    exporter.hook = flush
    pipeline.log("record")
    pipeline.processor.hand_over(30_000)
    assert answers == [False]
    assert exporter.closed
    assert exporter.bodies == ["record"]
