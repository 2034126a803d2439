"""One request, one answer: the only module that knows how HTTP is spoken.

It stands on httpcore, which is imported by the first request: a program that logs nothing
does not pay for it.
"""

from __future__ import annotations

import codecs
import errno
import logging
import platform
import socket
import sys
import zlib
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol
from urllib.parse import quote, unquote, urlsplit

from opentelemetry import context as otel_context
from opentelemetry.sdk.version import __version__ as sdk_version

from logwell_otel._clock import monotonic
from logwell_otel._network import Backend, Deadline, TlsFiles, TlsSettings
from logwell_otel._otel import SUPPRESS_INSTRUMENTATION
from logwell_otel._process import not_forking, stands_in_the_way
from logwell_otel._version import __version__

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    import httpcore

USER_AGENT: Final = (
    f"logwell-otel/{__version__} opentelemetry-sdk/{sdk_version} python/{platform.python_version()}"
)

# The server closes idle connections after 10 to 12 s without notice; one that we close
# before cannot break under a request.
_KEEPALIVE_SECONDS: Final = 8.0
_MAX_ANSWER_BYTES: Final = 256 * 1024
_MOST_CAUSES: Final = 6
_PORTS: Final = {"http": 80, "https": 443}
_PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
# What a path and a query may have in them as they are: RFC 3986, and what is quoted already.
_SAFE: Final = "!#$%&'()*+,/:;=?@[]~"


@contextmanager
def _without_trio_on_greenlets() -> Iterator[None]:
    """Have httpcore do without trio where sockets are greenlets'.

    It imports trio where that is installed, for whatever reason, and we have no use for it. With
    eventlet's sockets that raises an AttributeError, for ever, and nothing would be sent.
    """
    greenlets = socket.socket.__module__.startswith(("gevent.", "eventlet."))
    if not greenlets or "trio" in sys.modules:
        yield
        return
    sys.modules["trio"] = None  # type: ignore[assignment] # so that its import is refused
    try:
        yield
    finally:
        sys.modules.pop("trio", None)


