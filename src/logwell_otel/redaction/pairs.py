"""Secrets written as name and value inside a text: `password=hunter2`, `"token": "…"`.

A text says `name=value` for many reasons. The name decides first (`SecretKeys`), then the
way it is written: with `=` or in quotes a value is data and goes; after a colon it may be a
sentence (`token: expired`), so that a value has to look like a secret; in a line of source
that a traceback quotes, only a quoted literal is data and the rest is code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from logwell_otel.redaction.names import is_marked, marker, word_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from logwell_otel.redaction.names import SecretKeys

# A name, its closing quote, then what leads to the value. The look-behind starts the name
# at the beginning of its run only, which keeps the search linear; the look-ahead ends it at the
# end, which keeps the engine from trying every shorter name. In `b"\\nCookie: …"` the n is
# no part of the name.
_NAME = re.compile(
    r"(?<![\w.-])(?:(?<=\\)[nrt])?(?P<option>--)?(?P<name>[\w.-]+)(?![\w.-])(?:\\*[\"'])?\]?"
    r"(?P<lead>[ \t]{0,8}(?:=>|:=|==?|:(?!:)|%3[dD]|>|,(?=[ ]?b[\"']))[ \t]{0,8}"
    r"|[ \t]{1,8}(?=[\"'])"
    r"|(?(option)[ \t](?=[^\s-])|(?!)))"
)
_QUOTE = re.compile(r"\[?(?:[bBrRuUfF]{1,2}(?=[\"']))?(?P<quote>\\*[\"'`])")
_NEXT_IN_LIST = re.compile(r"\\*[\"'`][ \t]{0,8},[ \t]{0,8}[bBrRuU]?(?P<quote>\\*[\"'`])")
_TO_QUOTE = {
    quote: re.compile(rf"[^{quote}\\]*(?:\\.[^{quote}\\]*)*", re.DOTALL) for quote in "\"'`"
}
_PLAIN = re.compile(r"\[redacted:[\w-]+\]|[^\s\"'`<>,;&|()\[\]{}\\]+")
_TO_TAG = re.compile(r"[^<\r\n]+(?=</)")
_COOKIES = re.compile(r"[^\s=;,\"'\\]{1,256}=[^\r\n\"'\\]*")
_SCHEME = re.compile(
    r"(?:Digest|AWS4-HMAC-SHA256|OAuth|Hawk)[ \t]+(?:[\w-]+=(?:\"[^\"]*\"|[^\s,\"']+)[ \t,]*)+"
    r"|(?:Bearer|Basic|Token|ApiKey|Api-Key|Key|Negotiate|NTLM|Bot)[ \t]+"
    r"(?:\[redacted:[\w-]+\]|[^\s\"',;<>\\]+)",
    re.IGNORECASE,
)

_QUERY_NAMES = {"sig": "signature", "key": "api_key"}
"""Secrets by these names only in a URL's query: Azure's signature, Google's API key."""

_MIN_SCHEME = 12
"""`Authorization: Basic auth` is a sentence: a scheme with a credential is longer."""

_FILE_KINDS = ("credentials", "private_key")
"""What is often named by the path of the file that holds it."""

_SHORT_KINDS = ("card", "otp", "ssn")
"""Secrets of a few digits."""

# What stands where a secret would, without being one.
_PLACEHOLDER = re.compile(
    r"\$(?:\{[^}]*\}?|[A-Z_][A-Z0-9_]*|\d+|\(.*)?|%(?:\(?\w*\)?s)?|%[A-Z_]+%|\{+[\w.!:]*\}*|:\w+|\?"
    r"|\*+|[xX]{3,}|<[^>]*>?|\.{2,}|…|[•█]+|-+"
)
_LITERALS = word_set(
    "none null nil true false undefined str string bytes int integer float bool boolean any "
    "optional object secretstr text varchar"
)
# How sentences about a secret go on, and the states one can be in.
_SENTENCE_WORDS = word_set(
    "a an the is was are not no yes must should cannot can't could may has have will be been being "
    "too required missing invalid incorrect wrong expired revoked failed failure ok okay success "
    "successful valid accepted rejected denied changed updated created deleted rotated reset "
    "refreshed found unknown unchanged mismatch disabled enabled hidden masked redacted removed "
    "this that it does did do for from in on off to at of with without by and or if please use "
    "using your field value length minimum maximum only already authentication auth login user "
    "open opened closed started ended active inactive empty unset set n/a na"
)

_PATH = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_VARIABLE = re.compile(r"[a-z_]+|[A-Z_]+")
_CALL = re.compile(rf"{_PATH}[(\[]")
_SENTENCE = re.compile(r"[A-Z]\S*(?: \S+){2,}[.!]")

_SOURCE_LINE = 400
"""How far back a line of source and the `File "…"` line above it are looked for."""


