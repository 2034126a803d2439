"""CPU of the logging call: handler and processor, beside OpenTelemetry's of each.

Everything in one process, with an exporter that does nothing, so that what is measured is
what the thread pays that logs.
"""

from __future__ import annotations

import gc
import logging
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from figures import Check, Figure, Row
from subjects import KEY, QUEUE
from worker import ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OTEL = "OpenTelemetry's handler and processor"
OURS = "logwell-otel's handler and processor"
MIXED = "logwell-otel's handler, OpenTelemetry's processor"
# Few, so that what else the machine does hits all of them alike.
RECORDS = 500


def rows(*, quick: bool) -> Iterator[Row]:
    """The same calls through each handler in turn; then through each processor alone."""
    rounds = 15 if quick else 101
    with ExitStack() as stack:
        otel, ours = _processors(stack)
        handlers: dict[str, logging.Handler] = {
            "a handler that does nothing": logging.NullHandler(),
            "logging.FileHandler": _file_handler(stack),
            OTEL: _otel_handler(otel),
            "OpenTelemetry's handler, logwell-otel's processor": _otel_handler(ours),
            MIXED: _our_handler(otel),
            OURS: _our_handler(ours),
        }
        calls = {name: _logging(name, handler) for name, handler in handlers.items()}
        figures = _measured(calls, [otel, ours], rounds)
        yield Row(
            "call",
            "logger.info() with two arguments, five attributes and source location; the exporter"
            " does nothing",
            "µs CPU of the calling thread",
            figures,
            [
                Check("of OpenTelemetry's", figures[OURS].median / figures[OTEL].median, 0.7, 0.6),
                Check(
                    "with OpenTelemetry's processor, of OpenTelemetry's",
                    figures[MIXED].median / figures[OTEL].median,
                    1.0,
                ),
            ],
        )
        emits = {
            "a processor that does nothing": _emitting(None),
            OTEL: _emitting(otel),
            OURS: _emitting(ours),
        }
        figures = _measured(emits, [otel, ours], rounds)
        floor = figures.pop("a processor that does nothing")
        added = {
            name.replace("handler and processor", "processor"): Figure(
                figure.median - floor.median,
                figure.low - floor.median,
                figure.high - floor.median,
                figure.repeats,
            )
            for name, figure in figures.items()
        }
        theirs, mine = (figure.median for figure in added.values())
        yield Row(
            "on_emit",
            "Logger.emit() of a ready record, beyond a processor that does nothing",
            "µs CPU of the calling thread",
            added,
            [Check("of OpenTelemetry's processor", mine / theirs, 0.6)],
        )


def _processors(stack: ExitStack) -> tuple[Any, Any]:
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult

    from logwell_otel import LogwellBatchLogRecordProcessor, LogwellLogExporter
    from logwell_otel.setup import MAX_EXPORT_BATCH_SIZE

    class Nothing(LogwellLogExporter):
        def export(self, batch: Any) -> LogRecordExportResult:  # noqa: ARG002
            return LogRecordExportResult.SUCCESS

    made = []
    for kind in (BatchLogRecordProcessor, LogwellBatchLogRecordProcessor):
        processor = kind(
            Nothing("http://127.0.0.1:9", KEY),
            max_queue_size=QUEUE,
            max_export_batch_size=MAX_EXPORT_BATCH_SIZE,
        )
        stack.callback(processor.shutdown)
        made.append(processor)
    return made[0], made[1]


def _provider(processor: Any) -> Any:
    from opentelemetry.sdk._logs import LoggerProvider

    provider = LoggerProvider(shutdown_on_exit=False)
    if processor is not None:
        provider.add_log_record_processor(processor)
    return provider


def _otel_handler(processor: Any) -> logging.Handler:
    from opentelemetry.instrumentation.logging.handler import LoggingHandler

    return LoggingHandler(logger_provider=_provider(processor), log_code_attributes=True)


def _our_handler(processor: Any) -> logging.Handler:
    from logwell_otel.handler import LogwellHandler

    return LogwellHandler(logger_provider=_provider(processor))


def _file_handler(stack: ExitStack) -> logging.Handler:
    handler = logging.FileHandler(os.devnull)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    stack.callback(handler.close)
    return handler


def _logging(name: str, handler: logging.Handler) -> Callable[[int], object]:
    logger = logging.getLogger(f"shop.orders {name}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)

    def call(number: int) -> None:
        logger.info("order %d placed by %s", number, "u-4711", extra=ATTRIBUTES)

    return call


def _emitting(processor: Any) -> Callable[[int], object]:
    from opentelemetry._logs import LogRecord, SeverityNumber

    logger = _provider(processor).get_logger("shop.orders")
    attributes: dict[str, Any] = {**ATTRIBUTES}

    def call(number: int) -> None:
        logger.emit(
            LogRecord(
                timestamp=number,
                observed_timestamp=number,
                severity_number=SeverityNumber.INFO,
                severity_text="INFO",
                body="order placed",
                attributes=attributes,
            )
        )

    return call


def _measured(
    calls: dict[str, Callable[[int], object]], processors: list[Any], rounds: int
) -> dict[str, Figure]:
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            gc.collect()
            started = time.thread_time()
            for index in range(RECORDS):
                call(index)
            cost = (time.thread_time() - started) / RECORDS * 1e6
            for processor in processors:
                # Until its queue is empty: nobody else's records are exported meanwhile.
                getattr(processor, "hand_over", processor.force_flush)()
            if number:  # the first is for the caches
                taken[name].append(cost)
    return {name: Figure.of(values) for name, values in taken.items()}
