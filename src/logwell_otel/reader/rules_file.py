"""Rules as people write them: a YAML file, checked whole.

All that is wrong is told at once, each with its rule, its field, what is expected there and
what was found. Nothing of a webhook's address is shown: whoever knows it can post there.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from logwell_otel._config.secrets import Headers
from logwell_otel.errors import LogwellError, config_error
from logwell_otel.reader.filters import Filter, seconds_of
from logwell_otel.reader.rules import (
    MOST_COUNTED,
    Command,
    Condition,
    LogLine,
    Rule,
    Webhook,
    WebhookUrl,
    shown_duration,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel.reader.rules import Action

_LONGEST_WINDOW: Final = 86_400.0
_LONGEST_SILENCE: Final = 30 * 86_400.0
_DURATION: Final = "a duration such as 30s, 5m, 2h, 1d"
_CONDITIONS: Final = ("count", "rate", "new_incident", "absence")
_RATE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*/\s*([smhd])")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e\t]+")
_OUR_HEADERS: Final = frozenset({"content-length", "content-type", "host", "transfer-encoding"})
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")


def load_rules(path: str | os.PathLike[str]) -> list[Rule]:
    """The rules of a YAML file, all of it checked; JSON is YAML.

    Raises:
        LogwellError: `INVALID_CONFIG`: the file cannot be read, PyYAML is not installed
            (`pip install 'logwell-otel[reader]'`), or something in it is wrong.
    """
    problem = None
    try:
        import yaml  # noqa: PLC0415 - an extra, for this alone
    except ImportError:
        problem = "a rules file needs PyYAML: pip install 'logwell-otel[reader]'"
    else:
        try:
            text = Path(path).read_text(encoding="utf-8")
            document, lines = yaml.safe_load(text), _lines(yaml.compose(text, yaml.SafeLoader))
        except OSError as error:
            problem = f"cannot be read: {error.strerror or type(error).__name__}"
        except UnicodeDecodeError:
            problem = "is not text in UTF-8"
        except yaml.YAMLError as error:
            # Not the error's text: it quotes lines, and addresses of webhooks are secrets.
            mark = getattr(error, "problem_mark", None)
            where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
            problem = f"is not YAML{where}"
        else:
            try:
                return parse_rules(document, lines=lines)
            except LogwellError as error:
                problem = error.message
    raise config_error(f"{path}: {problem}")


def parse_rules(
    document: Any,
    environ: Mapping[str, str] = os.environ,
    *,
    lines: Sequence[Mapping[str, Sequence[int]]] = (),
) -> list[Rule]:
    """The rules of a file's content, all of it checked.

    Args:
        document: As YAML or JSON is read: `{"rules": [...]}`.
        environ: Where `${NAME}` of a webhook comes from.
        lines: Of each rule, on which lines of the file each of its fields stands.

    Raises:
        LogwellError: `INVALID_CONFIG`; each of its lines names a rule, a field, what is
            expected there and what was found, without anything of a webhook's address.
    """
    if not isinstance(document, Mapping) or "rules" not in document:
        raise config_error(f"expected `rules:` and a list below it, got {_found(document)}.")
    if more := ", ".join(repr(name) for name in document if name != "rules"):
        raise config_error(f"expected `rules:` and nothing beside it, got {more} too.")
    rules = document["rules"]
    if not isinstance(rules, list) or not rules:
        raise config_error(f"rules: expected a list of one rule or more, got {_found(rules)}.")
    parsers = [
        _RuleParser(number, rule, environ, lines[number - 1] if lines else {})
        for number, rule in enumerate(rules, 1)
    ]
    parsed = [parser.rule() for parser in parsers]
    names = [parser.name for parser in parsers]
    for number, parser in enumerate(parsers):
        if parser.name in names[:number]:
            parser.wrong("name", "a name that no other rule has", parser.name)
    if problems := [problem for parser in parsers for problem in parser.problems]:
        raise config_error("\n".join(problems))
    return [rule for rule in parsed if rule is not None]


def _lines(root: Any) -> list[dict[str, list[int]]]:
    """On which lines of a YAML file the fields of each rule stand, and itself under no name."""
    found: list[dict[str, list[int]]] = []
    for name, value in _pairs(root):
        if name.value == "rules" and value.id == "sequence":
            found = []
            for rule in value.value:
                lines = {"": [rule.start_mark.line + 1]}
                for field, _ in _pairs(rule):
                    lines.setdefault(str(field.value), []).append(field.start_mark.line + 1)
                found.append(lines)
    return found


def _pairs(node: Any) -> list[tuple[Any, Any]]:
    """The nodes of a mapping's names and values; nothing of any other node."""
    return node.value if getattr(node, "id", "") == "mapping" else []


