"""Entries on the terminal, one line each and continuation lines for longer messages.

Log text comes from anywhere: everything that a terminal would act on (escape sequences, C1
controls, bidirectional overrides, line separators) is shown as an escape.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .entry import Entry

_RESET = "\x1b[0m"
_DIM = "\x1b[2m"
_COLOURS = {
    "debug": "\x1b[36m",
    "info": "\x1b[32m",
    "warn": "\x1b[33m",
    "error": "\x1b[31m",
    "fatal": "\x1b[1;31m",
}
_MAX_MESSAGE = 4_000
_MAX_FIELD = 200
_MAX_METADATA = 160
_CONTINUATION = "    | "
"""In front of a message's further lines, so that none can pass for an entry of its own."""


def escape(text: str) -> str:
    """Text with everything unprintable written out, as in a Python string literal.

    `str.isprintable` is False for controls, format characters (bidirectional overrides
    among them), surrogates, unassigned characters and all separators but the space.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to colour: on a terminal, unless `NO_COLOR` is set (https://no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


class Terminal:
    """Prints entries.

    Args:
        stream: Where to. When it goes away (`| head`), printing ends and the receiver goes on.
        colour: Whether to colour; None to find out.
    """

    def __init__(self, stream: TextIO, *, colour: bool | None = None) -> None:
        self._stream = stream
        self._colour = wants_colour(stream, os.environ) if colour is None else colour
        self._open = True

    def say(self, text: str) -> None:
        """Prints a line of the receiver's own."""
        self._write([text])

    def show(self, entries: Sequence[Entry]) -> None:
        """Prints entries."""
        self._write(line for entry in entries for line in self._lines(entry))

    def _write(self, lines: Iterable[str]) -> None:
        if not self._open:
            return
        try:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
        except (OSError, ValueError):
            # The reader has gone. Nothing to tell and nobody to tell it to: entries are
            # stored all the same, and GET /api/logs has them.
            self._open = False

    def _lines(self, entry: Entry) -> list[str]:
        first, *further = _message_lines(entry.message)
        metadata = entry.metadata if isinstance(entry.metadata, dict) else {}
        details = []
        if entry.source_file is not None:
            line = "" if entry.line_number is None else f":{entry.line_number}"
            details.append(f"{_short(entry.source_file, _MAX_FIELD)}{line}")
        if isinstance(metadata.get("trace_id"), str):
            details.append(f"trace={_short(metadata['trace_id'], _MAX_FIELD)}")
        shown = _short_metadata(entry.metadata)
        if shown:
            details.append(shown)
        head = [
            self._paint(_DIM, entry.timestamp.replace("T", " ")),
            self._paint(_COLOURS[entry.level], f"{entry.level.upper():5}"),
            _short(entry.service or "-", _MAX_FIELD),
            first,
        ]
        if details:
            head.append(self._paint(_DIM, "  ".join(details)))
        return ["  ".join(head), *(f"{_CONTINUATION}{line}" for line in further)]

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colour else text


def _message_lines(message: str) -> list[str]:
    """The message's lines, escaped; long ones cut."""
    cut = len(message) - _MAX_MESSAGE
    if cut > 0:
        message = f"{message[:_MAX_MESSAGE]}… ({cut} more characters)"
    return [escape(line) for line in message.replace("\r\n", "\n").rstrip("\n").split("\n")]


def _short(text: str, limit: int) -> str:
    escaped = escape(text[: limit + 1])
    return escaped if len(escaped) <= limit else f"{escaped[: limit - 1]}…"


def _short_metadata(metadata: Any) -> str:
    if not isinstance(metadata, dict):
        return "" if metadata is None else _short(_compact(metadata), _MAX_METADATA)
    pairs = (
        f"{key}={value if isinstance(value, str) else _compact(value)}"
        for key, value in metadata.items()
        if key != "trace_id"
    )
    return _short(" ".join(pairs), _MAX_METADATA)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
