"""One request to the server, one answer: the only module that knows httpx."""

from __future__ import annotations

import codecs
import logging
import platform
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from opentelemetry import context as otel_context
from opentelemetry.sdk.version import __version__ as sdk_version

from logwell_otel._otel import SUPPRESS_INSTRUMENTATION
from logwell_otel._process import not_forking
from logwell_otel._version import __version__

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    import httpx

    from logwell_otel._config.address import Proxy
    from logwell_otel._config.options import Config
    from logwell_otel._deadline import Deadline


USER_AGENT: Final = (
    f"logwell-otel/{__version__} opentelemetry-sdk/{sdk_version} python/{platform.python_version()}"
)

# The server closes idle connections after 10 to 12 s without notice; one that we close
# before cannot break under a request.
_KEEPALIVE_SECONDS: Final = 8.0
_MAX_ANSWER_BYTES: Final = 256 * 1024
_MOST_CAUSES: Final = 6
_STEPS: Final = ("connect", "read", "write", "pool")


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


class Transport(Protocol):
    """What delivery needs of HTTP."""

    def post(self, body: bytes, timeout: float) -> Answer | NoAnswer:
        """Send entries; `timeout` in seconds. Never raises for an `Exception`."""

    def healthy(self, timeout: float) -> bool | None:
        """True or False as the server says, None if it cannot be asked."""

    def close(self) -> None:
        """Close the connection. The next request opens another."""


class HttpxTransport:
    """A `Transport` over httpx, with one connection. Used by one thread at a time.

    httpx is imported and the connection opened by the first request, so that neither
    costs a program that logs nothing, and no connection crosses a fork. The request is
    made once and gets another body each time: building it anew, with its URL and its
    headers, was a quarter of what sending it costs.
    """

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._transport: httpx.HTTPTransport | None = None
        self._deadline: Deadline | None = None
        self._ingest: httpx.Request | None = None

    def post(self, body: bytes, timeout: float) -> Answer | NoAnswer:
        """Send entries; `timeout` in seconds. Never raises for an `Exception`."""
        return self._exchange(lambda: self._ingest_request(body), timeout)

    def health(self, timeout: float) -> Answer | NoAnswer:
        """What `/api/health` answers; it needs no key."""
        return self._exchange(self._health_request, timeout)

    def healthy(self, timeout: float) -> bool | None:
        """True or False as the server says, None if it cannot be asked."""
        answer = self.health(timeout)
        if isinstance(answer, NoAnswer):
            return None
        return {200: True, 503: False}.get(answer.status)

    def close(self) -> None:
        """Close the connection. The next request opens another."""
        transport, self._transport = self._transport, None
        if transport is not None:
            # A connection that breaks while it is closed is closed all the same.
            with delivering(), suppress(Exception):
                transport.close()

    def _ingest_request(self, body: bytes) -> httpx.Request:
        import httpx  # noqa: PLC0415 - see the class

        # Each time: a key from a file may have been read again.
        changing = {
            "Authorization": f"Bearer {self._config.api_key.reveal()}",
            "Content-Length": str(len(body)),
        }
        if self._ingest is None:
            headers = {**changing, "Content-Type": "application/json"}
            self._ingest = self._request("POST", self._config.ingest_url, headers)
        for name, value in changing.items():
            self._ingest.headers[name] = value
        self._ingest.stream = httpx.ByteStream(body)
        return self._ingest

    def _health_request(self) -> httpx.Request:
        return self._request("GET", self._config.health_url, {})

    def _request(self, method: str, url: str, headers: Mapping[str, str]) -> httpx.Request:
        import httpx  # noqa: PLC0415 - see the class

        return httpx.Request(
            method,
            url,
            headers={
                **self._config.headers,
                **headers,
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
        )

    def _exchange(self, make: Callable[[], httpx.Request], timeout: float) -> Answer | NoAnswer:
        with delivering():
            try:
                if self._transport is None:
                    # A child forked in the middle of these imports would hang at its own.
                    with not_forking():
                        codecs.lookup("idna")  # loaded by the first look-up of a name
                        make()
                        self._transport, self._deadline = self._open()
                return self._answer(make(), timeout)
            except Exception as error:  # noqa: BLE001 - every failure here is "no answer"
                return NoAnswer(self._config.secrets.mask(_reason(error)))

    def _answer(self, request: httpx.Request, timeout: float) -> Answer:
        if self._transport is None or self._deadline is None:
            self._transport, self._deadline = self._open()
        # For each step; the deadline is for all of them together.
        request.extensions["timeout"] = dict.fromkeys(_STEPS, timeout)
        self._deadline.start(timeout)
        response = self._transport.handle_request(request)
        try:
            content = _beginning(response)
        finally:
            response.close()
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, names, content)

    def _open(self) -> tuple[httpx.HTTPTransport, Deadline]:
        import httpx  # noqa: PLC0415 - see the class

        from logwell_otel._deadline import Deadline, DeadlineBackend  # noqa: PLC0415

        install()
        options: dict[str, Any] = {
            "limits": httpx.Limits(max_connections=1, keepalive_expiry=_KEEPALIVE_SECONDS),
        }
        if self._config.endpoint.startswith("https:"):
            options["verify"] = tls_context(self._config) or httpx.create_ssl_context()
        if self._config.proxy is not None:
            options["proxy"] = _httpx_proxy(self._config.proxy)
        transport = httpx.HTTPTransport(**options)
        deadline = Deadline(self._clock)
        # httpx has no argument for its pool's network backend, which httpcore does have;
        # tests/test_transport_failures.py fails when it is found elsewhere.
        pool = transport._pool  # noqa: SLF001
        pool._network_backend = DeadlineBackend(pool._network_backend, deadline)  # noqa: SLF001
        return transport, deadline


