"""One request, one answer: the only module that knows how HTTP is spoken.

It stands on httpcore, which is imported by the first request: a program that logs nothing
does not pay for it.
"""

from __future__ import annotations

import codecs
import logging
import os
import platform
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.parse import quote, unquote, urlsplit

from opentelemetry import context as otel_context
from opentelemetry.sdk.version import __version__ as sdk_version

from logwell_otel._otel import SUPPRESS_INSTRUMENTATION
from logwell_otel._process import not_forking
from logwell_otel._version import __version__

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    import httpcore
    from httpcore import NetworkBackend, NetworkStream
else:
    # Base classes for the type checker only: httpcore calls the methods, and importing it
    # here would be a third of an exporter's start-up.
    NetworkBackend = NetworkStream = object


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


class Answer(NamedTuple):
    """What the server, or something in front of it, said."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class NoAnswer(NamedTuple):
    """There was none. The request may have been carried out all the same."""

    reason: str
    """What went wrong, without secrets."""


class TlsFiles(NamedTuple):
    """PEM files for TLS; None where there is none."""

    authorities: Path | None = None
    """What to trust in place of the usual authorities."""
    certificate: Path | None = None
    """What to show to the server."""
    key: Path | None = None
    """Its private key, where it is not in the same file."""


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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proxy = proxy
        self._tls = tls or TlsFiles()
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
        with delivering():
            connection = self._connection
            try:
                if connection is None:
                    # A child forked in the middle of these imports would hang at its own.
                    with not_forking():
                        codecs.lookup("idna")  # loaded by the first look-up of a name
                        connection = self._open(url)
                if self._keep_alive:
                    self._connection = connection
                return self._exchange(connection, _request(method, url, headers, body), timeout)
            except Exception as error:  # noqa: BLE001 - every failure here is "no answer"
                return NoAnswer(self._mask(_reason(error)))
            finally:
                if not self._keep_alive:
                    _close(connection)

    def close(self) -> None:
        """Close the connection. The next request opens another."""
        connection, self._connection = self._connection, None
        _close(connection)

    def _open(self, url: str) -> _Connection:
        import httpcore  # noqa: PLC0415 - see the module

        install()
        deadline = Deadline(self._clock)
        secure = url.lower().startswith("https:")
        pool = httpcore.ConnectionPool(
            # Loading certificates takes longer than a request that needs none.
            ssl_context=tls_context(self._tls) or usual_tls_context() if secure else None,
            proxy=None if self._proxy is None else _proxy_of(self._proxy()),
            max_connections=1,
            keepalive_expiry=_KEEPALIVE_SECONDS,
            network_backend=_DeadlineBackend(httpcore.SyncBackend(), deadline),
        )
        return _Connection(pool, deadline)

    def _exchange(
        self, connection: _Connection, request: httpcore.Request, timeout: float
    ) -> Answer:
        connection.deadline.start(timeout)
        response = connection.pool.handle_request(request)
        try:
            content = self._beginning(response)
        finally:
            response.close()
        return Answer(response.status, _headers_of(response), content)

    def _beginning(self, response: httpcore.Response) -> bytes:
        """The body, as much as an answer of the server ever has."""
        content = bytearray()
        for part in response.iter_stream():
            content += part
            if len(content) > self._max_answer_bytes:
                break
        return bytes(content[: self._max_answer_bytes])


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
        return {200: True, 503: False}.get(answer.status)

    def close(self) -> None:
        """Close the connection. The next request opens another."""
        self._client.close()


def _request(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None
) -> httpcore.Request:
    import httpcore  # noqa: PLC0415 - see the module

    parts = urlsplit(url)
    host = parts.hostname or ""
    port = None if parts.port == _PORTS.get(parts.scheme) else parts.port
    ascii_host = host if host.isascii() else host.encode("idna").decode()
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    name = f"[{ascii_host}]" if ":" in ascii_host else ascii_host
    every = {
        "Host": name if port is None else f"{name}:{port}",
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
        httpcore.URL(
            scheme=parts.scheme, host=ascii_host, port=port, target=quote(target, safe=_SAFE)
        ),
        headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in every.items()],
        content=body,
    )


def _headers_of(response: httpcore.Response) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("utf-8", "replace")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _proxy_of(url: str) -> httpcore.Proxy:
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
            proxy = httpcore.Proxy(address, auth=(user, password) if user or password else None)
    if proxy is None:
        raise ValueError("HTTPS_PROXY, HTTP_PROXY or ALL_PROXY holds no URL of a proxy")
    if proxy.url.scheme.startswith(b"socks") and find_spec("socksio") is None:
        raise ImportError("a SOCKS proxy needs the package socksio: pip install 'httpcore[socks]'")
    return proxy


def tls_context(files: TlsFiles) -> ssl.SSLContext | None:
    """TLS settings of one's own, None where there are none.

    Raises:
        OSError, ssl.SSLError: A file is not what its setting says.
    """
    if files.authorities is not None:
        import ssl  # noqa: PLC0415 - 4 ms of start-up that most exporters do without

        context = ssl.create_default_context(cafile=files.authorities)
    elif files.certificate is not None:
        context = usual_tls_context()
    else:
        return None
    if files.certificate is not None:
        context.load_cert_chain(
            files.certificate,
            files.key,
            # Without it OpenSSL asks for the password of an encrypted key on the terminal.
            password=lambda: "",
        )
    return context


def usual_tls_context() -> ssl.SSLContext:
    """Trusts what SSL_CERT_FILE or SSL_CERT_DIR name, else certifi's authorities."""
    import ssl  # noqa: PLC0415 - as above

    if file := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=file)
    if directory := os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context(capath=directory)
    import certifi  # noqa: PLC0415 - as above

    return ssl.create_default_context(cafile=certifi.where())


