"""Request logs for WSGI applications: Flask, Django under WSGI and others.

app.wsgi_app = RequestLogMiddleware(app.wsgi_app)         # Flask
application = RequestLogMiddleware(get_wsgi_application())  # Django
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .client_address import client_address
from .request_log import DEFAULT_EXCLUDE_PATHS, KEY, RequestLog, RequestLogger
from .wsgi_response import Exchange, watch_file_wrapper

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable

    from opentelemetry._logs import LoggerProvider

    Environ = dict[str, Any]
    Write = Callable[[bytes], object]
    StartResponse = Callable[..., Write]
    WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]


class RequestLogMiddleware:
    """Emits one OpenTelemetry log record for every request; changes nothing else.

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
        clock_ns: Monotonic time in nanoseconds.
    """

    def __init__(
        self,
        app: WSGIApp,
        *,
        logger_provider: LoggerProvider | None = None,
        exclude_paths: Iterable[str | re.Pattern[str]] = DEFAULT_EXCLUDE_PATHS,
        query: bool = False,
        trusted_proxies: int = 0,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.app = app
        self._log = RequestLogger(
            logger_provider=logger_provider, exclude_paths=exclude_paths, clock_ns=clock_ns
        )
        self._query = query
        self._trusted_proxies = trusted_proxies

    @property
    def failures(self) -> int:
        """Errors in our own code that were kept from the application."""
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
            if exc_info is None:
                write = start_response(status, headers)
            else:
                write = start_response(status, headers, exc_info)

            def write_watched(data: bytes) -> object:
                exchange.body_begun = exchange.body_begun or bool(data)
                return write(data)

            return write_watched

        safely(watch_file_wrapper, environ, exchange)
        try:
            body = self.app(environ, start_watched)
        except BaseException as error:
            exchange.failed(error)
            exchange.end()
            raise
        return exchange.watched(body)

    def _begin(self, environ: Environ) -> RequestLog | None:
        path = _text(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")) or "/"
        if KEY in environ or self._log.excludes(path):
            return None
        method: str = environ["REQUEST_METHOD"]
        request = self._log.begin(method, path)
        host: str = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
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
            "server.address": name or None,
            "user_agent.original": environ.get("HTTP_USER_AGENT"),
            "request_id": environ.get("HTTP_X_REQUEST_ID") or None,
        }
        if self._query and environ.get("QUERY_STRING"):
            request.attributes["url.query"] = environ["QUERY_STRING"]
        environ[KEY] = request
        return request


def _note_start(
    request: RequestLog, environ: Environ, status: str, exc_info: tuple[Any, Any, Any] | None
) -> None:
    request.status = int(status[:3])
    # PEP 3333: an error page in place of the response; the exception ends here.
    request.error = exc_info[1] if exc_info else None
    request.note_context()
    # Werkzeug leaves its request here; Flask takes it away again when the request ends.
    rule = getattr(getattr(environ.get("werkzeug.request"), "url_rule", None), "rule", None)
    if isinstance(rule, str):
        request.route = _text(environ.get("SCRIPT_NAME", "")) + rule


def _text(latin1: str) -> str:
    """WSGI strings are bytes read as Latin-1 (PEP 3333); paths are UTF-8."""
    if latin1.isascii():
        return latin1
    return latin1.encode("latin-1", "replace").decode("utf-8", "replace")


def _version(protocol: str) -> str | None:
    return protocol.partition("/")[2] or None
