"""Secrets in command lines, in SQL, and where else a syntax says which word is the secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from logwell_otel.redaction.names import is_placeholder, marker, word_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from logwell_otel.redaction.names import SecretKeys

# Between an option and its value: blanks, line continuations, quotes; in a list a comma too.
_GAP = r"(?:[ \t=,\"']|\\(?:\r?\n)?){0,12}"
_WORD = r"(?:(?<=[\"'])[^\n\"'\\]{1,256}|[^\s\"'\\,\])]{1,256})"


# Right behind its option, in quotes or not: `-p'x'`. In `"-p", "shop"` it is not.
_QUOTED = r"(?:\\?[\"'](?=[^\s\"'\\,\])]))?"
_ATTACHED = r"[^\s\"'\\,\])-][^\s\"',\])]*"


def _command(
    names: str, options: str, value: str, *, gap: str = _GAP, within: int = 300
) -> re.Pattern[str]:
    return re.compile(
        rf"(?<![\w-])(?:{names})(?:\.exe)?(?=[ \t\"'\\,])"
        rf"(?:[^\n]|(?<=\\)\n|(?<=\\\r)\n){{0,{within}}}?(?<![\w-])(?:{options}){gap}(?P<value>{value})"
    )


COMMANDS = (
    "curl|mysql[a-z]*|mariadb[a-z-]*|sshpass|redis-cli|mongo[a-z]*|ldap[a-z]+|docker|podman|sqlcmd"
    "|zip|unzip|plink|pscp|openssl|https?|twine|cqlsh|mosquitto_[a-z]+|smbclient|psexec|7z"
)
"""An expression for the commands whose options are known."""

_USER = _command(
    "curl",
    "-u|-U|--user|--proxy-user",
    rf"(?:(?<![\"'])[\w.@$-]{{1,128}}|[^\s\"']{{1,128}}\\?[\"']):\\?[\"']{_WORD}|{_WORD}",
)
_HTTPIE = _command("https?", "-a", rf"[^\s\"':]{{1,128}}:{_WORD}", within=80)
_USER_OF_DSN = re.compile(
    r"(?<![\w:/@.-])[\w.-]{1,64}:(?P<value>[^\s\"'@]{1,128})(?=@(?:tcp6?|unix)\()"
)

# (in the text in lower case, kind, pattern with the group `value`)
_SYNTAX: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    ("curl", "cookie", _command("curl", "-b|--cookie", rf"(?=[^\s\"']{{1,128}}=){_WORD}")),
    (
        "mysql",
        "password",
        _command(
            "mysql(?:dump|admin|import|show|check|pump)?",
            "-p",
            _ATTACHED,
            gap=_QUOTED,
        ),
    ),
    (
        "mariadb",
        "password",
        _command("mariadb(?:-dump|-admin|-import)?", "-p", _ATTACHED, gap=_QUOTED),
    ),
    ("sshpass", "password", _command("sshpass", "-p", _WORD)),
    ("redis-cli", "password", _command("redis-cli", "-a", _WORD)),
    ("mongo", "password", _command("mongo(?:sh|dump|restore|export|import)?", "-p", _WORD)),
    ("ldap", "password", _command("ldap(?:search|modify|add|delete|passwd|whoami)", "-w", _WORD)),
    (
        "login",
        "password",
        _command(r"(?:docker|podman|helm registry|az|oc)[\"',]{0,2} [\"']?login", "-p", _WORD),
    ),
    ("sqlcmd", "password", _command("sqlcmd", "-P", _WORD)),
    ("zip", "password", _command("(?:un)?zip", "-P", _WORD)),
    ("plink", "password", _command("plink|pscp", "-pw", _WORD)),
    ("openssl", "password", _command("openssl", "-pass(?:in|out)?", _WORD, gap=_GAP + "pass:")),
    ("openssl", "password", _command("openssl[\"', ]{1,4}enc", "-k", _WORD)),
    ("twine", "password", _command("twine", "-p", _WORD)),
    ("cqlsh", "password", _command("cqlsh", "-p", _WORD)),
    ("psexec", "password", _command("psexec", "-p", _WORD)),
    ("mosquitto_", "password", _command("mosquitto_[a-z]{2,8}", "-P", _WORD)),
    ("7z", "password", _command("7z[ar]?", "-p", _ATTACHED, gap=_QUOTED)),
    (
        "smbclient",
        "password",
        _command("smbclient", rf"-U{_GAP}[^\s\"'%]{{1,128}}%", _WORD, gap=""),
    ),
    (
        "net user",
        "password",
        re.compile(r"\bnet user [\w.-]{1,64} (?P<value>[^\s/*\"']+)", re.IGNORECASE),
    ),
    (
        "sqlplus",
        "password",
        re.compile(r"\bsqlplus (?:-\S{1,8} ){0,4}[\w.-]{1,64}/(?P<value>[^\s@\"']{1,128})"),
    ),
    (
        "auth ",  # SMTP's, as smtplib prints it
        "authorization",
        re.compile(
            r"\bAUTH (?:PLAIN|LOGIN|XOAUTH2) (?=.[a-z]{0,64}[A-Z0-9+/])(?=[^a-z\s]{0,64}[a-z])"
            r"(?P<value>[A-Za-z0-9+/]{8,}={0,2})(?![\w.:])"
        ),
    ),
    (
        "set password for",
        "password",
        re.compile(
            r"\bset password for [^;=]{1,200}=\s{0,4}(?:password\(\s{0,4})?\\*[\"']"
            r"(?P<value>[^\"'\\]{1,256})",
            re.IGNORECASE,
        ),
    ),
    (
        "oracle:",
        "password",
        re.compile(r"oracle:\w{1,8}:[\w.-]{1,64}/(?P<value>[^\s@\"']{1,128})(?=@)"),
    ),
    ("@tcp", "password", _USER_OF_DSN),
    ("@unix(", "password", _USER_OF_DSN),
    (
        "password",
        "password",  # .netrc
        re.compile(r"\blogin\s{1,8}\S{1,128}\s{1,8}password\s{1,8}(?P<value>[^\s\"',;]{1,256})"),
    ),
    (
        "identified",
        "password",
        re.compile(
            r"\b(?:create|alter|grant|replace|set)\b[^;]{0,400}?\bidentified\s{1,8}"
            r"(?:with\s{1,8}[\"'`]?[\w-]{1,64}[\"'`]?\s{1,8})?(?:by|as)\s{1,8}(?:password\s{1,8})?"
            r"(?:(?P<quote>\\*[\"'])|)(?P<value>(?(quote)[^\"'\\]{1,256}|[^\s\"'\\;,]{1,256}))",
            re.IGNORECASE,
        ),
    ),
    (
        "('",
        "password",
        re.compile(
            r"\b(?:password|old_password|crypt)\(\s{0,4}\\*'(?P<value>[^'\\]{1,256})", re.IGNORECASE
        ),
    ),
    (
        "<cookie ",
        "cookie",
        re.compile(r"<Cookie [^\s=<>]{1,128}=(?P<value>[^<>]{1,4096}?)(?= for )"),
    ),
    (
        "private-lines",
        "private_key",  # PuTTY's
        re.compile(
            r"Private-Lines: \d{1,4}\s{1,4}(?P<value>(?:[A-Za-z0-9+/=]{1,80}\r?\n){0,200}"
            r"[A-Za-z0-9+/=]{1,80})(?=\r?\n|\Z)"
        ),
    ),
)

# INSERT INTO users (name, password) VALUES ('bob', 'x'), or VALUES (?, ?) and what SQLAlchemy
# says of the parameters.
_INSERT = re.compile(
    r"\binsert\s{1,8}(?:ignore\s{1,8})?into\s{1,8}[\w.\"`\[\]]{1,128}\s{0,8}"
    r"\((?P<columns>[^()]{1,2000})\)\s{0,8}values\s{0,8}",
    re.IGNORECASE,
)
_PARAMETERS = re.compile(r"\[parameters: {0,2}\[?(?=\()")
_BOUND = re.compile(
    r"(?<![\w.])(?:(?P<name>[\w.]{1,128})[\"`\]]?\s{0,4}(?:=|<>|!=)\s{0,4})?"
    r"(?:\?|%s|\$(?P<number>\d{1,4}))(?!\w)"
)
_UNFORMATTED = re.compile(
    r" \[not formatted: [^;\r\n]{0,400}; arguments: "
    r"(?P<arguments>[({](?:.*?[)}](?=\](?:[\"'\\\s,]|\Z))|.*))",
    re.DOTALL,
)
_BEFORE_ARGUMENT = re.compile(
    r"(?<![\w.-])(?P<name>[\w.-]{1,128})(?![\w.-])"
    r"(?=[ \t:=>\"'-]{0,8}(?:%[^%\s]|\{\w{0,64}\}|\Z))|%\((?P<key>[\w.-]{1,128})\)"
)
_ROW = re.compile(r"[\s,]{0,8}\(")
_ITEM = re.compile(
    r"\s{0,8}[bBeEnN]?(?:'(?P<single>(?:[^'\\]|\\.|''){0,4096})'"
    r"|\"(?P<double>(?:[^\"\\]|\\.){0,4096})\"|(?P<bare>[^,()'\"]{0,256}(?:\([^()]{0,256}\))?))"
    r"\s{0,8}(?P<end>[,)])",
    re.DOTALL,
)
_MAX_ROWS = 100
_MAX_STATEMENT = 4000

# A shell's and other programs' way to set what has a name, without a sign: `setx TOKEN abc`.
_SETTING = re.compile(
    r"\b(?:setx|setenv|config(?:ure)?[ :]set)[ \t]{1,8}(?:--?[\w-]{1,32}[ \t]{1,8}){0,4}"
    r"(?P<name>[\w./:@-]{1,256})[ \t]{1,8}[\"']?(?P<value>[^\s\"']{1,1024})",
    re.IGNORECASE,
)

_IN_MANUALS = word_set(
    "password pass passwd pwd token secret apikey api_key key username user test xxx yyy"
)
"""What manuals have in the place of a password, `curl -u username:password`."""


def redact_commands(text: str, low: str, allowed: Callable[[str], bool]) -> str:
    """Replace secrets that a command's or a statement's syntax names, unless they may stay.

    Args:
        text: What to look through.
        low: The same in lower case.
        allowed: Says of a secret whether it may stay.
    """

    def replaced(found: re.Match[str], start: int, kind: str) -> str:
        begin = start - found.start()
        value = found[0][begin:]
        return found[0] if _stays(value) or allowed(value) else found[0][:begin] + marker(kind)

    def user(found: re.Match[str]) -> str:
        name, colon, password = found["value"].partition(":")
        if name and (_stays(found["value"]) or name.startswith("<")):
            return found[0]
        if password:
            return replaced(found, found.start("value") + len(name) + 1, "password")
        # An API's key as the user, without a password.
        if _TOKEN.match(name) and (colon or len(name) > _LONG_NAME):
            return replaced(found, found.start("value"), "token") + colon
        return found[0]

    if "curl" in low:
        text = _USER.sub(user, text)
    if "http" in low and "-a" in low:
        text = _HTTPIE.sub(user, text)
    for needle, kind, pattern in _SYNTAX:
        if needle in low:

            def one(found: re.Match[str], kind: str = kind) -> str:
                return replaced(found, found.start("value"), kind)

            text = pattern.sub(one, text)
    return text


def redact_inserted(text: str, low: str, keys: SecretKeys, allowed: Callable[[str], bool]) -> str:
    """Replace what a command or a statement sets or compares by the name of a secret.

    That is, what a shell sets, the rows of an INSERT, and the parameters that SQLAlchemy quotes
    behind any statement.

    Args:
        text: What to look through.
        low: The same in lower case.
        keys: Which names name a secret.
        allowed: Says of a value whether it may stay.
    """
    spans: list[tuple[int, int, str]] = []
    if "set" in low:
        spans += _in_settings(text, keys)
    if "insert" in low:
        spans += _in_inserts(text, keys)
    if "[parameters: " in low:
        spans += _in_comparisons(text, keys)
    parts = []
    done = 0
    for start, end, kind in sorted(spans):
        value = text[start:end]
        if start >= done and not (_stays(value) or allowed(value)):
            parts += [text[done:start], marker(kind)]
            done = end
    return "".join([*parts, text[done:]]) if parts else text


def redact_unformatted(
    text: str, low: str, keys: SecretKeys, allowed: Callable[[str], bool]
) -> str:
    """Replace the arguments that did not fit a message that ends with a secret's name.

    That is what our handler makes of `logger.info("password:", password)`.

    Args:
        text: What to look through.
        low: The same in lower case.
        keys: Which names name a secret.
        allowed: Says of the arguments whether they may stay.
    """
    found = _UNFORMATTED.search(text) if "[not formatted: " in low else None
    if found is None or allowed(found["arguments"]):
        return text
    before = text[max(0, found.start() - _MAX_STATEMENT) : found.start()]
    names = [name["name"] or name["key"] for name in _BEFORE_ARGUMENT.finditer(before)]
    kinds = [kind for name in names if (kind := keys.kind(name))]
    if not kinds:
        return text
    start, end = found.span("arguments")
    return text[:start] + marker(kinds[0]) + text[end:]


def _in_settings(text: str, keys: SecretKeys) -> Iterator[tuple[int, int, str]]:
    for setting in _SETTING.finditer(text):
        if kind := keys.kind(setting["name"]):
            yield *setting.span("value"), kind


def _in_inserts(text: str, keys: SecretKeys) -> Iterator[tuple[int, int, str]]:
    for insert in _INSERT.finditer(text):
        names = [name.strip(' \t\r\n"`[]') for name in insert["columns"].split(",")]
        kinds = {place: kind for place, name in enumerate(names) if (kind := keys.kind(name))}
        if kinds:
            end = insert.end()
            parameters = _PARAMETERS.search(text, end, end + _MAX_STATEMENT)
            for start in (end, *([parameters.end()] if parameters else ())):
                yield from _inserted(text, start, kinds)


def _in_comparisons(text: str, keys: SecretKeys) -> Iterator[tuple[int, int, str]]:
    """Say where the parameters stand that SQLAlchemy quotes for `SET password=?`, `token = $1`."""
    for parameters in _PARAMETERS.finditer(text):
        end = parameters.start()
        begin = text.rfind("[SQL: ", max(0, end - _MAX_STATEMENT), end)
        if begin < 0:
            continue
        kinds = {}
        for place, bound in enumerate(_BOUND.finditer(text, begin, end)):
            if bound["name"] and (kind := keys.kind(bound["name"])):
                kinds[int(bound["number"]) - 1 if bound["number"] else place] = kind
        if kinds:
            yield from _inserted(text, parameters.end(), kinds)


def _inserted(text: str, position: int, kinds: Mapping[int, str]) -> Iterator[tuple[int, int, str]]:
    """Say where the values of these columns stand in the rows from a position on."""
    for _ in range(_MAX_ROWS):
        row = _ROW.match(text, position)
        if row is None:
            return
        position, place = row.end(), 0
        while item := _ITEM.match(text, position):
            group = "single" if item["single"] is not None else "double"
            if item[group] and place in kinds:
                yield *item.span(group), kinds[place]
            position, place = item.end(), place + 1
            if item["end"] == ")":
                break
        else:
            return


_TOKEN = re.compile(r"(?=\D{0,64}\d)(?=[^A-Za-z]{0,64}[A-Za-z])[\w.+/=-]{8,}|[\w.+/=-]{24,}")
_LONG_NAME = 15


def _stays(value: str) -> bool:
    return value.startswith("[redacted:") or is_placeholder(value) or value.lower() in _IN_MANUALS
