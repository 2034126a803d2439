"""E-mail addresses, and what only looks like one.

Not an address: `git@host:org/repo` and `user@host:/path` (SSH), `scheme://user@host`
(who logs in, not where mail goes), `@user@host` (a handle, public by design), `name@1.2.3`
(a version), `icon@2x.png`, `name@instance.service`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from logwell_otel.redaction.names import marker, word_set

if TYPE_CHECKING:
    from collections.abc import Callable

_AT = re.compile("@|%40")
_MAX_LOCAL = 64
_QUOTED = re.compile(r"[^\W_][\w.+' -]*")
_PHONE = re.compile(r"\d{7,15}")
"""Who logs in by a phone number is named by it."""

_LOCAL = frozenset(".+-_%'&~")
_DOMAIN = re.compile(r"[\w-]+(?:\.[\w-]+)+")
_VERSION = re.compile(r"v?\d+\.\d+|\d+x\.")
_TLD = re.compile(r"xn--[a-z0-9-]+|[^\W\d_]{2,}", re.IGNORECASE)
_NOT_A_TLD = word_set(
    "service socket timer slice scope mount target device swap png jpg jpeg gif svg webp css js "
    "json xml yml yaml dll exe jar class php java cpp log txt csv pdf gz html"
)


def redact_emails(text: str, allowed: Callable[[str], bool]) -> str:
    """Replace e-mail addresses in a text, unless `allowed` says that one may stay."""
    parts = []
    done = 0
    floor = 0
    for at in _AT.finditer(text):
        # Walking outwards from each @, at most to the one before, is linear; a pattern that
        # starts at every letter is not.
        span = _address(text, at, floor) if at.start() >= done else None
        floor = at.end()
        if span is None:
            continue
        start, end = span
        if not allowed(text[start:end]):
            parts += [text[done:start], marker("email")]
            done = end
    return "".join([*parts, text[done:]]) if parts else text


def _address(text: str, at: re.Match[str], floor: int) -> tuple[int, int] | None:
    start = at.start()
    while start > floor and (text[start - 1].isalnum() or text[start - 1] in _LOCAL):
        start -= 1
    while start < at.start() and not text[start].isalnum():
        start += 1
    if start == at.start() and text[start - 1 : start] == '"':
        start = _quoted_start(text, start - 1, floor)
    domain = _DOMAIN.match(text, at.end())
    if start == at.start() or domain is None or _VERSION.match(domain.group()):
        return None
    end = _end_of_domain(domain)
    if end is None or text[start : at.start()] == "git" or text[end : end + 2] in (":/", ":~"):
        return None
    if text.endswith("://", 0, start) and not _PHONE.fullmatch(text, start, at.start()):
        return None
    return None if text.endswith("@", 0, start) else (start, end)


def _quoted_start(text: str, end: int, floor: int) -> int:
    """Find where a quoted local part begins, `"John Doe"@example.com`; behind it for none."""
    opening = text.rfind('"', max(floor, end - _MAX_LOCAL - 1), end)
    if opening < 0 or not _QUOTED.fullmatch(text, opening + 1, end):
        return end + 1
    return opening


def _end_of_domain(domain: re.Match[str]) -> int | None:
    """Find where the address ends: behind its last label that can be a top-level domain."""
    end = domain.end()
    labels = domain.group().split(".")
    for label in reversed(labels[1:]):
        begin = end - len(label)
        tld = _TLD.match(label)
        if tld and label[tld.end() : tld.end() + 1] in ("", "-", "_"):
            return None if tld.group().lower() in _NOT_A_TLD else begin + tld.end()
        end = begin - 1
    return None
