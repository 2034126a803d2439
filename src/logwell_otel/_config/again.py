"""Settings that are given again: are they those that are in use?

A cell of a notebook that is run again, or a module that is loaded again, gives the same
settings made anew: functions and objects that do the same and are others.
"""

from __future__ import annotations

from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._config.secrets import Credential

if TYPE_CHECKING:
    from collections.abc import Iterable

    from logwell_otel._config.options import Config

_KEEPS_BACK: Final = frozenset(
    {"redact", "redact_keys", "redact_allow", "redact_also", "before_send", "sampling"}
)
"""Given in vain, something leaves the process that was to stay."""

# The server and the key are the same, or this would be another pipeline; the others count in
# every call.
_NOT_COMPARED: Final = frozenset(
    {
        *("endpoint", "api_key", "api_key_file", "sampling_token_file"),
        *("level", "root_level", "disabled", "send_in_tests"),
    }
)
_DEEPEST: Final = 4


def differing(given: Iterable[str], now: Config, in_use: Config) -> list[str]:
    """Those of the settings given that are not what is in use."""
    return [
        name
        for name in given
        if name not in _NOT_COMPARED
        and not is_same(getattr(now, name, None), getattr(in_use, name, None))
    ]


def keeps_back(names: Iterable[str]) -> bool:
    """Whether one of these settings keeps something back."""
    return not _KEEPS_BACK.isdisjoint(names)


def is_same(one: Any, other: Any, depth: int = 0) -> bool:
    """Whether two values do the same, as far as can be seen without running them.

    A function is the same when it has the same name and the same code, whatever its lines,
    and the same defaults and variables around it. An object of ours is when it was made of
    the same arguments (`_made_of`). Anything else must be equal.
    """
    if one is other:
        return True
    if depth > _DEEPEST or type(one) is not type(other):
        return False
    deeper = depth + 1
    if isinstance(one, FunctionType):
        return (
            (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)
            and _without_lines(one.__code__) == _without_lines(other.__code__)
            and is_same(one.__defaults__, other.__defaults__, deeper)
            and is_same(one.__kwdefaults__, other.__kwdefaults__, deeper)
            and is_same(_around(one), _around(other), deeper)
        )
    if isinstance(one, (tuple, list)):
        if len(one) != len(other):
            return False
        return all(is_same(*pair, deeper) for pair in zip(one, other, strict=True))
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return False
        return all(is_same(one[key], other[key], deeper) for key in one)
    if isinstance(one, Credential):
        return bool(one.reveal() == other.reveal())
    try:
        made_of: Any = getattr(one, "_made_of", None)
        if made_of is not None:
            return is_same(made_of, getattr(other, "_made_of", None), deeper)
        return bool(one == other)
    except Exception:  # noqa: BLE001 - an object of the program's: it is not known to be the same
        return False


def _around(function: FunctionType) -> list[Any]:
    """The values of the variables around a function that it uses."""
    values: list[Any] = []
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # not set yet
            values.append(None)
    return values


def _without_lines(code: CodeType) -> CodeType:
    """Code that is equal wherever it stands."""
    constants = tuple(
        _without_lines(constant) if isinstance(constant, CodeType) else constant
        for constant in code.co_consts
    )
    return code.replace(co_firstlineno=1, co_filename="", co_linetable=b"", co_consts=constants)
