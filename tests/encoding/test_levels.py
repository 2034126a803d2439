"""Severity number and text -> one of five levels, and what they say beyond it."""

from __future__ import annotations

import enum
import logging
from typing import Any

import pytest

from logwell_otel._encoding.fields import Severities, severity_of
from logwell_otel._otel import LogRecord, SeverityNumber
from logwell_otel._wire import LEVELS
from support.entries import Application, emitted, entry, own_metadata, record

NUMBERS = {
    "debug": range(1, 9),
    "info": range(9, 13),
    "warn": range(13, 17),
    "error": range(17, 21),
    "fatal": range(21, 25),
}
PLAIN = {5: "debug", 9: "info", 13: "warn", 17: "error", 21: "fatal"}


@pytest.mark.parametrize(
    ("level", "number"), [(level, n) for level, numbers in NUMBERS.items() for n in numbers]
)
def test_each_of_the_24_numbers(level: str, number: int) -> None:
    found = emitted(severity_number=SeverityNumber(number))
    assert found["level"] == level
    kept = {} if number in PLAIN else {"severity_number": number}
    assert own_metadata(found) == kept


@pytest.mark.parametrize(
    ("text", "level", "kept"),
    [
        ("DEBUG", "debug", None),
        ("debug", "debug", None),
        ("TRACE", "debug", "TRACE"),
        ("TRACE3", "debug", "TRACE3"),
        ("Verbose", "debug", "Verbose"),
        ("Level 5", "debug", "Level 5"),
        ("INFO", "info", None),
        ("Information", "info", "Information"),
        ("notice", "info", "notice"),
        ("INFO2", "info", "INFO2"),
        ("WARN", "warn", None),
        ("Warning", "warn", None),
        ("ERROR", "error", None),
        ("err", "error", "err"),
        ("SEVERE", "error", "SEVERE"),
        ("FATAL", "fatal", None),
        ("CRITICAL", "fatal", None),
        ("crit", "fatal", "crit"),
        ("alert", "fatal", "alert"),
        ("emerg", "fatal", "emerg"),
        ("emergency", "fatal", "emergency"),
        ("panic", "fatal", "panic"),
        ("  error ", "error", None),
        ("\x1b[31mERROR\x1b[0m", "error", None),
        ("\x1b[1;35mSPAM\x1b[0m", "debug", "SPAM"),
        ("FINER", "debug", "FINER"),
        ("W", "warn", "W"),
        ("SUCCESS", "info", "SUCCESS"),
        ("DPANIC", "fatal", "DPANIC"),
        ("Level 25", "info", "Level 25"),
        ("Level 35", "warn", "Level 35"),
        ("Level 60", "fatal", "Level 60"),
        ("Level -1", "debug", "Level -1"),
        ("", "info", None),
        ("  ", "info", None),
        (None, "info", None),
    ],
)
@pytest.mark.parametrize("number", [None, SeverityNumber.UNSPECIFIED])
def test_the_text_decides_without_a_number(
    text: str | None, level: str, kept: str | None, number: SeverityNumber | None
) -> None:
    found = emitted(severity_text=text, severity_number=number)
    assert found["level"] == level
    assert own_metadata(found) == ({} if kept is None else {"severity_text": kept})


@pytest.mark.parametrize(("text", "kept"), [("audit", "audit"), ("a\0b", "a\ufffdb")])
def test_a_name_that_nobody_knows(text: str, kept: str) -> None:
    found = emitted(severity_text=text)
    assert (found["level"], own_metadata(found)) == ("info", {"severity_text": kept})
    # OpenTelemetry's logging handler gives this number to levels below DEBUG, and to no others.
    found = emitted(severity_text=text, severity_number=SeverityNumber.UNSPECIFIED)
    assert (found["level"], own_metadata(found)) == ("debug", {"severity_text": kept})


@pytest.mark.parametrize("level", [1, 5, 7, 9])
@pytest.mark.parametrize("name", ["SPAM", "SQL", "\x1b[34mNOISE\x1b[0m"])
def test_a_level_of_ones_own_below_debug_through_opentelemetrys_handler(
    level: int, name: str
) -> None:
    application = Application()
    record = logging.LogRecord("x", level, __file__, 1, "hello", None, None)
    record.levelname = name
    with application.logging() as logger:
        logger.handle(record)
    [found] = application.entries()
    assert found["level"] == "debug"


@pytest.mark.parametrize(
    ("number", "text", "level", "kept"),
    [
        (SeverityNumber.INFO, "WARN", "info", {"severity_text": "WARN"}),
        (SeverityNumber.ERROR, "error", "error", {}),
        (SeverityNumber.WARN2, "WARN", "warn", {"severity_number": 14}),
        (SeverityNumber.FATAL4, "OUCH", "fatal", {"severity_text": "OUCH", "severity_number": 24}),
    ],
)
def test_the_number_wins_and_the_text_stays(
    number: SeverityNumber, text: str, level: str, kept: dict[str, Any]
) -> None:
    found = emitted(severity_number=number, severity_text=text)
    assert (found["level"], own_metadata(found)) == (level, kept)


class OtherNumber(enum.Enum):
    NINETEEN = 19
    NAMED = "error"


class Unhashable(str):
    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("number", "text", "level", "kept"),
    [
        (9, None, "info", {}),
        (0, "ERROR", "error", {}),
        (25, "ERROR", "error", {"severity_number": 25}),
        (-1, None, "info", {"severity_number": -1}),
        (10**30, None, "info", {"severity_number": str(10**30)}),
        (True, None, "info", {"severity_number": True}),
        (9.0, "WARN", "warn", {"severity_number": 9.0}),
        (float("nan"), None, "info", {"severity_number": "NaN"}),
        ("error", None, "info", {"severity_number": "error"}),
        ([], None, "info", {}),
        (OtherNumber.NINETEEN, None, "error", {"severity_number": 19}),
        (OtherNumber.NAMED, None, "info", {"severity_number": "error"}),
        (None, 17, "info", {"severity_text": "17"}),
        (None, ["error"], "info", {"severity_text": "['error']"}),
        (None, Unhashable("error"), "error", {}),
    ],
)
def test_what_is_no_severity(number: Any, text: Any, level: str, kept: dict[str, Any]) -> None:
    found = entry(severity_number=number, severity_text=text)
    assert (found["level"], own_metadata(found)) == (level, kept)


def test_equal_numbers_of_other_types_are_not_mixed_up() -> None:
    for number in (1, True, 1.0, 17, 17.0, SeverityNumber.ERROR, 1):
        severities = Severities()
        for earlier in (1, True, 1.0, 17, 17.0, SeverityNumber.ERROR):
            severities.of(log(earlier, "x"))
        assert severities.of(log(number, "x")) == severity_of(number, "x")


def test_a_severity_is_looked_at_once_and_the_cache_stays_small() -> None:
    severities = Severities()
    first = severities.of(log(SeverityNumber.INFO, "INFO"))
    assert severities.of(log(SeverityNumber.INFO, "INFO")) is first
    for number in range(1000):
        severities.of(log(SeverityNumber.INFO, f"text {number}"))
    assert len(severities._known) <= 64  # noqa: SLF001
    assert severities.of(log(SeverityNumber.INFO, "INFO")) == first


def test_ranks_are_places_in_the_order_of_levels() -> None:
    assert [severity_of(number, None).rank for number in PLAIN] == [0, 1, 2, 3, 4]
    assert [LEVELS[severity_of(number, None).rank] for number in PLAIN] == [*PLAIN.values()]


def log(number: Any, text: Any) -> LogRecord:
    return record(severity_number=number, severity_text=text).log_record
