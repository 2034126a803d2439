from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LogRecordLimits, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter

from logwell_otel.context import (
    ContextLogRecordProcessor,
    add_context,
    current_context,
    log_context,
    set_global_context,
)
from support.records import Recorder, attributes_of, provider_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(autouse=True)
def no_global_context() -> Iterator[None]:
    yield
    set_global_context()


def test_without_a_context_there_is_nothing() -> None:
    assert current_context() == {}


def test_inner_wins_over_outer_over_global() -> None:
    set_global_context(environment="prod", a="global", b="global", c="global")
    with log_context(a="outer", b="outer"), log_context(a="inner"):
        assert current_context() == {
            "environment": "prod",
            "a": "inner",
            "b": "outer",
            "c": "global",
        }
    assert current_context()["a"] == "global"


def test_setting_the_global_context_replaces_it() -> None:
    set_global_context({"service.name": "billing"}, a=1)
    set_global_context(b=2)
    assert current_context() == {"b": 2}
    set_global_context()
    assert current_context() == {}


def test_names_with_dots_and_named_values_together() -> None:
    with log_context({"service.name": "billing", "a": 1}, a=2):
        assert current_context() == {"service.name": "billing", "a": 2}


def test_names_of_parameters_are_names_like_any_other() -> None:
    with log_context(attributes="x", self="y"):
        assert current_context() == {"attributes": "x", "self": "y"}


def test_values_are_taken_as_they_are_on_entry() -> None:
    tags = ["a"]
    with log_context(tags=tags):
        tags.append("b")
        assert current_context() == {"tags": ("a",)}


def test_a_value_that_cannot_be_had_becomes_a_placeholder() -> None:
    class Broken:
        def __str__(self) -> str:
            raise ValueError("no")

    with log_context(user=Broken()):
        assert current_context() == {"user": "<unprintable Broken: ValueError: no>"}


def test_something_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(TypeError, match="attributes must be a mapping, not list"):
        log_context([("a", 1)])  # type: ignore[arg-type]


def test_left_by_an_exception() -> None:
    with pytest.raises(ValueError, match="x"), log_context(a=1):
        raise ValueError("x")
    assert current_context() == {}


def test_one_context_used_again_and_inside_itself() -> None:
    block = log_context(a=1)
    with block, block:
        assert current_context() == {"a": 1}
    assert current_context() == {}
    with block:
        assert current_context() == {"a": 1}
    assert repr(block) == "LogContext({'a': 1})"


def test_blocks_left_out_of_order() -> None:
    first, second = log_context(a=1), log_context(b=2)
    first.__enter__()
    second.__enter__()
    first.__exit__()
    assert current_context() == {"b": 2}
    second.__exit__()
    assert current_context() == {}


def test_left_in_another_copy_of_the_context_than_it_was_entered_in() -> None:
    # As a synchronous FastAPI dependency with `yield` does: two threads, two copies.
    block = log_context(a=1)
    contextvars.copy_context().run(block.__enter__)
    contextvars.copy_context().run(block.__exit__)
    assert current_context() == {}


def test_decorated_function() -> None:
    @log_context(a=1)
    def double(number: int, *, plus: int = 0) -> tuple[int, dict[str, Any]]:
        "Doubles."
        return number * 2 + plus, current_context()

    assert double(2, plus=1) == (5, {"a": 1})
    assert (double.__name__, double.__doc__) == ("double", "Doubles.")
    assert current_context() == {}


def test_decorated_coroutine_function_keeps_its_context_across_await() -> None:
    @log_context(a=1)
    async def work() -> dict[str, Any]:
        await asyncio.sleep(0)
        return current_context()

    assert asyncio.run(work()) == {"a": 1}


def test_generator_functions_are_not_decorated() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def later() -> AsyncIterator[int]:
        yield 1

    for function in (numbers, later):
        with pytest.raises(TypeError, match="with log_context"):
            log_context(a=1)(function)


