"""Names of secrets, and markers for their values.

`dbPassword` and `X-Api-Key` name a secret, `token_count` does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")

_MAX_KEY = 128
"""Only the end of a longer name is looked at: it is the end that says what a value is."""

_MAX_CACHED = 4096


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text as a set: a list of fifty quoted words is hard to read."""
    return frozenset(text.split())


_AS_SHAPE = bytes(
    0x30 if 0x30 <= byte <= 0x39 else byte + 0x20 if 0x41 <= byte <= 0x5A else byte
    for byte in range(256)
)


def shape_of(text: str) -> bytes:
    """Return a text's shape: ASCII in lower case, every digit a zero."""
    return text.encode("utf-8", "surrogatepass").translate(_AS_SHAPE)


_COLOUR = re.compile(r"(?:\x1b|\\{1,4}(?:x|u00)1[bB])\[[\d;:]{0,32}m")
_UNUSUAL = re.compile("[\u00a0\u00ad\u200b-\u200d\u201c-\u201f\u2060\ufeff\uff01-\uff5e]")
_AS_ASCII = {
    **{chr(0xFF01 + place): chr(0x21 + place) for place in range(94)},
    **dict.fromkeys("\u201c\u201d\u201e\u201f", '"'),
    "\u00a0": " ",
}


def as_read(text: str) -> str:
    """Return a text as people read it.

    Colours of a terminal and what has no width are gone; full-width letters and signs, as
    Chinese and Japanese texts have them, and typographic quotes are those of ASCII.
    """
    if "\x1b" in text or "1b[" in text:
        text = _COLOUR.sub("", text)
    if text.isascii():
        return text
    return _UNUSUAL.sub(lambda found: _AS_ASCII.get(found[0], ""), text)


def by_first_character(patterns: Iterable[str]) -> str:
    """Join expressions, each of which begins with a literal, to one that is fast to search."""
    # Measured: the same alternatives in a flat list take five times as long, because the
    # engine then tries each of them at each position.
    groups: dict[str, list[str]] = {}
    for pattern in patterns:
        # Each begins with a literal: a single set among them costs the engine its table of
        # first characters, and the search three times as long.
        size = 2 if pattern[0] == "\\" else 1
        groups.setdefault(pattern[:size], []).append(pattern[size:])
    return "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in groups.items())


def split_words(key: str) -> list[str]:
    """Split a name at separators and at case, in lower case: `X-ApiKey` -> `x`, `api`, `key`."""
    return [word.lower() for word in _WORD.findall(key[-_MAX_KEY:])]


