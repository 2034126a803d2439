"""The settings as an exporter would have them, and where each came from."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from logwell_otel._config.options import Config
from logwell_otel._config.settings import from_file, variable_of
from logwell_otel._diagnostics import hide_keys
from logwell_otel.cli.check.result import Finding, warning

_MASK: Final = "***"
_SECRETS: Final = ("api_key", "sampling_token")


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: Its name as an argument.
        value: What it is, with secrets masked; None where it is not set.
        origin: `argument`, a variable's name, or `default`.
    """

    name: str
    value: str | None
    origin: str


def settings_of(
    config: Config, arguments: Mapping[str, Any], environ: Mapping[str, str]
) -> list[Setting]:
    """Every setting, secrets masked.

    Args:
        config: What was resolved.
        arguments: What it was resolved from.
        environ: Likewise.
    """
    shown = []
    value: str | None
    for name in names():
        origin = config.origins[name]
        if name in _SECRETS:
            value = _masked(name, config)
            origin = config.origins[f"{name}_file"] if from_file(config.origins, name) else origin
        elif name.removesuffix("_file") in _SECRETS:
            # The config holds the secret, not the path.
            given = arguments.get(name) or environ.get(variable_of(name))
            value = None if origin == "default" else hide_keys(str(given).strip())
        elif name == "headers":
            value = ", ".join(f"{header}={_MASK}" for header in config.headers) or None
        else:
            value = _text(getattr(config, name))
        shown.append(Setting(name, value, origin))
    return shown


def names() -> list[str]:
    """The settings that have a variable, in the order of `Config`'s fields."""
    # What was looked for is what there is; these two are needed for a look.
    looked_for = Config.resolve({}, endpoint="http://localhost", api_key=f"lw_{'0' * 32}").origins
    places = {field.name: place for place, field in enumerate(fields(Config))}
    places |= {f"{name}_file": places[name] for name in _SECRETS}
    return sorted(looked_for, key=lambda name: (places[name], name))


def unknown_variables(environ: Mapping[str, str]) -> Finding | None:
    """LOGWELL_* variables that nobody reads: a misspelt one is silent otherwise."""
    known = [variable_of(name) for name in names()]
    strays = sorted(
        name for name in environ if name.upper().startswith("LOGWELL_") and name not in known
    )
    if not strays:
        return None
    return warning(
        f"{', '.join(strays)}: no setting has this name",
        " ".join(_meant(stray, known) for stray in strays),
    )


def mask_key(key: str) -> str:
    """A key by which people can tell it from another one: its last 4 characters."""
    return f"lw_{_MASK}{key[-4:]}"


def _masked(name: str, config: Config) -> str | None:
    if name == "api_key":
        return mask_key(config.api_key.reveal())
    return None if getattr(config, name) is None else _MASK


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={item}" for name, item in value.items()) or None
    if isinstance(value, tuple):
        return ", ".join(value) or None
    return str(value)


def _meant(stray: str, known: list[str]) -> str:
    near = difflib.get_close_matches(stray.upper(), known, n=1, cutoff=0.75)
    return f"Did you mean {near[0]} by {stray}?" if near else f"Nothing reads {stray}: unset it."
