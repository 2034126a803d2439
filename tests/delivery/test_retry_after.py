"""Retry-After as RFC 9110 has it, and as servers and proxies get it wrong."""

from __future__ import annotations

import datetime as dt
import time
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel._delivery.retry import MAX_RETRY_AFTER, retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = dt.datetime(2026, 11, 20, 12, 0, 0, tzinfo=dt.timezone.utc)


def seconds(value: str | None) -> float | None:
    return retry_after(value, NOW.timestamp)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("60", 60.0),
        (" 60 ", 60.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("007", 7.0),
        ("3600", 3600.0),
        ("3601", MAX_RETRY_AFTER),
        ("9" * 400, MAX_RETRY_AFTER),
        ("9" * 10_000, MAX_RETRY_AFTER),
        # Not a number of seconds: as if there were none.
        ("", None),
        ("-1", None),
        ("-0", None),
        ("+5", None),
        ("1e3", None),
        ("1_000", None),
        ("nan", None),
        ("inf", None),
        ("60s", None),
        ("0x10", None),
        ("60, 60", None),
        ("٦٠", None),
        ("soon", None),
    ],
)
def test_seconds(value: str | None, expected: float | None) -> None:
    assert seconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Fri, 20 Nov 2026 12:01:30 GMT", 90.0),
        ("Friday, 20-Nov-26 12:01:30 GMT", 90.0),
        ("Fri Nov 20 12:01:30 2026", 90.0),
        ("Fri, 20 Nov 2026 13:01:30 +0100", 90.0),
        ("Fri, 20 Nov 2026 12:01:30 -0000", 90.0),
        ("Fri, 20 Nov 2026 12:01:30", 90.0),
        ("Fri, 20 Nov 2026 12:00:00 GMT", 0.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Sat, 20 Nov 2027 12:00:00 GMT", MAX_RETRY_AFTER),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Fri, 31 Dec 9999 23:59:59 -2359", MAX_RETRY_AFTER),
        ("Fri, 32 Nov 2026 12:00:00 GMT", None),
        ("Fri, 20 Nov 2026 25:00:00 GMT", None),
        ("Fri, 20 Nov 99999 12:00:00 GMT", None),
        ("Fri, 20 Nov", None),
        ("GMT", None),
    ],
)
def test_dates(value: str, expected: float | None) -> None:
    assert seconds(value) == expected


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
def local_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


def test_a_date_does_not_depend_on_where_the_program_runs(local_zone: str) -> None:
    assert seconds("Fri, 20 Nov 2026 12:01:30 GMT") == 90.0
    assert seconds("Fri, 20 Nov 2026 12:01:30") == 90.0


@given(st.integers(0, 3600))
def test_a_date_means_the_same_as_its_seconds(after: int) -> None:
    date = format_datetime(NOW + dt.timedelta(seconds=after), usegmt=True)
    assert seconds(date) == seconds(str(after)) == after


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9 ]+ [A-Z][a-z]{2} [0-9 :+-]+"))
def test_no_text_raises(value: str) -> None:
    result = seconds(value)
    assert result is None or 0.0 <= result <= MAX_RETRY_AFTER


def test_now_is_the_wall_clock_by_default() -> None:
    date = format_datetime(dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=60), usegmt=True)
    result = retry_after(date)
    assert result is not None
    assert 55 < result <= 60
