"""Request logs for ASGI applications: FastAPI, Starlette, Django under ASGI and others.

Wrap the application:

    app.add_middleware(RequestLogMiddleware)         # FastAPI, Starlette
    application = RequestLogMiddleware(application)  # any ASGI application

Every HTTP request then becomes one log record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from logwell_otel._clock import monotonic_ns
from logwell_otel._encoding.exceptions import request_is_logged
from logwell_otel.integrations.request_log import (
    DEFAULT_EXCLUDE_PATHS,
    KEY,
    REQUEST_ID_HEADER,
    ContextName,
    RequestLog,
    RequestLogger,
    client_address,
    host_name,
    new_request_id,
    user_id,
)

if TYPE_CHECKING:
    import re
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from opentelemetry._logs import LoggerProvider

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class RequestLogMiddleware:
    """Emits one OpenTelemetry log record for every HTTP request; changes nothing else.

    What is logged inside of a request, or of a WebSocket's connection, carries its id.
    WebSockets, lifespan and excluded requests get no record of their own.

    Args:
        app: The ASGI application.
        logger_provider: Where records go. Default: the global one, also when it is set
            only later.
        exclude_paths: Requests left out. A string leaves out that path and those below it,
            a compiled pattern every path it finds a match in. Default: `/health`,
            `/healthz`, `/livez`, `/readyz`, `/metrics`.
        query: True adds the query string as `url.query`. Off by default: it is where
            tokens and personal data travel.
        trusted_proxies: How many proxies of your own stand in front; `client.address` is
            then what the outermost of them wrote into `X-Forwarded-For`. Default 0: the
            header is not believed.
        context: What records logged inside of a request carry of it: any of `request_id`,
            `method`, `route`, `user`. Default: `request_id`.
        request_id_header: The header that brings the request's id. Where there is none, or
            one that is no id, one is made.
        echo_request_id: True sends it back in that header.
        make_request_id: Makes one; by default 32 random hexadecimal digits.
        clock_ns: Monotonic time in nanoseconds.

    Raises:
        TypeError: `exclude_paths` holds something else.
        ValueError: `context` or `request_id_header` does.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        logger_provider: LoggerProvider | None = None,
        exclude_paths: Iterable[str | re.Pattern[str]] = DEFAULT_EXCLUDE_PATHS,
        query: bool = False,
        trusted_proxies: int = 0,
        context: Iterable[ContextName] = ("request_id",),
        request_id_header: str = REQUEST_ID_HEADER,
        echo_request_id: bool = False,
        make_request_id: Callable[[], str] = new_request_id,
        clock_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        self.app = app
        self._log = RequestLogger(
            logger_provider=logger_provider,
            exclude_paths=exclude_paths,
            context=context,
            request_id_header=request_id_header,
            echo_request_id=echo_request_id,
            make_request_id=make_request_id,
            clock_ns=clock_ns,
        )
        self._query = query
        self._trusted_proxies = trusted_proxies
        self._id_header = request_id_header.lower().encode()
        self._wanted = _WANTED | {self._id_header}

    @property
    def failures(self) -> int:
        """How many errors of this package were kept from the application."""
        return self._log.failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        request = (
            self._log.safely(self._begin, scope) if scope["type"] in ("http", "websocket") else None
        )
        if request is None:
            await self.app(scope, receive, send)
            return
        if self._log.id_header:
            send = self._echoing(request, send)
        with request.context:
            if request.logged:
                await self._logged(request, scope, receive, send)
                return
            try:
                await self.app(scope, receive, send)
            except BaseException as error:
                request.error = error
                raise
            finally:
                request.end()

    async def _logged(
        self, request: RequestLog, scope: Scope, receive: Receive, send: Send
    ) -> None:
        safely = self._log.safely

        async def receive_watched() -> Message:
            message = await receive()
            safely(_note_received, request, message)
            return message

        trailers = False

        async def send_watched(message: Message) -> None:
            nonlocal trailers
            trailers = safely(_note_sent, request, message, trailers) or False
            try:
                await send(message)
            except OSError:
                # Since ASGI 2.4 a server raises this when the client has gone.
                request.disconnected = True
                raise
            if request.complete:
                safely(request.note_end)

        around = request_is_logged.get()
        request_is_logged.set(True)
        try:
            await self.app(scope, receive_watched, send_watched)
        except BaseException as error:
            request.error = None if _means_disconnect(request, error) else error
            raise
        finally:
            request_is_logged.set(around)
            request.route = safely(_route, scope, request.route)
            request.end()

    def _echoing(self, request: RequestLog, send: Send) -> Send:
        async def send_with_id(message: Message) -> None:
            if message["type"] in _BEGINNINGS:
                header = (self._id_header, request.request_id.encode())
                message = self._log.safely(_with_header, message, header) or message
            await send(message)

        return send_with_id

    def _begin(self, scope: Scope) -> RequestLog | None:
        path: str = scope["path"]
        logged = scope["type"] == "http" and not self._log.excludes(path)
        known = scope.get(KEY)
        if known is not None and (known.logged or not logged):
            return None
        method: str = scope.get("method", "")
        headers = _headers(scope, self._wanted)
        request = self._log.begin(method, path, headers.get(self._id_header), known)
        scope[KEY] = request
        self._log.look(request, "route", _route, scope)
        self._log.look(request, "user", _user, scope)
        if not logged:
            request.logged = False
            return request
        peer, server = scope.get("client"), scope.get("server")
        host = headers.get(b"host", "")
        request.attributes = {
            "http.request.method": method,
            "url.path": path,
            "url.scheme": scope.get("scheme", "http"),
            "network.protocol.version": scope.get("http_version"),
            "client.address": client_address(
                peer[0] if peer else None,
                headers.get(b"x-forwarded-for"),
                self._trusted_proxies,
            ),
            "server.address": host_name(host) or (server[0] if server else None),
            "user_agent.original": headers.get(b"user-agent"),
        }
        if self._query and scope.get("query_string"):
            request.attributes["url.query"] = scope["query_string"].decode("latin-1")
        return request


