"""`OTEL_BLRP_*` and the arguments: defaults, what works together, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import logwell_otel
from logwell_otel import LogwellBatchLogRecordProcessor, LogwellError, LogwellErrorCode
from support.config import KEY
from support.processor import Keeping


def settings(processor: LogwellBatchLogRecordProcessor) -> tuple[int, int, float]:
    return processor._max_queue_size, processor._batch_size, processor._delay  # noqa: SLF001


def waits(processor: LogwellBatchLogRecordProcessor) -> bool:
    return processor._waits  # noqa: SLF001


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE", "SCHEDULE_DELAY", "EXPORT_TIMEOUT"):
        monkeypatch.delenv(f"OTEL_BLRP_{name}", raising=False)


def test_defaults_are_opentelemetrys() -> None:
    assert settings(LogwellBatchLogRecordProcessor(Keeping())) == (2_048, 512, 1.0)


def test_variables_and_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BLRP_MAX_QUEUE_SIZE", "1000")
    monkeypatch.setenv("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", " 100 ")
    monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", "250")
    monkeypatch.setenv("OTEL_BLRP_EXPORT_TIMEOUT", "5")
    assert settings(LogwellBatchLogRecordProcessor(Keeping())) == (1_000, 100, 0.25)
    given = LogwellBatchLogRecordProcessor(Keeping(), 500, 50, None, 600)
    assert settings(given) == (600, 50, 0.5)


@pytest.mark.parametrize("size", ["256", "1"])
def test_a_queue_smaller_than_a_batch_has_a_smaller_batch(
    size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BLRP_MAX_QUEUE_SIZE", size)
    processor = LogwellBatchLogRecordProcessor(Keeping(), max_export_batch_size=500)
    assert settings(processor) == (int(size), int(size), 1.0)
    pipeline = logwell_otel.configure("http://localhost:1", KEY, level=100)
    configured = pipeline._processor  # noqa: SLF001
    assert isinstance(configured, LogwellBatchLogRecordProcessor)
    assert settings(configured) == (int(size), int(size), 1.0)
    pipeline.shutdown()


@pytest.mark.parametrize("value", ["many", "0", "-5", "1.5", "nan", "inf"])
@pytest.mark.parametrize(
    "variable", ["OTEL_BLRP_MAX_QUEUE_SIZE", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"]
)
def test_a_wrong_variable_is_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(LogwellError) as raised:
        LogwellBatchLogRecordProcessor(Keeping())
    assert raised.value.code is LogwellErrorCode.INVALID_CONFIG
    name = variable.removeprefix("OTEL_BLRP_").lower()
    assert str(raised.value) == (
        f"{name} ({variable}): expected a whole number over 0, got {value!r} "
        f"from the variable {variable}."
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_queue_size": 0}, "max_queue_size (OTEL_BLRP_MAX_QUEUE_SIZE): expected a whole"),
        ({"max_export_batch_size": -1}, "max_export_batch_size (OTEL_BLRP_MAX_EXPORT_BATCH_SIZE)"),
        ({"schedule_delay_millis": 0}, "schedule_delay_millis (OTEL_BLRP_SCHEDULE_DELAY)"),
        ({"schedule_delay_millis": "soon"}, "expected a number over 0, got 'soon'"),
        ({"max_queue_bytes": 0}, "max_queue_bytes: expected a whole number over 0"),
        (
            {"on_queue_full": "block"},
            "on_queue_full (LOGWELL_ON_QUEUE_FULL): expected drop or wait",
        ),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(LogwellError) as raised:
        LogwellBatchLogRecordProcessor(Keeping(), **arguments)
    assert raised.value.code is LogwellErrorCode.INVALID_CONFIG
    assert said in str(raised.value)


def test_waiting_is_asked_for_by_argument_or_variable_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not waits(LogwellBatchLogRecordProcessor(Keeping()))
    assert waits(LogwellBatchLogRecordProcessor(Keeping(on_queue_full="wait")))
    assert waits(LogwellBatchLogRecordProcessor(Keeping(), on_queue_full="wait"))
    monkeypatch.setenv("LOGWELL_ON_QUEUE_FULL", "Wait")
    assert waits(LogwellBatchLogRecordProcessor(Keeping()))
    assert not waits(LogwellBatchLogRecordProcessor(Keeping(), on_queue_full="drop"))
    monkeypatch.setenv("LOGWELL_ON_QUEUE_FULL", "block")
    with pytest.raises(LogwellError, match="expected one of drop, wait, got 'block'"):
        Keeping()
