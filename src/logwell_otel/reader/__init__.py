"""Reading what a Logwell server stored: search, tail, incidents, stats.

Logwell has no read interface for API keys. What its own pages use needs a user's session,
and that is what this package speaks, as carefully as it was measured to need.
"""

from logwell_otel.reader.aio import AsyncLogwellReader
from logwell_otel.reader.client import LogwellReader, ReaderOptions
from logwell_otel.reader.filters import Filters
from logwell_otel.reader.rows import (
    Incident,
    IncidentDetail,
    LogRow,
    Project,
    RequestCount,
    SourceCount,
    Stats,
)

__all__ = [
    "AsyncLogwellReader",
    "Filters",
    "Incident",
    "IncidentDetail",
    "LogRow",
    "LogwellReader",
    "Project",
    "ReaderOptions",
    "RequestCount",
    "SourceCount",
    "Stats",
]