class Answer(NamedTuple):
    """What the server, or something in front of it, said."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


Cause = Literal["network", "process", "defect"]
"""Whose failure it is that there is no answer: the way's or the server's, this process's own
surroundings', or a library's or ours."""


class NoAnswer(NamedTuple):
    """There was none. The request may have been carried out all the same."""

    reason: str
    """What went wrong, without secrets."""
    cause: Cause = "network"
    """Whose failure it is."""
    timed_out: bool = False
    """The request was sent, and its time was over before an answer came."""


class Transport(Protocol):
    """What delivery needs of HTTP."""

    def post(self, body: bytes, timeout: float) -> Answer | NoAnswer:
        """Send entries; `timeout` in seconds. Never raises for an `Exception`."""

    def healthy(self, timeout: float) -> bool | None:
        """True or False as the server says, None if it cannot be asked."""

    def close(self) -> None:
        """Close the connection. The next request opens another."""


class HttpClient:
    """Makes requests over one connection. Used by one thread at a time.

    The connection is opened by a request, so that none crosses a fork. Redirects are not
    followed: they would take a key or a token elsewhere. Nothing that a request logs or
    traces becomes a record.

    Args:
        proxy: Returns the URL of the proxy, with its user name and password; None for no
            proxy. A function, so that the password is in no attribute that may be shown.
        tls: Certificates of one's own.
        mask: Takes secrets out of the reason for which there is no answer.
        keep_alive: False closes the connection after each request: for requests that
            minutes lie between, and for a client that a forked child may use as well.
        max_answer_bytes: An answer is cut after them.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        *,
        proxy: Callable[[], str] | None = None,
        tls: TlsFiles | None = None,
        mask: Callable[[str], str] = str,
        keep_alive: bool = True,
        max_answer_bytes: int = _MAX_ANSWER_BYTES,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._proxy = proxy
        self._tls = TlsSettings(tls or TlsFiles())
        self._mask = mask
        self._keep_alive = keep_alive
        self._max_answer_bytes = max_answer_bytes
        self._clock = clock
        self._connection: _Connection | None = None

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
    ) -> Answer | NoAnswer:
        """Make a request of `timeout` seconds in all. Never raises for an `Exception`.

        Args:
            method: `GET` or `POST`.
            url: The whole URL.
            headers: Beyond Host, User-Agent, Accept and Content-Length.
            body: What to send, None for nothing.
            timeout: Seconds.
        """
        connection: _Connection | None = None
        kept = False
        with Delivering():
            try:
                connection = self._opened(url)
                answer = self._exchange(connection, _request(method, url, headers, body), timeout)
                kept = self._keep_alive
            except Exception as error:  # noqa: BLE001 - every failure here is "no answer"
                return self._no_answer(error, opened=connection is not None)
            finally:
                # Whatever it was that failed, the next request does not depend on it: after
                # something closed the process's descriptors, a pool waits for itself for ever.
                if not kept:
                    self._connection = None
                    _close(connection)
        return answer

    def close(self) -> None:
        """Close the connection. The next request opens another."""
        connection, self._connection = self._connection, None
        _close(connection)

    def _opened(self, url: str) -> _Connection:
        # Loading certificates takes longer than a request that needs none.
        tls = self._tls.context() if url.lower().startswith("https:") else None
        connection = self._connection
        if connection is not None and connection.tls is not tls:
            self.close()  # certificates were renewed
            connection = None
        if connection is None:
            # A child forked in the middle of these imports would hang at its own.
            with not_forking():
                codecs.lookup("idna")  # loaded by the first look-up of a name
                connection = self._open(tls)
        if self._keep_alive:  # what is not kept is no attribute: a child would inherit it
            self._connection = connection
        return connection

    def _open(self, tls: ssl.SSLContext | None) -> _Connection:
        with _without_trio_on_greenlets():
            import httpcore  # noqa: PLC0415 - see the module

        install()
        deadline = Deadline(self._clock)
        pool = httpcore.ConnectionPool(
            ssl_context=tls,
            proxy=None if self._proxy is None else _proxy_of(self._proxy(), self._tls),
            keepalive_expiry=_KEEPALIVE_SECONDS,
            network_backend=Backend(deadline),
        )
        return _Connection(pool.create_connection, deadline, tls)

    def _exchange(
        self, connection: _Connection, request: httpcore.Request, timeout: float
    ) -> Answer:
        connection.deadline.start(timeout)
        response = connection.send(request)
        try:
            content = self._beginning(response)
        finally:
            response.close()
        headers = _headers_of(response)
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding != "identity":
            content = _decoded(content, encoding, self._max_answer_bytes)
        return Answer(response.status, headers, content)

    def _beginning(self, response: httpcore.Response) -> bytes:
        """The body, as much as an answer of the server ever has."""
        content = bytearray()
        for part in response.iter_stream():
            content += part
            if len(content) > self._max_answer_bytes:
                break
        return bytes(content[: self._max_answer_bytes])

    def _no_answer(self, error: Exception, *, opened: bool) -> NoAnswer:
        cause = _cause(error) if opened else "process"
        reason = _reason(error)
        if cause == "process" and (module := stands_in_the_way()) is not None:
            reason += f"; {module}"
        if self._tls.problem:
            reason += f"; {self._tls.problem}"
        timed_out = type(error).__name__ == "ReadTimeout"
        return NoAnswer(self._mask(reason), cause, timed_out)


