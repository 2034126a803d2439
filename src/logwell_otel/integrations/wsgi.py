"""Request logs for WSGI applications: Flask, Django under WSGI and others.

Wrap the application:

    app.wsgi_app = RequestLogMiddleware(app.wsgi_app)           # Flask
    application = RequestLogMiddleware(get_wsgi_application())  # Django

Every HTTP request then becomes one log record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from logwell_otel._clock import monotonic_ns
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
)

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry._logs import LoggerProvider

    Environ = dict[str, Any]
    Write = Callable[[bytes], object]
    StartResponse = Callable[..., Write]
    WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]


class RequestLogMiddleware:
    """Emits one OpenTelemetry log record for every request; changes nothing else.

    What is logged inside of a request carries its id, also while the server takes the body.
    The record is emitted when the server closes the response, which is when a streamed
    one has ended. A file handed to the server's `wsgi.file_wrapper` stays the object it
    is, so that `sendfile` and its like keep working.

    Args:
        app: The WSGI application.
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
        app: WSGIApp,
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
        self._id_key = "HTTP_" + request_id_header.upper().replace("-", "_")

    @property
    def failures(self) -> int:
        """How many errors of this package were kept from the application."""
        return self._log.failures

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application."""
        request = self._log.safely(self._begin, environ)
        if request is None:
            return self.app(environ, start_response)
        return self._logged(request, environ, start_response)

    def _logged(
        self, request: RequestLog, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        safely = self._log.safely
        exchange = Exchange(request)

        def start_watched(status: str, headers: Any, exc_info: Any = None) -> Write:
            safely(_note_start, request, environ, status, exc_info)
            exchange.expected = safely(_content_length, headers)
            if header := self._log.id_header:
                headers = safely(_with_id, headers, header, request.request_id) or headers
            if exc_info is None:
                write = start_response(status, headers)
            else:
                write = start_response(status, headers, exc_info)

            def write_watched(data: bytes) -> object:
                exchange.body_begun = exchange.body_begun or bool(data)
                return write(data)

            return write_watched

        safely(_watch_file_wrapper, environ, exchange)
        with request.context:
            try:
                body = self.app(environ, start_watched)
            except BaseException as error:
                exchange.failed(error)
                exchange.end()
                raise
        return exchange.watched(body)

    def _begin(self, environ: Environ) -> RequestLog | None:
        path = _text(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")) or "/"
        logged = not self._log.excludes(path)
        known = environ.get(KEY)
        if known is not None and (known.logged or not logged):
            return None
        method: str = environ["REQUEST_METHOD"]
        request = self._log.begin(method, path, environ.get(self._id_key), known)
        request.logged = logged
        environ[KEY] = request
        self._log.look(request, "route", _note_route, request, environ)
        self._log.look(request, "user", environ.get, "REMOTE_USER")
        host: str = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
        request.attributes = {
            "http.request.method": method,
            "url.path": path,
            "url.scheme": environ.get("wsgi.url_scheme", "http"),
            "network.protocol.version": _version(environ.get("SERVER_PROTOCOL", "")),
            "client.address": client_address(
                environ.get("REMOTE_ADDR"),
                environ.get("HTTP_X_FORWARDED_FOR"),
                self._trusted_proxies,
            ),
            "server.address": host_name(host) or None,
            "user_agent.original": environ.get("HTTP_USER_AGENT"),
        }
        if self._query and environ.get("QUERY_STRING"):
            request.attributes["url.query"] = environ["QUERY_STRING"]
        return request


class Exchange:
    """One response on its way to the server (PEP 3333): ends once, whoever ends it.

    Attributes:
        request: The log of the request.
        body_begun: True once a byte of the body has gone, and with it the headers.
        exhausted: True once the server has taken all of the body.
        expected: Bytes of the body by its Content-Length, None where that is not known.
        taken: Bytes of the body that the server has taken.
        file_class: The server's `wsgi.file_wrapper` where it is a class.
        file: What the server's `wsgi.file_wrapper` made last, where it is a function.
    """

    __slots__ = (
        "_head_only",
        "_over",
        "body_begun",
        "exhausted",
        "expected",
        "file",
        "file_class",
        "request",
        "taken",
    )

    def __init__(self, request: RequestLog) -> None:
        self.request: RequestLog = request
        self.expected: int | None = None
        self.taken: int = 0
        self.file: object = None
        self.file_class: type | None = None
        self.body_begun: bool = False
        self.exhausted: bool = False
        self._over = False
        # Nobody need iterate over the body of an answer to HEAD.
        self._head_only = request.attributes["http.request.method"] == "HEAD"

    def is_file(self, body: object) -> bool:
        """True if the body was made by the server's own `wsgi.file_wrapper`."""
        if self.file_class is not None:
            return isinstance(body, self.file_class)
        return body is not None and body is self.file

    def failed(self, error: BaseException) -> None:
        """Note that the application raised instead of answering."""
        self.request.error = error
        if not self.body_begun:
            # Headers leave with the first bytes of the body (PEP 3333): whatever status
            # was set, nothing has been sent, and the server answers 500.
            self.request.status = None

    def watched(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Return the body for the server, its end watched."""
        if self.is_file(body):
            return _watched_file(body, self)
        return SizedBody(body, self) if hasattr(body, "__len__") else Body(body, self)

    def end(self) -> None:
        """Emit the record: the server is done with the response."""
        if self._over:
            return
        self._over = True
        request = self.request
        # A test client, as a client that has all it wants, does not ask whether there is more.
        whole = self.exhausted or (self.expected is not None and self.taken >= self.expected)
        if not whole and request.error is None and not self._head_only:
            request.disconnected = True
        request.end()


class Body:
    """The application's iterable, watched. `close()` is there for the server to call."""

    __slots__ = ("_body", "_exchange", "_iterator")

    def __init__(self, body: Iterable[bytes], exchange: Exchange) -> None:
        self._body = body
        self._exchange = exchange
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        exchange = self._exchange
        # Only while the application runs: the server's thread may serve others in between.
        with exchange.request.context:
            try:
                if self._iterator is None:
                    self._iterator = iter(self._body)
                data = next(self._iterator)
            except StopIteration:
                exchange.exhausted = True
                raise
            except BaseException as error:
                exchange.failed(error)
                raise
        if data:
            exchange.body_begun = True
            exchange.taken += len(data)
        return data

    def close(self) -> None:
        """Close the application's body; the response has ended."""
        with self._exchange.request.context:
            try:
                close = getattr(self._body, "close", None)
                if close is not None:
                    close()
            except BaseException as error:
                self._exchange.request.error = error
                raise
            finally:
                self._exchange.end()


class SizedBody(Body):
    """A body whose length is known: servers take their Content-Length from it."""

    __slots__ = ()
    _body: Any

    def __len__(self) -> int:
        return len(self._body)


def _note_start(
    request: RequestLog, environ: Environ, status: str, exc_info: tuple[Any, Any, Any] | None
) -> None:
    request.status = int(status[:3])
    # PEP 3333: an error page in place of the response; the exception ends here.
    request.error = exc_info[1] if exc_info else None
    request.note_context()
    _note_route(request, environ)


def _note_route(request: RequestLog, environ: Environ) -> str | None:
    # Werkzeug leaves its request here; Flask takes it away again when the request ends.
    rule = getattr(getattr(environ.get("werkzeug.request"), "url_rule", None), "rule", None)
    if isinstance(rule, str):
        request.route = _text(environ.get("SCRIPT_NAME", "")) + rule
    return request.route


def _with_id(headers: list[tuple[str, str]], name: str, value: str) -> list[tuple[str, str]]:
    if any(known.lower() == name.lower() for known, _ in headers):
        return headers
    return [*headers, (name, value)]


def _content_length(headers: list[tuple[str, str]]) -> int | None:
    for name, value in headers:
        if name.lower() == "content-length":
            return int(value)
    return None


def _text(latin1: str) -> str:
    """WSGI strings are bytes read as Latin-1 (PEP 3333); paths are UTF-8."""
    if latin1.isascii():
        return latin1
    return latin1.encode("latin-1", "replace").decode("utf-8", "replace")


def _version(protocol: str) -> str | None:
    return protocol.partition("/")[2] or None


def _watch_file_wrapper(environ: dict[str, Any], exchange: Exchange) -> None:
    """Learn which objects are the server's files: by class, or by watching the function."""
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type):
        exchange.file_class = wrapper
    elif wrapper is not None:  # uWSGI

        def wrapper_watched(*arguments: Any) -> Any:
            exchange.file = wrapper(*arguments)
            return exchange.file

        environ["wsgi.file_wrapper"] = wrapper_watched


def _watched_file(body: Any, exchange: Exchange) -> Iterable[bytes]:
    """The very same object, with its `close` watched where it lets itself be."""
    exchange.exhausted = True  # the server reads it in its own way
    close = getattr(body, "close", None)

    def close_watched() -> None:
        with exchange.request.context:
            try:
                if close is not None:
                    close()
            finally:
                exchange.end()

    try:
        body.close = close_watched
    except (AttributeError, TypeError):
        with exchange.request.context:
            exchange.end()  # an object of the server's own: timed to here
    watched: Iterable[bytes] = body
    return watched
