"""One setting: argument, else LOGWELL_* variable, else default; checked, and said where from."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from logwell_otel.credentials import config_error, hide_keys

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


class Settings:
    """Resolves settings by name and remembers where each came from.

    Every error names the argument and the variable, what was found and what is expected.
    An empty variable counts as unset, as OpenTelemetry's do.

    Args:
        arguments: What the caller gave, by argument name; None counts as not given.
        environ: The environment, `os.environ` by default.

    Attributes:
        origins: Setting name -> `argument`, the variable's name, or `default`.
    """

    def __init__(
        self, arguments: Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> None:
        self._arguments = arguments
        self._environ = os.environ if environ is None else environ
        self.origins: dict[str, str] = {}

    def raw(self, name: str) -> Any:
        """The value as given, None where it is neither an argument nor a variable."""
        value = self._arguments.get(name)
        if value is not None:
            self.origins[name] = "argument"
            return value
        variable = variable_of(name)
        value = self._environ.get(variable, "").strip()
        self.origins[name] = variable if value else "default"
        return value or None

    def argument(self, name: str) -> Any:
        """The value of a setting that has no variable."""
        return self._arguments.get(name)

    def text(self, name: str) -> str | None:
        """A text. Numbers become text: YAML reads an all-digits value as one."""
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value).strip() or None
        raise self.error(name, "a text", type(value).__name__)

    def number(self, name: str, default: float | None, *, least: float, most: float) -> Any:
        """A finite number between `least` and `most`."""
        value = self.raw(name)
        if value is None:
            return default
        expected = f"a number from {least:g} to {most:g}"
        if isinstance(value, bool):
            raise self.error(name, expected, repr(value))
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise self.error(name, expected, _shown(value)) from None
        if not math.isfinite(number) or not least <= number <= most:
            raise self.error(name, expected, _shown(value))
        return number

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false, in the usual spellings."""
        value = self.raw(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        spelling = str(value).strip().lower()
        if spelling in _TRUE | _FALSE:
            return spelling in _TRUE
        raise self.error(name, "true or false", _shown(value))

    def choice(self, name: str, default: str, choices: Mapping[str, str]) -> str:
        """One of `choices` (spelling -> meaning), whatever its case."""
        value = self.raw(name)
        if value is None:
            return default
        spelling = str(value).strip().lower()
        if spelling in choices:
            return choices[spelling]
        raise self.error(
            name, "one of " + ", ".join(dict.fromkeys(choices.values())), _shown(value)
        )

    def file(self, name: str) -> Path | None:
        """The path of a file that can be read."""
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, (str, os.PathLike)):
            raise self.error(name, "the path of a file", type(value).__name__)
        path = Path(value).expanduser()
        try:
            with path.open("rb"):
                return path
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise self.error(name, "a file that can be read", f"{path} ({reason})") from None

    def headers(self, name: str) -> dict[str, str]:
        """Header names and values, as a mapping or as `name=value,name=value`.

        Values are percent-decoded in the second form, as OpenTelemetry's are.
        """
        value = self.raw(name)
        if value is None:
            return {}
        if isinstance(value, Mapping):
            pairs = [(str(key), str(item)) for key, item in value.items()]
        elif isinstance(value, str):
            pairs = []
            for number, part in enumerate(filter(None, map(str.strip, value.split(","))), 1):
                key, separator, item = part.partition("=")
                if not separator:
                    raise self.error(name, "name=value,name=value", f"no '=' in part {number}")
                pairs.append((unquote(key.strip()), unquote(item.strip())))
        else:
            raise self.error(name, "a mapping or name=value,name=value", type(value).__name__)
        return dict(pairs)

    def error(self, name: str, expected: str, found: str) -> Exception:
        """An `INVALID_CONFIG` error about the setting `name`. `found` must hold no secret."""
        origin = self.origins.get(name, "default")
        where = f"the variable {origin}" if origin.startswith("LOGWELL_") else "the argument"
        return config_error(
            f"{name} ({variable_of(name)}): expected {expected}, got {hide_keys(found)} "
            f"from {where}."
        )


def variable_of(name: str) -> str:
    """The variable of an argument: `spool_dir` -> `LOGWELL_SPOOL_DIR`."""
    return f"LOGWELL_{name.upper()}"


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"
