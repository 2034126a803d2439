"""The server's routes, and what it decides from path and headers alone."""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from . import answers
from .faults import control_routes
from .ingest import Ingest, cut, hang
from .rules import LEVELS, MAX_BODY_BYTES
from .session import own_origin, sent_origin
from .store import utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .faults import Faults
    from .journal import Journal
    from .page import Page
    from .store import Entry, Store

INGEST_PATH = "/v1/ingest"
_NOBODYS = ("localhost", "internal", "test")
"""RFC 6761; ICANN has set `.internal` aside. Docker's `host.docker.internal` is one of them."""

_GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
"""Headers of every answer: log text comes from anywhere, and a browser shows it."""

_VERSION = "1.1.3 (logwell-otel development server)"
_DEFAULT_LIMIT = 100
_MAX_LIMIT = 100_000
_SMALL_NUMBER = re.compile("[1-9][0-9]{0,5}")
_INDEX = """\
Logwell development server: for developing and testing, not for production.

GET  /                                  the page, in a browser
POST /v1/ingest                         takes entries (needs the key)
GET  /api/health                        health
GET  /api/logs?limit=&level=&search=    what was stored, newest first
"""


def create_app(
    ingest: Ingest,
    store: Store,
    session_routes: Sequence[Route],
    faults: Faults,
    journal: Journal,
    *,
    page: Page,
    host: str,
    with_control: bool,
) -> ASGIApp:
    """Puts the server together.

    Args:
        ingest: The ingest route.
        store: What `/api/logs` and the health check read.
        session_routes: What signed-in users read.
        faults: The switches.
        journal: Where requests are noted.
        page: What a browser shows.
        host: Name or address that it listens on.
        with_control: Whether `/_control` is there.
    """

    async def index(request: Request) -> Response:
        return page.index(request, _INDEX)

    routes = [
        Route("/", index, methods=["GET"]),
        Route(INGEST_PATH, ingest.post, methods=["POST"]),
        Route("/api/health", _HealthRoute(store, faults, journal).get, methods=["GET"]),
        Route("/api/logs", _LogsRoute(store).get, methods=["GET"]),
    ]
    routes += session_routes
    routes += page.routes()
    if with_control:
        routes += control_routes(faults, journal)
    app = Starlette(routes=routes)
    # The real server's redirect is our own business: see _FrontDoor.
    app.router.redirect_slashes = False
    return _FrontDoor(app, journal, host)


class _FrontDoor:
    """What the server decides from path and headers alone, on every path.

    A page that somebody looks at can send requests to this server from inside the browser, and
    read the answers once its own name resolves to this machine (DNS rebinding). Such requests
    name a foreign host, or come from a foreign origin.
    """

    def __init__(self, app: ASGIApp, journal: Journal, host: str) -> None:
        self._app = app
        self._journal = journal
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # Neither lifespan nor websockets: uvicorn is told to offer none.
        request = Request(scope)
        answer = self._foreign(request) or _decide(request)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _GUARDS.items():
                    headers.setdefault(name, value)
            await send(message)

        if answer is None:
            await self._app(scope, receive, guarded)
            return
        if request.method == "POST" and request.url.path == INGEST_PATH:
            port = 0 if request.client is None else request.client.port
            noted = self._journal.open(
                request.state.connection.number, port, _content_length(request), None
            )
            self._journal.finish(noted, "answered", answer.status_code, 0)
        await answer(scope, receive, guarded)

    def _foreign(self, request: Request) -> Response | None:
        """Answer what a browser sends for somebody else's page."""
        host = request.headers.get("host")
        if host is not None and not _is_own(_name_in(host), self._host):
            return answers.misdirected(host)
        for origin in request.headers.getlist("origin"):
            if origin != f"{request.url.scheme}://{host or ''}":
                return answers.foreign_origin(origin)
        # An image or a script of another site has no origin; a link that is followed may come.
        if (
            request.headers.get("sec-fetch-site") == "cross-site"
            and request.headers.get("sec-fetch-mode") != "navigate"
        ):
            return answers.foreign_origin("another site")
        return None


