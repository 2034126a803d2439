"""What a person sees, and what log text must not do to the terminal."""

from __future__ import annotations

import io
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel.devserver import Entry
from logwell_otel.devserver.command import ServeOutput, escape

TIME = "2026-11-20T10:00:00.123Z"


def shown(colour: bool = False, **fields: Any) -> str:
    stream = io.StringIO()
    values: dict[str, Any] = {"level": "info", "message": "hello", "timestamp": TIME} | fields
    ServeOutput(stream, colour=colour).show([Entry(**values)])
    return stream.getvalue()


def test_a_bare_entry() -> None:
    assert shown() == "2026-11-20 10:00:00.123Z  INFO   -  hello\n"


def test_a_full_entry() -> None:
    text = shown(
        level="error",
        message="payment failed",
        service="shop",
        source_file="app/main.py",
        line_number=42,
        metadata={"trace_id": "ab" * 16, "request_id": "r1", "n": 1.5, "ok": True, "l": [1]},
    )
    assert text == (
        "2026-11-20 10:00:00.123Z  ERROR  shop  payment failed  app/main.py:42"
        f"  trace={'ab' * 16}  request_id=r1 n=1.5 ok=true l=[1]\n"
    )


def test_a_file_without_a_line_and_metadata_that_is_a_list() -> None:
    assert shown(source_file="a.py", metadata=[1, "x"]).endswith('hello  a.py  [1,"x"]\n')


def test_further_lines_of_a_message_cannot_pass_for_entries() -> None:
    text = shown(message="boom\r\n2026-11-20 10:00:00.123Z  ERROR  forged\n", source_file="a.py")
    assert text == (
        "2026-11-20 10:00:00.123Z  INFO   -  boom  a.py\n"
        "    | 2026-11-20 10:00:00.123Z  ERROR  forged\n"
    )


def test_long_messages_and_metadata_are_cut() -> None:
    text = shown(message="m" * 5_000, metadata={"k": "v" * 5_000}, service="s" * 500)
    assert "m" * 4_000 + "… (1000 more characters)" in text
    assert text.endswith("v…\n")
    assert len(text) < 4_500


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb\tc\x07\x7f", "a\\rb\\tc\\x07\\x7f"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\u2028\u2029\u00ad", "\\u2028\\u2029\\xad"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("plain é 漢 😀", "plain é 漢 😀"),
    ],
)
def test_escapes(text: str, safe: str) -> None:
    assert escape(text) == safe


ANY_TEXT = st.text(st.characters() | st.sampled_from("\x1b\x9b\n\r\u202e\u2028\x07"))


@given(
    message=ANY_TEXT.filter(bool),
    texts=st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT),
    value=st.recursive(ANY_TEXT, lambda inner: st.lists(inner, max_size=3)),
    colour=st.booleans(),
)
def test_nothing_that_a_terminal_acts_on_comes_through(
    message: str, texts: tuple[str, str, str], value: Any, colour: bool
) -> None:
    service, source, key = texts
    text = shown(
        colour,
        message=message,
        service=service,
        source_file=source,
        metadata={key: value, "trace_id": message},
    )
    ours = re.sub("\x1b\\[[0-9;]+m", "", text) if colour else text
    lines = ours.removesuffix("\n").split("\n")
    assert lines[0].startswith("2026-11-20 10:00:00.123Z  INFO   ")
    assert all(line.startswith("    | ") for line in lines[1:])
    for character in "".join(lines):
        assert unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_colour_by_level() -> None:
    text = shown(True, level="fatal")
    assert text == ("\x1b[2m2026-11-20 10:00:00.123Z\x1b[0m  \x1b[1;31mFATAL\x1b[0m  -  hello\n")


def test_a_reader_that_has_gone_ends_the_printing_only() -> None:
    class Gone(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            raise BrokenPipeError

    stream = Gone()
    output = ServeOutput(stream, colour=False)
    for _ in range(3):
        output.say("anybody?")
    assert stream.writes == 1


def test_an_encoding_without_the_character() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    ServeOutput(stream, colour=False).say("caf\xe9")
    assert raw.getvalue() == b"caf\\xe9\n"
