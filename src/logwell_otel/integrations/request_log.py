"""One HTTP request -> one OpenTelemetry log record: what ASGI and WSGI share.

Attribute names are those of the HTTP semantic conventions
(https://opentelemetry.io/docs/specs/semconv/http/).
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from uuid import uuid4

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.context import get_current

from logwell_otel._clock import monotonic_ns
from logwell_otel._encoding.exceptions import (
    exception_details,
    mark_recorded,
    mark_request,
    raised_at,
)
from logwell_otel.context import RequestContext, add_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.context import Context

_T = TypeVar("_T")

SCOPE = "logwell_otel.requests"
"""Name of the instrumentation scope the records carry."""

KEY = "logwell_otel.request_log"
"""Where the request's `RequestLog` stands in the ASGI scope or the WSGI environ. Who finds
one there leaves the logging to it: a request is logged once, however often it is wrapped."""

DURATION = "http.server.request.duration"
"""Seconds as a float, from the first call to the last byte handed to the server: name and
unit of the semantic conventions' metric of the same thing."""

REQUEST_ID_HEADER = "X-Request-ID"
"""Where proxies and clients put a request's id."""

DEFAULT_EXCLUDE_PATHS = ("/health", "/healthz", "/livez", "/readyz", "/metrics")
"""What load balancers, orchestrators and scrapers ask for all day."""

CLIENT_DISCONNECTED = "client_disconnected"
"""`error.type` of a request whose client went away before the response was complete."""

_MAX_TEXT = 2048  # characters kept of what a client may send in any length

ContextName = Literal["request_id", "method", "route", "user"]
"""What records that are logged inside of a request may carry of it."""

_CONTEXT: Final[dict[str, str]] = {
    "request_id": "request_id",
    "method": "http.request.method",
    "route": "http.route",
    "user": "user_id",
}

# Whoever calls may send one: it is shown, searched for and sent back.
_REQUEST_ID: Final = re.compile(r"[\w.:=+/@~-]{1,128}", re.ASCII)


def new_request_id() -> str:
    """A random id: 32 hexadecimal digits."""
    return uuid4().hex


