"""A stored entry."""

from __future__ import annotations

from typing import Any

import msgspec


class Entry(msgspec.Struct, frozen=True):
    """One entry as the server stores it.

    Attributes:
        level: `debug`, `info`, `warn`, `error` or `fatal`.
        message: As sent, lone surrogates replaced.
        timestamp: ISO 8601 in UTC with milliseconds and `Z`.
        service: The filter column, None where neither the entry nor its metadata name one.
        metadata: Parsed JSON, an object or an array; None where there was nothing.
        source_file: As sent.
        line_number: 1 to 2,147,483,647.
        request_id: From metadata.
        user_id: From metadata.
        ip_address: From metadata.
    """

    level: str
    message: str
    timestamp: str
    service: str | None = None
    metadata: Any = None
    source_file: str | None = None
    line_number: int | None = None
    request_id: str | None = None
    user_id: str | None = None
    ip_address: str | None = None
