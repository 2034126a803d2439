"""One request to the server, one answer: the only module that knows httpx."""

from __future__ import annotations

import platform
import ssl
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.request import getproxies, proxy_bypass

from opentelemetry.sdk.version import __version__ as sdk_version

from logwell_otel import feedback
from logwell_otel._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from logwell_otel.config import Config

USER_AGENT: Final = (
    f"logwell-otel/{__version__} opentelemetry-sdk/{sdk_version} python/{platform.python_version()}"
)

# The server closes idle connections after 10 to 12 s without notice; one that we close
# before cannot break under a request.
_KEEPALIVE_SECONDS: Final = 8.0
_MAX_ANSWER_BYTES: Final = 256 * 1024


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
    costs a program that logs nothing, and no connection crosses a fork.
    """

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._transport: httpx.HTTPTransport | None = None

    def post(self, body: bytes, timeout: float) -> Answer | NoAnswer:
        """Send entries; `timeout` in seconds. Never raises for an `Exception`."""
        headers = {
            **self._config.headers,
            "Authorization": f"Bearer {self._config.api_key.reveal()}",
            "Content-Type": "application/json",
        }
        return self._request("POST", self._config.ingest_url, headers, body, timeout)

    def healthy(self, timeout: float) -> bool | None:
        """True or False as the server says, None if it cannot be asked."""
        answer = self._request("GET", self._config.health_url, self._config.headers, None, timeout)
        if isinstance(answer, NoAnswer):
            return None
        return {200: True, 503: False}.get(answer.status)

    def close(self) -> None:
        """Close the connection. The next request opens another."""
        if self._transport is not None:
            with feedback.delivering():
                self._transport.close()
            self._transport = None

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
    ) -> Answer | NoAnswer:
        import httpx  # noqa: PLC0415 - see the class

        with feedback.delivering():
            try:
                if self._transport is None:
                    self._transport = self._open()
                request = httpx.Request(
                    method,
                    url,
                    headers={
                        "User-Agent": USER_AGENT,
                        "Accept": "application/json",
                        **headers,
                    },
                    content=body,
                    extensions={"timeout": dict.fromkeys(_TIMEOUTS, timeout)},
                )
                deadline = self._clock() + timeout
                response = self._transport.handle_request(request)
                try:
                    content = self._read(response, deadline)
                finally:
                    response.close()
                names = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, names, content)
            except Exception as error:  # noqa: BLE001 - every failure here is "no answer"
                return NoAnswer(self._config.secrets.mask(_reason(error)))

    def _read(self, response: httpx.Response, deadline: float) -> bytes:
        """The body, within the time and size that an answer of the server ever needs."""
        content = bytearray()
        for part in response.stream:  # type: ignore[union-attr] # a sync transport's
            content += part
            if len(content) > _MAX_ANSWER_BYTES:
                break
            if self._clock() > deadline:
                raise TimeoutError("the answer did not end in time")
        return bytes(content[:_MAX_ANSWER_BYTES])

    def _open(self) -> httpx.HTTPTransport:
        import httpx  # noqa: PLC0415 - see the class

        feedback.install()
        options: dict[str, Any] = {
            "limits": httpx.Limits(max_connections=1, keepalive_expiry=_KEEPALIVE_SECONDS),
        }
        if self._config.endpoint.startswith("https:"):
            options["verify"] = tls_context(self._config) or httpx.create_ssl_context()
        if proxy := proxy_of(self._config.endpoint):
            options["proxy"] = httpx.Proxy(proxy)
        return httpx.HTTPTransport(**options)


_TIMEOUTS: Final = ("connect", "read", "write", "pool")


def tls_context(config: Config) -> ssl.SSLContext | None:
    """TLS settings of one's own, None where there are none.

    Raises:
        OSError, ssl.SSLError: A file is not what its setting says.
    """
    if config.certificate_file is None and config.client_certificate_file is None:
        return None
    context = ssl.create_default_context(cafile=config.certificate_file)
    if config.client_certificate_file is not None:
        context.load_cert_chain(
            config.client_certificate_file,
            config.client_key_file,
            # Without it OpenSSL asks for the password of an encrypted key on the terminal.
            password=lambda: "",
        )
    return context


def proxy_of(endpoint: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name for `endpoint`."""
    scheme, _, rest = endpoint.partition("://")
    host = rest.partition("/")[0]
    if proxy_bypass(host):
        return None
    proxies = getproxies()
    url = proxies.get(scheme) or proxies.get("all")
    if url and "://" not in url:
        url = f"http://{url}"
    return url or None


def _reason(error: Exception) -> str:
    """Type and text of an exception and of what caused it, each once."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < 4:
        part = f"{type(cause).__name__}: {cause}".rstrip(": ")
        if not any(str(cause) and str(cause) in earlier for earlier in parts):
            parts.append(part)
        cause = cause.__cause__ or cause.__context__
    return "; ".join(parts)
