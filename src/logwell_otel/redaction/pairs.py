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
    from collections.abc import Callable, Iterable, Iterator

    from logwell_otel.redaction.names import SecretKeys

# A name, its closing quote, then what leads to the value. The look-behind starts the name
# at the beginning of its run only, which keeps the search linear; the look-ahead ends it at the
# end, which keeps the engine from trying every shorter name. In `b"\\nCookie: …"` the n is
# no part of the name.
# `\u0022`, `&quot;` and `%22` are quotes as well: of JSON inside of HTML and of URLs. `\x22` is
# what nginx writes into its logs.
_ENCODED_QUOTE = r"\\+(?:u00|x)2[27]|&(?:quot|apos|#0{0,4}3[49]|#[xX]2[27]);|%(?:25){0,3}2[27]"
_ESCAPED = re.compile(r"(?<=%)(?:25){0,3}[0-9A-Fa-f]{2}|(?<=\\)(?:u00|x)[0-9A-Fa-f]{2}")
"""What a run of letters may begin with that is no part of it: `%26token`, `\u0026token`."""
_PART = r"\d{1,3}|first|second|repeat|confirm\w{0,8}|plain|raw|old|new|current"
"""What a form has in brackets behind a secret's name: `password[first]=…`."""
_NAME = re.compile(
    r"(?<![\w.-])(?<!\[redacted:)(?:(?<=\\)[nrt])?(?P<option>--|-(?=(?i:pass|pwd|token|secret|api|(?:store|key)pass)))?(?P<name>[\w.-]+)(?![\w.-])"
    rf"(?:[:=][ \t]?(?=\\*[\"'],))?(?P<close>\\*[\"'`]|{_ENCODED_QUOTE})?"
    rf"(?:(?:\]?\[(?:{_PART})?|:protected|:\\*\"[\w\\]{{1,128}}\":private)?\]"
    rf"|(?:(?:%5[dD])?%5[bB](?:{_PART})?)?%5[dD]|\(?\)(?==b?[\"']))?"
    r"(?P<lead>[ \t]{0,32}(?:=>|={1,3}|[:?]{1,3}=|<>(?=[ \t]?[nNeE]?[\"'])|!=(?=[ \t]?[nNeE]?[\"'])"
    r"|&#(?:61|[xX]3[dD]);|;s:\d{1,9}:(?=\\*[\"'])|:(?!:)|::(?=[ \t][\w+/]{8,}={0,2}(?!\S))"
    r"|%(?:25){0,3}3[aAdD]|\\+u003[aAdD]|->|→|>"
    r"|&gt;|%(?:25){0,3}3[eE]|\\+u003[eE]"
    r"|,(?=\s{0,8}\[?(?:[bBrRuU]{0,2}\\*[\"']|\d)))"
    r"(?:(?<=,)\s{0,8}|(?(close)\s{0,80}(?=[\"'\[{]|string\()|(?!))|[ \t]{0,8})"
    r"|[ \t]{1,8}(?:NOT )?(?:I?LIKE|IN)[ \t]{0,8}(?=\(?[NE]?[\"'])"
    r"|[ \t](?:is|was):?[ \t](?=b?[\"'`]|[^\s\"'\\,;]{0,64}\d)"
    r"|[ \t](?:-[ \t])?[ \t]{0,7}(?=[\"'])"
    r"|(?(option)[ \t](?=[^\s-])|(?!)))"
)
_RUN = re.compile(r"[\w.-]+")
_QUOTE = re.compile(
    r"(?:(?:bytearray|frozenset|set|deque|Some|UUID|Secret\w{0,20}"
    r"|(?i:md5|sha\d{0,3}|(?:aes_|pgp_sym_)?encrypt|crypt|upper|lower|trim|unhex|to_base64))\(\{?"
    r"|string\(\d{1,9}\) )?(?:[\[(]\s{0,80})?"
    r"(?:[bBrRuUfFnNeE]{1,2}(?=[\"']))?"
    rf"(?P<quote>\"{{3}}|'{{3}}|\\*[\"'`]|{_ENCODED_QUOTE})"
)
_NEXT_IN_LIST = re.compile(r"\\*[\"'`]\s{0,8},\s{0,80}[bBrRuU]?(?P<quote>\\*[\"'`])")
_CHANGED = re.compile(r"\\*[\"'][ \t]{0,8}(?:->|=>|→)[ \t]{0,8}(?P<quote>\\*[\"'])")
"""Behind the value that something had comes the one that it has: `password = "x" -> "y"`."""

