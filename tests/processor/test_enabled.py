"""`enabled()`: whether a record of a severity would be sent at all."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry._logs import SeverityNumber

from logwell_otel import LogwellBatchLogRecordProcessor
from support.processor import Emitting, Keeping

CASES: list[tuple[str, Any, bool]] = [
    ("warn", SeverityNumber.INFO4, False),
    ("warn", SeverityNumber.WARN, True),
    ("warn", SeverityNumber.FATAL4, True),
    ("info", SeverityNumber.DEBUG4, False),
    ("info", SeverityNumber.TRACE, False),
    ("info", SeverityNumber.INFO, True),
    ("debug", SeverityNumber.TRACE, True),
    ("fatal", SeverityNumber.UNSPECIFIED, True),
    ("fatal", None, True),
]


@pytest.mark.parametrize(("level", "severity", "answer"), CASES)
def test_by_the_exporters_level(level: str, severity: Any, answer: bool) -> None:
    pipeline = Emitting(LogwellBatchLogRecordProcessor(Keeping(level=level)))
    asked = pipeline.processor.enabled(severity_number=severity, context=None, event_name="x")
    assert asked is answer
    logger = pipeline.provider.get_logger("shop")
    if hasattr(logger, "enabled"):  # since OpenTelemetry 1.45
        assert logger.enabled(severity_number=severity) is answer


def test_nothing_after_shutdown() -> None:
    pipeline = Emitting(LogwellBatchLogRecordProcessor(Keeping()))
    assert pipeline.processor.enabled()
    pipeline.processor.shutdown()
    assert not pipeline.processor.enabled(severity_number=SeverityNumber.FATAL)