def _reason(error: Exception) -> str:
    """Type and text of an exception and of what caused it, each once."""
    parts: list[str] = []
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):  # counted: a chain of causes can be a circle
        if cause is None:
            break
        part = f"{type(cause).__name__}: {cause}".rstrip(": ")
        if not any(str(cause) and str(cause) in earlier for earlier in parts):
            parts.append(part)
        cause = cause.__cause__ or cause.__context__
    return "; ".join(parts)


def _close(connection: _Connection | None) -> None:
    if connection is not None:
        # A connection that breaks while it is closed is closed all the same.
        with delivering(), suppress(Exception):
            connection.pool.close()


class Deadline:
    """When the request that runs must be over.

    httpcore takes a time-out for each read and each write, so that a server that sends one
    byte every few seconds would hold a request for ever. Its network backend is where every
    one of them passes.

    Args:
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds = 0.0
        self._at = float("inf")

    def start(self, seconds: float) -> None:
        """A request begins, and may take that long."""
        self._seconds = seconds
        self._at = self._clock() + seconds

    def left(self) -> float:
        """Seconds left.

        Raises:
            TimeoutError: None are.
        """
        left = self._at - self._clock()
        if left <= 0:
            raise TimeoutError(f"not over within {self._seconds:g} s")
        return left


class _Connection(NamedTuple):
    """A pool of one connection, and what its requests must keep to."""

    pool: httpcore.ConnectionPool
    deadline: Deadline


class _DeadlineBackend(NetworkBackend):
    """A network backend whose every step ends at the deadline.

    Only the resolver and a name's further addresses are beyond it: `create_connection`
    has no time-out for the one and gives each of the others the whole of it.
    """

    def __init__(self, backend: NetworkBackend, deadline: Deadline) -> None:
        self._backend = backend
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> NetworkStream:
        stream = self._backend.connect_tcp(
            host, port, self._deadline.left(), local_address, socket_options
        )
        return _DeadlineStream(stream, self._deadline)


class _DeadlineStream(NetworkStream):
    def __init__(self, stream: NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> NetworkStream:
        try:
            left = self._deadline.left()
        except TimeoutError:
            # httpcore closes what a handshake of its own has failed on, and nothing else.
            self._stream.close()
            raise
        stream = self._stream.start_tls(ssl_context, server_hostname, left)
        return _DeadlineStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


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


@contextmanager
def delivering() -> Iterator[None]:
    """Marks what runs inside, in this context, as delivery: not logged, not traced."""
    mark = _delivering.set(True)
    token = otel_context.attach(otel_context.set_value(SUPPRESS_INSTRUMENTATION, True))
    try:
        yield
    finally:
        otel_context.detach(token)
        _delivering.reset(mark)