class _Wrong(Exception):  # noqa: N818 - never leaves this module
    """What is expected, and what was found instead."""


class _RuleParser:
    """One rule of a file; goes on after a problem, so that all are told at once."""

    _KEYS: Final = ("name", "filter", *_CONDITIONS, "window", "silence", "actions")

    def __init__(
        self,
        number: int,
        given: Any,
        environ: Mapping[str, str],
        lines: Mapping[str, Sequence[int]],
    ) -> None:
        self.problems: list[str] = []
        self.name = ""
        self._given = given
        self._number = number
        self._environ = environ
        self._lines = lines

    def wrong(self, field: str, expected: str, found: Any) -> None:
        """Add a problem."""
        self._add(field, f"expected {expected}, got {_found(found)}")

    def _add(self, field: str, problem: str) -> None:
        rule = f"rule {self._number}" + (f" ({self.name!r})" if self.name else "")
        found = self._lines.get(field.partition("[")[0].partition(".")[0]) or self._lines.get("")
        place = [f"line {found[-1]}, {rule}" if found else rule, *filter(None, [field])]
        self.problems.append(f"{': '.join(place)}: {problem.rstrip('.')}.")

    def rule(self) -> Rule | None:
        """The rule, None where there are problems."""
        given = self._given
        if not isinstance(given, Mapping):
            self._add("", f"expected name, a condition and actions, got {_found(given)}")
            return None
        name = given.get("name")
        if isinstance(name, str) and 0 < len(name) <= 100 and name.isprintable():
            self.name = name
        else:
            self.wrong("name", "1 to 100 printable characters", name)
        self._known_keys("", given, self._KEYS)
        for field, found in self._lines.items():
            if len(found) > 1:  # YAML itself would take the last, and say nothing
                self._add(field, f"expected once, got it on line {found[0]} too")
        filter_ = self._checked("filter", _filter, given.get("filter"))
        condition = self._condition(given)
        silence = self._duration("silence", given.get("silence", "15m"), 0, _LONGEST_SILENCE)
        actions = self._actions(given.get("actions"))
        if self.problems or filter_ is None or condition is None or silence is None:
            return None
        return Rule(
            name=self.name, filter=filter_, condition=condition, silence=silence, actions=actions
        )

    def _known_keys(self, place: str, given: Mapping[Any, Any], keys: tuple[str, ...]) -> None:
        for key in given:
            if key not in keys:
                self.wrong(f"{place}{str(key)[:60]}", f"one of {', '.join(keys)}", "this name")

    def _checked(self, field: str, parse: Callable[..., Any], *given: Any) -> Any:
        try:
            return parse(*given)
        except _Wrong as wrong:
            self.wrong(field, *wrong.args)
        except LogwellError as error:
            self._add(field, error.message)
        return None

    def _duration(self, field: str, given: Any, least: float, most: float) -> float | None:
        seconds = seconds_of(given) if isinstance(given, str) else None
        if seconds is None or not least <= seconds <= most:
            limits = f"{_DURATION}, at most {shown_duration(most)}"
            self.wrong(field, limits if least == 0 else f"{limits} and not 0", given)
            return None
        return float(seconds)

    def _condition(self, given: Mapping[str, Any]) -> Condition | None:
        kinds = [kind for kind in _CONDITIONS if kind in given]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none"
            self._add("condition", f"expected one of {', '.join(_CONDITIONS)}, got {found}")
            return None
        (kind,) = kinds
        value = given[kind]
        if kind in {"absence", "new_incident"}:
            if "window" in given:
                self._add("window", f"expected none beside {kind}, got one")
            if kind == "new_incident":
                if value is not True:
                    self.wrong(kind, "true", value)
                return Condition(kind="new_incident")
            window = self._duration(kind, value, 1, _LONGEST_WINDOW)
            return None if window is None else Condition(kind="absence", window=window)
        window = self._duration("window", given.get("window"), 1, _LONGEST_WINDOW)
        parse = _count if kind == "count" else _rate
        count = self._checked(kind, parse, value, window or 60.0)
        if window is None or count is None:
            return None
        return Condition(kind="count" if kind == "count" else "rate", count=count, window=window)

    def _actions(self, given: Any) -> tuple[Action, ...]:
        if not isinstance(given, list) or not given:
            self.wrong("actions", "a list of webhook, command or log", given)
            return ()
        actions = [self._action(f"actions[{i}]", one) for i, one in enumerate(given, 1)]
        return tuple(action for action in actions if action is not None)

    def _action(self, field: str, given: Any) -> Action | None:
        if given == "log":
            return LogLine()
        if isinstance(given, Mapping) and "webhook" in given:
            self._known_keys(f"{field}.", given, ("webhook", "format", "headers"))
            form = given.get("format", "json")
            if form not in {"json", "slack"}:
                self.wrong(f"{field}.format", "json or slack", form)
            url = self._checked(f"{field}.webhook", _webhook_url, given["webhook"], self._environ)
            headers = self._checked(f"{field}.headers", _headers, given.get("headers"))
            if url is None or headers is None:
                return None
            return Webhook(url=url, slack=form == "slack", headers=headers)
        if isinstance(given, Mapping) and "command" in given:
            self._known_keys(f"{field}.", given, ("command",))
            arguments = self._checked(f"{field}.command", _command, given["command"])
            return None if arguments is None else Command(arguments)
        # Not shown: it may be an address that stands one level too high.
        self._add(field, "expected `webhook: URL`, `command: [...]` or `log`, got something else")
        return None


