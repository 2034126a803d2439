"""Secrets whose name is a value itself: `{"name": "password", "value": "x"}`, XML, YAML, forms.

Also what pydantic says of an input that it refuses: the input stands beside its name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from logwell_otel.redaction.names import is_placeholder, marker
from logwell_otel.redaction.pairs import quoted_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from logwell_otel.redaction.names import SecretKeys

LABELS = (
    "name key header field option parameter param variable attribute property setting label n k"
)
"""What a name's own name is or, for the first two, ends with."""

TYPED = frozenset({"password", "api_key", "secret", "otp", "pin"})
"""`{"type": "password", "value": "x"}`; with `token` it may be what a parser says of a word."""

_HINTS = (
    *("value", "content", "input", "</", "name="),
    *(f"{name}{quote}" for name in ("val", "v", "new", "after", "default") for quote in "\"'"),
)
"""One of these is in every text that holds a name and its value, in lower case."""

VALUES = "value content val values v input old new before after default"
"""What a value's own name is or, for the first two, ends with."""

_LABEL = re.compile(
    r"(?<![\w-])(?:\w{0,20}(?:name|key)|header|field|option|param(?:eter)?|variable|attribute"
    r"|property|setting|label|(?P<typed>type|id)|[nk])(?:\\*[\"'])?[ \t]{0,4}[:=][ \t]{0,4}"
    r"(?:[bBuU]?(?P<quote>\\{0,8}[\"'])(?P<name>[\w .:-]{1,128})(?P=quote)"
    r"|(?<=[ \t])(?P<bare>[\w.-]{1,128})(?=[ \t]{0,8}(?:\r?\n|,)))",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"(?<!\w)(?:(?:\w{0,20}(?:value|content)|values|input)(?:\\*[\"'])?"
    r"|(?:val|v|old|new|before|after|default)\\*[\"'])[ \t]{0,4}[:=][ \t]{0,4}"
    r"(?:[\[(]?[bBuU]?(?P<quote>\\{0,8}[\"'])"
    r"|(?P<bare>(?<=: )[^\s\"'{}\[\](),&*!|>%@`][^\s,}]*)|(?=\d))",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d[\w.-]*")
_BORDER = re.compile(r"[{}<>]|\n\s{0,20}- ")
_BESIDE = 200
_FORM_VALUE = re.compile(
    r"(?:[^\r\n\\]{0,200})(?P<line>\r?\n|\\+r\\+n)(?:[A-Za-z][^\r\n\\]{0,200}(?P=line)){0,4}"
    r"(?P=line)(?P<value>[^\r\n\\]{1,4096})"
)

# {'loc': ('body', 'password'), 'msg': '…', 'input': 'x'}, and the same as pydantic prints it.
_LOC = re.compile(
    r"\bloc\\*[\"']?[:=]\s{0,4}[\[(][^\[\]()]{0,200}?(?P<quote>\\*[\"'])(?P<name>[\w.-]{1,128})"
    r"(?P=quote),?[\])]"
)
_REFUSED = re.compile(
    r"(?:^|\n|\\n)(?:[\w-]{1,64}\.){0,8}(?P<name>[\w-]{1,128})(?:\n|\\n)  [^\n]{0,400}?"
    r"\binput_value=[bB]?(?:(?P<quote>\\*[\"'])|(?P<number>\d[\d.]*))"
)

# In markup: with attributes, in CDATA, under a name in an attribute or in the element before.
_ELEMENT = re.compile(
    r"<(?:[\w-]{1,64}:)?(?P<name>[\w.-]{1,64})(?:\s[^<>]{0,200})?>"
    r"(?P<cdata>\s{0,80}<!\[CDATA\[)?(?P<value>(?(cdata)[^\]]|[^<]){1,4096})(?=</|\]\])"
)
_KEYED = re.compile(
    r"\b(?:key|name|id)=(?P<quote>\\*[\"'])(?P<name>[\w .:-]{1,128})(?P=quote)[^<>]{0,200}>"
    r"(?:\s{0,20}<value>)?(?P<cdata>\s{0,80}<!\[CDATA\[)?"
    r"(?P<value>(?(cdata)[^\]]|[^<]){1,4096})(?:</|\]\])",
    re.IGNORECASE,
)
_TWO_ELEMENTS = re.compile(
    r"<(?P<tag>key|name)>(?P<name>[\w .:-]{1,128})</(?P=tag)>\s{0,40}<[\w-]{1,32}>"
    r"(?:\s{0,40}<[\w-]{1,32}>)?(?P<value>[^<]{1,4096})</",
    re.IGNORECASE,
)


def redact_labelled(text: str, low: str, keys: SecretKeys, allowed: Callable[[str], bool]) -> str:
    """Replace values whose names are values themselves, unless `allowed` says they may stay.

    Args:
        text: What to look through.
        low: The same in lower case.
        keys: Which names name a secret.
        allowed: Says of a value whether it may stay.
    """
    if not any(hint in low for hint in _HINTS):
        return text
    spans: dict[int, tuple[int, str]] = {}
    for name, span, typed in _labelled(text, low, keys):
        kind = keys.kind(name)
        if kind is None or (typed and kind not in TYPED):
            continue
        value = text[slice(*span)]
        stays = value.startswith("[redacted:") or is_placeholder(value) or allowed(value)
        if value.strip() and not stays:
            spans[span[0]] = (span[1], kind)
    parts = []
    done = 0
    for start, (end, kind) in sorted(spans.items()):
        if start >= done:
            parts += [text[done:start], marker(kind)]
            done = end
    return "".join([*parts, text[done:]]) if parts else text


def _labelled(text: str, low: str, keys: SecretKeys) -> Iterator[tuple[str, tuple[int, int], bool]]:
    """Find names and where their values stand, and whether the name is said to be a type."""
    labels = list(_LABEL.finditer(text))
    if "input" in low:
        labels += _LOC.finditer(text)
        for refused in _REFUSED.finditer(text):
            span = refused.span("number")
            if refused["quote"] is not None:
                span = quoted_from(text, refused["quote"], refused.end())
            yield refused["name"], span, False
    for label in labels:
        groups = label.groupdict()
        name = groups["name"] or groups["bare"]
        if keys.kind(name) is not None:
            typed = groups.get("typed") is not None
            yield from ((name, span, typed) for span in _beside(text, label))
    if "</" in text:
        for pattern in (_ELEMENT, _KEYED, _TWO_ELEMENTS):
            for element in pattern.finditer(text):
                yield element["name"], element.span("value"), False


def _beside(text: str, label: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Say where values stand that a label names: in the same braces or tag, or form part."""
    start, end = label.span()
    if part := _FORM_VALUE.match(text, end):
        yield part.span("value")
        return
    behind = text[end : end + _BESIDE]
    for pattern in (_BORDER, _LABEL):
        behind = behind[: border.start()] if (border := pattern.search(behind)) else behind
    values = list(_VALUE.finditer(behind))
    yield from (_value_of(text, value, end) for value in values)
    if not values:
        offset = max(0, start - _BESIDE)
        before = text[offset:start]
        offset += max(map(before.rfind, "{}<>")) + 1
        if first := _VALUE.search(text, offset, start):
            yield _value_of(text, first, 0)


def _value_of(text: str, value: re.Match[str], offset: int) -> tuple[int, int]:
    start = offset + value.end()
    if value["quote"] is not None:
        return quoted_from(text, value["quote"], start)
    if value["bare"] is not None:
        return offset + value.start("bare"), start
    digits = _DIGITS.match(text, start)
    return digits.span() if digits else (start, start)