_HOST = re.compile(r"(?:\[(?P<address>[^\[\]]+)\]|(?P<name>[\w.-]+))(?::[0-9]{0,5})?", re.ASCII)
"""RFC 9110: nothing in front of the name and nothing but a port behind it."""


def _name_in(host: str) -> str | None:
    found = _HOST.fullmatch(host)
    return None if found is None else (found["address"] or found["name"]).lower().rstrip(".")


def _is_own(name: str | None, listens_on: str) -> bool:
    """Tell whether a host's name can be nobody else's: rebinding needs a name that somebody owns.

    That is an address, this machine's names, what the server was told to listen on, a name
    without a dot (containers call each other so), and top-level domains that nobody can have.
    """
    if not name:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        return True
    return (
        "." not in name
        or name.rpartition(".")[2] in _NOBODYS
        or name in (listens_on.lower(), socket.gethostname().lower())
    )


def _content_length(request: Request) -> int:
    # h11 has refused a request whose value is not a number.
    return int(request.headers.get("content-length", 0))


def _decide(request: Request) -> Response | None:
    if _content_length(request) > MAX_BODY_BYTES:
        return answers.too_large()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if (
        request.method in {"POST", "PUT", "PATCH", "DELETE"}
        and media_type in answers.FORM_TYPES
        and sent_origin(request) != own_origin(request)
    ):
        return answers.forbidden_form()
    path = request.url.path
    if path != "/" and path.endswith("/"):
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/{path.strip('/')}{query}", 308)
    return None


class _HealthRoute:
    """`GET /api/health`: 503 while the database is down, or the switch says so."""

    def __init__(self, store: Store, faults: Faults, journal: Journal) -> None:
        self._store = store
        self._faults = faults
        self._journal = journal
        self._started = time.monotonic()

    async def get(self, request: Request) -> Response:
        self._journal.note_health()
        state = self._faults.settings.health
        if state == "hang":
            await hang(request, self._faults)
            await cut(request)
            return Response()
        up = state == "up" and self._store.is_up()
        content: dict[str, Any] = {
            "status": "healthy" if up else "unhealthy",
            "database": "connected" if up else "disconnected",
            "timestamp": utc_now(),
            "uptime": int(time.monotonic() - self._started),
            "version": _VERSION,
        }
        if not up:
            content["error"] = "database unavailable"
        return answers.json_answer(
            content,
            200 if up else 503,
            {"Cache-Control": "no-cache, no-store, must-revalidate"},
        )


class _LogsRoute:
    """`GET /api/logs`: what was stored, newest first."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, request: Request) -> Response:
        query = request.query_params
        limit = query.get("limit") or str(_DEFAULT_LIMIT)
        if not (_SMALL_NUMBER.fullmatch(limit) and int(limit) <= _MAX_LIMIT):
            return answers.error(
                400, "validation_error", f"limit must be 1 to {_MAX_LIMIT}, got {limit}"
            )
        level = query.get("level") or None
        if level is not None and level not in LEVELS:
            return answers.error(
                400, "validation_error", f"level must be one of {', '.join(LEVELS)}, got {level}"
            )
        entries, total = self._store.newest(int(limit), level, query.get("search", "").split())
        return answers.json_answer({"logs": [_log(entry) for entry in entries], "total": total})


def _log(entry: Entry) -> dict[str, Any]:
    return {
        "level": entry.level,
        "message": entry.message,
        "timestamp": entry.timestamp,
        "serviceName": entry.service,
        "metadata": entry.metadata,
        "sourceFile": entry.source_file,
        "lineNumber": entry.line_number,
        "requestId": entry.request_id,
        "userId": entry.user_id,
        "ipAddress": entry.ip_address,
    }
