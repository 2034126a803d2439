"""The server's contract in code: what an entry is, what an answer is, and the limits.

Measured on Logwell 1.1.3; the recorded requests and answers stand in
`tests/contract/ingest_vectors.json`.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

Level = Literal["debug", "info", "warn", "error", "fatal"]

MAX_ENTRIES = 100
"""Entries a request; one more is answered 400 `batch_too_large`."""

MAX_REQUEST_BYTES = 500_000
"""What we put into one request at most; the server's own limit is 524,288 bytes (413)."""

MAX_ENTRY_BYTES = 128 * 1024
"""What we put into one entry at most: far below the 1 MiB of distinct words that the
server's search index takes, and small enough that a long entry does not crowd out others."""

MAX_SERVICE_BYTES = 1024
"""The server's index fails (500) for a service name over about 2,600 bytes."""

MAX_LINE_NUMBER = 2**31 - 1
"""The column is a PostgreSQL integer; a larger number fails the whole batch (500)."""

MAX_SAFE_INTEGER = 2**53
"""Integers beyond this are rounded silently: the server reads JSON numbers as doubles."""


JS_BLANK = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What JavaScript's `String.prototype.trim` and `\\s` take for blank (ECMA-262, WhiteSpace and
LineTerminator): the server refuses a message that has nothing else. Python's differ."""


class LogEntry(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True, gc=False):
    """One log entry as Logwell takes it, and as `before_send` is given it.

    `before_send` may set any of these, or return another entry, made by keywords. Entries become
    objects only where it, sampling or redaction is switched on: that costs some microseconds
    each. Field names are Python's; on the wire they are `level`, `message`, `timestamp`,
    `service`, `metadata`, `sourceFile`, `lineNumber`. `level` comes first on the wire,
    which lets delivery tell errors from the rest without decoding.

    Attributes:
        level: `debug`, `info`, `warn`, `error` or `fatal`.
        message: Not blank.
        timestamp: ISO 8601 in UTC with `Z`; the server keeps milliseconds.
        service: The server's filter column, at most 1,024 bytes.
        metadata: Plain JSON values by name.
        source_file: Path of the file the record was logged from.
        line_number: 1 to 2,147,483,647.
    """

    level: Level
    message: str
    timestamp: str | None = None
    service: str | None = None
    source_file: str | None = None
    line_number: int | None = None
    metadata: dict[str, Any] = {}


class IngestResponse(msgspec.Struct):
    """The server's answer to a request it has read: 200 does not mean stored.

    Attributes:
        accepted: Entries stored.
        rejected: Entries refused one by one, for good.
        errors: One text for each refused entry, `Entry at index 3: …`.
    """

    accepted: int
    rejected: int = 0
    errors: list[str] = []


LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warn", "error", "fatal")
"""Least severe first."""


GROUPED_LEVELS: Final = frozenset({"error", "fatal"})


RATE_ATTRIBUTE: Final = "sampling.rate"
"""The attribute of every kept record: it stands for `1 / rate` records."""

TEMPLATE_ATTRIBUTE: Final = "log.body.template"
"""The attribute of a message's template, `order %s placed`. OpenTelemetry's conventions have no
name for it yet; this is the one of its instrumentation for Java
(https://github.com/open-telemetry/opentelemetry-java-instrumentation/pull/15423)."""
