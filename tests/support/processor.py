"""A processor whose exporter only keeps batches, and one whose thread a test plays itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider

from logwell_otel import LogwellBatchLogRecordProcessor, LogwellLogExporter
from logwell_otel._config.options import Config
from logwell_otel._delivery.engine import Dependencies
from logwell_otel._otel import LogRecordExportResult
from support.clock import Clock
from support.config import KEY
from support.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from logwell_otel._otel import ReadableLogRecord


class Keeping(LogwellLogExporter):
    """Keeps the bodies of each batch; `gate` is waited for, `hook` called in each export."""

    def __init__(self, dependencies: Dependencies | None = None, **options: Any) -> None:
        self.batches: list[list[Any]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.hook: Callable[[], object] = lambda: None
        config = Config.resolve(endpoint="http://localhost:1", api_key=KEY, **options)
        server = Server(Clock())  # takes reports of losses, so that no shutdown waits for it
        self._begin(config, dependencies or Dependencies(transport=lambda _: server))

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        self.entered.set()
        assert self.gate.wait(60)
        self.hook()
        self.batches.append([record.log_record.body for record in batch])
        return LogRecordExportResult.SUCCESS

    @property
    def bodies(self) -> list[Any]:
        return [body for batch in self.batches for body in batch]


class Emitting:
    """A provider with one processor, which a test logs to."""

    def __init__(self, processor: LogwellBatchLogRecordProcessor) -> None:
        self.processor = processor
        self.provider = LoggerProvider(shutdown_on_exit=False)
        self.provider.add_log_record_processor(processor)
        self._logger = self.provider.get_logger("shop")

    def log(self, body: Any, **attributes: Any) -> None:
        self._logger.emit(
            LogRecord(body=body, severity_number=SeverityNumber.INFO, attributes=attributes)
        )


class Stepped(Emitting):
    """A processor without a thread, on a clock that the test moves: `step` is its turn.

    Attributes:
        woken: How often the logging call woke the thread.
        interrupted: True has an interrupt come when it does.
    """

    def __init__(self, exporter: LogwellLogExporter | None = None, **options: Any) -> None:
        self.clock = Clock()
        dependencies = Dependencies(clock=self.clock, threads=False, sleep=self.clock.sleep)
        self.exporter = exporter or Keeping(dependencies)
        super().__init__(LogwellBatchLogRecordProcessor(self.exporter, **options))
        self.woken = 0
        self.interrupted = False
        self.processor._wake = self._count  # type: ignore[method-assign] # noqa: SLF001

    def _count(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.woken += 1

    def step(self) -> float | None:
        return self.processor._step()  # noqa: SLF001

    def drain(self) -> None:
        self.processor._drain()  # noqa: SLF001

    @property
    def batches(self) -> list[list[Any]]:
        assert isinstance(self.exporter, Keeping)
        return self.exporter.batches

    @property
    def bodies(self) -> list[Any]:
        return [body for batch in self.batches for body in batch]
