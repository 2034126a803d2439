"""A batch processor whose flush and shutdown mean *stored*, not *handed over*."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from logwell_otel.otel import BatchLogRecordProcessor

if TYPE_CHECKING:
    from logwell_otel.exporter import LogwellLogExporter


class LogwellBatchLogRecordProcessor(BatchLogRecordProcessor):
    """OpenTelemetry's batch processor, with a `force_flush` that reaches the server.

    OpenTelemetry's own never passes a flush on to the exporter, so that with it
    `provider.force_flush()` means that the exporter has the records. With this one it
    means that the server has them. `shutdown` drains with either.

    Args:
        exporter: The exporter.
        schedule_delay_millis: As OpenTelemetry's: `OTEL_BLRP_SCHEDULE_DELAY`.
        max_export_batch_size: `OTEL_BLRP_MAX_EXPORT_BATCH_SIZE`.
        export_timeout_millis: `OTEL_BLRP_EXPORT_TIMEOUT`.
        max_queue_size: `OTEL_BLRP_MAX_QUEUE_SIZE`.
    """

    def __init__(
        self,
        exporter: LogwellLogExporter,
        schedule_delay_millis: float | None = None,
        max_export_batch_size: int | None = None,
        export_timeout_millis: float | None = None,
        max_queue_size: int | None = None,
    ) -> None:
        super().__init__(
            exporter,
            schedule_delay_millis=schedule_delay_millis,
            max_export_batch_size=max_export_batch_size,
            export_timeout_millis=export_timeout_millis,
            max_queue_size=max_queue_size,
        )
        self._logwell_exporter = exporter

    def force_flush(self, timeout_millis: int | None = 30_000) -> bool:
        """Wait until all records emitted before are stored at the server.

        Args:
            timeout_millis: Milliseconds to wait at most; None waits 30 s.

        Returns:
            True if they are, or were refused by the server for good.
        """
        timeout = 30_000 if timeout_millis is None else timeout_millis
        began = time.monotonic()
        handed_over = super().force_flush(timeout)
        spent = int((time.monotonic() - began) * 1000)
        return self._logwell_exporter.force_flush(max(0, timeout - spent)) and handed_over
