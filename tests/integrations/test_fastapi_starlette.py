from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("fastapi")

from fastapi import APIRouter, BackgroundTasks, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from logwell_otel.integrations.asgi import RequestLogMiddleware
from support.records import Recorder, attributes_of, body_of, provider_with
from support.web import call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def fastapi_app(recorder: Recorder) -> FastAPI:
    app = FastAPI()
    app.add_middleware(RequestLogMiddleware, logger_provider=provider_with(recorder))

    @app.get("/orders/{order_id}")
    async def order(order_id: int) -> dict[str, int]:
        return {"id": order_id}

    @app.get("/sync/{name}")
    def sync(name: str) -> str:
        return name

    @app.get("/missing")
    async def missing() -> None:
        raise HTTPException(404)

    @app.get("/fail/{what}")
    async def fail(what: str) -> None:
        raise ValueError("boom")

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            yield b"one\n"
            await asyncio.sleep(0)
            yield b"two\n"

        return StreamingResponse(lines())

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> str:
        def fail_later() -> None:
            raise ValueError("in the background")

        tasks.add_task(fail_later)
        return "ok"

    router = APIRouter(prefix="/inner")

    @router.get("/items/{item}")
    async def item(item: str) -> str:
        return item

    app.include_router(router, prefix="/api")
    inner = FastAPI()
    inner.include_router(router)
    app.mount("/sub", inner)
    return app


@pytest.mark.parametrize(
    ("path", "route", "body"),
    [
        ("/orders/7", "/orders/{order_id}", "GET /orders/{order_id} 200 "),
        ("/sync/a", "/sync/{name}", "GET /sync/{name} 200 "),
        ("/orders/x", "/orders/{order_id}", "GET /orders/{order_id} 422 "),
        ("/missing", "/missing", "GET /missing 404 "),
        ("/stream", "/stream", "GET /stream 200 "),
        ("/api/inner/items/a", "/api/inner/items/{item}", "GET /api/inner/items/{item} 200 "),
        ("/sub/inner/items/a", "/sub/inner/items/{item}", "GET /sub/inner/items/{item} 200 "),
        ("/nowhere", None, "GET /nowhere 404 "),
    ],
)
def test_fastapi_routes(path: str, route: str | None, body: str) -> None:
    recorder = Recorder()
    call(fastapi_app(recorder), path)
    assert body_of(recorder.only).startswith(body)
    assert attributes_of(recorder.only).get("http.route") == route


def test_behind_a_proxy_that_strips_the_prefix() -> None:
    recorder = Recorder()
    call(fastapi_app(recorder), "/orders/7", root_path="/shop")
    assert attributes_of(recorder.only)["http.route"] == "/orders/{order_id}"


def test_behind_a_server_that_keeps_the_prefix() -> None:
    recorder = Recorder()
    call(fastapi_app(recorder), "/shop/orders/7", root_path="/shop")
    assert attributes_of(recorder.only)["http.route"] == "/shop/orders/{order_id}"


def test_an_exception_in_an_endpoint_is_one_record_however_many_log_it() -> None:
    from logwell_otel.handler import LogwellHandler

    recorder = Recorder()
    app = fastapi_app(recorder)
    server = logging.Logger("uvicorn.error")
    server.addHandler(LogwellHandler(logger_provider=provider_with(recorder)))
    with pytest.raises(ValueError, match="boom") as caught:
        call(app, "/fail/now")
    server.error("Exception in ASGI application", exc_info=caught.value)
    request, servers = recorder.records
    assert body_of(request).startswith("GET /fail/{what} 500 ")
    assert request.severity_text == "ERROR"
    attributes = attributes_of(request)
    assert attributes["http.route"] == "/fail/{what}"
    assert attributes["exception.stacktrace"].count("ValueError: boom") == 1
    assert "exception.stacktrace" not in attributes_of(servers)


def test_an_exception_in_a_background_task_belongs_to_the_request() -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match="in the background"):
        call(fastapi_app(recorder), "/background")
    assert body_of(recorder.only).startswith("GET /background 200 ")
    assert recorder.only.severity_text == "ERROR"
    assert attributes_of(recorder.only)["exception.message"] == "in the background"


def test_around_the_application_instead_of_inside_it() -> None:
    recorder = Recorder()
    inner = FastAPI()

    @inner.get("/orders/{order_id}")
    async def order(order_id: int) -> int:
        raise ValueError("boom")

    app = RequestLogMiddleware(inner, logger_provider=provider_with(recorder))
    with pytest.raises(ValueError, match="boom"):
        call(app, "/orders/7")
    assert body_of(recorder.only).startswith("GET /orders/{order_id} 500 ")
    assert attributes_of(recorder.only)["exception.type"] == "ValueError"


