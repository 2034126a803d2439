"""Timestamps of every kind -> ISO 8601 within the years that the database has."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel._encoding.fields import Timestamps
from support.entries import NS, TIME, entry

FIRST, LAST = "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"


class _Log:
    def __init__(self, timestamp: Any, observed: Any = None) -> None:
        self.timestamp = timestamp
        self.observed_timestamp = observed


def of(timestamp: Any, observed: Any = None) -> str:
    return Timestamps().of(_Log(timestamp, observed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (NS, TIME),
        (1, "1970-01-01T00:00:00.000000Z"),
        (999, "1970-01-01T00:00:00.000000Z"),
        (1000, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (-(10**9), "1969-12-31T23:59:59.000000Z"),
        (951_782_400 * 10**9, "2000-02-29T00:00:00.000000Z"),
        (-62_135_596_800 * 10**9, FIRST),
        (-62_135_596_800 * 10**9 - 1, FIRST),
        (253_402_300_800 * 10**9 - 1, LAST),
        (253_402_300_800 * 10**9, LAST),
        (-(10**30), FIRST),
        (10**30, LAST),
        pytest.param(10**5000, LAST, id="5001 digits"),
        (float(NS), "2026-11-20T14:09:42.426364Z"),
        (True, "1970-01-01T00:00:00.000000Z"),
        (str(NS), TIME),
    ],
)
def test_nanoseconds(nanoseconds: Any, text: str) -> None:
    assert of(nanoseconds, 10**18) == text


@pytest.mark.parametrize(
    "nothing", [None, 0, 0.0, float("nan"), float("inf"), "today", "", [], object()]
)
class TestWithoutATimestamp:
    def test_the_time_it_was_observed(self, nothing: Any) -> None:
        assert of(nothing, NS) == TIME

    def test_else_now(self, nothing: Any) -> None:
        before = time.time()
        found = dt.datetime.fromisoformat(of(nothing, nothing).replace("Z", "+00:00"))
        assert before - 1 <= found.timestamp() <= time.time() + 1


def test_a_whole_entry_with_an_odd_time() -> None:
    assert entry(timestamp=None, observed_timestamp=NS)["timestamp"] == TIME
    assert entry(timestamp=10**25)["timestamp"] == LAST


@given(st.integers(-(10**20), 3 * 10**20), st.integers(-(2 * 10**9), 2 * 10**9))
def test_the_second_kept_ready_changes_nothing(nanoseconds: int, step: int) -> None:
    both = Timestamps()
    for value in (nanoseconds, nanoseconds + step, nanoseconds):
        assert both.of(_Log(value, 5)) == of(value, 5)  # type: ignore[arg-type]


@given(st.integers(-62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1).filter(bool))
def test_it_is_what_datetime_makes_of_it(nanoseconds: int) -> None:
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    moment = epoch + dt.timedelta(microseconds=nanoseconds // 1000)
    expected = moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    assert of(nanoseconds) == expected
