"""A LoggerProvider whose records a test can look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.resources import Resource

if TYPE_CHECKING:
    from opentelemetry._logs import LogRecord
    from opentelemetry.sdk._logs import ReadWriteLogRecord


class Recorder(LogRecordProcessor):
    """Keeps every record it is given."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.records.append(log_record.log_record)

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    @property
    def only(self) -> LogRecord:
        (record,) = self.records
        return record

    @property
    def bodies(self) -> list[Any]:
        return [record.body for record in self.records]


class Raising(LogRecordProcessor):
    """Raises on every record."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        raise self.error

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def provider_with(*processors: LogRecordProcessor) -> LoggerProvider:
    provider = LoggerProvider(resource=Resource({}), shutdown_on_exit=False)
    for processor in processors:
        provider.add_log_record_processor(processor)
    return provider


def attributes_of(record: LogRecord) -> dict[str, Any]:
    return dict(record.attributes or {})


def body_of(record: LogRecord) -> str:
    assert isinstance(record.body, str)
    return record.body
