"""A development server that answers as Logwell does: for developing and testing without one.

Answers `POST /v1/ingest` and `GET /api/health` as Logwell 1.1.3 was measured to do, stores
in SQLite, prints what arrives, and misbehaves on request. Not for production. Needs the
extra `devserver`.

Tests hold the exporter to what this server says, so nothing here imports anything else of
this package: what both have wrong would be right in every test.
"""

try:
    import starlette as _starlette  # noqa: F401 - looked for here to say what is missing
    import uvicorn as _uvicorn  # noqa: F401
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "the development server needs starlette and uvicorn: pip install 'logwell-otel[devserver]'",
        name=_error.name,
    ) from _error

from .command import serve
from .faults import FaultOutcome, Faults, FaultSettings
from .journal import IngestRequest, JournalPage, RequestCounts
from .process import DevServerProcess
from .server import DevServer
from .store import Entry, StoreError

__all__ = [
    "DevServer",
    "DevServerProcess",
    "Entry",
    "FaultOutcome",
    "FaultSettings",
    "Faults",
    "IngestRequest",
    "JournalPage",
    "RequestCounts",
    "StoreError",
    "serve",
]
