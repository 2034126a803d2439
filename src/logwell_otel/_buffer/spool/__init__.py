"""The disk half of the outbox: entries that outlive the process. See `docs/spool.md`."""

from __future__ import annotations

from logwell_otel._buffer.spool.store import Spool

__all__ = ["Spool"]
