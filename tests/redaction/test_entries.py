"""Redaction of entries: metadata of any shape, and what must not be touched."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import re
import uuid
from collections import OrderedDict, namedtuple
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logwell_otel._encoding.values import CIRCULAR
from logwell_otel._wire import LogEntry
from logwell_otel.redaction import Redactor
from logwell_otel.redaction.cards import may_hold_cards, redact_cards
from support.records import record
from support.redaction import requests


def _redact(metadata: dict[Any, Any], message: str = "m") -> dict[Any, Any]:
    return (
        Redactor().redact_entry(LogEntry(level="info", message=message, metadata=metadata)).metadata
    )


def test_a_whole_entry() -> None:
    entry = LogEntry(
        level="error",
        message="login of bob@example.com failed",
        timestamp="2025-10-24T12:00:00.123456Z",
        service="shop",
        source_file="/app/login.py",
        line_number=17,
        metadata={
            "url.full": "https://shop.example.com/reset?token=6f1d9c&step=2",
            "url.query": "token=6f1d9c&step=2",
            "http.request.header.cookie": ["sid=abc"],
            "exception.type": "LoginError",
            "exception.message": "password 'hunter2' does not match",
            "exception.stacktrace": (
                "Traceback (most recent call last):\n"
                '  File "/app/login.py", line 17, in login\n'
                "    check(user, password=password)\n"
                "LoginError: password 'hunter2' does not match"
            ),
            "request_id": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "attempt": 3,
        },
    )
    redacted = Redactor().redact_entry(entry)
    assert redacted is entry
    assert entry == LogEntry(
        level="error",
        message="login of [redacted:email] failed",
        timestamp="2025-10-24T12:00:00.123456Z",
        service="shop",
        source_file="/app/login.py",
        line_number=17,
        metadata={
            "url.full": "https://shop.example.com/reset?token=[redacted:token]&step=2",
            "url.query": "token=[redacted:token]&step=2",
            "http.request.header.cookie": "[redacted:cookie]",
            "exception.type": "LoginError",
            "exception.message": "password '[redacted:password]' does not match",
            "exception.stacktrace": (
                "Traceback (most recent call last):\n"
                '  File "/app/login.py", line 17, in login\n'
                "    check(user, password=password)\n"
                "LoginError: password '[redacted:password]' does not match"
            ),
            "request_id": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "attempt": 3,
        },
    )


Point = namedtuple("Point", "x y")  # noqa: PYI024 - a tuple of another type


FOUND: list[tuple[dict[Any, Any], dict[Any, Any]]] = [
    ({"a": {"b": [{"c": "x@example.com"}]}}, {"a": {"b": [{"c": "[redacted:email]"}]}}),
    ({"a": ("x@example.com", 1)}, {"a": ("[redacted:email]", 1)}),
    ({"a": Point("x@example.com", 1)}, {"a": ("[redacted:email]", 1)}),
    ({"a": {"x@example.com"}}, {"a": ["[redacted:email]"]}),
    ({"a": frozenset(["x@example.com"])}, {"a": ["[redacted:email]"]}),
    ({"a": b"x@example.com"}, {"a": "[redacted:email]"}),
    ({"a": bytearray(b"password=x1")}, {"a": "password=[redacted:password]"}),
    ({"a": ValueError("password=x1")}, {"a": "password=[redacted:password]"}),
    ({"x@example.com": 1}, {"[redacted:email]": 1}),
    (
        {"x@example.com": 1, "y@example.com": 2},
        {"[redacted:email]": 1, "[redacted:email]#": 2},
    ),
    ({"a": {1: "x@example.com"}}, {"a": {1: "[redacted:email]"}}),
    ({"a": OrderedDict(token="x")}, {"a": {"token": "[redacted:token]"}}),
    ({"card": 4111111111111111}, {"card": "[redacted:card]"}),
    ({"numbers": [1, 4111111111111111]}, {"numbers": [1, "[redacted:card]"]}),
    (
        {"headers": [{"name": "Cookie", "value": "a=b"}, {"name": "Host", "value": "h"}]},
        {"headers": [{"name": "Cookie", "value": "[redacted:cookie]"},
                     {"name": "Host", "value": "h"}]},
    ),
    ({"env": {"key": "DB_PASSWORD", "value": "x"}},
     {"env": {"key": "DB_PASSWORD", "value": "[redacted:password]"}}),
    ({"name": 7, "value": "x@example.com"}, {"name": 7, "value": "[redacted:email]"}),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), FOUND, ids=repr)
def test_finds_at_any_depth_and_in_any_type(before: dict[Any, Any], after: dict[Any, Any]) -> None:
    assert _redact(before) == after


@pytest.mark.parametrize(("before", "after"), FOUND, ids=repr)
def test_finds_the_same_on_the_way_through_the_exporter(
    before: dict[Any, Any], after: dict[Any, Any]
) -> None:
    sent = requests([record({"all": before}), record([before])], redact=True)
    assert sent == requests([record({"all": after}), record([after])])


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"a": 1, "b": None, "c": True, "d": 1.5, "e": "text", "f": ["x", 2], "g": {"h": "i"}},
        {"id": uuid.UUID(int=4111111111111111), "day": dt.date(2025, 10, 24)},
        {"sum": decimal.Decimal(4111111111111111)},
        {"order_id": 4539578763621486, "orderId": "4539578763621486"},
        {"ids": [4539578763621486, "4539578763621486"]},
        {"n": 4111111111111112, "big": 10**30, "negative": -4111111111111111},
        {"a": b"\xff\xfe\x00", "b": bytearray(b"x"), "c": object, "d": {1, 2}},
        {"password": "[redacted:password]", "authorization": "Bearer [redacted:jwt]"},
        {1: "x", None: "y", ("a",): "z"},
    ],
    ids=repr,
)  # fmt: skip
def test_what_holds_nothing_comes_back_as_the_same_objects(metadata: dict[Any, Any]) -> None:
    # An address makes the walk happen; without it the prefilter decides.
    for message in ("m", "x@example.com"):
        entry = LogEntry(level="info", message=message, metadata=metadata)
        assert Redactor().redact_entry(entry).metadata is metadata


def test_the_applications_own_objects_are_never_changed() -> None:
    metadata = {"user": {"email": "x@example.com", "tags": ["a", "y@example.com"]}, "token": "t"}
    before = copy.deepcopy(metadata)
    assert _redact(metadata) != before
    assert metadata == before


def test_a_container_in_itself_and_one_in_many_places() -> None:
    circle: list[Any] = ["x@example.com"]
    circle.append(circle)
    assert _redact({"c": circle}) == {"c": ["[redacted:email]", CIRCULAR]}

    shared: list[Any] = ["x@example.com"]
    for _ in range(30):
        shared = [shared] * 10
    redacted: Any = _redact({"s": shared})["s"]
    while isinstance(redacted, list):
        redacted = redacted[0]
    assert redacted == "[redacted:email]"


def test_what_is_nested_too_deep_becomes_text() -> None:
    nested: Any = {"password": "x1"}
    for _ in range(40):
        nested = {"n": nested}
    redacted: Any = _redact(nested)
    while isinstance(redacted, dict):
        redacted = redacted["n"]
    assert redacted.endswith("{'password': '[redacted:password]'}" + "}" * redacted.count("'n'"))


def test_a_value_that_cannot_be_printed_stays_as_it_is() -> None:
    class Shy:
        def __str__(self) -> str:
            raise RuntimeError("no")

    shy = Shy()
    assert _redact({"a": shy, "b": "x@example.com"}) == {"a": shy, "b": "[redacted:email]"}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(message=st.text(), metadata=st.dictionaries(st.text(), _VALUES))
def test_takes_anything(message: str, metadata: dict[str, Any]) -> None:
    before = copy.deepcopy(metadata)
    entry = LogEntry(level="info", message=message, metadata=metadata)
    Redactor().redact_entry(entry)
    assert isinstance(entry.message, str)
    assert len(entry.metadata) == len(before)
    assert repr(metadata) == repr(before)


@given(
    before=st.text(st.characters(exclude_characters="\"'`\\"), max_size=30),
    after=st.text(st.characters(exclude_characters="\"'`\\"), max_size=30),
)
def test_finds_whatever_stands_around(before: str, after: str) -> None:
    text = f"{before} bob@example.com {after} password=hunter2 {after}"
    redacted = Redactor().redact_text(text)
    assert "bob@example" not in redacted
    assert "hunter2" not in redacted


@given(
    values=st.lists(
        st.sampled_from(["bob@example.com", "plain", "password=hunter2", "4111 1111 1111 1111"])
        | st.text(max_size=10),
        max_size=8,
    )
)
def test_the_prefilter_of_an_entry_agrees_with_a_look_at_each_text(values: list[str]) -> None:
    redactor = Redactor()
    metadata = {f"v{index}": value for index, value in enumerate(values)}
    entry = LogEntry(level="info", message="m", metadata=metadata)
    redactor.redact_entry(entry)
    assert entry.metadata == {name: Redactor().redact_text(v) for name, v in metadata.items()}


@given(
    st.text("0123456789 -.a\n", max_size=60) | st.from_regex(r"[a-f0-9-]{14,40}", fullmatch=True)
)
@example("4111111111111111")
@example("x 4111-1111-1111-1111")
@example("3782 822463 10005")
@example("--4111111111111111-abc")
def test_where_the_prefilter_sees_no_card_number_there_is_none(text: str) -> None:
    if not may_hold_cards(re.sub(r"\d", "0", text).encode()):
        assert redact_cards(text, lambda _: False) == text


def test_a_text_seen_before_is_not_looked_at_again_and_hides_nothing() -> None:
    redactor = Redactor()
    for message, host in (("m", "web-1"), ("ann@example.com", "web-1"), ("m", "ann@example.com")):
        entry = LogEntry(level="info", message=message, metadata={"host": host, "n": "web-1"})
        redactor.redact_entry(entry)
        assert "ann@" not in f"{entry}"
        assert entry.metadata["n"] == "web-1"