class HttpTransport:
    """A `Transport` to a Logwell server. Used by one thread at a time.

    Args:
        ingest_url: Where entries go.
        health_url: What tells whether the server's database is well.
        authorization: Returns the value of that header. A function, since a key from a file
            may be read again; it goes with entries only.
        headers: Further headers of every request.
        client: Makes the requests.
    """

    def __init__(
        self,
        *,
        ingest_url: str,
        health_url: str,
        authorization: Callable[[], str],
        headers: Mapping[str, str],
        client: HttpClient,
    ) -> None:
        self._ingest_url = ingest_url
        self._health_url = health_url
        self._authorization = authorization
        self._headers = headers
        self._client = client

    def post(self, body: bytes, timeout: float) -> Answer | NoAnswer:
        """Send entries; `timeout` in seconds. Never raises for an `Exception`."""
        headers = {
            **self._headers,
            "Authorization": self._authorization(),
            "Content-Type": "application/json",
        }
        return self._client.request("POST", self._ingest_url, headers, body, timeout)

    def health(self, timeout: float) -> Answer | NoAnswer:
        """What `/api/health` answers; it needs no key."""
        return self._client.request("GET", self._health_url, self._headers, None, timeout)

    def healthy(self, timeout: float) -> bool | None:
        """True or False as the server says, None if it cannot be asked."""
        answer = self.health(timeout)
        if isinstance(answer, NoAnswer):
            return None
        # Something else answers 200 or 503 to everything; the server's own answer is JSON.
        if not answer.body.lstrip().startswith(b"{"):
            return None
        return {200: True, 503: False}.get(answer.status)

    def close(self) -> None:
        """Close the connection. The next request opens another."""
        self._client.close()


def _request(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None
) -> httpcore.Request:
    import httpcore  # noqa: PLC0415 - see the module

    address, host = _address(url)
    every: dict[Any, Any] = {
        "Host": host,
        "User-Agent": USER_AGENT,
        "Accept": "application/json",
        # A compressed answer would not be understood.
        "Accept-Encoding": "identity",
        **headers,
    }
    if body is not None:
        every["Content-Length"] = str(len(body))
    return httpcore.Request(
        method,
        address,
        headers=every,
        content=body,
    )


@lru_cache(maxsize=16)
def _address(url: str) -> tuple[httpcore.URL, str]:
    """A URL as httpcore takes it, and what the header Host says."""
    import httpcore  # noqa: PLC0415 - see the module

    parts = urlsplit(url)
    host = parts.hostname or ""
    port = None if parts.port == _PORTS.get(parts.scheme) else parts.port
    ascii_host = host if host.isascii() else host.encode("idna").decode()
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    name = f"[{ascii_host}]" if ":" in ascii_host else ascii_host
    address = httpcore.URL(
        scheme=parts.scheme, host=ascii_host, port=port, target=quote(target, safe=_SAFE)
    )
    return address, name if port is None else f"{name}:{port}"


def _headers_of(response: httpcore.Response) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("utf-8", "replace")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _proxy_of(url: str, tls: TlsSettings) -> httpcore.Proxy:
    import httpcore  # noqa: PLC0415 - see the module

    proxy: httpcore.Proxy | None = None
    # Not passed on, nor in the context of what is raised below: it quotes what it cannot read.
    with suppress(ValueError, TypeError):
        parts = urlsplit(url)
        if parts.scheme in _PROXY_SCHEMES and parts.hostname:
            address = httpcore.URL(
                scheme=parts.scheme, host=parts.hostname, port=parts.port, target="/"
            )
            # As UTF-8: httpcore itself encodes ASCII only.
            user = unquote(parts.username or "").encode()
            password = unquote(parts.password or "").encode()
            proxy = httpcore.Proxy(
                address,
                auth=(user, password) if user or password else None,
                ssl_context=tls.context() if parts.scheme == "https" else None,
            )
    if proxy is None:
        raise ValueError("HTTPS_PROXY, HTTP_PROXY or ALL_PROXY holds no URL of a proxy")
    if proxy.url.scheme.startswith(b"socks") and find_spec("socksio") is None:
        raise ImportError("a SOCKS proxy needs the package socksio: pip install 'httpcore[socks]'")
    return proxy


def _decoded(content: bytes, encoding: str, most: int) -> bytes:
    """A body as it was before something in front of the server compressed it, unasked.

    Empty where that cannot be undone: such an answer has a status only.
    """
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return b""
    with suppress(zlib.error):
        # 32: gzip and zlib alike. Bounded, since a megabyte can hold a gigabyte of zeros.
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(content, most)
    return b""


