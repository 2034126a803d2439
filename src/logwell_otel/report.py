"""Errors that name the entries they are about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from logwell_otel.errors import LogwellError, LogwellErrorCode
from logwell_otel.outcome import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel.chunk import Chunk
    from logwell_otel.wire import IngestResponse

_INDEX: Final = re.compile(r"Entry at index ([0-9]{1,9}): ?(.*)", re.DOTALL)
_MAX_NAMED: Final = 5
_MAX_QUOTED: Final = 120


class _Named(msgspec.Struct):
    level: str = "?"
    message: str = "?"


_NAMED: Final = msgspec.json.Decoder(_Named)


def refusals(chunk: Chunk, response: IngestResponse, mask: Callable[[str], str]) -> LogwellError:
    """Entries refused one by one in a 200."""
    entries = chunk.entries()
    named: list[str] = []
    for text in response.errors[:_MAX_NAMED]:
        match = _INDEX.fullmatch(text)
        if match and int(match[1]) < len(entries):
            entry = name(entries[int(match[1])], mask)
            named.append(f"{entry} ({quoted(match[2], mask)})")
        else:
            named.append(quoted(text, mask))
    more = response.rejected - len(named)
    if more > 0:
        named.append(f"and {more} more")
    return LogwellError(
        f"The server refused {response.rejected} of {chunk.count} entries, which are not sent "
        f"again: {'; '.join(named)}.",
        LogwellErrorCode.VALIDATION_ERROR,
        status_code=200,
    )


def poison(chunk: Chunk, mask: Callable[[str], str]) -> LogwellError:
    """An entry that makes every request with it fail."""
    return LogwellError(
        "One entry was dropped: every request with it was answered 500 while others were "
        f"accepted. It is {name(chunk.entries()[0], mask)}. Please report it: entries are made so "
        "that the server can store them.",
        LogwellErrorCode.VALIDATION_ERROR,
        status_code=500,
    )


def invalid(chunk: Chunk, cause: LogwellError, mask: Callable[[str], str]) -> LogwellError:
    """An entry that the server does not take even alone."""
    return LogwellError(
        f"One entry was refused and is not sent again: {name(chunk.entries()[0], mask)}. "
        f"{cause.message}",
        LogwellErrorCode.VALIDATION_ERROR,
        status_code=cause.status_code,
    )


def name(entry: bytes, mask: Callable[[str], str]) -> str:
    """Level and the beginning of the message, for people."""
    try:
        fields = _NAMED.decode(entry)
    except msgspec.MsgspecError:
        return "an entry that cannot be read"
    message = quoted(fields.message, mask)
    if len(message) > _MAX_QUOTED:
        message = message[: _MAX_QUOTED - 1] + "…"
    return f"{fields.level} {message!r}"
