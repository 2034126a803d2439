"""The two signature algorithms a policy server's patterns may be keyed by.

They are another project's (LipService): what they do is given, oddities included, down to
the order of the replacements. Passes that cannot match are left out, and the e-mail
pattern, whose own form takes quadratic time, is matched from its @ outwards; the result is
the same. Test vectors: `tests/data/foreign_signature_vectors.json`.
"""

from __future__ import annotations

import hashlib
import re

_UUID = re.compile(r"[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}", re.IGNORECASE)
_HEX_ID = re.compile(r"\b[a-f0-9]{32,}\b", re.IGNORECASE)
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}")
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_TIME = re.compile(r"\b\d{2}:\d{2}:\d{2}\b")
_IP = re.compile(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b")
_URL = re.compile(r"https?://[^\s]+")
_NUMBER = re.compile(r"\b\d+\b")
_DIGITS = re.compile(r"\d+")
_SPACE = re.compile(r"\s+")
_DRIVE_PATH = re.compile(r"[a-z]:\\[^\s]+")
_PATH = re.compile(r"/[^\s]+/[^\s]+")

_EMAIL_LOCAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-"
_EMAIL_DOMAIN = re.compile(r"@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}\b")
_BOUNDARY = re.compile(r"\b")


def client_signature(message: str) -> str:
    """Return the signature as the policy server's clients compute it: 32 hex digits."""
    text = message
    if "-" in text:
        text = _UUID.sub("UUID", text)
    text = _HEX_ID.sub("HEXID", text)
    if "-" in text:
        text = _TIMESTAMP.sub("TIMESTAMP", text)
        text = _DATE.sub("DATE", text)
    if ":" in text:
        text = _TIME.sub("TIME", text)
    if "." in text:
        text = _IP.sub("IP", text)
    if "@" in text:
        text = _replace_emails(text)
    if "://" in text:
        text = _URL.sub("URL", text)
    text = _NUMBER.sub("N", text)
    return _md5(_SPACE.sub(" ", text).strip())


def server_signature(message: str) -> str:
    """Return the signature as the policy server itself computes it: 32 hex digits."""
    if not message:
        return _md5("empty")
    text = _DIGITS.sub("N", message.lower().strip())
    # Numbers are gone by now: dates, times and addresses have become `N-N-N` and the like,
    # and only a UUID of nothing but letters would still be one.
    if "-" in text:
        text = _UUID.sub("UUID", text)
    text = _DRIVE_PATH.sub("PATH", text)
    text = _PATH.sub("PATH", text)
    return _md5(_SPACE.sub(" ", text))


def _md5(text: str) -> str:
    # Not for security: the keys of a policy are MD5. FIPS builds refuse it otherwise.
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def _replace_emails(text: str) -> str:
    r"""Do what `\b[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}\b` -> `EMAIL` does."""
    parts = []
    done = floor = 0
    at = text.find("@")
    while at >= 0:
        domain = _EMAIL_DOMAIN.match(text, at)
        if domain:
            begin = floor + len(text[floor:at].rstrip(_EMAIL_LOCAL))
            border = _BOUNDARY.search(text, begin, at + 1)
            if border and border.start() < at:
                parts += [text[done : border.start()], "EMAIL"]
                done = domain.end()
        floor = max(done, at + 1)
        at = text.find("@", floor)
    return "".join([*parts, text[done:]])