def tls_context(config: Config) -> ssl.SSLContext | None:
    """TLS settings of one's own, None where there are none.

    Raises:
        OSError, ssl.SSLError: A file is not what its setting says.
    """
    if config.certificate_file is not None:
        import ssl  # noqa: PLC0415 - 4 ms of start-up that most exporters do without

        context = ssl.create_default_context(cafile=config.certificate_file)
    elif config.client_certificate_file is not None:
        import httpx  # noqa: PLC0415 - see the class

        context = httpx.create_ssl_context()
    else:
        return None
    if config.client_certificate_file is not None:
        context.load_cert_chain(
            config.client_certificate_file,
            config.client_key_file,
            # Without it OpenSSL asks for the password of an encrypted key on the terminal.
            password=lambda: "",
        )
    return context


def _httpx_proxy(proxy: Proxy) -> httpx.Proxy:
    import httpx  # noqa: PLC0415 - see the class

    try:
        return httpx.Proxy(proxy.reveal())
    except Exception:  # noqa: BLE001 - not passed on: it quotes what it cannot read
        problem = "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY holds no URL of a proxy"
    raise ValueError(problem)


def _beginning(response: httpx.Response) -> bytes:
    """The body, as much as an answer of the server ever has."""
    content = bytearray()
    for part in response.stream:  # type: ignore[union-attr] # a sync transport's
        content += part
        if len(content) > _MAX_ANSWER_BYTES:
            break
    return bytes(content[:_MAX_ANSWER_BYTES])


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


# Delivering a record must not make records.
#
# Nothing that a request of ours logs or traces comes back, while the application's own
# requests through the same libraries do.
# Measured without it: with the root logger at DEBUG, one application record causes
# requests for ever, since httpcore logs each step of a request.


_delivering: Final = ContextVar("logwell_otel_delivering", default=False)

# A filter on a parent logger does not see what its children log, so each is named.
_LOGGERS: Final = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


def _not_ours(_: logging.LogRecord) -> bool:
    return not _delivering.get()


def install() -> None:
    """Put the filter on the HTTP libraries' loggers. Doing it again changes nothing."""
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
