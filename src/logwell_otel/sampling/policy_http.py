"""HTTP for policies: one connection for each call, since minutes lie between them."""

from __future__ import annotations

import codecs
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from logwell_otel import _http as feedback
from logwell_otel._config.address import proxy_of, proxy_secrets
from logwell_otel._diagnostics import Secrets
from logwell_otel._http import USER_AGENT, Answer, NoAnswer
from logwell_otel._process import not_forking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from logwell_otel._deadline import Deadline

MAX_ANSWER_BYTES: Final = 1024 * 1024


class Http(Protocol):
    """What the policy client needs of HTTP."""

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer | NoAnswer:
        """Make a call of `timeout` seconds in all. Never raises for an `Exception`."""


class HttpxHttp:
    """`Http` over httpx, which is imported by the first call.

    Nothing that a call logs or traces becomes a record. Redirects are not followed: they
    would take a bearer token elsewhere. TLS is httpx's own: certifi, or SSL_CERT_FILE.

    Args:
        url: Any URL of the server, for finding the proxy.
        max_answer_bytes: An answer is cut after them.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        url: str,
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proxy = proxy_of(url)
        self._secrets = Secrets(proxy_secrets())
        self._max_answer_bytes = max_answer_bytes
        self._clock = clock

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer | NoAnswer:
        """Make a call of `timeout` seconds in all. Never raises for an `Exception`."""
        with feedback.delivering():
            try:
                return self._exchange(method, url, headers, body, timeout)
            except Exception as error:  # noqa: BLE001 - every failure here is "no answer"
                reason = f"{type(error).__name__}: {error}".rstrip(": ")
                return NoAnswer(self._secrets.mask(reason))

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer:
        with not_forking():
            transport, deadline = self._open(url)
            request = _request(method, url, headers, body, timeout)
        with transport:
            deadline.start(timeout)
            response = transport.handle_request(request)
            try:
                content = self._beginning(response)
            finally:
                response.close()
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, names, content)

    def _open(self, url: str) -> tuple[httpx.HTTPTransport, Deadline]:
        import httpx  # noqa: PLC0415 - see the class

        from logwell_otel._deadline import Deadline, DeadlineBackend  # noqa: PLC0415

        feedback.install()
        # Loaded by the first look-up of a name otherwise, outside `not_forking`: a child
        # forked just then can look up no name any more.
        codecs.lookup("idna")
        options: dict[str, Any] = {}
        if self._proxy is not None:
            options["proxy"] = httpx.Proxy(self._proxy.reveal())
        if url.startswith("http:"):
            options["verify"] = False  # loading certificates takes longer than the call
        transport = httpx.HTTPTransport(**options)
        deadline = Deadline(self._clock)
        # As in logwell_otel._http: httpx has no argument for it.
        pool = transport._pool  # noqa: SLF001
        pool._network_backend = DeadlineBackend(pool._network_backend, deadline)  # noqa: SLF001
        return transport, deadline

    def _beginning(self, response: httpx.Response) -> bytes:
        content = bytearray()
        for part in response.stream:  # type: ignore[union-attr] # a sync transport's
            content += part
            if len(content) > self._max_answer_bytes:
                break
        return bytes(content[: self._max_answer_bytes])


def _request(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float
) -> httpx.Request:
    import httpx  # noqa: PLC0415 - see the class

    return httpx.Request(
        method,
        url,
        headers={
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **headers,
        },
        content=body,
        # For each step; the deadline is for all of them together.
        extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout)},
    )