def redact_pairs(text: str, keys: SecretKeys, allowed: Callable[[str], bool]) -> str:
    """Replace the values of secret names in a text, unless `allowed` says they may stay."""
    parts = []
    done = 0
    for name in _NAME.finditer(text):
        if name.start() < done or (kind := _kind(text, name, keys)) is None:
            continue
        for start, end in _values(text, name, kind, keys):
            value = text[start:end]
            if not is_marked(value) and not allowed(value):
                parts += [text[done:start], marker(kind)]
                done = end
    return "".join([*parts, text[done:]]) if parts else text


def _kind(text: str, name: re.Match[str], keys: SecretKeys) -> str | None:
    if name["name"] in _QUERY_NAMES and text[max(0, name.start() - 1)] in "?&":
        return _QUERY_NAMES[name["name"]]
    return keys.kind(name["name"].strip(".-"))


def _values(
    text: str, name: re.Match[str], kind: str, keys: SecretKeys
) -> Iterator[tuple[int, int]]:
    """Say where the values of a secret's name stand: one, or those of a list in quotes."""
    sign = name["lead"].strip()
    start = name.end()
    opening = _QUOTE.match(text, start)
    if opening is None:
        span = _unquoted(text, name, kind, keys)
        if span is not None:
            yield span
    elif sign or kind == "password":
        in_list = opening.group().startswith("[")
        while opening is not None:
            begin, end = _quoted(text, opening)
            if not _is_no_secret(text[begin:end], in_list=in_list):
                yield begin, end
            opening = _NEXT_IN_LIST.match(text, end) if in_list else None


def _unquoted(
    text: str, name: re.Match[str], kind: str, keys: SecretKeys
) -> tuple[int, int] | None:
    sign = name["lead"].strip()
    start = name.end()
    if sign == ">":
        tag = _TO_TAG.match(text, start) if text[max(0, name.start() - 1)] in "<:" else None
        return tag.span() if tag else None
    if not sign:
        return _plain(text, start)
    if kind == "authorization" and (scheme := _SCHEME.match(text, start)):
        return None if scheme.end() - start < _MIN_SCHEME else scheme.span()
    if kind == "cookie" and sign == ":":
        cookies = _COOKIES.match(text, start)
        return cookies.span() if cookies else None
    span = _plain(text, start)
    if span is None or _is_code(text, span, keys) or _in_source_line(text, name.start()):
        return None
    return span if _is_meant(text[slice(*span)], name, kind) else None


def _is_meant(value: str, name: re.Match[str], kind: str) -> bool:
    """Tell a secret from a word that goes on after a secret's name."""
    lead = name["lead"]
    sign = lead.strip()
    word = value.rstrip(".:!?").lower()
    if kind == "password":
        last = name["name"].lower()
        # PWD=/srv/app is the working directory; PASS: test_login and pass=12 report tests.
        if (last == "pwd" and value.startswith("/")) or (
            last == "pass" and (sign == ":" or value.isdigit())
        ):
            return False
        return sign != ":" or word not in _SENTENCE_WORDS
    if word in _SENTENCE_WORDS or (kind in _FILE_KINDS and value.startswith(("/", "./", "~"))):
        return False
    certain = lead == sign and sign != ":" and kind != "authorization"
    return certain or _looks_secret(value, 3 if kind in _SHORT_KINDS else 8)


def _looks_secret(value: str, least: int) -> bool:
    if len(value) < least:
        return False
    return len(value) >= 24 or any(character.isdigit() for character in value)


def _quoted(text: str, opening: re.Match[str]) -> tuple[int, int]:
    quote = opening["quote"]
    start = opening.end()
    if len(quote) == 1:
        inside = _TO_QUOTE[quote].match(text, start)
        return start, inside.end() if inside else start
    # JSON inside a JSON string: the same escaped quote closes.
    end = text.find(quote, start)
    return start, len(text) if end < 0 else end


def _is_no_secret(value: str, *, in_list: bool) -> bool:
    if not value.strip() or _PLACEHOLDER.fullmatch(value):
        return True
    # {"password": ["This field may not be blank."]}: what a form says about a field.
    return in_list and _SENTENCE.fullmatch(value) is not None


def _plain(text: str, start: int) -> tuple[int, int] | None:
    found = _PLAIN.match(text, start)
    if found is None:
        return None
    value = found.group()
    if _PLACEHOLDER.fullmatch(value) or value.rstrip(".:!?").lower() in _LITERALS:
        return None
    return found.span()


def _is_code(text: str, span: tuple[int, int], keys: SecretKeys) -> bool:
    """Tell a value from an expression: `get_token(`, `self.password`, `DB_PASSWORD`."""
    start, end = span
    value = text[start:end]
    if _CALL.match(text, start, end + 1):
        return True
    if _DOTTED.fullmatch(value) or _VARIABLE.fullmatch(value):
        return keys.kind(value) is not None
    return False


def _in_source_line(text: str, position: int) -> bool:
    """Tell whether the position is in a line of source that a traceback quotes."""
    line = text.rfind("\n", max(0, position - _SOURCE_LINE), position)
    if line < 0:
        return False
    before = text.rfind("\n", max(0, line - _SOURCE_LINE), line)
    return text.startswith('  File "', before + 1)
