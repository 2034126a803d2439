"""Logging as an application has it: standard library, OpenTelemetry's processor, the exporter."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

from logwell_otel import LogwellBatchLogRecordProcessor, LogwellLogExporter

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer, DevServerProcess


def texts(count: int, first: int = 0, prefix: str = "record") -> list[str]:
    """The messages `record 0`, `record 1` …"""
    return [f"{prefix} {number}" for number in range(first, first + count)]


class Pipeline:
    """A logger whose records go to `receiver`.

    Attributes:
        processor: OpenTelemetry's own unless another class is given.
    """

    def __init__(
        self,
        receiver: DevServer | DevServerProcess,
        *,
        batch_size: int = 512,
        processor: type[
            BatchLogRecordProcessor | LogwellBatchLogRecordProcessor
        ] = BatchLogRecordProcessor,
        **options: Any,
    ) -> None:
        self.exporter = LogwellLogExporter(receiver.url, receiver.key, **options)
        self.processor = processor(self.exporter, max_export_batch_size=batch_size)
        self.provider = LoggerProvider(shutdown_on_exit=False)
        self.provider.add_log_record_processor(self.processor)
        self.logger = logging.Logger("chaos")
        self.logger.addHandler(LoggingHandler(logger_provider=self.provider))

    def log(self, messages: list[str]) -> None:
        for text in messages:
            self.logger.info(text)
