"""Secrets written as name and value inside a text: `password=hunter2`, `"token": "…"`.

A text says `name=value` for many reasons. The name decides first (`SecretKeys`), then the
way it is written: with `=` or in quotes a value is data and goes; after a colon it may be a
sentence (`token: expired`), so that a value has to look like a secret; in a line of source
that a traceback quotes, only a quoted literal is data and the rest is code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from logwell_otel.redaction.names import is_marked, is_placeholder, marker, word_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from logwell_otel.redaction.names import SecretKeys

# A name, its closing quote, then what leads to the value. The look-behind starts the name
# at the beginning of its run only, which keeps the search linear; the look-ahead ends it at the
# end, which keeps the engine from trying every shorter name. In `b"\\nCookie: …"` the n is
# no part of the name.
_NAME = re.compile(
    r"(?<![\w.-])(?:(?<=\\)[nrt])?(?P<option>--)?(?P<name>[\w.-]+)(?![\w.-])(?:\\*[\"'])?\]?"
    r"(?P<lead>[ \t]{0,8}(?:=>|:=|==?|:(?!:)|%3[dD]|>|,(?=\s{0,8}\[?(?:[bBrRuU]{0,2}\\*[\"']|\d)))"
    r"(?:(?<=,)\s{0,8}|[ \t]{0,8})"
    r"|[ \t]{1,8}(?=[\"'])"
    r"|(?(option)[ \t](?=[^\s-])|(?!)))"
)
_QUOTE = re.compile(r"\[?(?:[bBrRuUfF]{1,2}(?=[\"']))?(?P<quote>\\*[\"'`])")
_NEXT_IN_LIST = re.compile(r"\\*[\"'`][ \t]{0,8},[ \t]{0,8}[bBrRuU]?(?P<quote>\\*[\"'`])")
_TO_QUOTE = {
    quote: re.compile(rf"[^{quote}\\]*(?:\\.[^{quote}\\]*)*", re.DOTALL) for quote in "\"'`"
}
_ESCAPED_QUOTE = {quote: re.compile(rf"(?<!\\)\\*{quote}") for quote in "\"'`"}
_PLAIN = re.compile(r"\[redacted:[\w-]+\]|[^\s\"'`<>,;&|()\[\]{}\\]+")
_TO_TAG = re.compile(r"[^<\r\n]+(?=</)")
_COOKIES = re.compile(r"[^\s=;,\"'\\]{1,256}=[^\r\n\"'\\]*")
_SCHEME = re.compile(
    r"(?:Digest|AWS4-HMAC-SHA256|OAuth|Hawk)[ \t]+(?:[\w-]+=(?:\"[^\"]*\"|[^\s,\"']+)[ \t,]*)+"
    r"|(?:Bearer|Basic|(?:Api-)?Token|ApiKey|Api-Key|Key|Negotiate|NTLM|Bot)[ \t]+"
    r"(?:\[redacted:[\w-]+\]|[^\s\"',;<>\\]+)",
    re.IGNORECASE,
)

_QUERY_NAMES = {
    "sig": "signature",
    "signature": "signature",
    "hmac": "signature",
    "key": "api_key",
    "code": "auth_code",
}
"""Secrets by these names only in a URL's query: Azure's signature, Shopify's, Google's API
key, OAuth's code."""

_QUERY = re.compile(r"[\w.~%+\[\]-]{1,128}=[^\s\"'<>]*")
_STATE = re.compile(r"[?&]?(?<![^?&\"'\s])state=")
_CODE = re.compile(r"[^\s&#\"'<>]*")

_MIN_SCHEME = 12
"""`Authorization: Basic auth` is a sentence: a scheme with a credential is longer."""

_FILE_KINDS = ("credentials", "private_key")
"""What is often named by the path of the file that holds it."""

_LEAST = {"card": 3, "otp": 3, "ssn": 3, "pin": 4}
"""Characters of what is shorter than most secrets."""

_NUMERIC_ID = re.compile(r"\d{1,19}(?:[_-]\d{1,19}){0,3}|0x[0-9a-fA-F]{1,16}")
"""A session that is counted, in a database or by ZooKeeper, opens no door."""

_CONNECTS = re.compile(r"[=/@]")

_ARTIFACT = re.compile(r"[\w.-]+:v?\d[\w.-]*(?::[\w.-]+)?")
"""`io.jsonwebtoken:jjwt-api:0.11.5`, behind its first colon."""

