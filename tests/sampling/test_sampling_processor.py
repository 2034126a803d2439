"""The sampler in front of an OpenTelemetry processor, through a real logger provider."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import (
    LoggerProvider,
    LogRecordLimits,
    LogRecordProcessor,
    ReadWriteLogRecord,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from logwell_otel._otel import LogRecord, SeverityNumber
from logwell_otel.sampling import RATE_ATTRIBUTE, Sampler, SamplingLogRecordProcessor

if TYPE_CHECKING:
    from collections.abc import Iterator


class Recording(LogRecordProcessor):
    """Keeps what it gets, and the calls it gets."""

    def __init__(self) -> None:
        self.records: list[ReadWriteLogRecord] = []
        self.calls: list[Any] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.records.append(log_record)

    def enabled(self, **asked: Any) -> bool:
        self.calls.append(asked)
        return False

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self.calls.append(timeout_millis)
        return timeout_millis > 5

    @property
    def rates(self) -> list[Any]:
        return [(record.log_record.attributes or {}).get(RATE_ATTRIBUTE) for record in self.records]


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
def all_records() -> Recording:
    return Recording()


@pytest.fixture
def provider(recording: Recording, all_records: Recording) -> Iterator[LoggerProvider]:
    """A provider with a sampled way and, behind it, one that is not sampled."""
    sampler = Sampler(clock=lambda: 0.0, rng=iter([0.0, 0.9] * 1000).__next__)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SamplingLogRecordProcessor(recording, sampler))
    provider.add_log_record_processor(all_records)
    yield provider
    provider.shutdown()


def test_what_is_kept_carries_its_rate(
    provider: LoggerProvider, recording: Recording, all_records: Recording
) -> None:
    logger = provider.get_logger("shop")
    for number in range(5):
        logger.emit(
            body=f"item {number}", severity_number=SeverityNumber.INFO, attributes={"n": number}
        )
    logger.emit(body="boom", severity_number=SeverityNumber.ERROR)
    assert [(record.log_record.body, rate) for record, rate in zip(
        recording.records, recording.rates, strict=True
    )] == [("item 0", 1.0), ("item 2", 0.2), ("item 4", 0.2), ("boom", 1.0)]  # fmt: skip
    assert dict(recording.records[1].log_record.attributes or {}) == {"n": 2, RATE_ATTRIBUTE: 0.2}
    assert recording.records[0].instrumentation_scope is not None
    assert recording.records[0].instrumentation_scope.name == "shop"
    assert recording.records[0].resource is all_records.records[0].resource


def test_other_processors_get_every_record_and_no_rate(
    provider: LoggerProvider, all_records: Recording
) -> None:
    logger = provider.get_logger("shop")
    for number in range(5):
        logger.emit(body=f"item {number}", severity_number=SeverityNumber.INFO)
    assert len(all_records.records) == 5
    assert all_records.rates == [None] * 5


@pytest.mark.parametrize(
    ("number", "text", "rate"),
    [
        (1, None, 0.05), (8, None, 0.05), (9, None, 0.2), (12, None, 0.2), (13, None, 0.5),
        (16, None, 0.5), (17, None, 1.0), (20, None, 1.0), (21, None, 1.0), (24, None, 1.0),
        (None, "WARNING", 0.5), (None, "CRITICAL", 1.0), (None, None, 0.2), (0, "debug", 0.05),
    ],
)  # fmt: skip
def test_levels(
    number: int | None,
    text: str | None,
    rate: float,
    provider: LoggerProvider,
    recording: Recording,
) -> None:
    severity = None if number is None else SeverityNumber(number)
    for _ in range(3):
        provider.get_logger("shop").emit(body="m", severity_number=severity, severity_text=text)
    assert recording.rates[-1] == rate


def test_a_record_that_was_decided_before_is_not_decided_again(
    provider: LoggerProvider, recording: Recording
) -> None:
    for _ in range(5):
        provider.get_logger("shop").emit(body="m", attributes={RATE_ATTRIBUTE: 0.01})
    assert recording.rates == [0.01] * 5


def test_the_trace_of_the_current_span_decides(recording: Recording) -> None:
    class Ids(RandomIdGenerator):
        def __init__(self) -> None:
            self.next = [1, 2**64 - 1]

        def generate_trace_id(self) -> int:
            return self.next.pop(0)

    sampler = Sampler(clock=lambda: 0.0, rng=lambda: 1.0)
    sampler.decide("info", "in trace")
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SamplingLogRecordProcessor(recording, sampler))
    tracer = TracerProvider(id_generator=Ids(), shutdown_on_exit=False).get_tracer("t")
    for _ in range(2):
        with tracer.start_as_current_span("s"):
            provider.get_logger("l").emit(body="in trace", severity_number=SeverityNumber.INFO)
    assert [record.log_record.trace_id for record in recording.records] == [1]
    assert trace.get_current_span().get_span_context().trace_id == 0


@pytest.mark.parametrize(
    ("bodies", "event_name"),
    [
        ([{"a": 1, "b": 2}, {"b": 3, "a": 4}], None),
        ([None, None], None),
        ([17, 18], None),
        ([{"x": 1}, {"y": 2}], "checkout.done"),
    ],
)
def test_records_without_a_text_have_patterns_too(
    bodies: list[Any], event_name: str | None, provider: LoggerProvider, recording: Recording
) -> None:
    for body in bodies:
        provider.get_logger("l").emit(
            body=body, severity_number=SeverityNumber.INFO, event_name=event_name
        )
    # The second one is of the same pattern: no longer the first of its minute.
    assert recording.rates == [1.0]


def test_a_record_that_cannot_be_read_is_kept(
    provider: LoggerProvider, recording: Recording
) -> None:
    class Shy(dict[str, str]):
        def __iter__(self) -> Any:
            raise RuntimeError("no")

    for _ in range(3):
        provider.get_logger("l").emit(body=Shy(), severity_number=SeverityNumber.INFO)
    assert recording.rates == [None] * 3


def test_the_number_of_dropped_attributes_survives(recording: Recording) -> None:
    with warnings.catch_warnings():
        # Said once by some versions of the SDK, each time by others.
        warnings.simplefilter("ignore")
        record = ReadWriteLogRecord(
            LogRecord(
                body="m",
                severity_number=SeverityNumber.INFO,
                attributes={"a": 1, "b": {"c": [2]}, "d": 3},
            ),
            limits=LogRecordLimits(max_attributes=2),
        )
    SamplingLogRecordProcessor(recording, Sampler()).on_emit(record)
    (kept,) = recording.records
    assert kept.dropped_attributes == record.dropped_attributes == 1
    assert dict(kept.log_record.attributes or {}) == {
        **dict(record.log_record.attributes or {}),
        RATE_ATTRIBUTE: 1.0,
    }


def test_everything_else_is_asked_of_the_processor_behind(recording: Recording) -> None:
    processor = SamplingLogRecordProcessor(recording, Sampler())
    assert processor.enabled(severity_number=SeverityNumber.INFO, event_name="e") is False
    assert processor.force_flush() is True
    assert processor.force_flush(5) is False
    processor.shutdown()
    assert recording.calls == [
        {
            "context": None,
            "instrumentation_scope": None,
            "severity_number": SeverityNumber.INFO,
            "event_name": "e",
        },
        30_000,
        5,
        "shutdown",
    ]
