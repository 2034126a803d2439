"""JSON, text and dates as JavaScript reads them; expected values are from an engine."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel.devserver.javascript import (
    is_blank,
    number,
    parse_date,
    parse_json,
    parse_nested,
    to_string,
    trim,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

BROKEN = [
    "",
    " ",
    "[",
    "]",
    "{",
    "}",
    "[1,]",
    "[,1]",
    "[1 2]",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{,"a":1}',
    "{1:2}",
    '{"a" 1}',
    '{"a":1]',
    '["a":1]',
    "[1}",
    "{}{}",
    "1 2",
    "01",
    "+1",
    ".5",
    "1.",
    "1e",
    "- 1",
    "NaN",
    "Infinity",
    "-Infinity",
    "tru",
    "True",
    "'a'",
    '"a',
    '"\n"',
    '"\\x"',
    '"\\u12"',
    "\u00a01",
    "\x0b1",
    "1\ufeff",
    "// 1",
]


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_not_json(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any ValueError means just that
        parse_json(text.encode())
    with pytest.raises(ValueError):  # noqa: PT011
        parse_nested(text)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@given(value=anything, indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_the_deep_parser_reads_what_the_other_reads(
    value: Any, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).replace("Infinity", "1e999")
    assert parse_nested(text) == json.loads(text, parse_int=number, parse_float=number)


@given(st.text('[]{},:"\\ 1e-.tn', max_size=12))
def test_the_deep_parser_refuses_what_the_other_refuses(text: str) -> None:
    try:
        expected: Any = (True, json.loads(text))
    except ValueError:
        expected = (False, None)
    try:
        actual: Any = (True, parse_nested(text))
    except ValueError:
        actual = (False, None)
    assert actual == expected


@pytest.mark.slow
def test_depth_has_no_limit() -> None:
    value = parse_json(b"[" * 100_000 + b"7" + b"]" * 100_000)
    depth = 0
    while isinstance(value, list):
        (value,) = value
        depth += 1
    assert (depth, value) == (100_000, 7)
    with pytest.raises(ValueError, match="ends"):
        parse_json(b"[" * 100_000)


def test_the_last_of_several_members_counts() -> None:
    assert parse_json(b'{"a":1,"b":2,"a":3}') == {"a": 3, "b": 2}
    assert parse_nested('{"a":1,"b":2,"a":3}') == {"a": 3, "b": 2}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.0", 1),
        ("-0", 0),
        ("-0.0", 0),
        ("1e2", 100),
        ("999999999999999", 999999999999999),
        ("9007199254740993", 9007199254740992),
        ("9007199254740995", 9007199254740996),
        ("123456789012345678", 123456789012345680),
        ("12345678901234567890", 12345678901234567000),
        ("-12345678901234567890", -12345678901234567000),
        ("1e20", 10**20),
        ("0.1", 0.1),
        ("1e-400", 0),
        ("1" * 5_000, math.inf),
        ("-1e309", -math.inf),
    ],
)
def test_numbers_are_doubles(text: str, value: float) -> None:
    parsed = parse_json(text.encode())
    assert (parsed, type(parsed)) == (value, type(value))


def test_whole_doubles_from_1e21_stay_floats() -> None:
    assert parse_json(b"1e21") == 1e21
    assert isinstance(parse_json(b"1e21"), float)


def test_invalid_utf8_and_a_byte_order_mark() -> None:
    assert parse_json(b'\xef\xbb\xbf"a\xff\xc3"') == "a\ufffd\ufffd"
    assert parse_json(b'"\xed\xa0\x80"') == "\ufffd" * 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-7, "-7"),
        (10**20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (0.1, "0.1"),
        (1e-6, "0.000001"),
        (0.00001234, "0.00001234"),
        (1.5e-7, "1.5e-7"),
        (1e-7, "1e-7"),
        (5e-324, "5e-324"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        ({"a": 1}, "[object Object]"),
        ([1, [2, None], "x", {}, True], "1,2,,x,[object Object],true"),
        ([], ""),
    ],
)
def test_to_string(value: Any, text: str) -> None:
    assert to_string(value) == text


def test_trim_knows_javascripts_blanks() -> None:
    assert trim("\ufeff\u00a0\u2003 a b \u3000\v") == "a b"
    assert is_blank("\u2028\u2029\u202f\u205f\u1680")
    for kept in "\x1c\x1d\x1e\x1f\x85\u200b\u180e":
        assert trim(kept) == kept


DATES = [
    ("2026", 1767225600000),
    ("2026-11", 1793491200000),
    ("2026-11-20", 1795132800000),
    ("2026-11-20T10:00Z", 1795168800000),
    ("2026-11-20T10:00:00.1Z", 1795168800100),
    ("2026-11-20T10:00:00.123456-05:30", 1795188600123),
    ("2026-11-20 10:00:00+00:00", 1795168800000),
    ("2026-11-20T10:00:00+0200", 1795161600000),
    ("2026-11-20t10:00:00z", 1795168800000),
    ("2026-11-20T24:00:00Z", 1795219200000),
    ("1969-12-31T23:59:59.999Z", -1),
    ("2024-02-29", 1709164800000),
    ("0000-01-01T00:00:00Z", -62167219200000),
    ("-000001-01-01T00:00:00Z", -62198755200000),
    ("-000004-02-29T00:00:00Z", -62288352000000),
    ("+010000-01-01T00:00:00Z", 253402300800000),
    ("+275760-09-13T00:00:00.000Z", 8640000000000000),
    ("-271821-04-20T00:00:00.000Z", -8640000000000000),
    ("+275760-09-13T00:00:00.001Z", None),
    ("-271821-04-19T23:59:59.999Z", None),
    ("-000000-01-01T00:00:00Z", None),
    ("275760-09-13T00:00:00Z", None),
    ("2026-13-01", None),
    ("2026-00-01", None),
    ("2026-11-00", None),
    ("2026-11-31", None),
    ("2023-02-29", None),
    ("2026-11-20T25:00Z", None),
    ("2026-11-20T24:00:01Z", None),
    ("2026-11-20T10:60Z", None),
    ("2026-11-20T10:00:60Z", None),
    ("2026-11-20T10:00:00+24:00", None),
    ("2026-11-20T10:00:00+10:60", None),
    ("2026-11-20T10:00:00.Z", None),
    ("2026-11-20T10Z", None),
    ("٢٠٢٦-11-20", None),
    ("yesterday", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "milliseconds"), DATES)
def test_dates(text: str, milliseconds: int | None) -> None:
    assert parse_date(text) == milliseconds


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_time_without_a_zone_is_local_and_a_date_is_utc(berlin: None) -> None:
    assert parse_date("2026-11-20T10:00:00") == parse_date("2026-11-20T10:00:00+01:00")
    assert parse_date("2026-07-20T10:00:00") == parse_date("2026-07-20T10:00:00+02:00")
    assert parse_date("2026-07-20") == parse_date("2026-07-20T00:00:00Z")


def test_a_local_time_that_no_calendar_of_the_platform_knows(
    berlin: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: float) -> time.struct_time:
        raise OverflowError

    monkeypatch.setattr(time, "localtime", refuse)
    assert parse_date("2026-07-20T10:00:00") == parse_date("2026-07-20T10:00:00+01:00")
