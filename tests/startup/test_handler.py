"""What arrives: the handler as a handler."""

from __future__ import annotations

import copy
import logging
import threading
from typing import TYPE_CHECKING

import pytest
from opentelemetry._logs import NoOpLoggerProvider, SeverityNumber
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter

from logwell_otel._encoding.exceptions import mark_recorded
from logwell_otel.context import ContextLogRecordProcessor, log_context
from logwell_otel.handler import HandlerCounts, LogwellHandler
from support.records import Raising, Recorder, attributes_of, provider_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk._logs import LogRecordProcessor


def logging_to(
    *processors: LogRecordProcessor, formatter: logging.Formatter | None = None
) -> tuple[logging.Logger, LogwellHandler]:
    handler = LogwellHandler(logger_provider=provider_with(*processors))
    handler.setFormatter(formatter)
    logger = logging.Logger("shop.orders")
    logger.addHandler(handler)
    return logger, handler


def made(**fields: object) -> logging.LogRecord:
    """A record as libraries that receive records from elsewhere make it."""
    return logging.makeLogRecord(
        {"name": "x", "msg": "x", "levelno": logging.INFO, "levelname": "INFO", **fields}
    )


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_a_record_with_everything() -> None:
    recorder = Recorder()
    logger, handler = logging_to(recorder)
    logger.warning("%s items for %s", 3, "ann", extra={"order": 7, "tags": ["a", "b"]})
    record = recorder.only
    assert record.body == "3 items for ann"
    assert (record.severity_text, record.severity_number) == ("WARN", SeverityNumber.WARN)
    assert attributes_of(record) == {
        "order": 7,
        "tags": ("a", "b"),
        "code.file.path": __file__,
        "code.function.name": "test_a_record_with_everything",
        "code.line.number": test_a_record_with_everything.__code__.co_firstlineno + 3,
    }
    assert handler.counts == HandlerCounts()


def test_the_scope_is_the_loggers_name() -> None:
    names = []

    class Names(Recorder):
        def on_emit(self, log_record):  # type: ignore[no-untyped-def]
            names.append(log_record.instrumentation_scope.name)

    logger, _ = logging_to(Names())
    logger.info("x")
    assert names == ["shop.orders"]


def test_an_exception_with_its_whole_text_and_qualified_type() -> None:
    recorder = Recorder()
    logger, _ = logging_to(recorder)

    class RefusedError(Exception):
        pass

    for error in (FileNotFoundError(2, "No such file", "a.txt"), RefusedError("no")):
        logger.error("failed", exc_info=raised(error))
    first, second = (attributes_of(record) for record in recorder.records)
    assert first["exception.type"] == "FileNotFoundError"
    assert first["exception.message"] == "[Errno 2] No such file: 'a.txt'"
    assert first["exception.stacktrace"].count("Traceback") == 1
    assert second["exception.type"] == f"{__name__}.{RefusedError.__qualname__}"