def test_threads_see_the_global_context_and_with_a_copy_the_block() -> None:
    set_global_context(environment="prod")
    seen: list[dict[str, Any]] = []

    def look() -> None:
        seen.append(current_context())

    with log_context(a=1):
        copied = contextvars.copy_context()
        for target in (lambda: contextvars.Context().run(look), lambda: copied.run(look)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen == [{"environment": "prod"}, {"environment": "prod", "a": 1}]


def test_to_thread_copies_the_context() -> None:
    async def work() -> dict[str, Any]:
        with log_context(a=1):
            return await asyncio.to_thread(current_context)

    assert asyncio.run(work()) == {"a": 1}


def test_100_concurrent_tasks_never_mix() -> None:
    recorder = Recorder()
    logger = provider_with(ContextLogRecordProcessor(), recorder).get_logger("test")

    async def work(number: int) -> None:
        with log_context(task=number):
            for step in range(10):
                await asyncio.sleep(0)
                with log_context(step=step):
                    await asyncio.sleep(0)
                    logger.emit(LogRecord(body=f"{number}/{step}"))

    async def main() -> None:
        await asyncio.gather(*(work(number) for number in range(100)))

    asyncio.run(main())
    assert len(recorder.records) == 1000
    for record in recorder.records:
        attributes = attributes_of(record)
        assert record.body == f"{attributes['task']}/{attributes['step']}"


def test_the_processor_adds_what_the_record_does_not_have() -> None:
    recorder = Recorder()
    processor = ContextLogRecordProcessor()
    logger = provider_with(processor, recorder).get_logger("test")
    with log_context(a="context", b="context"):
        logger.emit(LogRecord(body="x", attributes={"a": "record"}))
        logger.emit(body="y")
    assert [attributes_of(record) for record in recorder.records] == [
        {"a": "record", "b": "context"},
        {"a": "context", "b": "context"},
    ]
    assert processor.failures == 0


def test_in_place_twice_it_adds_once() -> None:
    recorder = Recorder()
    processors = ContextLogRecordProcessor(), ContextLogRecordProcessor(), recorder
    with log_context(a=1):
        provider_with(*processors).get_logger("test").emit(LogRecord(body="x"))
    assert attributes_of(recorder.only) == {"a": 1}


def test_records_through_a_tiny_batch_all_have_their_context() -> None:
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    batch = BatchLogRecordProcessor(
        exporter, max_queue_size=10_000, max_export_batch_size=2, schedule_delay_millis=1
    )
    provider = provider_with(ContextLogRecordProcessor(), batch)
    logger = provider.get_logger("test")
    with log_context(request_id="r-1"):
        for _ in range(8_000):
            logger.emit(LogRecord(body="x"))
    provider.shutdown()
    exported = exporter.get_finished_logs()
    assert len(exported) == 8_000
    assert all(attributes_of(data.log_record) == {"request_id": "r-1"} for data in exported)


def test_at_the_limit_the_record_keeps_its_own_attributes() -> None:
    own = {f"own{number}": number for number in range(128)}
    record = ReadWriteLogRecord(LogRecord(body="x", attributes=own), limits=LogRecordLimits())
    with log_context(a=1, own0="context"):
        ContextLogRecordProcessor().on_emit(record)
    assert attributes_of(record.log_record) == own
    assert record.dropped_attributes == 1


@pytest.mark.parametrize("attributes", [None, {}, {"b": 2}])
def test_a_record_that_has_not_reached_the_sdk_yet(attributes: dict[str, Any] | None) -> None:
    record = LogRecord(body="x", attributes=attributes)
    with log_context(a=1):
        add_context(record)
    assert attributes_of(record) == {"a": 1, **(attributes or {})}


def test_a_record_whose_attributes_refuse_is_counted_and_left_alone() -> None:
    class Refusing(dict[str, Any]):
        def __setitem__(self, name: str, value: Any) -> None:
            raise TypeError("read-only")

    processor = ContextLogRecordProcessor()
    record = ReadWriteLogRecord(LogRecord(body="x"))
    record.log_record.attributes = Refusing(b=2)
    with log_context(a=1):
        processor.on_emit(record)
    assert (attributes_of(record.log_record), processor.failures) == ({"b": 2}, 1)


def test_the_processor_holds_nothing_and_leaves_the_others_answer_alone() -> None:
    processor = ContextLogRecordProcessor()
    assert processor.force_flush()
    assert not processor.enabled()
    processor.shutdown()
    logger = provider_with(processor, Recorder()).get_logger("test")
    if hasattr(logger, "enabled"):  # not in 1.39
        assert logger.enabled()
        assert not provider_with(processor).get_logger("test").enabled()
