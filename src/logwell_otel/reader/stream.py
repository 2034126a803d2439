"""One stream of Server-Sent Events, read from the socket.

The server sends the head of its answer in two halves: the status line at once, which says
that the subscription is in place, and the end of the head only with the first event. HTTP
libraries wait for the whole head, and call a stream that was idle a broken answer. So the
bytes are read here, and h11, the parser below httpcore, makes sense of them.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from logwell_otel._network import Backend, Deadline
from logwell_otel.errors import LogwellError, LogwellErrorCode

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    import httpcore

    from logwell_otel._config.address import Proxy

READ_SECONDS: Final = 70.0
"""A server with a longer idle time-out sends a heartbeat every 30 s: dead after two missed."""

_CHUNK: Final = 65_536


class EventStream:
    """A stream that is open: `status` is there once the server has subscribed us.

    Args:
        url: Of the stream.
        headers: Of the request.
        tls: Makes the TLS context; called where there is TLS only.
        proxy: An HTTP proxy, None for none.
        timeout: Seconds for connecting and for the status line.

    Attributes:
        status: The answer's HTTP status.

    Raises:
        OSError: There is no connection, or no status line in time.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        tls: Callable[[], ssl.SSLContext],
        proxy: Proxy | None = None,
        timeout: float = 10.0,
    ) -> None:
        # Not before they are used: `search` needs none of it.
        import h11  # noqa: PLC0415
        import httpcore  # noqa: PLC0415

        self._h11: Any = h11
        self._parser: Any = h11.Connection(h11.CLIENT)
        self._failures = (httpcore.NetworkError, httpcore.TimeoutException)
        self._deadline = Deadline()
        self._deadline.start(timeout)
        network: httpcore.NetworkStream | None = None
        problem = None
        try:
            network = _connect(url, tls, proxy, Backend(self._deadline))
            self._network = network
            network.write(self._request(url, headers, proxy))
            self.status: int = self._read_status()
        except self._failures as error:
            problem = str(error) or type(error).__name__
        finally:
            if network is not None and not hasattr(self, "status"):
                network.close()
        if problem is not None:
            raise ConnectionError(problem)

    def _request(self, url: str, headers: Mapping[str, str], proxy: Proxy | None) -> bytes:
        h11, parts = self._h11, urlsplit(url)
        plain_proxy = proxy if parts.scheme == "http" else None
        request = h11.Request(
            method="POST",
            target=parts.path if plain_proxy is None else url,
            headers=[
                ("Host", parts.netloc),
                ("Content-Length", "0"),
                ("Accept", "text/event-stream, application/json"),
                *headers.items(),
                *_proxy_headers(plain_proxy).items(),
            ],
        )
        head: bytes = self._parser.send(request) + self._parser.send(h11.EndOfMessage())
        return head

    def _read_status(self) -> int:
        received = b""
        while b"\r\n" not in received:
            more = self._network.read(_CHUNK)
            if not more:
                raise ConnectionError("the connection was closed before an answer")
            received += more
        self._parser.receive_data(received)
        words = received.split(b"\r\n", 1)[0].split(b" ")
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise ConnectionError("the answer is not HTTP")
        return int(words[1])

    def events(self) -> Iterator[tuple[str, Any]]:
        """Names and data of events until the server, or `interrupt`, ends the stream.

        A stream that ends is the rule: the server cuts one that was quiet for ten seconds.
        """
        buffered = b""
        for data in self._body():
            buffered += data
            *blocks, buffered = buffered.split(b"\n\n")
            for block in blocks:
                event = _event(block.decode("utf-8", "replace"))
                if event is not None:
                    yield event

    def _body(self) -> Iterator[bytes]:
        h11 = self._h11
        while True:
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError:
                return  # cut without a last chunk: how every stream of this server ends
            if event is h11.NEED_DATA:
                self._deadline.start(READ_SECONDS)
                try:
                    received = self._network.read(_CHUNK)
                except (*self._failures, OSError):  # ssl's errors are of OSError
                    return
                if not received:
                    return
                self._parser.receive_data(received)
            elif isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                return

    def interrupt(self) -> None:
        """End `events` from another thread."""
        try:
            self._network.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended already

    def close(self) -> None:
        """Close the connection."""
        self._network.close()


def _event(block: str) -> tuple[str, Any] | None:
    name, data = "message", []
    for line in block.splitlines():
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
    try:
        return name, json.loads("\n".join(data))
    except ValueError:
        return None  # a comment, or nothing that this server sends


def _connect(
    url: str, tls: Callable[[], ssl.SSLContext], proxy: Proxy | None, backend: Backend
) -> httpcore.NetworkStream:
    """A connection to the server, or to the proxy that leads there."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if proxy is None:
        stream = backend.connect_tcp(host, port)
    elif proxy.scheme in {"http", "https"}:
        stream = backend.connect_tcp(proxy.host, proxy.port)
    else:
        raise LogwellError(
            f"A tail goes through an http or https proxy only, and the one for {parts.netloc} is "
            f"{proxy.scheme}. Name the server in NO_PROXY, or search again from time to time.",
            LogwellErrorCode.INVALID_CONFIG,
        )
    try:
        if proxy is not None and proxy.scheme == "https":
            stream = stream.start_tls(tls(), proxy.host)
        if proxy is not None and parts.scheme == "https":
            _tunnel(stream, host, port, _proxy_headers(proxy))
        return stream.start_tls(tls(), host) if parts.scheme == "https" else stream
    except BaseException:
        stream.close()
        raise


def _proxy_headers(proxy: Proxy | None) -> dict[str, str]:
    authorization = None if proxy is None else proxy.authorization
    return {} if authorization is None else {"Proxy-Authorization": authorization}


def _tunnel(
    stream: httpcore.NetworkStream, host: str, port: int, headers: Mapping[str, str]
) -> None:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    stream.write("\r\n".join([*lines, "", ""]).encode())
    received = b""
    while b"\r\n\r\n" not in received:
        more = stream.read(_CHUNK)
        if not more:
            raise ConnectionError("the proxy closed the connection")
        received += more
    if received.split(b" ", 2)[1:2] != [b"200"]:
        status = received.split(b"\r\n", 1)[0].decode("latin-1")
        raise ConnectionError(f"the proxy answers {status}")
