"""SystemExit, CancelledError and their like out of an application's hooks end no thread."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from logwell_otel import LogwellBatchLogRecordProcessor, LogwellLogExporter
from logwell_otel._otel import LoggerProvider
from logwell_otel.devserver import DevServer
from support.bench import Bench
from support.records import record, records

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel._wire import LogEntry

ERRORS = [SystemExit(1), asyncio.CancelledError(), GeneratorExit(), KeyboardInterrupt()]


class Redacts:
    def __init__(self, check: Callable[[str], None]) -> None:
        self._check = check

    def redact_entry(self, entry: LogEntry) -> LogEntry:
        self._check(str(entry.message))
        return entry


class Samples:
    """A sampler of the application's own."""

    def __init__(self, check: Callable[[str], None]) -> None:
        self._check = check

    def decide(self, level: str, message: str, trace_id: int = 0) -> Any:
        self._check(message)

        class Kept:
            keep = True
            rate = 1.0

        return Kept()


def hook(name: str, check: Callable[[str], None]) -> dict[str, Any]:
    if name == "before_send":

        def before_send(entry: LogEntry) -> LogEntry:
            check(str(entry.message))
            return entry

        return {name: before_send}
    return {"redact": Redacts(check)} if name == "redact" else {"sampling": Samples(check)}


def raises_for(message: str, error: BaseException) -> Callable[[str], None]:
    def check(text: str) -> None:
        if text == message:
            raise error

    return check


REASONS = {
    "before_send": "before_send_error",
    "redact": "redaction_error",
    "sampler": "sampler_error",
}


@pytest.mark.socket
@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("name", REASONS)
def test_one_record_is_lost_with_a_reason_and_the_workers_live(
    name: str, error: BaseException
) -> None:
    with DevServer(requests_per_minute=None) as receiver:
        exporter = LogwellLogExporter(
            receiver.url, receiver.key, **hook(name, raises_for("message 700", error))
        )
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(LogwellBatchLogRecordProcessor(exporter))
        logger = provider.get_logger("shop")
        for number in range(1500):
            logger.emit(record(f"message {number}").log_record)
        provider.force_flush(30_000)
        provider.shutdown()
        health = exporter.health()
        assert (health.handed_over, health.accepted) == (1500, 1499)
        assert health.dropped == {REASONS[name]: 1}
        assert receiver.count() == 1499


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("name", REASONS)
def test_on_the_main_thread_what_ends_the_program_goes_through_once_all_is_counted(
    name: str, error: BaseException
) -> None:
    bench = Bench(**hook(name, raises_for("message 3", error)))
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        with pytest.raises(type(error)):
            bench.exporter.export(records(10))
    else:
        bench.exporter.export(records(10))
    bench.run()
    assert len(bench.server.stored) == 9
    assert bench.exporter.health().dropped == {REASONS[name]: 1}
    bench.check_ledger()


class Exits:
    def __str__(self) -> str:
        raise SystemExit(1)


def test_a_value_whose_text_cannot_be_had_is_replaced() -> None:
    bench = Bench()
    thread = threading.Thread(target=bench.exporter.export, args=([record(Exits()), *records(2)],))
    thread.start()
    thread.join()
    bench.run()
    assert len(bench.server.stored) == 3
    bench.check_ledger()


def test_an_exit_in_the_middle_of_an_export_is_counted() -> None:
    """A signal handler's, which comes between any two steps."""
    bench = Bench()

    def interrupted(*_: object, **__: object) -> NoReturn:
        raise SystemExit(0)

    bench.exporter._encoder.encode = interrupted  # type: ignore[method-assign] # noqa: SLF001
    with pytest.raises(SystemExit):
        bench.exporter.export(records(7))
    assert bench.exporter.health().dropped == {"interrupted": 7}
    bench.check_ledger()


@pytest.mark.socket
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_callbacks_that_exit_do_not_end_the_sender(error: BaseException) -> None:
    def fail(_: object) -> NoReturn:
        raise error

    with DevServer() as receiver:
        receiver.faults.answer(503, times=1)
        exporter = LogwellLogExporter(receiver.url, receiver.key, on_error=fail, on_flush=fail)
        for first in (0, 10, 20):
            exporter.export(records(10, first))
            assert exporter.force_flush(20_000)
        assert exporter._engine.sender.running  # noqa: SLF001
        exporter.shutdown()
        assert receiver.count() == 30