_TO_QUOTE = {
    quote: re.compile(rf"[^{quote}\\]*(?:\\.[^{quote}\\]*)*", re.DOTALL) for quote in "\"'`"
}
_ESCAPED_QUOTE = {quote: re.compile(rf"(?<!\\)\\*{quote}") for quote in "\"'`"}
_PLAIN = re.compile(r"\[redacted:[\w-]+\]|[^\s\"'`<>,;&|()\[\]{}\\]+")
_TO_TAG = re.compile(r"[^<\r\n]+(?=</)")
_TO_ESCAPED_TAG = re.compile(r"[^<\r\n]{1,512}?(?=&lt;/|%3[cC](?:/|%2[fF])|\\+u003[cC]\\*/)")
# A cookie's own quotes belong to it: `sid="a b"; Path=/`, `<SimpleCookie: sid='x'>`.
_COOKIES = re.compile(
    r"[^\s=;,\"'\\]{1,256}=(?:(?<==)(?:\"[^\r\n\"\\]*\"|'[^\r\n'\\]*')|[^\r\n\"'\\])*"
)
_BRACED = re.compile(
    r"\{(?![\w.!:]*\})(?P<special>[^{}\r\n]{1,256}(?:\}\}[^{}\r\n]{0,256}){0,4})\}"
    r"|\{(?=\w*[A-Za-z])(?=\w*\d)(?P<mixed>\w{6,256})\}"
)
"""How ODBC writes a value with a semicolon in it, `;PWD={a;b}`; `;PWD={pwd}` is a template."""

_BLOCK = re.compile(r"[|>][+-]?\d?[ \t]{0,8}\r?\n(?P<indent>[ \t]{1,80})")
"""A block of text in YAML, as long as its lines are indented."""

_OBJECT = re.compile(r"\{\s{0,80}[bBuU]?\\*[\"']")
_DESCRIBES = re.compile(
    r"[\"'](?:type|message|msg|code|description|required|format|title|min_?length|error|errors)"
    r"\\*[\"']\s{0,4}:",
    re.IGNORECASE,
)
_MAX_OBJECT = 4096
_IN_WORDS = word_set("key id number card code string")
_NAMES_IN_WORDS = frozenset(
    {
        *("api key", "access key", "secret key", "secret access key", "private key", "card number"),
        *("signing key", "encryption key", "license key", "account key", "master key", "auth code"),
        *("session id", "session key", "credit card", "security code", "verification code"),
        *("confirmation code", "otp code", "one time code", "recovery code", "connection string"),
    }
)
"""Names that people also write in words, before a colon: `API key: 12ab34cd`."""

_WORDS_BEFORE = re.compile(r"(?:[A-Za-z]{1,12}[ -]){1,2}\Z")
_TOLD = frozenset({"password", "otp", "pin", "secret", "token", "api_key", "card"})
"""What a sentence tells: `your code is 493817`."""