# `key=` alone names a secret where the value can be nothing else.
_RANDOM = re.compile(
    r"(?=[\w+/=-]{0,60}\d)(?:(?=[^a-z]{0,60}[a-z])(?=[^A-Z]{0,60}[A-Z])[A-Za-z0-9+/_-]{20,}={0,2}"
    r"|[0-9a-f]{32,})(?![\w.:/-])",
    re.ASCII,
)
_SCHEME_NAME = re.compile(
    r"(?:Bearer|Basic|(?:Api-)?Token|ApiKey|Api-Key|Key|Digest)[ \t]+", re.IGNORECASE
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

# A value beside its name, and how far away it may stand.
_LABEL = re.compile(
    r"(?<!\w)(?:\w{0,20}(?:name|key)|header|field|option|parameter|param|variable)(?:\\*[\"'])?"
    r"[ \t]{0,4}[:=][ \t]{0,4}[bBuU]?(?P<quote>\\{0,8}[\"'])(?P<name>[\w .:-]{1,128})(?P=quote)",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"(?<!\w)\w{0,20}(?:value|content)(?:\\*[\"'])?[ \t]{0,4}[:=][ \t]{0,4}"
    r"(?:\[?[bBuU]?(?P<quote>\\{0,8}[\"'])|(?=\d))",
    re.IGNORECASE,
)
_BARE = re.compile(r"\d[\w.-]*")
_BRACE = re.compile(r"[{}<>]")
_BESIDE = 200
_FORM_VALUE = re.compile(
    r"(?:[^\r\n\\]{0,200})(?P<line>\r?\n|\\+r\\+n)(?:[A-Za-z][^\r\n\\]{0,200}(?P=line)){0,4}"
    r"(?P=line)(?P<value>[^\r\n\\]{1,4096})"
)

_FIELD_NAMES = word_set(
    "email e-mail mail user username user_name name login id phone address age title role date "
    "first_name last_name firstname lastname key value type status url"
)
_TAG = re.compile(r"[A-Za-z_]{1,15}")
_MIXED = re.compile(r"(?=[^a-z]*[a-z])(?=\D*\d)")
_NUMBER = re.compile(r"\d[\d.]{0,40}(?=[ \t]{0,8}[)\]])")
_OPENING = re.compile(
    r"(?P<pairs>\[\s{0,8}(?=[\[(])|\(\s{0,8}(?=\()|[)\]],\s{0,8})?[\[(]\s{0,8}[bBrRuU]{0,2}\\{0,8}[\"']\Z"
)
_CLOSES_LIST = re.compile(r"\\*[\"']\]?\s{0,8},?\s{0,8}[)\]]")

_PATH = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_VARIABLE = re.compile(r"[a-z_]+|[A-Z_]+")
_CALL = re.compile(rf"{_PATH}[(\[{{]")
_SENTENCE = re.compile(r"[A-Z]\S*(?: \S+){2,}[.!]")

_SOURCE_LINE = 400
"""How far back a line of source and the `File "…"` line above it are looked for."""


def redact_pairs(
    text: str, keys: SecretKeys, allowed: Callable[[str], bool], *, query: bool = False
) -> str:
    """Replace the values of secret names in a text, unless `allowed` says they may stay.

    Args:
        text: What to look through.
        keys: Which names name a secret.
        allowed: Says of a value whether it may stay.
        query: The text is the query of a URL.
    """
    parts = []
    done = 0
    for name in _NAME.finditer(text):
        if name.start() < done or (kind := _kind(text, name, keys, query=query)) is None:
            continue
        for start, end in _values(text, name, kind, keys):
            value = text[start:end]
            if not is_marked(value) and not allowed(value):
                parts += [text[done:start], marker(kind)]
                done = end
    return "".join([*parts, text[done:]]) if parts else text


def _kind(text: str, name: re.Match[str], keys: SecretKeys, *, query: bool) -> str | None:
    label = name["name"]
    if (
        label in _QUERY_NAMES
        and _in_query(text, name, query=query)
        and (label != "code" or _is_authorization_code(text, name))
    ):
        return _QUERY_NAMES[label]
    if label in ("key", "Key", "KEY") and _RANDOM.match(text, name.end()):
        return "api_key" if name["lead"] == "=" else None
    return keys.kind(label.strip(".-"))


def _in_query(text: str, name: re.Match[str], *, query: bool) -> bool:
    start = name.start()
    before = text[start - 1 : start]
    if before in ("?", "&"):
        return True
    # The first of a query has nothing before it; `sig=15` in a sentence has not either.
    rest = _QUERY.match(text, start) if not before or before in "\"'" else None
    return rest is not None and (query or "&" in rest[0])


def _is_authorization_code(text: str, name: re.Match[str]) -> bool:
    """Tell OAuth's code from `?code=404` and `?code=SUMMER25`."""
    if _STATE.search(text, max(0, name.start() - 2000), name.end() + 4000):
        return True
    value = _CODE.match(text, name.end())
    code = value.group() if value else ""
    return len(code) >= 16 or (len(code) >= 8 and bool(_MIXED.match(code)))


def _values(
    text: str, name: re.Match[str], kind: str, keys: SecretKeys
) -> Iterator[tuple[int, int]]:
    """Say where the values of a secret's name stand: one, or those of a list in quotes."""
    sign = name["lead"].strip()
    start = name.end()
    opening = None if sign == ">" else _QUOTE.match(text, start)
    if opening is None:
        span = _unquoted(text, name, kind, keys)
        if span is not None:
            yield span
    elif sign == ",":
        spans = list(_listed(text, opening))
        if _is_pair(text, name, spans, kind, keys):
            yield from spans
    elif sign or kind == "password":
        in_list = opening.group().startswith("[")
        for begin, end in _listed(text, opening):
            value = text[begin:end]
            if not (_is_no_secret(value, in_list=in_list) or _is_harmless(value, kind)):
                yield begin, end


def _listed(text: str, opening: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Say where the quoted values stand: one, or those of a list."""
    in_list = opening.group().startswith("[")
    found: re.Match[str] | None = opening
    while found is not None:
        begin, end = _quoted(text, found)
        yield begin, end
        found = _NEXT_IN_LIST.match(text, end) if in_list else None


def _unquoted(
    text: str, name: re.Match[str], kind: str, keys: SecretKeys
) -> tuple[int, int] | None:
    sign = name["lead"].strip()
    start = name.end()
    if sign == ",":
        number = _NUMBER.match(text, start)
        return number.span() if number and _opening_of_list(text, name) else None
    if sign == ">":
        tag = _TO_TAG.match(text, start) if text[max(0, name.start() - 1)] in "<:" else None
        return tag.span() if tag else None
    if not sign:
        return _plain(text, start)
    if kind == "authorization" and (scheme := _SCHEME.match(text, start)):
        if scheme.end() - start < _MIN_SCHEME or _is_no_secret(scheme.group(), in_list=False):
            return None
        return scheme.span()
    if kind == "cookie" and sign == ":":
        cookies = _COOKIES.match(text, start)
        return cookies.span() if cookies else None
    span = _plain(text, start)
    if span is None or _is_code(text, span, keys) or _in_source_line(text, name.start()):
        return None
    return span if _is_meant(text[slice(*span)], name, kind) else None


def _is_pair(
    text: str, name: re.Match[str], spans: list[tuple[int, int]], kind: str, keys: SecretKeys
) -> bool:
    """Tell `("token", "x")` from `["token", "email", "id"]`, a list of names."""
    value = text[slice(*spans[0])]
    if _is_no_secret(value, in_list=False):
        return False
    if name["option"] or name["name"].startswith("-"):
        return not value.startswith("-")
    if text[max(0, name.start() - 2) : name.start()] in ("b'", 'b"'):  # raw headers
        return True
    opening = _opening_of_list(text, name)
    if opening is None or not _CLOSES_LIST.match(text, spans[-1][1]):
        return False
    return names_a_value(value, kind, keys, among_pairs=opening["pairs"] is not None)


def _opening_of_list(text: str, name: re.Match[str]) -> re.Match[str] | None:
    """Find the bracket that a name is the first behind."""
    return _OPENING.search(text[max(0, name.start() - 24) : name.start()])


def names_a_value(value: str, kind: str, keys: SecretKeys, *, among_pairs: bool) -> bool:
    """Tell of the second text of two whether it can be the value that the first one names.

    `["password", "email"]` are the names of two fields, `["auth", "service"]` two tags.

    Args:
        value: The second text.
        kind: What the first one names.
        keys: Which names name a secret.
        among_pairs: They are one of several pairs.
    """
    word = value.lower()
    if word in _FIELD_NAMES or keys.kind(value) is not None:
        return False
    return among_pairs or (
        word not in _SENTENCE_WORDS and (kind == "password" or _TAG.fullmatch(value) is None)
    )


def _is_meant(value: str, name: re.Match[str], kind: str) -> bool:
    """Tell a secret from a word that goes on after a secret's name."""
    lead = name["lead"]
    sign = lead.strip()
    word = value.rstrip(".:!?").lower()
    if _is_harmless(value, kind):
        return False
    if lead == ":" and "." in name["name"] and _ARTIFACT.fullmatch(value):
        return False
    if kind == "pin" and len(value) < _LEAST["pin"]:
        return False
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
    return certain or _looks_secret(value, _LEAST.get(kind, 8))


def _is_harmless(value: str, kind: str) -> bool:
    """Tell whether a value is none that its kind is about, however it is written."""
    if kind == "session":
        return _NUMERIC_ID.fullmatch(value) is not None
    # A URL whose password is gone already says more than a marker for all of it, and what
    # mail servers call a DSN is a status: dsn=4.0.0.
    return kind == "dsn" and ("[redacted:" in value or not _CONNECTS.search(value))


def _looks_secret(value: str, least: int) -> bool:
    if len(value) < least:
        return False
    return len(value) >= 24 or any(character.isdigit() for character in value)


def _quoted(text: str, opening: re.Match[str]) -> tuple[int, int]:
    return _quoted_from(text, opening["quote"], opening.end())


def _quoted_from(text: str, quote: str, start: int) -> tuple[int, int]:
    if len(quote) == 1:
        inside = _TO_QUOTE[quote].match(text, start)
        return start, inside.end() if inside else start
    # JSON inside a JSON string: the same escaped quote closes, and so does that of the string.
    for closing in _ESCAPED_QUOTE[quote[-1]].finditer(text, start):
        if len(closing.group()) <= len(quote):
            return start, closing.start()
    return start, len(text)


def _is_no_secret(value: str, *, in_list: bool) -> bool:
    if not value.strip() or is_placeholder(value):
        return True
    scheme = _SCHEME_NAME.match(value)
    if scheme and is_placeholder(value[scheme.end() :]):
        return True
    # {"password": ["This field may not be blank."]}: what a form says about a field.
    return in_list and _SENTENCE.fullmatch(value) is not None


def _plain(text: str, start: int) -> tuple[int, int] | None:
    found = _PLAIN.match(text, start)
    if found is None:
        return None
    value = found.group()
    if is_placeholder(value) or value.rstrip(".:!?").lower() in _LITERALS:
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


def redact_labelled(text: str, keys: SecretKeys, allowed: Callable[[str], bool]) -> str:
    """Replace values whose names are values themselves: `{"name": "password", "value": "x"}`.

    In JSON, a `repr`, XML, and the parts of a multipart form.
    """
    spans: dict[int, tuple[int, str]] = {}
    for label in _LABEL.finditer(text):
        if (kind := keys.kind(label["name"])) is not None:
            span = _labelled_value(text, label)
            if span and _is_labelled_secret(text[slice(*span)], allowed):
                spans[span[0]] = (span[1], kind)
    parts = []
    done = 0
    for start, (end, kind) in sorted(spans.items()):
        if start >= done:
            parts += [text[done:start], marker(kind)]
            done = end
    return "".join([*parts, text[done:]]) if parts else text


def _is_labelled_secret(value: str, allowed: Callable[[str], bool]) -> bool:
    return not (_is_no_secret(value, in_list=False) or is_marked(value) or allowed(value))


def _labelled_value(text: str, label: re.Match[str]) -> tuple[int, int] | None:
    """Say where the value stands that a label names: in the same braces or tag, or form part."""
    start, end = label.span()
    if part := _FORM_VALUE.match(text, end):
        return part.span("value")
    behind = text[end : end + _BESIDE]
    behind = behind[: found.start()] if (found := _BRACE.search(behind)) else behind
    if value := _VALUE.search(behind):
        return _value_of(text, value, end)
    offset = max(0, start - _BESIDE)
    before = text[offset:start]
    offset += max(map(before.rfind, "{}<>")) + 1
    value = _VALUE.search(text, offset, start)
    return _value_of(text, value, 0) if value else None


def _value_of(text: str, value: re.Match[str], offset: int) -> tuple[int, int]:
    start = offset + value.end()
    if value["quote"] is None:
        bare = _BARE.match(text, start)
        return bare.span() if bare else (start, start)
    return _quoted_from(text, value["quote"], start)


def _in_source_line(text: str, position: int) -> bool:
    """Tell whether the position is in a line of source that a traceback quotes."""
    # In JSON and in a repr line breaks and quotes are escaped.
    before = text[max(0, position - 2 * _SOURCE_LINE) : position]
    lines = before.replace("\\n", "\n").replace('\\"', '"').split("\n")
    # Where there is no source to be had, the exception's own text follows, not indented.
    return len(lines) > 1 and lines[-2].startswith('  File "') and lines[-1].startswith("    ")