# The name's last words -> what the marker calls it. The longest match wins.
_SECRETS: dict[tuple[str, ...], str] = {
    ("password",): "password",
    ("passwords",): "password",
    ("passwd",): "password",
    ("passphrase",): "password",
    ("passcode",): "password",
    ("pass",): "password",
    ("pwd",): "password",
    ("pw",): "password",
    ("pswd",): "password",
    ("passkey",): "password",
    ("pin",): "pin",
    ("pin", "code"): "pin",
    ("dsn",): "dsn",
    ("connection", "string"): "dsn",
    ("connection", "str"): "dsn",
    ("conn", "string"): "dsn",
    ("conn", "str"): "dsn",
    ("pass", "word"): "password",
    ("pass", "phrase"): "password",
    ("secret",): "secret",
    ("secrets",): "secret",
    ("secret", "key"): "secret",
    ("token",): "token",
    ("jwt",): "token",
    ("csrf",): "token",
    ("xsrf",): "token",
    ("bearer",): "token",
    ("api", "key"): "api_key",
    ("api", "keys"): "api_key",
    ("app", "key"): "api_key",
    ("application", "key"): "api_key",
    ("consumer", "key"): "api_key",
    ("functions", "key"): "api_key",
    ("subscription", "key"): "api_key",
    ("service", "key"): "api_key",
    ("auth", "key"): "api_key",
    ("license", "key"): "api_key",
    ("access", "key"): "access_key",
    ("account", "key"): "access_key",
    ("shared", "key"): "access_key",
    ("preshared", "key"): "access_key",
    ("psk",): "access_key",
    ("storage", "key"): "access_key",
    ("secret", "access", "key"): "secret",
    ("private", "key"): "private_key",
    ("ssh", "key"): "private_key",
    ("signing", "key"): "private_key",
    ("encryption", "key"): "private_key",
    ("decryption", "key"): "private_key",
    ("master", "key"): "private_key",
    ("host", "key"): "private_key",
    ("auth",): "authorization",
    ("authorization",): "authorization",
    ("auth", "header"): "authorization",
    ("authorization", "code"): "authorization",
    ("cookie",): "cookie",
    ("cookies",): "cookie",
    ("session",): "session",
    ("session", "id"): "session",
    ("session", "key"): "session",
    ("sess", "id"): "session",
    ("connect", "sid"): "session",
    ("phpsessid",): "session",
    ("jsessionid",): "session",
    ("credential",): "credentials",
    ("credentials",): "credentials",
    ("creds",): "credentials",
    ("signature",): "signature",
    ("hmac",): "signature",
    ("otp",): "otp",
    ("totp",): "otp",
    ("otp", "code"): "otp",
    ("mfa", "code"): "otp",
    ("2", "fa", "code"): "otp",
    ("two", "factor", "code"): "otp",
    ("sms", "code"): "otp",
    ("auth", "code"): "otp",
    ("verification", "code"): "otp",
    ("confirmation", "code"): "otp",
    ("one", "time", "code"): "otp",
    ("recovery", "code"): "otp",
    ("recovery", "codes"): "otp",
    ("seed", "phrase"): "secret",
    ("recovery", "phrase"): "secret",
    ("card", "number"): "card",
    ("credit", "card"): "card",
    ("security", "code"): "card",
    ("cvv",): "card",
    ("cvc",): "card",
    ("cvv", "2"): "card",
    ("cvc", "2"): "card",
    ("ssn",): "ssn",
    ("saml", "response"): "saml",
    ("saml", "request"): "saml",
    ("saml", "assertion"): "saml",
    ("client", "assertion"): "token",
    ("code", "verifier"): "otp",
    ("device", "code"): "otp",
    ("backup", "code"): "otp",
    ("backup", "codes"): "otp",
    ("social", "security", "number"): "ssn",
    ("require", "pass"): "password",
    ("master", "auth"): "password",
    ("store", "pass"): "password",
}
# `encryption_key`, `stripe_key`: what a key is for, or whose it is. `public_key`, `primary_key`,
# `routing_key` and most others are no secrets.
for _owner in word_set(
    "admin aes anthropic auth aws azure bot cipher client cloudflare cosmos crypto "
    "datadog deploy deployment dev developer enc fernet github gitlab google gpg heroku hmac "
    "hubspot ingest ingestion instrumentation integration jwt mailgun maps merchant okta openai "
    "partner paypal pgp recovery root rsa sas sendgrid server snyk stripe twilio unseal vault "
    "wallet webhook wifi wrapping write"
):
    _SECRETS[_owner, "key"] = "api_key"
for _owner in word_set("admin bind db ftp key ldap mail mysql pg root smtp store user"):
    _SECRETS[_owner + "pass",] = _SECRETS[_owner + "pw",] = "password"
# `tokens` alone are what a language model counts, `user_keys` what a mapping has.
for _owner in word_set(
    "access api auth bearer bot csrf device id invite jwt oauth personal refresh reset session "
    "verification"
):
    _SECRETS[_owner, "tokens"] = "token"
_SECRETS |= {
    (*_name[:-1], "keys"): _SECRETS[_name]
    for _name in (
        *(("access", "key"), ("account", "key"), ("secret", "key"), ("private", "key")),
        *(
            ("unseal", "key"),
            ("recovery", "key"),
            ("signing", "key"),
            ("encryption", "key"),
            ("decryption", "key"),
            ("master", "key"),
        ),
    )
}
for _plural in word_set("passcodes passphrases passwds pwds"):
    _SECRETS[_plural,] = "password"
_SECRETS[("connection", "strings")] = "dsn"
_SECRETS[("jwts",)] = "token"
# Nobody can split what is written in small letters only: `signingkey`, `securitycode`.
_SECRETS |= {("".join(_name),): _kind for _name, _kind in _SECRETS.items()}

# Names written without a border between the words: PGPASSWORD, csrfmiddlewaretoken.
_RUN_TOGETHER = (
    ("password", "password"),
    ("passwd", "password"),
    ("pwd", "password"),
    ("secret", "secret"),
    ("token", "token"),
    ("apikey", "api_key"),
    ("privatekey", "private_key"),
    ("accesskey", "access_key"),
    ("accountkey", "access_key"),
    ("storagekey", "access_key"),
    ("secretkey", "secret"),
    ("sessionid", "session"),
)

# Words behind a secret's name that leave it a secret: `password_confirmation`, `token2`.
_STILL_SECRET = word_set(
    "value plain plaintext cleartext raw text string str hash hashed digest sha md encrypted enc "
    "encoded base b pem der header new old current previous confirm confirmation confirmed repeat "
    "again env"
)

# First words that make the name a question or an amount: `has_password`, `max_token`.
_ABOUT = word_set(
    "has have is are no num n max min total count requires require required needs use uses used "
    "allow allows enable enabled disable disabled show hide missing without"
)

