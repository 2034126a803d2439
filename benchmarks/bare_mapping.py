"""The complete mapping of well-behaved records, without any safety.

What it costs is what a mapping costs that trusts every value: no type is looked at, no
name of ours looked for among the attributes, nothing caught, no size or NUL checked. What
logwell-otel takes beyond it is the price of taking any record.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import msgspec

from logwell_otel._wire import MAX_ENTRIES, Level, LogEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord

_LEVELS: Final[tuple[Level, ...]] = ("debug", "debug", "info", "warn", "error", "fatal")
_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - UTC throughout


class BareMapping:
    """Encodes batches of records of one resource and one scope."""

    def __init__(self) -> None:
        self._json = msgspec.json.Encoder()
        self._service: str | None = None
        self._shared: dict[str, Any] = {}
        self._second, self._prefix = -1, ""

    def encode(self, batch: Sequence[ReadableLogRecord]) -> list[bytes]:
        """The bodies of the requests that `batch` becomes."""
        if not self._shared:
            self._prepare(batch[0])
        entry, encode = self._entry, self._json.encode
        return [
            encode([entry(record) for record in batch[start : start + MAX_ENTRIES]])
            for start in range(0, len(batch), MAX_ENTRIES)
        ]

    def _prepare(self, record: Any) -> None:
        scope = record.instrumentation_scope
        attributes = dict(record.resource.attributes)
        self._service = attributes.pop("service.name")
        kept = {k: v for k, v in attributes.items() if not k.startswith("telemetry.sdk.")}
        self._shared = {
            "otel.scope.name": scope.name,
            "otel.scope.version": scope.version,
            "resource": msgspec.Raw(self._json.encode(kept)),
        }

    def _entry(self, record: Any) -> LogEntry:
        log = record.log_record
        metadata = log.attributes.copy()
        source_file = metadata.pop("code.file.path", None)
        line_number = metadata.pop("code.line.number", None)
        metadata["trace_id"] = log.trace_id.to_bytes(16, "big").hex()
        metadata["trace_flags"] = f"{log.trace_flags:02x}"
        metadata["span_id"] = log.span_id.to_bytes(8, "big").hex()
        metadata |= self._shared
        second, nanoseconds = divmod(log.timestamp, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = (_EPOCH + dt.timedelta(seconds=second)).isoformat()
        return LogEntry(
            level=_LEVELS[(log.severity_number.value + 3) // 4],
            message=log.body,
            timestamp=f"{self._prefix}.{nanoseconds // 1000:06d}Z",
            service=self._service,
            source_file=source_file,
            line_number=line_number,
            metadata=metadata,
        )
