"""Credentials that are known by their own shape, whatever stands around them.

The shapes are those the issuers document or that public secret scanners agree on. Each has
a piece of text that is always in it, in lower case: where that is missing, the pattern
does not run.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, NamedTuple

from logwell_otel.redaction.names import marker

if TYPE_CHECKING:
    from collections.abc import Callable


class Shape(NamedTuple):
    """A credential's shape.

    Attributes:
        kind: What the marker says.
        needle: A text that is always in it, in lower case.
        pattern: The credential.
    """

    kind: str
    needle: str
    pattern: re.Pattern[str]


def _shape(kind: str, needle: str, pattern: str) -> Shape:
    return Shape(kind, needle, re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})", re.ASCII))


# The secret half has no shape of its own; it is known by the id before it.
_AWS = r"{}[A-Z0-9]{{16}}(?![A-Za-z0-9])(?:[^\w+]{{1,8}}[\w/+]{{40}}(?![\w/+]))?"

SHAPES = (
    _shape("logwell_key", "lw_", r"lw_[\w-]{32}(?![\w-])"),
    # Three parts when signed, five when encrypted; a log line may have cut the last.
    _shape("jwt", "eyj", r"eyJ[\w-]{8,}\.(?:eyJ[\w-]{8,}(?:\.[\w-]*)?|[\w-]*(?:\.[\w-]*){1,3})"),
    _shape("aws_key", "akia", _AWS.format("AKIA")),
    _shape("aws_key", "asia", _AWS.format("ASIA")),
    _shape("gcp_key", "aiza", r"AIza[\w-]{35}(?![\w-])"),
    _shape("gcp_token", "ya29.", r"ya29\.[\w-]{20,}"),
    _shape("gcp_secret", "gocspx-", r"GOCSPX-[\w-]{20,}"),
    _shape("github_token", "gh", r"gh[pousr]_[A-Za-z0-9]{36,}"),
    _shape("github_token", "github_pat_", r"github_pat_\w{22,}"),
    _shape("gitlab_token", "gl", r"gl(?:pat|dt|rt|ptt|ft|soat|cbt|agent)-[\w-]{20,}"),
    _shape("slack_token", "xox", r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}"),
    _shape("slack_token", "xapp-", r"xapp-\d-[A-Za-z0-9-]{10,}"),
    _shape("slack_webhook", "hooks.slack.com/", r"hooks\.slack\.com/(?:services|workflows)/[\w/]+"),
    _shape("stripe_key", "k_live_", r"[sr]k_live_[A-Za-z0-9]{16,}"),
    _shape("stripe_key", "k_test_", r"[sr]k_test_[A-Za-z0-9]{16,}"),
    _shape("webhook_secret", "whsec_", r"whsec_[A-Za-z0-9+/=]{24,}"),
    # A digit and an upper-case letter keep the class names of style sheets out.
    _shape("ai_key", "sk-", r"(?<!-)sk-(?=[\w-]{0,60}\d)(?=[\w-]{0,60}[A-Z])[\w-]{20,}"),
    _shape("ai_key", "hf_", r"hf_[A-Za-z0-9]{30,}"),
    _shape("npm_token", "npm_", r"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    _shape("pypi_token", "pypi-ageichlwas5vcmc", r"pypi-AgEIcHlwaS5vcmc[\w-]{50,}"),
    _shape("sendgrid_key", "sg.", r"SG\.[\w-]{16,32}\.[\w-]{16,64}"),
    _shape("digitalocean_token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    _shape("shopify_token", "shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _shape("vault_token", "hvs.", r"hvs\.[\w-]{24,}"),
    # In the URL of a call the word "bot" stands right before it.
    Shape("telegram_token", ":aa", re.compile(r"(?<!\d)\d{8,10}:AA[\w-]{33}(?![\w-])", re.ASCII)),
)

_PEM = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")

# Up to the last @ before the path: a password may hold one that nobody encoded.
_URL_PASSWORD = re.compile(r"(?<=://)([^\s/?#:@\"'<>\[]*:)([^\s/?#\"'<>]+)(?=@)")
_CURL_USER = re.compile(
    r"(?<=curl )([^\n]{0,200}?(?:-u|--user)[ =]?[\"']?[^\s:\"']{1,64}:)([^\s\"']+)"
)

# The scheme's name is part of many sentences. What follows it must look like a token:
# long enough, with a digit in it.
_BEARER = re.compile(r"((?i:\bbearer)[ \t]{1,4})(?=[\w.~+/-]{0,100}\d)([\w.~+/-]{12,}=*)", re.ASCII)
_BASIC = re.compile(r"((?i:\bbasic)[ \t]{1,4})([A-Za-z0-9+/_-]{4,}={0,2})", re.ASCII)


def redact_credentials(text: str, low: str, allowed: Callable[[str], bool]) -> str:
    """Replace credentials in a text.

    Args:
        text: What to look through.
        low: The same in lower case.
        allowed: Says of a credential found whether it may stay.
    """
    if "private key" in low:
        text = _redact_private_keys(text)
    if "://" in low and "@" in low:
        text = _sub_second(_URL_PASSWORD, "password", text, allowed)
    if "curl " in low:
        text = _sub_second(_CURL_USER, "password", text, allowed)
    for kind, needle, pattern in SHAPES:
        if needle in low:
            text = _sub(pattern, kind, text, allowed)
    return text


def redact_schemes(text: str, low: str, allowed: Callable[[str], bool]) -> str:
    """Replace what follows `Bearer` and `Basic` in a text, when it is a credential."""
    if "bearer" in low:
        text = _sub_second(_BEARER, "bearer", text, allowed)
    if "basic" in low:
        text = _sub_second(
            _BASIC, "basic", text, lambda found: allowed(found) or not _is_user_and_password(found)
        )
    return text


def _sub(pattern: re.Pattern[str], kind: str, text: str, allowed: Callable[[str], bool]) -> str:
    return pattern.sub(lambda found: found[0] if allowed(found[0]) else marker(kind), text)


def _sub_second(
    pattern: re.Pattern[str], kind: str, text: str, allowed: Callable[[str], bool]
) -> str:
    """Replace a pattern's second group, which follows the first one directly."""
    return pattern.sub(
        lambda found: found[0] if allowed(found[2]) else found[1] + marker(kind), text
    )


def _redact_private_keys(text: str) -> str:
    parts = []
    done = 0
    for begin in _PEM.finditer(text):
        if begin.start() < done:
            continue
        end = _PEM_END.search(text, begin.end())
        parts += [text[done : begin.start()], marker("private_key")]
        # A key that was cut has no last line; what follows its first one is all key.
        done = end.end() if end else len(text)
    return "".join([*parts, text[done:]])


def _is_user_and_password(encoded: str) -> bool:
    """Tell `Basic dXNlcjpwdw==` from `Basic authentication`: by what it decodes to."""
    bare = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = base64.b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        return False
    return b":" in decoded and min(decoded) >= 0x20