# `page_token` is a cursor and `pad_token` a piece of text: neither opens a door.
_HARMLESS_TOKEN = word_set(
    "page next previous prev continuation cursor sync bos eos pad unk stop mask sep cls special "
    "cancellation unexpected first start end prompt completion"
)


class SecretKeys:
    """Says of a name which kind of secret it names, if any.

    Args:
        extra: More names, compared word by word with the end of a name: `patient id`,
            `patient_id` and `patientId` are the same.
        allow: Names that are no secret whatever the rules say, compared as a whole.
    """

    def __init__(self, extra: Iterable[str] = (), allow: Iterable[str] = ()) -> None:
        self._secrets = dict(_SECRETS)
        for key in extra:
            if name := tuple(split_words(key)):
                self._secrets[name] = "_".join(name)
        self._longest = max(len(name) for name in self._secrets)
        self._allowed = {tuple(split_words(key)) for key in allow}
        self._cache: dict[str, str | None] = {}

    def kind(self, key: str) -> str | None:
        """Return what kind of secret the name names (`password`), None when none."""
        try:
            return self._cache[key]
        except KeyError:
            kind = self._classify(key)
        if len(self._cache) >= _MAX_CACHED:
            # Names are few in a sane application; where they are made up at run time,
            # starting over costs less than keeping an order.
            self._cache.clear()
        if len(key) <= _MAX_KEY:
            self._cache[key] = kind
        return kind

    def _classify(self, key: str) -> str | None:
        parts = split_words(as_read(key))
        if not parts or tuple(parts) in self._allowed:
            return None
        if kind := self._match(parts):
            return kind
        while parts and (parts[-1] in _STILL_SECRET or parts[-1].isdigit()):
            parts.pop()
        # `pASSWORD` splits where no word ends.
        return self._match(parts) or (
            self._secrets.get(("".join(parts),)) if key.isalpha() else None
        )

    def _match(self, parts: list[str]) -> str | None:
        for length in range(min(self._longest, len(parts)), 0, -1):
            if kind := self._secrets.get(tuple(parts[-length:])):
                return None if self._only_about(parts[:-length], kind) else kind
        if parts:
            for ending, kind in _RUN_TOGETHER:
                if parts[-1].endswith(ending):
                    return None if self._only_about(parts[:-1], kind) else kind
        return None

    @staticmethod
    def _only_about(before: list[str], kind: str) -> bool:
        if not before:
            return False
        return before[0] in _ABOUT or (kind == "token" and before[-1] in _HARMLESS_TOKEN)


# What stands where a secret would, without being one: `${X}`, `%s`, `<token>`, `$1:$2`.

_PLACEHOLDER = re.compile(
    r"\$?\{\{[^}]*(?:\}\}?)?|\$(?:\{[^}]*\}?|[A-Z_][A-Z0-9_]*|\d+(?:::\w+)?|\(.*)?|%(?:\(?\w*\)?s)?|%[A-Z_]+%|\{+[\w.!:]*\}*|:\w+"
    r"|\?|\*+|[xX]{3,}|<[^>]*>?|\.{2,}|…|[•█]+|-+"
    r"|\[[A-Z_ -]+\]?|[\w-]+>|(?i:.*your[_ -](?:\w+[_ -])?(?:token|key|password|secret).*)"
)
_FILLED = re.compile(r"([xX*.#_-])\1{9,}")
_FILLED_FROM = 16


def is_placeholder(value: str) -> bool:
    """Tell whether a value only says that there is one.

    So does what manuals have in the place of a token, `ghp_xxxxxxxxxxxxxxxx`.
    """
    if _FILLED.search(value):
        return True
    if len(value) >= _FILLED_FROM and 2 * max(map(value.count, "xX01a*#")) > len(value):
        return True
    return _PLACEHOLDER.fullmatch(value) is not None or (
        ":" in value and all(map(_PLACEHOLDER.fullmatch, value.split(":")))
    )


# Markers: what stands where something was taken out.

_WHOLE_MARKER = re.compile(r"(?:[A-Za-z0-9-]{1,20} )?\[redacted:[\w-]+\]")


def marker(kind: str) -> str:
    """Return the replacement for something of this kind, `[redacted:email]`."""
    return f"[redacted:{kind}]"


def is_marked(text: str) -> bool:
    """Tell whether a value is nothing but a marker, with or without a scheme before it.

    A second pass over a redacted text must change nothing, and `Authorization: Bearer
    [redacted:jwt]` says more than `Authorization: [redacted:authorization]`.
    """
    return _WHOLE_MARKER.fullmatch(text) is not None