_WANTED = frozenset({b"host", b"user-agent", b"x-forwarded-for"})
# What carries the headers of an answer.
_BEGINNINGS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


def _headers(scope: Scope, wanted: frozenset[bytes]) -> dict[bytes, str]:
    headers: dict[bytes, str] = {}
    for name, value in scope.get("headers", ()):
        if name in wanted:
            text = value.decode("latin-1")
            headers[name] = f"{headers[name]},{text}" if name in headers else text
    return headers


def _with_header(message: Message, header: tuple[bytes, bytes]) -> Message:
    headers = list(message.get("headers") or ())
    if not any(bytes(name).lower() == header[0] for name, _ in headers):
        headers.append(header)
    return {**message, "headers": headers}


def _note_received(request: RequestLog, message: Message) -> None:
    # After the complete response, http.disconnect is every request's normal end.
    if message["type"] == "http.disconnect" and not request.complete:
        request.disconnected = True


def _note_sent(request: RequestLog, message: Message, trailers: bool) -> bool:
    """Take from a message what the record needs; True while trailers will follow."""
    kind = message["type"]
    if kind == "http.response.start":
        request.status = int(message["status"])
        request.note_context()
        return bool(message.get("trailers"))
    if kind == "http.response.trailers":
        request.complete = not message.get("more_trailers", False)
    elif kind in ("http.response.body", "http.response.zerocopysend"):
        request.complete = not message.get("more_body", False) and not trailers
    elif kind == "http.response.pathsend":
        request.complete = not trailers
    return trailers


def _means_disconnect(request: RequestLog, error: BaseException) -> bool:
    """True if the exception only says what is known already: that the client has gone."""
    return request.disconnected and (
        isinstance(error, OSError) or type(error).__name__ in ("ClientDisconnect", "CancelledError")
    )


def _user(scope: Scope) -> str | None:
    """Who Starlette's AuthenticationMiddleware, or one like it, has found to be asking."""
    return user_id(scope.get("user"), ("identity", "display_name"))


def _route(scope: Scope, known: str | None = None) -> str | None:
    """The route's template, from what Starlette and FastAPI leave in the scope."""
    route = scope.get("route")
    # A mount has no endpoint: what it is mounted for has not told which route it took.
    if known is not None or not hasattr(route, "endpoint"):
        return known
    path = getattr(route, "path", None)
    # FastAPI (0.165, not yet 0.115) keeps an included router's prefix apart from the route.
    effective = (scope.get("fastapi") or {}).get("effective_route_context")
    if getattr(effective, "original_route", None) is route:
        path = getattr(effective, "path", path)
    if not isinstance(path, str):
        return None
    # A mounted application's routes begin below it; with a proxy that strips the prefix,
    # root_path is set as well but the path does not begin with it.
    root: str = scope.get("root_path", "").rstrip("/")
    return f"{root}{path}" if root and scope["path"].startswith(f"{root}/") else path