class RequestLogger:
    """Settings and output of the request logs of one application.

    Args:
        logger_provider: Where records go. Default: the global one, also when it is set
            only later.
        exclude_paths: Requests left out: a string leaves out that path and those below it
            (`/health` leaves out `/health/live`, not `/healthy`), a compiled pattern every
            path it finds a match in (`re.Pattern.search`).
        context: What records logged inside of a request carry of it.
        request_id_header: The header that brings the request's id.
        echo_request_id: Whether the response has it too.
        make_request_id: Makes one where none came.
        clock_ns: Monotonic time in nanoseconds.

    Attributes:
        failures: Errors in our own code that were kept from the application.
        now_ns: The monotonic clock, in nanoseconds.
        id_header: The header of the request's id, as it is sent back; None if it is not.

    Raises:
        TypeError: `exclude_paths` holds something else.
        ValueError: `context` or `request_id_header` does.
    """

    def __init__(
        self,
        *,
        logger_provider: LoggerProvider | None = None,
        exclude_paths: Iterable[str | re.Pattern[str]] = DEFAULT_EXCLUDE_PATHS,
        context: Iterable[ContextName] = ("request_id",),
        request_id_header: str = REQUEST_ID_HEADER,
        echo_request_id: bool = False,
        make_request_id: Callable[[], str] = new_request_id,
        clock_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        self.failures: int = 0
        self.now_ns = clock_ns
        names = {context} if isinstance(context, str) else set(context)
        if not names <= _CONTEXT.keys():
            raise ValueError(f"context takes {', '.join(_CONTEXT)}, not {names - _CONTEXT.keys()}")
        if not re.fullmatch(r"[A-Za-z0-9-]+", request_id_header):
            raise ValueError(f"request_id_header is no name of a header: {request_id_header!r}")
        self.id_header: str | None = request_id_header if echo_request_id else None
        self._context = {name: key for name, key in _CONTEXT.items() if name in names}
        self._make_id = make_request_id
        self._logger = get_logger(SCOPE, logger_provider=logger_provider)
        prefixes: list[str] = []
        patterns: list[re.Pattern[str]] = []
        for path in (exclude_paths,) if isinstance(exclude_paths, str) else exclude_paths:
            if isinstance(path, re.Pattern):
                patterns.append(path)
            elif path and isinstance(path, str):
                prefixes.append(f"/{path.strip('/')}")
            else:
                raise TypeError(f"exclude_paths takes paths and compiled patterns, not {path!r}")
        self._prefixes = frozenset(prefixes)
        self._below = tuple(f"{prefix.rstrip('/')}/" for prefix in prefixes)
        self._patterns = tuple(patterns)

    def excludes(self, path: str) -> bool:
        """Tell whether requests for this path are not logged."""
        return (
            path in self._prefixes
            or path.startswith(self._below)
            or any(pattern.search(path) for pattern in self._patterns)
        )

    def begin(
        self, method: str, path: str, given_id: str | None, known: RequestLog | None = None
    ) -> RequestLog:
        """Begin the log of a request that has come in.

        Args:
            method: Its method.
            path: Its path.
            given_id: What came in the header for its id.
            known: What another middleware around this one has begun, and does not log.
        """
        if known is not None:
            request_id = known.request_id
        elif given_id and _REQUEST_ID.fullmatch(given_id):
            request_id = given_id
        else:
            made = self.safely(self._make_id)
            fits = isinstance(made, str) and _REQUEST_ID.fullmatch(made)
            request_id = made if made and fits else new_request_id()
        given = {"request_id": request_id, "method": method[:_MAX_TEXT]}
        context = RequestContext(
            {key: given[name] for name, key in self._context.items() if given.get(name)}
        )
        return RequestLog(self, method, path, request_id, context)

    def look(
        self, request: RequestLog, name: ContextName, place: Callable[..., str | None], *at: Any
    ) -> None:
        """Have records carry what a place will hold, if they are to.

        Args:
            request: Whose records.
            name: What is looked for.
            place: Returns it, None while it is not there.
            *at: Arguments for that.
        """
        if name in self._context:
            request.context.look(self._context[name], partial(self.safely, _cut, place, *at))

    def safely(self, step: Callable[..., _T], *arguments: Any) -> _T | None:
        """Do a step of ours; if it raises, count that and return None."""
        try:
            return step(*arguments)
        except Exception:  # noqa: BLE001 - the application must not notice that it is watched
            self.failures += 1
            return None

    def emit(self, record: LogRecord) -> None:
        """Add the log context to the record and send it on its way."""
        add_context(record)
        self._logger.emit(record)


class RequestLog:
    """One request, from its first byte to its record.

    Attributes:
        logger: The settings it was begun with.
        path: The path that was asked for.
        request_id: Its id.
        context: What records logged inside of it carry. To be entered around the application.
        logged: False for one that gets no record of its own.
        attributes: Attributes of the record by name. A None is left out of it.
        status: HTTP status that was sent, None until then.
        route: The route's template, `/orders/{id}`.
        error: The exception that nothing in the application has handled.
        disconnected: True once the client is known to have gone away.
        complete: True once the whole response has been handed over.
    """

    __slots__ = (
        "_context",
        "_ended_ns",
        "_method",
        "_started_ns",
        "_timestamp",
        "attributes",
        "complete",
        "context",
        "disconnected",
        "error",
        "logged",
        "logger",
        "path",
        "request_id",
        "route",
        "status",
    )

    def __init__(
        self,
        logger: RequestLogger,
        method: str,
        path: str,
        request_id: str,
        context: RequestContext,
    ) -> None:
        self.logger: RequestLogger = logger
        self.path: str = path
        self.request_id: str = request_id
        self.context: RequestContext = context
        self.logged: bool = True
        self.attributes: dict[str, str | None] = {}
        self.status: int | None = None
        self.route: str | None = None
        self.error: BaseException | None = None
        self.disconnected: bool = False
        self.complete: bool = False
        self._method = method
        self._started_ns = logger.now_ns()
        self._ended_ns: int | None = None
        self._timestamp: int | None = None
        self._context: Context | None = None
        self.note_context()

    def note_context(self) -> None:
        """Remember the active trace, unless one is known already.

        Called when the request comes in, which is right where the server span lies around
        us, and again when the response starts, which finds a span that an instrumentation
        inside the application has opened and will have closed by the end.
        """
        if self._context is None:
            context = get_current()
            if trace.get_current_span(context).get_span_context().is_valid:
                self._context = context

    def note_end(self) -> int:
        """Note that the last byte has been handed over; return the monotonic nanoseconds."""
        self._ended_ns = self.logger.now_ns()
        self._timestamp = time.time_ns()
        return self._ended_ns

    def end(self) -> None:
        """Emit the record, if there is to be one. Called inside of `context`."""
        if self.logged:
            self.logger.safely(self._emit)
        elif self.error is not None:
            self.logger.safely(mark_request, self.error, self.context.attributes)
        self.error = None
        self.context.end()

    def _emit(self) -> None:
        ended_ns = self.note_end() if self._ended_ns is None else self._ended_ns
        seconds = (ended_ns - self._started_ns) / 1e9
        # Let go of at once: its traceback holds our caller's frame, which holds this.
        error, self.error = self.error, None
        failure = error if isinstance(error, Exception) else None
        status = self.status
        if status is None and (failure or not (error or self.disconnected)):
            status = 500  # what a server answers when the application did not
        attributes: dict[str, Any] = {
            name: value[:_MAX_TEXT] for name, value in self.attributes.items() if value is not None
        }
        attributes["request_id"] = self.request_id
        attributes[DURATION] = round(seconds, 6)
        if status is not None:
            attributes["http.response.status_code"] = status
        if self.route:
            attributes["http.route"] = self.route
        ending = ""
        if self.disconnected:
            attributes["error.type"] = CLIENT_DISCONNECTED
            ending = " (client disconnected)"
        elif error and not failure:
            attributes["error.type"] = type(error).__name__
            ending = f" ({type(error).__name__})"
        if failure:
            attributes.update(exception_details(failure))
            attributes.update(raised_at(failure))
        number, text = _severity(status, failed=failure is not None)
        target = self.route or _one_line(self.path[:_MAX_TEXT])
        shown = "-" if status is None else status
        self.logger.emit(
            LogRecord(
                timestamp=self._timestamp,
                context=self._context,
                severity_number=number,
                severity_text=text,
                body=f"{self._method} {target} {shown} {seconds * 1000:.0f}ms{ending}",
                attributes=attributes,
            )
        )
        if failure:
            mark_recorded(failure)


def client_address(peer: str | None, forwarded_for: str | None, trusted_proxies: int) -> str | None:
    """Return the client's address, as far as it can be believed.

    Every proxy appends the address it was called from to `X-Forwarded-For`; what stands
    left of the entries of our own proxies was written by the client and may be anything.

    Args:
        peer: Address the connection came from.
        forwarded_for: Value of `X-Forwarded-For`; several headers joined by commas.
        trusted_proxies: How many proxies of one's own stand in front. 0 ignores the header.

    Returns:
        The entry the outermost of these proxies has written; `peer` where there are fewer
        entries than proxies, or where it is no IP address.
    """
    if trusted_proxies <= 0 or not forwarded_for:
        return peer
    entries = forwarded_for.split(",")
    if len(entries) < trusted_proxies:
        return peer
    return _address(entries[-trusted_proxies].strip()) or peer


def _cut(place: Callable[..., str | None], *at: Any) -> str | None:
    found = place(*at)
    return None if found is None else found[:_MAX_TEXT]


def user_id(user: Any, names: Iterable[str]) -> str | None:
    """Return what identifies a user, if it is one who has signed in.

    Args:
        user: A text, or an object with one of `names`.
        names: Attributes, the first that holds something counts.
    """
    if isinstance(user, str):
        return user
    if user is None or not getattr(user, "is_authenticated", True):
        return None
    for name in names:
        # `identity` of Starlette's SimpleUser raises.
        with suppress(NotImplementedError):
            value = getattr(user, name, None)
            if value is not None and value != "":
                return str(value)
    return None


def host_name(host: str) -> str:
    """Return the host of a `Host` header without its port: `example.org:80`, `[::1]:80`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _severity(status: int | None, *, failed: bool) -> tuple[SeverityNumber, str]:
    if failed or (status is not None and status >= 500):
        return SeverityNumber.ERROR, "ERROR"
    if status is None or status >= 400:
        return SeverityNumber.WARN, "WARN"
    return SeverityNumber.INFO, "INFO"


def _one_line(path: str) -> str:
    # A path arrives decoded: %0A in it must not begin a line of its own in anybody's log.
    return path if path.isprintable() else path.encode("unicode_escape").decode("ascii")


def _address(text: str) -> str | None:
    """An IP address without the port that some proxies write: `192.0.2.1:80`, `[::1]:80`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None