def _found(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, (str, int, float)):
        return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:59]}…"
    if isinstance(value, (Mapping, list)):
        kind = "list" if isinstance(value, list) else "mapping"
        return f"a {kind}" if value else f"an empty {kind}"
    return type(value).__name__


def _filter(given: Any) -> Filter:
    if given is None:
        return Filter()
    keys = ("text", "level", "service", "where", "trace")
    if not isinstance(given, Mapping):
        raise _Wrong(f"a mapping of {', '.join(keys)}", given)
    for key, value in given.items():
        if key not in keys:
            raise _Wrong(f"some of {', '.join(keys)}", key)
        if key == "where":
            if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value):
                raise _Wrong("where to be attributes and their values", value)
            for one in value.values():
                if not isinstance(one, (str, int, float)):  # a time has no form in JSON
                    raise _Wrong("where's values to be texts, numbers, true or false", one)
        elif key == "level":
            levels = value if isinstance(value, list) else [value]
            if not levels or not all(isinstance(one, str) for one in levels):
                raise _Wrong("level to be one level or a list of them", value)
        elif not isinstance(value, str) or not value.strip():
            raise _Wrong(f"{key} to be a text (in quotes, where it is a number)", value)
    return Filter.of(**given)


def _count(given: Any, window: float) -> int:  # noqa: ARG001 - as `_rate`
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MOST_COUNTED:
        raise _Wrong(f"a whole number from 1 to {MOST_COUNTED:,}", given)
    return given


def _rate(given: Any, window: float) -> int:
    match = _RATE.fullmatch(given.strip()) if isinstance(given, str) else None
    per = None if match is None else seconds_of(f"1{match[2]}")
    if match is None or per is None:
        raise _Wrong("entries in a time, such as 2/s, 100/m or 5/h", given)
    count = math.ceil(round(float(match[1]) * window / per, 6))
    if not 1 <= count <= MOST_COUNTED:
        raise _Wrong(
            f"1 to {MOST_COUNTED:,} entries in the window; this rate makes {count:,}", given
        )
    return count


def _command(given: Any) -> tuple[str, ...]:
    if (
        not isinstance(given, list)
        or not given
        or not all(isinstance(one, str) and "\0" not in one for one in given)
        or not given[0]
    ):
        raise _Wrong('a list of texts, such as ["/usr/local/bin/page", "--urgent"]', given)
    return tuple(given)


def _webhook_url(given: Any, environ: Mapping[str, str]) -> WebhookUrl:
    """The address; nothing of what was given is shown where it is none."""
    if not isinstance(given, str):
        raise config_error("expected a URL or ${NAME}, got something else")
    where = "a URL"
    if variable := _VARIABLE.fullmatch(given.strip()):
        where = f"${{{variable[1]}}} to be a URL"
        given = environ.get(variable[1], "")
        if not given:
            raise config_error(f"expected {where}, and that variable is not set")
    url, problem = given.strip(), None
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        if not valid:
            problem = "something that does not begin with https:// or http:// and a host"
        elif parts.username is not None:
            problem = "one with a user name; give a header Authorization instead"
        elif not url.isascii() or not url.isprintable() or " " in url:
            problem = "one with white space or characters outside ASCII"
    except ValueError:
        problem = "one that cannot be read"
    if problem is not None:
        raise config_error(f"expected {where}, got {problem}")
    return WebhookUrl(url)


def _headers(given: Any) -> Headers:
    """Headers of a webhook. No value is shown: it is as often as not a secret."""
    if given is None:
        return Headers({})
    if not isinstance(given, Mapping):
        raise config_error("expected a mapping of names and values, got something else")
    for name, value in given.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise config_error("expected names of letters, digits and hyphens, got another")
        if name.lower() in _OUR_HEADERS:
            raise config_error(f"expected no header that is set anyway, got {name}")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise config_error(f"expected a text of printable ASCII as {name}, got something else")
    return Headers(given)
