"""The prefilter: tells whether a text can hold anything at all. Most hold nothing.

A text is looked at in its shape: lower case, every digit a zero. Messages that differ in
their numbers only have one shape, so that a shape that was harmless once is known, and a
set answers for the next thousand. The look itself is at the shape as well: what is
remembered of one text is true of every text of that shape by construction.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from logwell_otel.redaction.cards import may_hold_cards, may_hold_digits
from logwell_otel.redaction.credentials import MAY_BE_SHAPE, SHORTEST
from logwell_otel.redaction.names import as_read, by_first_character, shape_of, split_words

if TYPE_CHECKING:
    from collections.abc import Iterable

# Every secret's name in `names.py` holds one of these. They count when something stands
# behind them that can lead to a value.
NAME_WORDS = (
    *("auth", "bearer", "card", "cookie", "cred", "csrf", "cvc", "cvv", "jwt", "key", "mfa"),
    *(
        "hmac",
        "otp",
        "pass",
        "phrase",
        "pwd",
        "recovery",
        "saml",
        "secret",
        "sess",
        "sid",
        "sig",
        "ssn",
    ),
    *("token", "xsrf"),
)
_SHORT_NAMES = (
    *(
        r"pin(?![a-z])",
        "pincode",
        r"psk(?![a-z])",
        r"pw(?![a-z])",
        "pswd",
        "dsn",
        "conn(?:ection)?[_. -]?str",
    ),
    *("verification[_. -]?code", "confirmation[_. -]?code", "security[_. -]?code"),
    *("time[_. -]?code", "device[_. -]?code", "backup[_. -]?code", "code[_. -]?verifier"),
    *("0[_. -]?fa[_. -]?code", "two[_. -]?factor[_. -]?code", "sms[_. -]?code"),
    *("client[_. -]?assertion", "social[_. -]?security[_. -]?number"),
)
"""Expressions: inside other words these would say nothing (`shipping: 5`, `status_code=200`)."""

_QUOTE = r"(?:\\*[\"'`]|\\+(?:u00|x)00|&[#a-z]{1,5}0{0,2};|%(?:00){1,4})?"
_LEAD = (
    rf"[\w.-]{{0,40}}(?![\w.-])(?: (?:id|number|card|code)(?![\w.-]))?{_QUOTE}"
    r"(?:(?:\]?\[\w{0,15})?\]|(?:(?:%0d)?%0b\w{0,15})?%0d|\(?\)(?==))?"
    r"[ \t]{0,32}(?:[=:>\"',?]|<>|!=|;s:|&#x?0[0d];|%(?:00){0,3}0[ade]|\\+u000[ade]|&gt;|->|→|</"
    r"|-[ \t]{1,8}[\"']"
    r"|\)[ \t]{0,8}values"
    r"|(?<=[ \t])(?:not )?(?:i?like|in)[ \t(]"
    r"|(?<=[ \t])(?:is|was):?[ \t](?:b?[\"'`]|[^\s\"'\\,;]{0,64}0))"
)
_ALSO_NAMED = (
    *("--[a-z]", "-(?:pass|pwd|token|secret|api|(?:store|key)pass)[a-z-]{0,40}[ \t]"),
    *(r"\?code=", "&code=", r"\ncode=", "input_value=", r"\n[ \t]{0,8}password[ \t]"),
    # In YAML the name of a secret may end its line.
    (
        r"name[\"']?:[ \t]{1,4}[\w.-]{0,64}"
        rf"(?:{'|'.join(NAME_WORDS)})[\w.-]{{0,40}}[ \t]{{0,8}}(?:\n|\Z)"
    ),
)
"""`--password x`: only a blank leads to the value. A code is one in the query of a URL."""

_OTHER = (
    "@",
    "%00",  # an encoded @ in its shape
    r"://[^/\s]{0,80}:",
    r"bearer[ \t+%]",
    r"basic[ \t+%]",
    r"private(?: |\+|%00)key",
    r"\[not formatted: ",
    "private-lines",
    "ssh0 encrypted",
    *("curl[ \"']", "sshpass", "redis-cli", "ldap[a-z]", "sqlcmd", "plink", "pscp"),
    *(
        r"mysql[a-z]*[ \"'].{0,300}-p",
        r"mariadb[a-z-]*[ \"'].{0,300}-p",
        r"mongo[a-z]*[ \"'].{0,300}-p",
    ),
    *(
        rf"{name}[\"',]{{0,2}} [\"']?login"
        for name in ("docker", "podman", "helm registry", r"\naz", r"\noc")
    ),
    r"login [^\s]{1,128}[ \t]+password ",
    *(
        r"zip[ \"'].{0,300}-p",
        r"openssl[ \"'].{0,300}-(?:pass|k[ \"'])",
        r"net user ",
    ),
    *(r"https?[ \"'].{0,300}-a", r"twine[ \"']", r"cqlsh[ \"']", r"mosquitto_", r"smbclient[ \"']"),
    *(r"psexec[ \"'].{0,300}-p", r"0z[ \"'].{0,300}-p", "sqlplus "),
    *(
        "setx ",
        "setenv ",
        r"config(?:ure)?[ :]set ",
        "set password for ",
    ),
    *("auth plain ", "auth login ", "auth xoauth0 "),
    *("identified[ \t\n]", r"password\(", r"crypt\(", "<cookie "),
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
        names = [re.escape(shape_of(word).decode()) + _LEAD for word in (*NAME_WORDS, *words)]
        names += [name + _LEAD for name in _SHORT_NAMES]
        self._named = re.compile(by_first_character([*names, *_ALSO_NAMED]))
        self._trigger = re.compile(by_first_character([*names, *_ALSO_NAMED, *_OTHER]))
        self._known: set[bytes] = set()
        self.known_texts: set[str] = set()
        """The first text of each known shape: what is the same in every entry is among them,
        and asking here saves making its shape."""

    def holds_nothing(self, texts: list[str]) -> bool:
        """Tell whether no built-in detector can find anything in any of the texts.

        True is certain. No detector's finding begins on one line and is recognised by
        the next one, so that the texts may be looked at as lines of one.
        """
        lines = shape_of(as_read("\n".join(texts))).split(b"\n")
        if self._known.issuperset(lines):
            return True
        new = [line for line in lines if line not in self._known]
        joined = b"\n".join(new)
        if may_hold_digits(joined):
            # In one word with a letter in it, as most ids are, no number stands by itself.
            numbers = [line for line in new if not line.isalnum() or line.isdigit()]
            if numbers and may_hold_cards(b"\n".join(numbers)):
                return False
        # Request and trace ids are never seen twice: not worth a look, nor remembering.
        if not joined.translate(None, _HEX_LINES):
            return True
        no_ids = [line for line in new if len(line) < _ID or line.translate(None, _HEX)]
        shapes = b"\n".join([b"", *no_ids])
        if self._trigger.search(_look(shapes)):
            return False
        # Splitting costs a fifth of a search for all the credentials' needles.
        long = [word for word in shapes.split() if len(word) >= SHORTEST]
        if long and MAY_BE_SHAPE.search(_look(b"\n".join(long))):
            return False
        self._remember([line for line in no_ids if len(line) <= _MAX_LENGTH], lines, texts)
        return True

    def places_of_names(self, text: str) -> list[tuple[int, int]]:
        """Say where a text may have a secret's name with something behind it; empty for nowhere."""
        shape = _look(b"\n" + shape_of(text))
        if not text.isascii():  # lower case may have more letters
            return [(0, len(text))] if self._named.search(shape) else []
        return [(found.start() - 1, found.end() - 1) for found in self._named.finditer(shape)]

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


def _look(shape: bytes) -> str:
    # Letters beyond ASCII become lower case only here.
    return shape.decode("utf-8", "surrogatepass").lower()
