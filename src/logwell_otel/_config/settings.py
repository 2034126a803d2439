"""One setting: argument, else LOGWELL_* variable, else default; checked, and said where from."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from logwell_otel._diagnostics import hide_keys
from logwell_otel._wire import LEVELS, Level
from logwell_otel.errors import config_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from logwell_otel.errors import LogwellError

_Default = TypeVar("_Default")

LEVEL_SPELLINGS: Final[Mapping[str, Level]] = {
    **{level: level for level in LEVELS},
    "warning": "warn",
    "critical": "fatal",
}
"""Levels by the names that Logwell and Python have for them."""

RATE_LEVELS: Final[Mapping[str, Level]] = {**LEVEL_SPELLINGS, "trace": "debug"}
"""The same for sampling rates: what is traced is sent as debug."""

SPOOL_SYNCS: Final[Mapping[str, str]] = {"normal": "normal", "full": "full"}
"""What the spool asks of the disk, by SQLite's names for it."""

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})

# A wrong value is shown, unless it may be a secret that stands in the wrong variable:
# a key, headers (name=value) or a proxy's URL (user:password@host).
_SECRET_LIKE: Final = re.compile(r"[=@]|lw_", re.IGNORECASE)
_WORD: Final = re.compile(r"[\w .,+%-]{0,24}", re.ASCII)
_LONGEST_PATH: Final = 200
# Of an integer that is written out. Python refuses to from 4,300 digits on.
_MOST_BITS: Final = 128