def test_a_formatters_traceback_is_not_sent_a_second_time() -> None:
    recorder = Recorder()
    logger, _ = logging_to(recorder, formatter=logging.Formatter("%(levelname)s %(message)s"))
    other = logging.StreamHandler(stream=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    logger.handlers.insert(0, other)  # formats first and leaves its text in the record
    logger.error("failed %d", 1, exc_info=raised(ValueError("boom")))
    other.stream.close()
    assert recorder.only.body == "ERROR failed 1"
    assert "ValueError: boom" in attributes_of(recorder.only)["exception.stacktrace"]


def test_the_stack_trace_of_a_recorded_exception_is_not_repeated() -> None:
    recorder = Recorder()
    logger, _ = logging_to(recorder)
    error = ValueError("boom")
    mark_recorded(error)
    logger.error("Exception in ASGI application", exc_info=error)
    attributes = attributes_of(recorder.only)
    assert (attributes["exception.type"], attributes["exception.message"]) == ("ValueError", "boom")
    assert "exception.stacktrace" not in attributes


@pytest.mark.parametrize("exc_info", [True, (None, None, None), "text", (1, 2, 3), ValueError("x")])
def test_records_made_by_others_hold_anything_as_exc_info(exc_info: object) -> None:
    recorder = Recorder()
    _, handler = logging_to(recorder)
    record = made(exc_info=exc_info)
    handler.handle(record)
    assert ("exception.type" in attributes_of(recorder.only)) == isinstance(exc_info, ValueError)
    assert record.exc_info == exc_info
    assert handler.counts == HandlerCounts()


def test_other_handlers_get_the_record_as_it_was() -> None:
    logger, _ = logging_to(Recorder())
    seen: list[logging.LogRecord] = []

    class Other(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    logger.addHandler(Other())
    error = raised(ValueError("boom"))
    logger.error("%s", "x", exc_info=error)
    assert seen[0].exc_info == (ValueError, error, error.__traceback__)
    assert (seen[0].msg, seen[0].args) == ("%s", ("x",))


@pytest.mark.parametrize("with_processor", [False, True])
def test_context_is_added_once_with_and_without_the_processor(with_processor: bool) -> None:
    recorder = Recorder()
    processors = (ContextLogRecordProcessor(), recorder) if with_processor else (recorder,)
    logger, _ = logging_to(*processors)
    # Names the standard library's records use themselves are names like any other here.
    with log_context({"service.name": "billing"}, name="n", module="m", process="p", order=1):
        logger.info("hello %s", "ann", extra={"order": 2})
    attributes = attributes_of(recorder.only)
    assert recorder.only.body == "hello ann"
    assert {key: attributes[key] for key in attributes if not key.startswith("code.")} == {
        "service.name": "billing",
        "name": "n",
        "module": "m",
        "process": "p",
        "order": 2,
    }


def test_records_through_a_tiny_batch_that_was_there_first_all_have_their_context() -> None:
    # Where the context is added behind the batch, it comes too late for one in 500.
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    batch = BatchLogRecordProcessor(
        exporter, max_queue_size=10_000, max_export_batch_size=2, schedule_delay_millis=1
    )
    logger, _ = logging_to(batch)
    with log_context(request_id="r-1"):
        for _ in range(8_000):
            logger.info("x")
    batch.shutdown()  # type: ignore[no-untyped-call]
    exported = exporter.get_finished_logs()
    assert len(exported) == 8_000
    assert all(attributes_of(data.log_record)["request_id"] == "r-1" for data in exported)


def test_context_never_mixes_between_threads() -> None:
    recorder = Recorder()
    logger, _ = logging_to(recorder)

    def work(number: int) -> None:
        for step in range(50):
            with log_context(number=number, step=step):
                logger.info("%d/%d", number, step)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorder.records) == 400
    for record in recorder.records:
        attributes = attributes_of(record)
        assert record.body == f"{attributes['number']}/{attributes['step']}"


def test_event_names_and_odd_attribute_names() -> None:
    recorder = Recorder()
    _, handler = logging_to(recorder)
    record = made(**{"otel.event.name": "order.placed"})
    record.__dict__[5] = "five"  # type: ignore[index]
    handler.handle(record)
    assert attributes_of(recorder.only)["5"] == "five"
    assert handler.counts == HandlerCounts()


def test_structlog_through_the_standard_library() -> None:
    structlog = pytest.importorskip("structlog")
    recorder = Recorder()
    logger, _ = logging_to(recorder)
    bound = structlog.wrap_logger(
        logger,
        processors=[structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
    ).bind(order=7)
    with log_context(request_id="r-1"):
        bound.info("placed", items=3)
    attributes = attributes_of(recorder.only)
    assert recorder.only.body == "placed"
    assert {key: attributes[key] for key in attributes if not key.startswith("code.")} == {
        "request_id": "r-1",
        "order": 7,
        "items": 3,
    }


def test_flush_reaches_the_provider() -> None:
    flushed = threading.Event()

    class Flushed(Recorder):
        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            flushed.set()
            return True

    _, handler = logging_to(Flushed())
    handler.flush()
    assert flushed.wait(60)


def test_a_provider_that_does_nothing() -> None:
    handler = LogwellHandler(logger_provider=NoOpLoggerProvider())
    handler.handle(made())
    handler.flush()
    assert handler.counts == HandlerCounts()


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        yield


@pytest.mark.usefixtures("no_threads")
def test_flush_where_no_thread_starts_any_more() -> None:
    _, handler = logging_to(Recorder())
    handler.flush()


def test_the_level() -> None:
    recorder = Recorder()
    handler = LogwellHandler(logging.ERROR, provider_with(recorder))
    logger = logging.Logger("x")
    logger.addHandler(handler)
    logger.warning("no")
    logger.error("yes")
    assert recorder.bodies == ["yes"]


def test_a_raising_processor_loses_the_record_and_says_so_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger, handler = logging_to(Raising(RuntimeError("broken pipeline")))
    logger.info("first")
    assert "broken pipeline" in capsys.readouterr().err
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger.info("second")
    assert capsys.readouterr().err == ""
    assert handler.counts == HandlerCounts(records_lost=2)


def test_a_copy_is_another_handler_of_the_same_records() -> None:
    """Libraries copy a handler to give it another level or another formatter."""
    recorder = Recorder()
    logger, handler = logging_to(recorder)
    other = copy.copy(handler)
    other.setLevel(logging.ERROR)
    other.setFormatter(logging.Formatter("[copy] %(message)s"))
    other.addFilter(lambda record: record.msg != "left out")
    alone = logging.Logger("shop.alone")
    alone.addHandler(other)
    for message in ("placed", "left out"):
        alone.error(message)
    alone.info("below its level")
    assert [record.body for record in recorder.records] == ["[copy] placed"]
    logger.addHandler(other)
    logger.info("left out")
    logger.error("once")
    assert [record.body for record in recorder.records[1:]] == ["left out", "once"]


def test_a_copy_counts_for_itself() -> None:
    logger, handler = logging_to(Recorder())
    logger.info("%d", "three")
    other = copy.copy(handler)
    assert other.counts == HandlerCounts()
    assert handler.counts.messages_unformatted == 1
