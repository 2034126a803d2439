"""One file of entries: its name, its format, and reading it when it may be damaged.

    logwell-spool 1
    {"level":"info",...}
    {"level":"error",...}

A line with the format's version, then one entry a line. The name tells what a
start after a crash must know without opening thousands of files:
`<created ms>-<sequence>-<entries>.ndjson`, and while it is still being filled
`<created ms>-<sequence>.open`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import msgspec

from logwell_otel._wire import MAX_REQUEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HEADER = b"logwell-spool 1\n"

MAX_BODY_BYTES = MAX_REQUEST_BYTES - 1
"""Entries and their line ends in one file. As a JSON array the same entries take one byte
more (two brackets, and a comma fewer than lines), so one file always fits one request."""

MAX_FILE_BYTES = len(HEADER) + MAX_BODY_BYTES
"""A larger file is not one of ours; it is never read into memory."""

Kind = Literal["open", "ndjson", "corrupt", "tmp"]

_NAME = re.compile(
    r"(?P<created>[0-9]{13,})-(?P<sequence>[0-9]{8,})(?:-(?P<entries>[0-9]{3,}))?"
    r"\.(?P<kind>open|ndjson|corrupt|tmp)"
)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Name(NamedTuple):
    """A file name, taken apart. Numbers are compared as numbers, never as text."""

    created_ms: int
    sequence: int
    kind: Kind
    entries: int = 0

    def __str__(self) -> str:
        entries = f"-{self.entries:03d}" if self.kind == "ndjson" else ""
        return f"{self.created_ms:013d}-{self.sequence:08d}{entries}.{self.kind}"

    @classmethod
    def parse(cls, name: str) -> Name | None:
        """Returns the parts of a file name, None if it is not one of a spool's."""
        match = _NAME.fullmatch(name)
        if match is None or (match["entries"] is None) is (match["kind"] == "ndjson"):
            return None
        kind = cast("Kind", match["kind"])
        return cls(int(match["created"]), int(match["sequence"]), kind, int(match["entries"] or 0))


@dataclass(eq=False)
class Segment:
    """One file in the hands of this process.

    Attributes:
        path: Where it lies.
        name: Its name's parts.
        born: When its first entry was stored, on this process' monotonic clock,
            so that a step of the wall clock neither reorders nor expires anything.
        entries: How many it holds.
        size: Its bytes.
        recovered: True if another process wrote it.
        rest: What is left of it after a part was settled, where that could not
            be written down; None while the file says it all.
        covers: Other files with entries of `rest`, which go when this one goes.
    """

    path: Path
    name: Name
    born: float
    entries: int
    size: int
    recovered: bool = False
    rest: list[bytes] | None = None
    covers: list[Path] = field(default_factory=list)

    def __lt__(self, other: Segment) -> bool:
        return (self.born, self.name.sequence) < (other.born, other.name.sequence)


@dataclass
class Content:
    """What reading a file gave.

    Attributes:
        known: False if the first line is not that of a format we know.
        entries: The whole entries, in order.
        bad: Lines that are none: half-written or corrupt.
    """

    known: bool
    entries: list[bytes] = field(default_factory=list)
    bad: list[bytes] = field(default_factory=list)


def encode(entries: Sequence[bytes]) -> bytes:
    """Returns entries as the lines of a file, without its first."""
    return b"\n".join(entries) + b"\n"


def parse(data: bytes) -> Content:
    """Takes a file apart. Never raises, whatever the bytes are."""
    if not data.startswith(HEADER):
        return Content(known=False)
    content = Content(known=True)
    for line in _lines(data):
        (content.entries if _is_entry(line) else content.bad).append(line)
    return content


def count(data: bytes) -> int:
    """Returns how many entries a file seems to hold, a half-written last one included."""
    return len(_lines(data))


def fitting(entries: Sequence[bytes], *, entries_free: int, bytes_free: int) -> int:
    """Returns how many of the first `entries` fit into what is free of a file."""
    taken = 0
    for entry in entries[: max(entries_free, 0)]:
        bytes_free -= len(entry) + 1
        if bytes_free < 0:
            break
        taken += 1
    return taken


def _lines(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")[1:]
    if lines and not lines[-1]:
        lines.pop()
    return lines


def _is_entry(line: bytes) -> bool:
    try:
        # msgspec skips over the values it is not asked to decode, and with
        # them over broken UTF-8; the server would refuse the request for it.
        str(line, "utf-8")
        _object.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