class Resolver:
    """Resolves settings by name and remembers where each came from.

    Every error names the argument and the variable, what was found and what is expected,
    and no secret. An empty or blank text counts as not given, in an argument as in a
    variable, and OpenTelemetry does the same with its variables.

    Args:
        arguments: What the caller gave, by argument name; None counts as not given.
        environ: The environment, `os.environ` by default.

    Attributes:
        arguments: As they were given.
        origins: Setting name -> `argument`, the variable's name, or `default`.
    """

    def __init__(
        self, arguments: Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> None:
        self.arguments = arguments
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self.origins: dict[str, str] = {}

    def raw(self, name: str) -> Any:
        """The value as given, None where it is neither an argument nor a variable."""
        variable = variable_of(name)
        for origin, value in (
            ("argument", self.arguments.get(name)),
            (variable, self.environ.get(variable)),
        ):
            found = value.strip() if isinstance(value, str) else value
            if found is not None and found != "":
                self.origins[name] = origin
                return found
        self.origins[name] = "default"
        return None

    def argument(self, name: str) -> Any:
        """The value of a setting that has no variable."""
        return self.arguments.get(name)

    def text(self, name: str) -> str | None:
        """A text. Numbers become text: YAML reads an all-digits value as one."""
        value = self.raw(name)
        if value is None:
            return None
        text = as_text(value)
        if text is None:
            raise self.error(name, "a text", type(value).__name__)
        return text

    def number(
        self, name: str, *, default: _Default, least: float, most: float
    ) -> float | _Default:
        """A finite number between `least` and `most`."""
        value = self.raw(name)
        if value is None:
            return default
        number = number_of(value)
        if number is None or not least <= number <= most:
            raise self.error(name, f"a number from {least:,} to {most:,}", _shown(value))
        return number

    def integer(self, name: str, *, default: _Default, least: int, most: int) -> int | _Default:
        """A whole number between `least` and `most`."""
        value = self.raw(name)
        if value is None:
            return default
        number = number_of(value)
        if number is None or not number.is_integer() or not least <= number <= most:
            raise self.error(name, f"a whole number from {least:,} to {most:,}", _shown(value))
        return int(number)

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false, in the usual spellings."""
        value = self.raw(name)
        if value is None:
            return default
        spelling = _spelling(value)
        if spelling in _TRUE | _FALSE:
            return spelling in _TRUE
        raise self.error(name, "true or false", _shown(value))

    def choice(self, name: str, *, default: _Default, choices: Mapping[str, _Default]) -> _Default:
        """One of `choices` (spelling -> meaning), whatever its case."""
        value = self.raw(name)
        if value is None:
            return default
        spelling = _spelling(value)
        if spelling in choices:
            return choices[spelling]
        raise self.error(
            name, "one of " + ", ".join(map(str, dict.fromkeys(choices.values()))), _shown(value)
        )

    def levels(self, name: str) -> dict[str, Level | Literal["off"]]:
        """Levels by logger: a mapping, or `logger=level,logger=level`."""
        value = self.raw(name)
        if value is None:
            return {}
        problem = "neither a mapping nor a text"
        try:
            if isinstance(value, str):
                return levels_of(_pairs(value))
            if isinstance(value, Mapping):
                return levels_of(value.items())
        except ValueError as error:
            problem = str(error)
        raise self.error(name, "logger=level,logger=level with levels such as warn or off", problem)

    def path(self, name: str) -> Path | None:
        """A path, with `~` for the home directory."""
        value = self.raw(name)
        if value is None:
            return None
        path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
        if not isinstance(path, str):
            raise self.error(name, "a path", type(value).__name__)
        if hide_keys(path) != path or "\0" in path:
            raise self.error(name, "a path", shown_text(path))
        expanded = in_home(path)
        if expanded is None:
            raise self.error(
                name,
                "a path from the root, since there is no such home directory",
                f"{shown_text(path)} (No such file or directory)",
            )
        return expanded

    def words(self, name: str) -> tuple[str, ...]:
        """Texts: an iterable of them, or one text with commas between them."""
        value = self.raw(name)
        if value is None:
            return ()
        if isinstance(value, str):
            return tuple(word for part in value.split(",") if (word := part.strip()))
        words = tuple(value) if isinstance(value, (list, tuple, set, frozenset)) else (None,)
        if not all(isinstance(word, str) for word in words):
            raise self.error(name, "texts, or one with commas between them", _shown(value))
        return words

    def file(self, name: str) -> Path | None:
        """The path of a file that can be read."""
        path = self.path(name)
        if path is not None and (reason := _unreadable(path)):
            raise self.error(name, "a file that can be read", f"{shown_text(str(path))} ({reason})")
        return path

    def secret(self, name: str) -> tuple[str | None, Path | None]:
        """The secret `name`, or the file that `<name>_file` names; at most one of the two.

        An argument of either kind comes before a variable of either kind, and of the same
        kind the secret itself.
        """
        value, file = self.text(name), f"{name}_file"
        if self.raw(file) is not None and from_file(self.origins, name):
            return None, self.file(file)
        return value, None

    def error(self, name: str, expected: str, found: str) -> LogwellError:
        """An `INVALID_CONFIG` error about the setting `name`. `found` must hold no secret.

        To be raised outside of `except`: an exception that stands behind this one, even
        hidden by `from None`, may quote what this one does not.
        """
        origin = self.origins.get(name, "default")
        where = f"the variable {origin}" if origin.startswith("LOGWELL_") else "the argument"
        return config_error(
            f"{name} ({variable_of(name)}): expected {expected}, got {hide_keys(found)} "
            f"from {where}."
        )


def is_asked_for(environ: Mapping[str, str]) -> bool:
    """Whether `OTEL_LOGS_EXPORTER` names this exporter, for start-up without code."""
    return "logwell" in {name.strip() for name in environ.get("OTEL_LOGS_EXPORTER", "").split(",")}


def variable_of(name: str) -> str:
    """The variable of an argument: `spool_dir` -> `LOGWELL_SPOOL_DIR`."""
    return f"LOGWELL_{name.upper()}"


def in_home(path: str | os.PathLike[str]) -> Path | None:
    """`path`, with the home directory for a `~` in front; None where there is no such home.

    A user of a container often has no home, and a directory that is named `~` is nobody's wish
    (`./~` is, for whoever wants one).
    """
    text = os.fspath(path)
    if not text.startswith("~"):
        return Path(text)
    try:
        expanded = Path(text).expanduser()
    except RuntimeError:
        return None
    # An empty HOME is the root directory to Python, and a relative one the current directory's.
    own = Path(text).parts[0] == "~"
    if own and not Path(os.environ.get("HOME", os.sep)).is_absolute():
        return None
    return expanded


def from_file(origins: Mapping[str, str], name: str) -> bool:
    """Whether the secret `name` is the one that `<name>_file` names, where any is given."""
    value, file = origins[name], origins[f"{name}_file"]
    return value == "default" or (value != "argument" and file == "argument")


def rates_of(text: str) -> dict[str, float]:
    """Sampling rates by level, from `info=0.2,debug=0.05`.

    White space does not matter, nor does a comma at the end. Whether a number is a rate is
    for `sampling.rules.SamplingRules`.

    Raises:
        ValueError: A part is no `level=number`, or a level is there twice. The text says
            which part, without quoting it: it may be a secret in the wrong variable.
    """
    rates: dict[str, float] = {}
    for number, part in enumerate(filter(None, map(str.strip, text.split(","))), 1):
        name, _, value = part.partition("=")
        level, rate = RATE_LEVELS.get(name.strip().lower()), number_of(value)
        if level is None:
            raise ValueError(f"no level of {', '.join(LEVELS)} in part {number}")
        if rate is None:
            raise ValueError(f"no number after {level} in part {number}")
        if level in rates:
            raise ValueError(f"{level} twice")
        rates[level] = rate
    return rates


def levels_of(pairs: Iterable[tuple[object, object]]) -> dict[str, Level | Literal["off"]]:
    """Levels by logger.

    Raises:
        ValueError: One is none. The text says which, without quoting it: it may be a secret in
            the wrong variable.
    """
    levels: dict[str, Level | Literal["off"]] = {}
    for number, (name, value) in enumerate(pairs, 1):
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"no name of a logger in part {number}")
        level: Level | Literal["off"] | None
        if isinstance(value, int) and not isinstance(value, bool):  # logging.WARNING
            level = level_of_number(value)
        else:
            level = "off" if _spelling(value) == "off" else RATE_LEVELS.get(_spelling(value))
        if level is None:
            raise ValueError(f"no level of {', '.join(LEVELS)}, off in part {number}")
        levels[name.strip()] = level
    return levels


def level_of_number(number: int) -> Level:
    """The level of a number of logging's; one in between counts downwards."""
    return LEVELS[min(max(number // 10 - 1, 0), 4)]


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, value = part.partition("=")
        yield name.strip(), value.strip()


def as_text(value: object) -> str | None:
    """A text, or a number that YAML made of one; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return None
    return str(value)


def shown_text(text: str) -> str:
    """`text` in quotes, or how long it is where it may hold a secret."""
    if len(text) > _LONGEST_PATH or _SECRET_LIKE.search(text):
        return f"{len(text)} characters, not shown because they may be a secret"
    return repr(text)


def _shown(value: object) -> str:
    if isinstance(value, str):
        if _WORD.fullmatch(value):
            return shown_text(value)
        return f"{len(value)} characters, not shown because they may be a secret"
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return "a number of too many digits"
    if isinstance(value, (int, float)):
        return repr(value)
    return f"a value of type {type(value).__name__}"


def number_of(value: object) -> float | None:
    """A finite number, or the text of one; None for anything else."""
    if isinstance(value, (bool, bytes, bytearray)):
        return None
    try:
        number = float(value)  # type: ignore[arg-type] # whatever is a number to Python
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _spelling(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else (as_text(value) or "").lower()


def _unreadable(path: Path) -> str | None:
    try:
        with path.open("rb"):
            return None
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or type(error).__name__
