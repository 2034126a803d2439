"""The page that a browser shows at `/`: its files, its live stream, its switches.

It needs no sign-in, as nothing of this server does. What keeps other people's pages away is that
it can be reached from its own origin only.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import sqlite3
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from . import answers
from .faults import faults_routes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request

    from .faults import Faults
    from .ingest import RateLimit
    from .journal import Journal
    from .store import Store, StoredEntry

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Only what this server gives, and no text as HTML: with trusted types a browser refuses it."""

_FILES = {
    "/page/page.css": ("page.css", "text/css"),
    "/page/page.js": ("page.js", "text/javascript"),
}
_HEADERS = {"Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}

_HISTORY = 5_000
"""Entries that a page begins with, and the most that it gets of what it has missed."""

_EVENT_ROWS = 500
_EVENT_CHARACTERS = 1_000_000
_GATHER_SECONDS = 0.1
"""Entries that come within this time are one event: a browser draws no more often."""

_STATE_SECONDS = 1.0
_FOUND = 2_000
_PLACE = re.compile(r"([A-Za-z0-9_-]{8})-([0-9]{1,18})")
_COLUMNS = (
    "id, level, message, timestamp, service, metadata, source_file, line_number, "
    "request_id, user_id, ip_address"
)


class _PageRow(msgspec.Struct, omit_defaults=True, rename="camel"):
    """An entry as the page gets it."""

    id: int
    level: str
    message: str
    timestamp: str
    service_name: str | None = None
    metadata: msgspec.Raw | None = None
    source_file: str | None = None
    line_number: int | None = None
    request_id: str | None = None
    user_id: str | None = None
    ip_address: str | None = None


class Page:
    """The page's routes.

    Args:
        store: The entries.
        faults: The switches.
        journal: Counts requests.
        limit: The rate limit, None for no limit.
        switchable: Whether the page may set the switches.
    """

    def __init__(
        self,
        store: Store,
        faults: Faults,
        journal: Journal,
        limit: RateLimit | None,
        *,
        switchable: bool,
    ) -> None:
        self._store = store
        self._faults = faults
        self._journal = journal
        self._limit = limit
        self._switchable = switchable
        self._run = secrets.token_urlsafe(6)
        """Tells entries of this server from those that another had under the same numbers."""
        self._streams: set[_Signal] = set()
        store.listeners.append(self._stored)

    def routes(self) -> list[Route]:
        """All of them."""
        routes = [Route(path, self._file, methods=["GET"]) for path in _FILES]
        routes.append(Route("/page/stream", self._stream, methods=["GET"]))
        routes.append(Route("/page/entries", self._entries, methods=["GET"]))
        if self._switchable:
            routes += faults_routes("/page/faults", self._faults)
        return routes

    def index(self, request: Request, text: str) -> Response:
        """What stands at `/`: the page for a browser, a text for everything else."""
        if "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse(text)
        return Response(_read("index.html"), media_type="text/html", headers=_HEADERS)

    def end_streams(self) -> None:
        """End all streams, so that the server need not wait for them; from any thread."""
        for signal in list(self._streams):
            signal.end()

    def _stored(self, _: list[StoredEntry]) -> None:
        for signal in list(self._streams):
            signal.wake()

    async def _file(self, request: Request) -> Response:
        name, media_type = _FILES[request.url.path]
        return Response(_read(name), media_type=media_type, headers=_HEADERS)

    async def _stream(self, request: Request) -> Response:
        place = request.headers.get("last-event-id") or request.query_params.get("after") or ""
        return StreamingResponse(
            self._events(place),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    async def _events(self, place: str) -> AsyncIterator[bytes]:
        """The state whenever it has changed, and entries from a place on, as they come.

        They are read from the store and not queued here: a slow browser costs no memory.
        """
        signal = _Signal(asyncio.get_running_loop())
        self._streams.add(signal)
        try:
            last, skipped = self._begin(place)
            yield _event("begin", {"run": self._run, "after": last, "skipped": skipped})
            told: dict[str, Any] | None = None
            while not signal.ended:
                signal.woken.clear()
                state = self._state()
                if state != told:
                    told = state
                    yield _event("state", state)
                rows = self._after(last)
                if rows:
                    last = rows[-1].id
                    yield _event("entries", rows, f"{self._run}-{last}")
                    await asyncio.sleep(0 if len(rows) == _EVENT_ROWS else _GATHER_SECONDS)
                else:
                    await signal.wait(_STATE_SECONDS)
        except sqlite3.Error:
            return  # Closed meanwhile: the browser connects again, or finds nobody.
        finally:
            self._streams.discard(signal)

    def _begin(self, place: str) -> tuple[int, int]:
        """After which entry a stream begins, and how many it leaves out that were wanted."""
        ((newest,),) = self._store.query("SELECT coalesce(max(id), 0) FROM log")
        start = max(0, newest - _HISTORY)
        match = _PLACE.fullmatch(place)
        if match is None or match[1] != self._run:
            return start, 0
        wanted = min(int(match[2]), newest)
        return max(start, wanted), max(0, start - wanted)

    def _after(self, last: int) -> list[_PageRow]:
        rows, size = [], 0
        for row in self._select("id > ? ORDER BY id", [last], _EVENT_ROWS):
            size += len(row.message) + len(bytes(row.metadata or b""))
            rows.append(row)
            if size > _EVENT_CHARACTERS:
                break
        return rows

    def _select(self, where: str, values: Sequence[Any], limit: int) -> list[_PageRow]:
        statement = f"SELECT {_COLUMNS} FROM log WHERE {where} LIMIT ?"  # noqa: S608 - bound
        return [_row(row) for row in self._store.query(statement, [*values, limit])]

    async def _entries(self, request: Request) -> Response:
        """All entries of a trace or of a request, the oldest first."""
        query = request.query_params
        trace, request_id = query.get("trace"), query.get("request")
        if (trace is None) == (request_id is None):
            return answers.error(400, "validation_error", "give trace or request")
        if trace is not None:
            # Most rows are passed over by their text alone, which is much quicker.
            where = "instr(metadata, ?) AND json_extract(metadata, '$.trace_id') = ?"
            values = [trace, trace]
        else:
            where, values = "request_id = ?", [request_id or ""]
        try:
            rows = self._select(f"{where} ORDER BY timestamp, id", values, _FOUND)
        except (sqlite3.Error, UnicodeEncodeError):
            return answers.server_error(request.headers.get("accept"))
        return Response(
            msgspec.json.encode(rows),
            media_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    def _state(self) -> dict[str, Any]:
        counts = self._journal.counts()
        return {
            "stored": counts.stored,
            "byStatus": counts.by_status,
            "unanswered": counts.unanswered,
            "refused": self._journal.refusals(),
            "limit": self._limit and self._limit.requests_per_minute,
            "left": self._limit and int(self._limit.left),
            "kept": self._store.count(),
            "switchable": self._switchable,
            "faults": self._faults.settings,
        }


class _Signal:
    """Wakes one stream, from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.woken = asyncio.Event()
        self.ended = False

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self.woken.set)

    def end(self) -> None:
        self.ended = True
        self.wake()

    async def wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.woken.wait(), seconds)
        except asyncio.TimeoutError:
            return


def _row(values: tuple[Any, ...]) -> _PageRow:
    row = _PageRow(*values)
    if row.metadata is not None:
        row.metadata = msgspec.Raw(values[5].encode("utf-8", "replace"))
    return row


def _event(name: str, data: Any, place: str | None = None) -> bytes:
    head = f"event: {name}\n" + (f"id: {place}\n" if place else "")
    return head.encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"


def _read(name: str) -> bytes:
    return resources.files(__package__).joinpath("page", name).read_bytes()
