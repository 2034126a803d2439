"""What a logging call costs the thread that makes it.

    scripts/bench handler

Two arguments, two further attributes, the source location, a batch processor in front of an
exporter that does nothing. The subjects take turns within short rounds, so that other work on
the machine hits all of them alike. In CPU time of the calling thread; limits are held against
the fifth-best round of each hundred, since what makes a round slower is other processes' work.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any, Final

from figures import Check, Figure, Row
from subjects import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CALLS: Final = 60
QUEUE: Final = 20_480

NOTHING: Final = "a handler that does nothing"
FILE: Final = "FileHandler"
OTEL: Final = "OpenTelemetry's handler and batch processor"
OURS: Final = "LogwellHandler and LogwellBatchLogRecordProcessor"
MIXED: Final = "LogwellHandler and OpenTelemetry's batch processor"


def rows(*, quick: bool) -> Iterator[Row]:
    """Rounds of the same calls to each handler in turn."""
    handlers = {**_handlers(), FILE: logging.FileHandler(os.devnull)}
    loggers = {}
    for number, (subject, handler) in enumerate(handlers.items()):
        loggers[subject] = logger = logging.getLogger(f"shop.orders{number}")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)
    taken: dict[str, list[float]] = {subject: [] for subject in loggers}
    for _ in range(200 if quick else 1_000):
        for subject, logger in loggers.items():
            taken[subject].append(_round(logger))
    handlers[FILE].close()
    best = {subject: sorted(costs)[len(costs) // 20] for subject, costs in taken.items()}
    yield Row(
        "handler",
        "CPU time of the calling thread for one logger.info()",
        "µs per record",
        {subject: Figure.of(costs) for subject, costs in taken.items()},
        [Check("ours of OpenTelemetry's", best[OURS] / best[OTEL], 0.70, 0.60)],
    )


def _round(logger: logging.Logger) -> float:
    began = time.thread_time()
    for number in range(CALLS):
        logger.info(
            "order %s placed by %s", number, "ann", extra={"order_id": number, "user_id": "u-42"}
        )
    return (time.thread_time() - began) / CALLS * 1e6


def _handlers() -> dict[str, logging.Handler]:
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import (
        BatchLogRecordProcessor,
        LogRecordExporter,
        LogRecordExportResult,
    )

    from logwell_otel import LogwellBatchLogRecordProcessor, LogwellLogExporter
    from logwell_otel.context import ContextLogRecordProcessor
    from logwell_otel.handler import LogwellHandler

    class Nothing(LogRecordExporter):
        def export(self, batch: Sequence[Any]) -> LogRecordExportResult:  # noqa: ARG002
            return LogRecordExportResult.SUCCESS

        def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
            return True

        def shutdown(self) -> None:
            pass

    class OursWithNothing(LogwellLogExporter):
        def export(self, batch: Sequence[Any]) -> LogRecordExportResult:  # noqa: ARG002
            return LogRecordExportResult.SUCCESS

    class NullHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            pass

    def provider(*processors: Any) -> LoggerProvider:
        made = LoggerProvider(shutdown_on_exit=False)
        for processor in processors:
            made.add_log_record_processor(processor)
        return made

    def theirs() -> Any:
        return BatchLogRecordProcessor(Nothing(), max_queue_size=QUEUE)

    exporter = OursWithNothing("http://127.0.0.1:9", KEY)
    ours = LogwellBatchLogRecordProcessor(exporter, max_queue_size=QUEUE)
    return {
        NOTHING: NullHandler(),
        OTEL: LoggingHandler(logger_provider=provider(theirs()), log_code_attributes=True),
        OURS: LogwellHandler(logger_provider=provider(ContextLogRecordProcessor(), ours)),
        MIXED: LogwellHandler(logger_provider=provider(theirs())),
    }