_PROCESS: Final = (MemoryError, ImportError)
_PROCESS_ERRNOS: Final = frozenset({errno.EBADF, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def _cause(error: Exception) -> Cause:
    """Whose failure an exchange is that raised `error`."""
    import httpcore  # noqa: PLC0415 - see the module

    for one in _chain(error):
        if isinstance(one, _PROCESS) or getattr(one, "errno", None) in _PROCESS_ERRNOS:
            return "process"
    ordinary = (OSError, httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProxyError)
    if isinstance(error, httpcore.PoolTimeout):
        return "defect"  # there is one thread, and one connection for it
    return "network" if isinstance(error, (*ordinary, httpcore.RemoteProtocolError)) else "defect"


def requests_problem() -> str | None:
    """Why this process can make no request, as far as that shows without importing anything."""
    for name in ("httpcore", "h11", "certifi"):
        found = find_spec(name)
        if found is None:
            return f"the package {name} is not installed: pip install logwell-otel installs it"
        if found.submodule_search_locations is None:
            return f"{found.origin} stands in the place of the package {name}: rename it"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and what caused it, the outermost first."""
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):  # counted: a chain of causes can be a circle
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _reason(error: Exception) -> str:
    """Type and text of an exception and of what caused it, each once."""
    parts: list[str] = []
    for cause in _chain(error):
        part = f"{type(cause).__name__}: {cause}".rstrip(": ")
        if not any(str(cause) and str(cause) in earlier for earlier in parts):
            parts.append(part)
    return "; ".join(parts)


def _close(connection: _Connection | None) -> None:
    if connection is not None:
        # A connection that breaks while it is closed is closed all the same.
        with Delivering(), suppress(Exception):
            connection.close()


class _Connection:
    """The connection, made anew once it has ended, and what its requests must keep to.

    httpcore's pool makes the right kind of connection, also through a proxy. It does not keep
    it: for one thread with one connection, handing it out and taking it back is a fifth of
    what a request costs.

    Args:
        make: Makes a connection to a server.
        deadline: When the request that runs must be over.
        tls: The TLS settings that it is made with.
    """

    def __init__(
        self,
        make: Callable[[httpcore.Origin], httpcore.ConnectionInterface],
        deadline: Deadline,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._make = make
        self._made: httpcore.ConnectionInterface | None = None
        self.deadline = deadline
        self.tls = tls

    def send(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; the response is still to be read and closed."""
        made, origin = self._made, request.url.origin
        if made is None or self.ended or not made.can_handle_request(origin):
            self.close()
            self._made = made = self._make(origin)
        return made.handle_request(request)

    @property
    def ended(self) -> bool:
        """Whether it takes no further request: closed by the other side, or too old."""
        made = self._made
        return made is None or not made.is_idle() or made.has_expired() or _has_more(made)

    def close(self) -> None:
        """Close it. The next request opens another."""
        made, self._made = self._made, None
        if made is not None:
            made.close()


def _has_more(made: httpcore.ConnectionInterface) -> bool:
    """True if more came with the last answer, which would be taken for the next one's."""
    connection: Any = made
    # By names that are httpcore's own: it asks itself only about what is still in the socket.
    # Another version may have others, which must not stop delivery; a test fails then.
    while (inner := getattr(connection, "_connection", None)) is not None:
        connection = inner
    state = getattr(connection, "_h11_state", None)
    return state is not None and bool(state.trailing_data[0])


# Delivering a record must not make records: nothing that a request of ours logs or traces
# comes back, while the application's own requests through the same libraries do. Measured
# without it: with the root logger at DEBUG, one application record causes requests for
# ever, since httpcore logs each step of a request.

_delivering: Final = ContextVar("logwell_otel_delivering", default=False)

# A filter on a parent logger does not see what its children log, so each is named.
_LOGGERS: Final = (
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


def _not_ours(_: logging.LogRecord) -> bool:
    return not _delivering.get()


def install() -> None:
    """Put the filter on httpcore's loggers. Doing it again changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_not_ours)


class Delivering:
    """Marks what runs inside, in this context, as delivery: not logged, not traced."""

    __slots__ = ("_mark", "_token")

    def __enter__(self) -> None:
        self._mark = _delivering.set(True)
        self._token = otel_context.attach(otel_context.set_value(SUPPRESS_INSTRUMENTATION, True))

    def __exit__(self, *_: object) -> None:
        otel_context.detach(self._token)
        _delivering.reset(self._mark)