def test_starlette_with_mounts_and_other_peoples_middleware() -> None:
    recorder = Recorder()

    async def endpoint(request: Any) -> PlainTextResponse:
        return PlainTextResponse("x")

    class Other(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            return await call_next(request)

    app = Starlette(
        routes=[
            Route("/a/{number:int}", endpoint),
            Mount("/m", routes=[Route("/b/{name}", endpoint)]),
        ],
        middleware=[
            Middleware(RequestLogMiddleware, logger_provider=provider_with(recorder)),
            Middleware(Other),
        ],
    )
    for path in ("/a/5", "/m/b/x", "/a/x", "/m/nothing"):
        call(app, path)
    assert [attributes_of(record).get("http.route") for record in recorder.records] == [
        "/a/{number:int}",
        "/m/b/{name}",
        None,
        None,
    ]


class PathlessRoute:
    endpoint = path = None


def test_a_route_of_another_kind() -> None:
    recorder = Recorder()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = PathlessRoute()

    call(RequestLogMiddleware(app, logger_provider=provider_with(recorder)), "/x")
    assert "http.route" not in attributes_of(recorder.only)


class Span:
    """Opens a span around an application, as an instrumentation does."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
        self.trace_ids: list[int] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        with self.tracer.start_as_current_span("server") as span:
            self.trace_ids.append(span.get_span_context().trace_id)
            self.span_id = span.get_span_context().span_id
            await self.app(scope, receive, send)


@pytest.mark.parametrize("path", ["/orders/7", "/stream"])
def test_inside_a_server_span(path: str) -> None:
    recorder = Recorder()
    app = Span(fastapi_app(recorder))
    call(app, path)
    assert (recorder.only.trace_id, recorder.only.span_id) == (app.trace_ids[0], app.span_id)


def test_around_a_server_span() -> None:
    recorder = Recorder()
    span = Span(FastAPI())
    call(RequestLogMiddleware(span, logger_provider=provider_with(recorder)))
    assert (recorder.only.trace_id, recorder.only.span_id) == (span.trace_ids[0], span.span_id)


def test_without_a_span_there_is_no_trace() -> None:
    recorder = Recorder()
    call(fastapi_app(recorder), "/orders/7")
    assert recorder.only.trace_id == trace.INVALID_TRACE_ID


@pytest.mark.parametrize("inside", [True, False])
def test_under_opentelemetrys_own_instrumentation(inside: bool) -> None:
    asgi = pytest.importorskip("opentelemetry.instrumentation.asgi")
    fastapi = pytest.importorskip("opentelemetry.instrumentation.fastapi")
    recorder = Recorder()
    seen: list[Any] = []
    app = FastAPI()

    @app.get("/orders/{order_id}")
    async def order(order_id: int) -> int:
        seen.append(trace.get_current_span().get_span_context())
        return order_id

    tracers = TracerProvider(shutdown_on_exit=False)
    outer: Any
    if inside:
        app.add_middleware(RequestLogMiddleware, logger_provider=provider_with(recorder))
        fastapi.FastAPIInstrumentor.instrument_app(app, tracer_provider=tracers)
        outer = app
    else:
        outer = RequestLogMiddleware(
            asgi.OpenTelemetryMiddleware(app, tracer_provider=tracers),
            logger_provider=provider_with(recorder),
        )
    call(outer, "/orders/7", headers=[("Host", "shop")])
    (span,) = seen
    record = recorder.only
    assert (record.trace_id, record.span_id) == (span.trace_id, span.span_id)
    assert attributes_of(record)["http.route"] == "/orders/{order_id}"


def test_the_status_of_a_starlette_exception_handler_when_wrapped_around() -> None:
    async def fail(request: Any) -> PlainTextResponse:
        raise ValueError("boom")

    async def sorry(request: Any, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("sorry", 503)

    recorder = Recorder()
    app = Starlette(routes=[Route("/fail", fail)], exception_handlers={Exception: sorry})
    with pytest.raises(ValueError, match="boom"):
        call(RequestLogMiddleware(app, logger_provider=provider_with(recorder)), "/fail")
    assert body_of(recorder.only).startswith("GET /fail 503 ")
    assert attributes_of(recorder.only)["exception.type"] == "ValueError"