_TOLD_VALUE = re.compile(
    r"(?!(?:sha|md|base|utf|aes|rsa|hs|rs|es|v|oauth|ed|argon|pbkdf)[-_]?\d|\d+[- ]?[a-z]+\b)"
    r"(?=[^\sa-zA-Z]{0,64}[a-zA-Z])(?=[^\s\d\"'\\,;]{0,64}\d)[^\s/\"'\\,;]{6,}",
    re.IGNORECASE,
)
_TOLD_CODE = re.compile(r"\d(?:[ -]?\d){3,7}[.,!]?")
_SCHEME = re.compile(
    r"(?:Digest|AWS4-HMAC-SHA256|OAuth|Hawk)[ \t]+(?:[\w-]+=(?:\"[^\"]*\"|[^\s,\"']+)[ \t,]*)+"
    r"|(?:Bearer|Basic|(?:Api-)?Token|(?:[\w-]+-)?(?:ApiKey|Api-Key|Auth-Key)|Key|Negotiate|NTLM|Bot"
    r"|DPoP|GenieKey|MAC|SharedKey(?:Lite)?|SSWS|AWS)[ \t]+"
    r"(?:\[redacted:[\w-]+\](?::[\w+/=]{8,})?|token=\"[^\"\r\n]*\"|[^\s\"',;<>\\]+)"
    # A scheme that is not known, and behind it what is no word and ends the header.
    r"|[A-Z][\w-]{0,31}[ \t]+(?![0-9a-f]{8}-(?:[0-9a-f]{4}-){3})(?=[\w+/=.:~-]{0,99}\d)"
    r"(?=[^\sA-Za-z]{0,99}[A-Za-z])[\w+/=.:~-]{16,}(?=\\?[\"'\r\n]|\\+[rn]|\Z)",
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

_COUNTED = frozenset(
    {
        *("password", "secret", "token", "api_key", "access_key", "private_key", "cookie"),
        *("credentials", "otp", "dsn"),
    }
)
_COUNT = re.compile(r"\d{1,4}")

_CONNECTS = re.compile(r"[=/@]")

_ARTIFACT = re.compile(r"[A-Za-z][\w.-]*[:-]v?\d[\w.-]*(?::[\w.-]+)?")
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
    "0 1 none null nil true false undefined str string bytes int integer float bool boolean any "
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

_BRACE = re.compile(r"[{}]")

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

_EVIDENT = re.compile(r"(?=\D{0,200}\d)(?=[^A-Za-z]{0,200}[A-Za-z])[\w+/=.-]{16,}")

_PATH = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_VARIABLE = re.compile(r"[a-z_]+|[A-Z_]+")
_CALL = re.compile(rf"{_PATH}[(\[{{]")
_SENTENCE = re.compile(r"[A-Z]\S*(?: \S+){2,}[.!]")

_SOURCE_LINE = 400
"""How far back a line of source and the `File "…"` line above it are looked for."""


def redact_pairs(
    text: str,
    places: Iterable[tuple[int, int]],
    keys: SecretKeys,
    allowed: Callable[[str], bool],
    *,
    query: bool = False,
) -> str:
    """Replace the values of secret names in a text, unless `allowed` says they may stay.

    Args:
        text: What to look through.
        places: Where a secret's name may be or begin, in order.
        keys: Which names name a secret.
        allowed: Says of a value whether it may stay.
        query: The text is the query of a URL.
    """
    parts = []
    done = 0
    for name in _names(text, places):
        if name.start() < done or (kind := _kind(text, name, keys, query=query)) is None:
            continue
        for start, end in _values(text, name, kind, keys):
            value = text[start:end]
            if not is_marked(value) and not allowed(value):
                parts += [text[done:start], marker(kind)]
                done = end
    return "".join([*parts, text[done:]]) if parts else text


def _names(text: str, places: Iterable[tuple[int, int]]) -> Iterator[re.Match[str]]:
    """Find what is written as a name in these places: at most one for each run of characters."""
    done = 0
    for start, end in places:
        begin = max(start, done)
        while begin > done and (text[begin - 1].isalnum() or text[begin - 1] in "_.-"):
            begin -= 1
        for run in _RUN.finditer(text, begin):
            if run.start() > end:
                break
            done = run.end()
            if name := _NAME.match(text, run.start()):
                yield name


def _kind(text: str, name: re.Match[str], keys: SecretKeys, *, query: bool) -> str | None:
    label = name["name"]
    if escape := _ESCAPED.match(text, name.start("name")):
        label = text[escape.end() : name.end("name")] or label
    if (
        label in _QUERY_NAMES
        and _in_query(text, name, query=query)
        and (label not in ("code", "key") or _is_random(text, name))
    ):
        return _QUERY_NAMES[label]
    if label in ("key", "Key", "KEY") and _RANDOM.match(text, name.end()):
        return "api_key" if name["lead"] == "=" else None
    bare = label.strip(".-")
    kind = keys.kind(bare) or keys.kind(name["name"])
    if kind is None and bare.lower() in _IN_WORDS:
        words = _WORDS_BEFORE.search(text, max(0, name.start() - 26), name.start())
        # The last two words, or the last one.
        before = words.group().lower().replace("-", " ").split() if words else []
        for count in range(len(before), 0, -1):
            phrase = " ".join([*before[-count:], bare.lower()])
            if phrase in _NAMES_IN_WORDS:
                return keys.kind(phrase)
    return kind


def _sign(name: re.Match[str]) -> str:
    """Say what leads to the value; `:` for all that a sentence may have as well."""
    sign = name["lead"].strip()
    if sign in ("->", "→", "-") or sign.endswith(("3a", "3A")):
        return ":"
    if sign == "&gt;" or sign.endswith(("3e", "3E")):
        return ">"
    return sign[:-1] if sign in ("is:", "was:") else sign


def _is_escaped(text: str, name: re.Match[str], *codes: str) -> bool:
    r"""Tell whether one of these characters stands before a name, as `%26` or as `\u0026`."""
    escape = _ESCAPED.match(text, name.start("name"))
    return escape is not None and escape[0].lower().endswith(codes)


def _in_query(text: str, name: re.Match[str], *, query: bool) -> bool:
    start = name.start()
    before = text[start - 1 : start]
    if (
        before in ("?", "&")
        or text.endswith("&amp;", 0, start)
        or _is_escaped(text, name, "26", "3f")
    ):
        return True
    # The first of a query has nothing before it; `sig=15` in a sentence has not either.
    rest = _QUERY.match(text, start) if not before or before in "\"'" else None
    return rest is not None and (query or "&" in rest[0])


def _is_random(text: str, name: re.Match[str]) -> bool:
    """Tell OAuth's code and an API's key from `?code=404`, `?code=SUMMER25` and `?key=colour`."""
    if name["name"] == "code" and _STATE.search(
        text, max(0, name.start() - 2000), name.end() + 4000
    ):
        return True
    value = _CODE.match(text, name.end())
    code = value.group() if value else ""
    return len(code) >= 16 or (len(code) >= 8 and bool(_MIXED.match(code)))


def _values(
    text: str, name: re.Match[str], kind: str, keys: SecretKeys
) -> Iterator[tuple[int, int]]:
    """Say where the values of a secret's name stand: one, or those of a list in quotes."""
    sign = _sign(name)
    start = name.end()
    opening = None if sign == ">" else _QUOTE.match(text, start)
    if sign in ("is", "was"):
        if kind in _TOLD:
            yield from _told(text, start, kind, opening)
    elif opening is None and kind != "session" and (span := _object(text, name)):
        yield span
    elif opening is None:
        span = _unquoted(text, name, kind, keys)
        if span is not None:
            yield span
    elif sign == ",":
        spans = list(_listed(text, opening))
        if _is_pair(text, name, spans, kind, keys):
            yield from spans
    elif sign or kind == "password":
        in_list = _opens_list(opening)
        for begin, end in _listed(text, opening):
            value = text[begin:end]
            if not (
                _is_no_secret(value, in_list=in_list)
                or _is_harmless(value, kind)
                or _ends_before(value, name, text[begin - 1])
            ):
                yield begin, end


def _ends_before(value: str, name: re.Match[str], quote: str) -> bool:
    """Tell of what stands in quotes whether it is not the value.

    It may be what a shell's backticks run. And in `{"note": "password:", "n": 1}` the quote
    closes the note.
    """
    if quote == "`":
        return name["lead"] == "="
    return name["lead"] == ":" and not name["close"] and value[:1] in (",", "}", "]")


def _opens_list(opening: re.Match[str]) -> bool:
    return "(" in opening[0] or "[" in opening[0]


def _listed(text: str, opening: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Say where the quoted values stand: one, or those of a list."""
    in_list = _opens_list(opening)
    found: re.Match[str] | None = opening
    while found is not None:
        begin, end = _quoted(text, found)
        yield begin, end
        found = (_NEXT_IN_LIST if in_list else _CHANGED).match(text, end)


def _told(
    text: str, start: int, kind: str, opening: re.Match[str] | None
) -> Iterator[tuple[int, int]]:
    """Say where the value stands that a sentence tells: `the password is hunter2`."""
    if opening is not None:
        begin, end = _quoted(text, opening)
        value = text[begin:end]
        if value.lower() not in _SENTENCE_WORDS and not _is_no_secret(value, in_list=True):
            yield begin, end
        return
    code = _TOLD_CODE.match(text, start) if kind in ("otp", "pin", "card") else None
    found = code or _TOLD_VALUE.match(text, start)
    span = _plain(text, start) if found else None
    if span:
        yield (code.span() if code else span)


def _object(text: str, name: re.Match[str]) -> tuple[int, int] | None:
    """Say where an object in braces stands that is all of it a secret's: `"credentials": {…}`."""
    start = name.end()
    if not _OBJECT.match(text, start) or not (name["close"] or name["lead"] == "="):
        return None
    depth, end = 0, min(len(text), start + _MAX_OBJECT)
    for brace in _BRACE.finditer(text, start, end):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            end = brace.end()
            break
    # What describes a field, or what is wrong with it, is not its value.
    return None if _DESCRIBES.search(text, start, end) else (start, end)


def _block(text: str, start: int) -> tuple[int, int] | None:
    """Say where a block of text in YAML stands."""
    found = _BLOCK.match(text, start)
    if found is None:
        return None
    begin, indent, end = found.start("indent"), found["indent"], len(text)
    position = begin
    while position < len(text):
        if not text.startswith(indent, position):
            end = position - 1
            break
        following = text.find("\n", position)
        position = following + 1 if following >= 0 else len(text)
    return begin + len(indent), end


def _unquoted(
    text: str, name: re.Match[str], kind: str, keys: SecretKeys
) -> tuple[int, int] | None:
    sign = _sign(name)
    start = name.end()
    if sign == ",":
        number = _NUMBER.match(text, start)
        return number.span() if number and _opening_of_list(text, name) else None
    if sign == ">":
        if not text.endswith(("<", ":", "&lt;"), 0, name.start()) and not _is_escaped(
            text, name, "3c"
        ):
            return None
        tag = (_TO_TAG if ">" in name["lead"] else _TO_ESCAPED_TAG).match(text, start)
        return tag.span() if tag else None
    if not sign:
        span = _plain(text, start)
        # `[--password PASSWORD]` is how a program is used.
        return (
            None if span and text[slice(*span)].isupper() and _is_code(text, span, keys) else span
        )
    if kind == "authorization" and (scheme := _SCHEME.match(text, start)):
        if scheme.end() - start < _MIN_SCHEME or _is_no_secret(scheme.group(), in_list=False):
            return None
        return scheme.span()
    if block := _block(text, start):
        return block
    if text[name.start() - 1 : name.start()] == ";" and (braced := _BRACED.match(text, start)):
        return braced.span(braced.lastgroup or 0)
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
    if is_evident(value, kind):
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


def is_evident(value: str, kind: str) -> bool:
    """Tell whether a text is a secret's value in a flat list: `["Host", "h", "Cookie", "a=b"]`."""
    if _SCHEME_NAME.match(value):
        return kind == "authorization"
    if kind == "cookie":
        return _COOKIES.match(value) is not None
    return _EVIDENT.fullmatch(value) is not None


def is_count(name: str, kind: str, value: object) -> bool:
    """Tell whether a value says how many secrets there are: `api_keys=3`.

    Args:
        name: What it stands under.
        kind: What that names. Names that were added are what they are said to be.
        value: A text or a number.
    """
    return (
        kind in _COUNTED
        and name[-1:] in "sS"
        and name[-2:-1] not in "sS"
        and _COUNT.fullmatch(str(value)) is not None
    )


def _is_meant(value: str, name: re.Match[str], kind: str) -> bool:
    """Tell a secret from a word that goes on after a secret's name."""
    lead = name["lead"]
    sign = _sign(name)
    word = value.rstrip(".:!?").lower()
    if _is_harmless(value, kind):
        return False
    if lead == ":" and "." in name["name"] and _ARTIFACT.fullmatch(value):
        return False
    if kind == "pin" and len(value) < _LEAST["pin"]:
        return False
    if is_count(name["name"], kind, value):
        return False
    if kind == "password":
        last = name["name"].lower()
        # PWD=/srv/app is the working directory; PASS: test_login and pass=12 report tests.
        if (last in ("pwd", "oldpwd") and value.startswith("/")) or (
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
    return quoted_from(text, opening["quote"], opening.end())


def quoted_from(text: str, quote: str, start: int) -> tuple[int, int]:
    """Say where a text in quotes begins and ends, from behind its opening quote on."""
    if quote[-1] not in "\"'`" or quote in ('"' * 3, "'" * 3):
        end = text.find(quote, start)
        return start, len(text) if end < 0 else end
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


def _in_source_line(text: str, position: int) -> bool:
    """Tell whether the position is in a line of source that a traceback quotes."""
    # In JSON and in a repr line breaks and quotes are escaped.
    before = text[max(0, position - 2 * _SOURCE_LINE) : position]
    lines = before.replace("\\n", "\n").replace('\\"', '"').split("\n")
    # Where there is no source to be had, the exception's own text follows, not indented.
    return len(lines) > 1 and lines[-2].startswith('  File "') and lines[-1].startswith("    ")
