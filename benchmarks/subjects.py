"""What is compared, each set up as it serves best. The settings are printed with the results.

Every exporter sits behind the same pipeline: the standard library's logging,
OpenTelemetry's handler with source locations, a `LoggerProvider`, a batch processor with
room for everything. The `logwell` SDK has no exporter and is called as it is meant to be.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEY: Final = "lw_" + 32 * "0"
QUEUE: Final = 20_480

NOOP: Final = "no-op"
LOGWELL_OTEL: Final = "logwell-otel"
CONFIGURED: Final = "logwell-otel, configure()"
PROTOBUF: Final = "OTLP protobuf"
JSON: Final = "OTLP JSON"
SDK: Final = "logwell SDK"

# Of 512, 1,024 and 2,048 the one with the least CPU time per record.
BATCHES: Final = {NOOP: 512, PROTOBUF: 2_048, JSON: 512}

EXPORTERS: Final = (NOOP, LOGWELL_OTEL, PROTOBUF, JSON)

SETTINGS: Final = {
    "pipeline": f"OpenTelemetry's LoggingHandler with code attributes, queue of {QUEUE:,} records",
    NOOP: f"batches of {BATCHES[NOOP]} (the default)",
    LOGWELL_OTEL: "as configure() sets it up (batches of 500); pace limit out of the way",
    CONFIGURED: "its own handler as well, as people use it; pace limit out of the way",
    PROTOBUF: f"batches of {BATCHES[PROTOBUF]:,}, no compression, requests (its only transport)",
    JSON: f"batches of {BATCHES[JSON]}, no compression, urllib3 (its default transport)",
    SDK: "batches of 100 (the server's limit), queue of 100,000 (its most), source locations on",
}


class Subject(Protocol):
    """Something that takes log records and delivers them."""

    def log(
        self, message: str, attributes: Mapping[str, Any], error: Exception | None = None
    ) -> None:
        """Log as the application would."""

    def flush(self) -> None:
        """Wait until everything logged is delivered."""

    def delivered(self) -> int:
        """Records that the receiver has taken."""


def make(name: str, endpoint: str, **options: Any) -> Subject:
    """Set up the subject of that name.

    Args:
        name: One of the names above.
        endpoint: Base URL of the receiver.
        **options: `queue`, the processor's size; further ones go to our exporter.
    """
    if name == SDK:
        return _SDK(endpoint)
    if name == CONFIGURED:
        return _Configured(endpoint, **options)
    return _Pipeline(name, endpoint, **options)


class _Pipeline:
    def __init__(self, name: str, endpoint: str, *, queue: int = QUEUE, **options: Any) -> None:
        from opentelemetry.instrumentation.logging.handler import LoggingHandler
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
        from opentelemetry.sdk.resources import Resource

        self._ours = name == LOGWELL_OTEL
        resource = Resource.create({"service.name": "shop", "host.name": "web-1"})
        provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        if self._ours:
            from logwell_otel import LogwellBatchLogRecordProcessor, LogwellLogExporter
            from logwell_otel.setup import MAX_EXPORT_BATCH_SIZE

            options.setdefault("requests_per_minute", 1_000_000)
            self.exporter: Any = LogwellLogExporter(endpoint, KEY, **options)
            ours = LogwellBatchLogRecordProcessor(
                self.exporter, max_queue_size=queue, max_export_batch_size=MAX_EXPORT_BATCH_SIZE
            )
            self.delivered = lambda: self.exporter.health().accepted
            self._hand_over = ours.hand_over
            processor: Any = ours
        else:
            self.exporter = counting(name, endpoint)
            processor = BatchLogRecordProcessor(
                self.exporter,
                max_queue_size=queue,
                max_export_batch_size=BATCHES[name],
            )
            self.delivered = lambda: self.exporter.delivered
        self.processor = processor
        provider.add_log_record_processor(processor)
        self._logger = logging.getLogger("shop.orders")
        self._logger.setLevel(logging.INFO)
        self._logger.propagate = False
        self._logger.addHandler(LoggingHandler(logger_provider=provider, log_code_attributes=True))

    def log(
        self, message: str, attributes: Mapping[str, Any], error: Exception | None = None
    ) -> None:
        self._logger.info(message, extra=attributes, exc_info=error)

    def flush(self) -> None:
        self.processor.force_flush()

    def hand_over(self) -> None:
        """Have our exporter take what is queued; others hold records in the queue itself."""
        if self._ours:
            self._hand_over()

    def held(self) -> int:
        """Records that are neither delivered nor dropped, as far as the exporter says."""
        return int(self.exporter.health().held) if self._ours else 0


class _Configured:
    def __init__(self, endpoint: str, **options: Any) -> None:
        import logwell_otel

        options.setdefault("requests_per_minute", 1_000_000)
        self._pipeline = logwell_otel.configure(endpoint, KEY, service="shop", **options)
        self._logger = logging.getLogger("shop.orders")

    def log(
        self, message: str, attributes: Mapping[str, Any], error: Exception | None = None
    ) -> None:
        self._logger.info(message, extra=attributes, exc_info=error)

    def flush(self) -> None:
        self._pipeline.force_flush()

    def delivered(self) -> int:
        return self._pipeline.health().accepted


def counting(name: str, endpoint: str) -> Any:
    """A peer's exporter that counts what it delivered: a fast exporter that loses is none."""
    from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

    inner = _peer(name, endpoint)

    class Counting(LogRecordExporter):
        delivered = 0

        def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
            if inner is not None and inner.export(batch) is not LogRecordExportResult.SUCCESS:
                return LogRecordExportResult.FAILURE
            self.delivered += len(batch)
            return LogRecordExportResult.SUCCESS

        def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
            return True

        def shutdown(self) -> None:
            if inner is not None:
                inner.shutdown()

    return Counting()


def _peer(name: str, endpoint: str) -> Any:
    if name == PROTOBUF:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

        return OTLPLogExporter(f"{endpoint}/v1/logs")
    if name == JSON:
        from opentelemetry.exporter.otlp.json.http._log_exporter import (
            OTLPLogExporter as OTLPJSONLogExporter,
        )

        return OTLPJSONLogExporter(f"{endpoint}/v1/logs")
    return None


class _SDK:
    def __init__(self, endpoint: str) -> None:
        self._delivered = self._logged = 0
        self._client = importlib.import_module("logwell").Logwell(
            {
                "api_key": KEY,
                "endpoint": endpoint,
                "service": "shop",
                "batch_size": 100,
                "max_queue_size": 100_000,
                "capture_source_location": True,
                "on_flush": self._count,
            }
        )

    def _count(self, accepted: int) -> None:
        self._delivered += accepted

    def log(
        self,
        message: str,
        attributes: Mapping[str, Any],
        error: Exception | None = None,  # noqa: ARG002 - it takes none
    ) -> None:
        self._logged += 1
        self._client.info(message, dict(attributes))

    def flush(self) -> None:
        while self._delivered < self._logged:
            asyncio.run(self._client.flush())  # does nothing while another flush runs
            time.sleep(0.005)

    def delivered(self) -> int:
        return self._delivered
