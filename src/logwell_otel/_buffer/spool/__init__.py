"""The disk half of the outbox: entries that outlive the process. See `docs/spool.md`."""

from __future__ import annotations

from logwell_otel._buffer.spool.counters import SpoolCounters
from logwell_otel._buffer.spool.disk import Disk
from logwell_otel._buffer.spool.errors import SpoolError, SpoolWriteError
from logwell_otel._buffer.spool.report import (
    InstanceReport,
    PoolReport,
    PurgeReport,
    list_spools,
    purge,
)
from logwell_otel._buffer.spool.store import DEFAULT_MAX_AGE, DEFAULT_MAX_BYTES, Spool
from logwell_otel._encoding.chunk import SpooledChunk

__all__ = [
    "DEFAULT_MAX_AGE",
    "DEFAULT_MAX_BYTES",
    "Disk",
    "InstanceReport",
    "PoolReport",
    "PurgeReport",
    "Spool",
    "SpoolCounters",
    "SpoolError",
    "SpoolWriteError",
    "SpooledChunk",
    "list_spools",
    "purge",
]
