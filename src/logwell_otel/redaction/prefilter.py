"""The prefilter: tells whether a text can hold anything at all. Most hold nothing.

A text is looked at in its shape: lower case, every digit a zero. Messages that differ in
their numbers only have one shape, so that a shape that was harmless once is known, and a
set answers for the next thousand. The look itself is at the shape as well: what is
remembered of one text is true of every text of that shape by construction.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from logwell_otel.redaction.cards import may_hold_cards
from logwell_otel.redaction.credentials import SHAPES, SHORTEST
from logwell_otel.redaction.names import split_words

if TYPE_CHECKING:
    from collections.abc import Iterable

_AS_SHAPE = bytes(
    0x30 if 0x30 <= byte <= 0x39 else byte + 0x20 if 0x41 <= byte <= 0x5A else byte
    for byte in range(256)
)

# Every secret's name in `names.py` holds one of these. They count when something stands
# behind them that can lead to a value.
NAME_WORDS = (
    *("auth", "bearer", "card", "cookie", "cred", "csrf", "cvc", "cvv", "jwt", "key", "mfa"),
    *("hmac", "otp", "pass", "phrase", "pwd", "recovery", "secret", "sess", "sid", "sig", "ssn"),
    *("token", "xsrf"),
)
_SHORT_NAMES = (
    *(r"pin(?![a-z])", "pincode", r"pw(?![a-z])", "pswd", "dsn", "conn(?:ection)?[_.-]?str"),
    *("verification[_.-]?code", "confirmation[_.-]?code", "security[_.-]?code", "time[_.-]?code"),
)
"""Expressions: inside other words these would say nothing (`shipping: 5`, `status_code=200`)."""

_LEAD = r"[\w.-]{0,40}(?![\w.-])\\*[\"']?\]?[ \t]{0,8}(?:[=:>\"',]|%0d)"
_ALSO_NAMED = ("--[a-z]", r"\?code=", "&code=", r"\ncode=")
"""`--password x`: only a blank leads to the value. A code is one in the query of a URL."""

_OTHER = (
    "@",
    "%00",  # an encoded @ in its shape
    r"://[^/\s]{0,80}:",
    r"bearer[ \t]",
    r"basic[ \t]",
    "private key",
    "curl ",
)

_HEX = b"0abcdef-"
"""What the shapes of UUIDs and of other hexadecimal ids are made of. No name of a secret and
no credential is made of these alone."""

_HEX_LINES = _HEX + b"\n"

_ID = 6
"""Characters of the shortest id; what is shorter, as a number or a word, comes again."""

_MAX_KNOWN = 4096
_MAX_LENGTH = 256


class Prefilter:
    """Rules out texts that hold nothing, and remembers their shapes.

    Args:
        extra_keys: Names of secrets beyond the built-in ones.
    """

    def __init__(self, extra_keys: Iterable[str] = ()) -> None:
        # An extra name's longest word stands for it: `patientId` is looked for as `patient`.
        words = [max(words, key=len) for key in extra_keys if (words := split_words(key))]
        names = [re.escape(_shape(word).decode()) + _LEAD for word in (*NAME_WORDS, *words)]
        names += [name + _LEAD for name in _SHORT_NAMES]
        needles = dict.fromkeys(
            shape.look or re.escape(_shape(shape.needle).decode()) for shape in SHAPES
        )
        self._named = re.compile(_by_first_character([*names, *_ALSO_NAMED]))
        self._trigger = re.compile(_by_first_character([*names, *_ALSO_NAMED, *_OTHER]))
        self._credentials = re.compile(_by_first_character(needles))
        self._known: set[bytes] = set()
        self.known_texts: set[str] = set()
        """The first text of each known shape: what is the same in every entry is among them,
        and asking here saves making its shape."""

    def holds_nothing(self, texts: list[str]) -> bool:
        """Tell whether no built-in detector can find anything in any of the texts.

        True is certain. No detector's finding begins on one line and is recognised by
        the next one, so that the texts may be looked at as lines of one.
        """
        lines = _shape("\n".join(texts)).split(b"\n")
        new = set(lines) - self._known
        if not new:
            return True
        # In one word with a letter in it, as most ids are, no number stands by itself.
        numbers = [line for line in new if not line.isalnum() or line.isdigit()]
        if numbers and may_hold_cards(b"\n".join(numbers)):
            return False
        # Request and trace ids are never seen twice: not worth a look, nor remembering.
        if not b"\n".join(new).translate(None, _HEX_LINES):
            return True
        no_ids = [line for line in new if len(line) < _ID or line.translate(None, _HEX)]
        shapes = b"\n".join([b"", *no_ids])
        if self._trigger.search(_look(shapes)):
            return False
        # Splitting costs a fifth of a search for all the credentials' needles.
        long = [word for word in shapes.split() if len(word) >= SHORTEST]
        if long and self._credentials.search(_look(b"\n".join(long))):
            return False
        self._remember([line for line in no_ids if len(line) <= _MAX_LENGTH], lines, texts)
        return True

    def may_name_a_secret(self, text: str) -> bool:
        """Tell whether a text may have a secret's name in it with something behind it."""
        return self._named.search(_look(b"\n" + _shape(text))) is not None

    def _remember(self, harmless: list[bytes], lines: list[bytes], texts: list[str]) -> None:
        if len(self._known) + len(harmless) > _MAX_KNOWN:
            # Starting over costs less than keeping an order, and what is really common is
            # back within a few entries.
            self._known.clear()
            self.known_texts.clear()
        harmless = harmless[:_MAX_KNOWN]
        self._known.update(harmless)
        if len(lines) == len(texts):  # no text has two lines
            text_of = dict(zip(lines, texts, strict=True))
            self.known_texts.update(map(text_of.__getitem__, harmless))


def _shape(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass").translate(_AS_SHAPE)


def _look(shape: bytes) -> str:
    # Letters beyond ASCII become lower case only here.
    return shape.decode("utf-8", "surrogatepass").lower()


def _by_first_character(patterns: Iterable[str]) -> str:
    # Measured: the same alternatives in a flat list take five times as long, because the
    # engine then tries each of them at each position.
    groups: dict[str, list[str]] = {}
    for pattern in patterns:
        # Each begins with a literal: a single set among them costs the engine its table of
        # first characters, and the search three times as long.
        size = 2 if pattern[0] == "\\" else 1
        groups.setdefault(pattern[:size], []).append(pattern[size:])
    return "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in groups.items())
