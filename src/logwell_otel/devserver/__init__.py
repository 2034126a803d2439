"""A stand-in for a Logwell server: for developing and testing without one.

Answers `POST /v1/ingest` and `GET /api/health` as Logwell 1.1.3 was measured to do, stores
in SQLite, prints what arrives, and misbehaves on request. Not for production. Needs the
extra `devserver`.
"""

try:
    import starlette as _starlette  # noqa: F401 - looked for here to say what is missing
    import uvicorn as _uvicorn  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the development receiver needs starlette and uvicorn: "
        "pip install 'logwell-otel[devserver]'",
        name=error.name,
    ) from error

from .entry import Entry
from .faults import Faults, FaultSettings, Outcome
from .journal import Counts, IngestRequest, JournalPage
from .process import DevServerProcess
from .receiver import DevServer
from .server import add_arguments, run, serve
from .store import StoreError

__all__ = [
    "Counts",
    "DevServer",
    "DevServerProcess",
    "Entry",
    "FaultSettings",
    "Faults",
    "IngestRequest",
    "JournalPage",
    "Outcome",
    "StoreError",
    "add_arguments",
    "run",
    "serve",
]
