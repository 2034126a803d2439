"""Bodies of every type -> the message, and the structure beside it."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Any

import pytest

from support.entries import emitted, entry, own_metadata


class Colour(enum.Enum):
    RED = "red"


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("body", "message", "kept"),
    [
        ("hello", "hello", None),
        ("  padded ", "  padded ", None),
        ("\u200bzero width", "\u200bzero width", None),
        (Text("subclass"), "subclass", None),
        (42, "42", 42),
        (0, "0", 0),
        (True, "true", True),
        (False, "false", False),
        (1.5, "1.5", 1.5),
        (float("nan"), "NaN", None),
        (float("inf"), "Infinity", None),
        (float("-inf"), "-Infinity", None),
        (2**53, "9007199254740992", 2**53),
        (2**53 + 1, "9007199254740993", None),
        (b"\x00\x01", "AAE=", None),
        (bytearray(b"ab"), "YWI=", None),
        (memoryview(b"ab"), "YWI=", None),
        ([1, "a", None], '[1,"a",null]', [1, "a", None]),
        (("a", ("b",)), '["a",["b"]]', ["a", ["b"]]),
        (
            {"event": "x", "n": {"a": []}},
            '{"event":"x","n":{"a":[]}}',
            {"event": "x", "n": {"a": []}},
        ),
        ({}, "{}", {}),
        ([], "[]", []),
        ({1: "a", None: "b"}, '{"1":"a","None":"b"}', {"1": "a", "None": "b"}),
        (frozenset({7}), "[7]", [7]),
        (Colour.RED, "red", None),
        (decimal.Decimal("1.10"), "1.10", None),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001", None),
        (dt.date(2026, 1, 2), "2026-01-02", None),
        (dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc), "2026-01-02T00:00:00+00:00", None),
        (ValueError("boom"), "boom", None),
        (object, "<class 'object'>", None),
    ],
)
def test_each_type(body: Any, message: str, kept: Any) -> None:
    found = emitted(body=body)
    assert found["message"] == message
    assert own_metadata(found) == ({} if kept is None else {"body": kept})


@pytest.mark.parametrize(
    "body", [None, "", " ", "\t\r\n", "\u00a0", "\ufeff", " \u2003\ufeff\u3000 ", b"", Text(" ")]
)
class TestABodyThatSaysNothing:
    """Blank is what JavaScript's trim leaves nothing of: the server refuses it."""

    def test_becomes_the_name_of_the_event(self, body: Any) -> None:
        found = emitted(
            body=body, event_name="user.login", attributes={"exception.type": "ValueError"}
        )
        assert found["message"] == "user.login"

    def test_else_the_exception(self, body: Any) -> None:
        found = emitted(
            body=body, attributes={"exception.type": "ValueError", "exception.message": "no"}
        )
        assert found["message"] == "ValueError: no"

    def test_else_what_there_is_of_the_exception(self, body: Any) -> None:
        assert emitted(body=body, attributes={"exception.type": "E"})["message"] == "E"
        assert emitted(body=body, attributes={"exception.message": "m"})["message"] == "m"

    def test_else_says_so(self, body: Any) -> None:
        assert emitted(body=body)["message"] == "(no message)"
        blank = emitted(body=body, event_name=" ", attributes={"exception.message": "\ufeff"})
        assert blank["message"] == "(no message)"


@pytest.mark.parametrize("body", ["\x1c", "\x85", "\u180e", "\u200b", "\x00"])
def test_what_only_python_takes_for_blank_is_a_message(body: str) -> None:
    assert emitted(body=body)["message"] == body.replace("\x00", "\ufffd")


def test_message_and_structure_hold_the_same() -> None:
    body = {"ü": [True, 1e300, "\n", {"深": None}], "a\0b": "c\ud800", "n": float("nan")}
    found = emitted(body=body)
    assert json.loads(found["message"]) == found["metadata"]["body"]
    assert found["metadata"]["body"] == {
        "ü": [True, 1e300, "\n", {"深": None}],
        "a\ufffdb": "c\ufffd",
        "n": "NaN",
    }


def test_an_event_name_that_is_no_text() -> None:
    found = entry(body=None, event_name=17)
    assert (found["message"], own_metadata(found)) == ("17", {"otel.event.name": "17"})
