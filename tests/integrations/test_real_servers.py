"""Over a loopback socket, where a server of its own does what servers do."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

pytest.importorskip("flask")

import uvicorn
from flask import Flask, Response, send_file
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from logwell_otel.integrations.asgi import RequestLogMiddleware as ASGIRequestLogMiddleware
from logwell_otel.integrations.wsgi import RequestLogMiddleware
from support.records import Recorder, attributes_of, body_of, provider_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from opentelemetry._logs import LogRecord

pytestmark = pytest.mark.socket


class Waiting(Recorder):
    """A recorder one can wait for: the record follows the response."""

    def wait_for(self, count: int) -> list[LogRecord]:
        deadline = time.monotonic() + 10
        while len(self.records) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(self.records) == count
        return self.records


@contextmanager
def uvicorn_serving(app: Any) -> Iterator[int]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # who connects before the server is up waits
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@contextmanager
def wsgiref_serving(app: Any) -> Iterator[int]:
    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(10)


def ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers={"User-Agent": "test/1", "X-Request-Id": "r-1"})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def starlette_app() -> Starlette:
    async def hello(request: Any) -> PlainTextResponse:
        return PlainTextResponse("hello")

    async def fail(request: Any) -> PlainTextResponse:
        raise ValueError("boom")

    async def endless(request: Any) -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.005)

        return StreamingResponse(chunks())

    return Starlette(
        routes=[Route("/hello/{name}", hello), Route("/fail", fail), Route("/endless", endless)]
    )


@pytest.mark.parametrize("inside", [True, False])
def test_uvicorn(inside: bool) -> None:
    recorder = Waiting()
    options: dict[str, Any] = {"logger_provider": provider_with(recorder)}
    app: Any = starlette_app()
    if inside:
        app.add_middleware(ASGIRequestLogMiddleware, **options)
    else:
        app = ASGIRequestLogMiddleware(app, **options)
    with uvicorn_serving(app) as port:
        assert ask(port, "/hello/ann?token=secret")[:2] == (200, b"hello")
        hello = recorder.wait_for(1)[0]
        assert ask(port, "/hello/ann", "HEAD")[:2] == (200, b"")
        assert ask(port, "/fail")[:2] == (500, b"Internal Server Error")
        failed = recorder.wait_for(3)[2]
    assert body_of(hello).startswith("GET /hello/{name} 200 ")
    attributes = attributes_of(hello)
    assert 0 < attributes.pop("http.server.request.duration") < 10
    assert attributes == {
        "http.request.method": "GET",
        "url.path": "/hello/ann",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "server.address": "127.0.0.1",
        "user_agent.original": "test/1",
        "request_id": "r-1",
        "http.response.status_code": 200,
        "http.route": "/hello/{name}",
    }
    assert body_of(failed).startswith("GET /fail 500 ")
    assert attributes_of(failed)["exception.stacktrace"].count("ValueError: boom") == 1


def test_uvicorn_with_a_client_that_goes_away() -> None:
    recorder = Waiting()
    app = ASGIRequestLogMiddleware(starlette_app(), logger_provider=provider_with(recorder))
    with uvicorn_serving(app) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(100)
        record = recorder.wait_for(1)[0]
    assert body_of(record).startswith("GET /endless 200 ")
    assert body_of(record).endswith(" (client disconnected)")
    assert attributes_of(record)["error.type"] == "client_disconnected"
    assert "exception.type" not in attributes_of(record)


def flask_app(recorder: Recorder) -> Flask:
    app = Flask("shop")

    @app.get("/hello/<name>")
    def hello(name: str) -> str:
        return "hello"

    @app.get("/stream")
    def stream() -> Response:
        return Response(iter(["one", "two"]))

    @app.get("/file")
    def file() -> Response:
        return send_file(__file__)

    app.wsgi_app = RequestLogMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, logger_provider=provider_with(recorder)
    )
    return app


def test_wsgiref() -> None:
    recorder = Waiting()
    with wsgiref_serving(flask_app(recorder)) as port:
        status, content, headers = ask(port, "/hello/ann")
        # The server takes the length of a body of one part; ours must not hide it.
        assert (status, content, headers["Content-Length"]) == (200, b"hello", "5")
        assert ask(port, "/stream")[1] == b"onetwo"
        assert b"test_wsgiref" in ask(port, "/file")[1]
        assert ask(port, "/hello/ann", "HEAD")[:2] == (200, b"")
        records = recorder.wait_for(4)
    routes = [attributes_of(record)["http.route"] for record in records]
    assert routes == ["/hello/<name>", "/stream", "/file", "/hello/<name>"]
    assert all("error.type" not in attributes_of(record) for record in records)
    attributes = attributes_of(records[0])
    assert (attributes["client.address"], attributes["request_id"]) == ("127.0.0.1", "r-1")


def test_wsgiref_computes_the_content_length_as_without_us() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    middleware = RequestLogMiddleware(app, logger_provider=provider_with(Recorder()))
    with wsgiref_serving(middleware) as port:
        assert ask(port, "/")[2]["Content-Length"] == "5"
