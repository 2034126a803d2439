"""Calls ASGI and WSGI applications in process, as a server does."""

from __future__ import annotations

import asyncio
import io
from typing import Any

Message = dict[str, Any]


def http_scope(path: str = "/", method: str = "GET", **changes: Any) -> dict[str, Any]:
    headers = [
        (name.lower().encode(), value.encode("latin-1"))
        for name, value in changes.pop("headers", [])
    ]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("192.0.2.7", 50_000),
        "server": ("127.0.0.1", 8000),
        **changes,
    }


async def acall(app: Any, scope: dict[str, Any]) -> list[Message]:
    """What the application has sent; raises what it has raised."""
    sent: list[Message] = []
    over = asyncio.Event()
    requests = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if requests:
            return requests.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            over.set()

    await app(scope, receive, send)
    return sent


def call(app: Any, path: str = "/", method: str = "GET", **changes: Any) -> list[Message]:
    return asyncio.run(acall(app, http_scope(path, method, **changes)))


def wsgi_environ(path: str = "/", method: str = "GET", **changes: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **changes,
    }


class WsgiCall:
    """One exchange with a WSGI application, step by step.

    Attributes:
        status: What `start_response` was called with last.
        exc_info: Likewise.
        written: What came through `write`.
        body: What the application has returned.
    """

    def __init__(
        self,
        app: Any,
        path: str = "/",
        method: str = "GET",
        *,
        file_wrapper: Any = None,
        **changes: Any,
    ) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.exc_info: Any = None
        self.written: list[bytes] = []
        self.environ = wsgi_environ(path, method, **changes)
        if file_wrapper is not None:
            self.environ["wsgi.file_wrapper"] = file_wrapper
        self.body: Any = app(self.environ, self._start_response)

    def _start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        self.status, self.headers, self.exc_info = status, headers, exc_info
        return self.written.append

    def close(self) -> None:
        if hasattr(self.body, "close"):
            self.body.close()

    def finish(self) -> bytes:
        """Take the whole body and close it, as servers do."""
        try:
            return b"".join(self.written) + b"".join(self.body)
        finally:
            self.close()
