"""A JSON parser without recursion, for text nested deeper than Python's own takes.

Slower than `json` and used only after it has given up.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = re.compile(
    r"[ \t\n\r]*(?:"
    r"(?P<mark>[\[\]{},:])"
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)"
    r'|(?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")'
    r"|(?P<word>true|false|null)"
    r"|(?P<end>\Z))"
)
_WORDS = {"true": True, "false": False, "null": None}


class _Builder:
    """Puts the containers together; `expects` names what may come next."""

    def __init__(self) -> None:
        self.root: Any = None
        self.expects = "value"
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str] = []

    def mark(self, mark: str) -> None:
        if mark in "[{" and self.expects.startswith("value"):
            container: dict[str, Any] | list[Any] = [] if mark == "[" else {}
            self._attach(container)
            self._open.append(container)
            self.expects = "value or ]" if mark == "[" else "key or }"
        elif mark == ":" and self.expects == ":":
            self.expects = "value"
        elif mark == "," and self.expects == ", or close":
            self.expects = "value" if isinstance(self._open[-1], list) else "key"
        elif mark in "]}" and self._may_close(mark):
            self._open.pop()
            self._after_value()
        else:
            raise ValueError(f"{self.expects} expected, got {mark}")

    def string(self, text: str) -> None:
        if self.expects.startswith("key"):
            self._keys.append(text)
            self.expects = ":"
        else:
            self.value(text)

    def value(self, value: Any) -> None:
        if not self.expects.startswith("value"):
            raise ValueError(f"{self.expects} expected, got a value")
        self._attach(value)
        self._after_value()

    def _may_close(self, mark: str) -> bool:
        if not self._open or (mark == "]") != isinstance(self._open[-1], list):
            return False
        return self.expects == ", or close" or self.expects.endswith(f" or {mark}")

    def _attach(self, value: Any) -> None:
        if not self._open:
            self.root = value
            return
        parent = self._open[-1]
        if isinstance(parent, list):
            parent.append(value)
        else:
            parent[self._keys.pop()] = value

    def _after_value(self) -> None:
        self.expects = ", or close" if self._open else "end"


def parse_deep(text: str, number: Callable[[str], int | float]) -> Any:
    """Parses JSON of any depth.

    Args:
        text: The whole document.
        number: Turns a number's text into its value.

    Raises:
        ValueError: The text is not JSON.
    """
    builder = _Builder()
    position = 0
    while True:
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"not JSON at character {position}")
        position = match.end()
        kind, token = match.lastgroup, match[match.lastgroup or 0]
        if kind == "mark":
            builder.mark(token)
        elif kind == "number":
            builder.value(number(token))
        elif kind == "string":
            builder.string(json.loads(token))
        elif kind == "word":
            builder.value(_WORDS[token])
        elif builder.expects == "end":
            return builder.root
        else:
            raise ValueError(f"{builder.expects} expected, the text ends")
