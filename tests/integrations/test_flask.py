from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("flask")

from flask import Flask, Response, send_file, stream_with_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from logwell_otel.integrations.wsgi import RequestLogMiddleware
from support.records import Recorder, attributes_of, body_of, provider_with
from support.web import WsgiCall

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _flasks_logger() -> Iterator[None]:
    """Flask's logger is that of its name, for every test after this one too."""
    logger = logging.getLogger("shop")
    handlers, propagate, disabled = logger.handlers, logger.propagate, logger.disabled
    yield
    logger.handlers, logger.propagate, logger.disabled = handlers, propagate, disabled


def flask_app(recorder: Recorder, seen: list[Any] | None = None) -> Flask:
    app = Flask("shop")

    @app.get("/orders/<int:order_id>")
    def order(order_id: int) -> dict[str, int]:
        if seen is not None:
            seen.append(trace.get_current_span().get_span_context())
        return {"id": order_id}

    @app.get("/fail")
    def fail() -> str:
        raise ValueError("boom")

    @app.get("/stream")
    def stream() -> Response:
        def lines() -> Iterator[str]:
            yield "one"
            yield "two"

        return Response(stream_with_context(lines()))

    @app.get("/file")
    def file() -> Response:
        return send_file(__file__)

    app.wsgi_app = RequestLogMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, logger_provider=provider_with(recorder)
    )
    return app


@pytest.mark.parametrize(
    ("path", "route", "body"),
    [
        ("/orders/7", "/orders/<int:order_id>", "GET /orders/<int:order_id> 200 "),
        ("/orders/x", None, "GET /orders/x 404 "),
        ("/stream", "/stream", "GET /stream 200 "),
        ("/file", "/file", "GET /file 200 "),
        ("/health", None, None),
    ],
)
def test_routes(path: str, route: str | None, body: str | None) -> None:
    recorder = Recorder()
    assert WsgiCall(flask_app(recorder), path).finish()
    if body is None:
        assert recorder.records == []
        return
    assert body_of(recorder.only).startswith(body)
    assert attributes_of(recorder.only).get("http.route") == route


def test_mounted_below_a_prefix() -> None:
    recorder = Recorder()
    app = DispatcherMiddleware(Flask("root"), {"/shop": flask_app(recorder)})
    WsgiCall(app, "/shop/orders/7").finish()
    assert attributes_of(recorder.only)["http.route"] == "/shop/orders/<int:order_id>"
    assert attributes_of(recorder.only)["url.path"] == "/shop/orders/7"


def test_an_exception_flask_answers_itself_is_in_flasks_own_record_once() -> None:
    from logwell_otel.handler import LogwellHandler

    recorder = Recorder()
    app = flask_app(recorder)
    app.logger.handlers = [LogwellHandler(logger_provider=provider_with(recorder))]
    app.logger.propagate = False
    WsgiCall(app, "/fail").finish()
    flasks, request = recorder.records
    assert flasks.body == "Exception on /fail [GET]"
    assert attributes_of(flasks)["exception.stacktrace"].count("ValueError: boom") == 1
    assert body_of(request).startswith("GET /fail 500 ")
    assert request.severity_text == "ERROR"
    assert "exception.stacktrace" not in attributes_of(request)


def test_an_exception_flask_lets_through() -> None:
    recorder = Recorder()
    app = flask_app(recorder)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    app.logger.disabled = True
    with pytest.raises(ValueError, match="boom"):
        WsgiCall(app, "/fail")
    assert body_of(recorder.only).startswith("GET /fail 500 ")
    assert attributes_of(recorder.only)["exception.message"] == "boom"
    logging.getLogger("shop").disabled = False


@pytest.mark.parametrize("instrumented_first", [True, False])
def test_under_opentelemetrys_own_instrumentation(instrumented_first: bool) -> None:
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.flask")
    tracers = TracerProvider(shutdown_on_exit=False)
    recorder, seen = Recorder(), []  # type: ignore[var-annotated]
    app = flask_app(recorder, seen)
    middleware = app.wsgi_app
    if instrumented_first:
        app.wsgi_app = middleware.app  # type: ignore[method-assign, attr-defined]
    instrumentation.FlaskInstrumentor.instrument_app(app, tracer_provider=tracers)
    if instrumented_first:
        app.wsgi_app = RequestLogMiddleware(  # type: ignore[method-assign]
            app.wsgi_app, logger_provider=provider_with(recorder)
        )
    WsgiCall(app, "/orders/7").finish()
    (span,) = seen
    assert (recorder.only.trace_id, recorder.only.span_id) == (span.trace_id, span.span_id)


def test_under_the_wsgi_instrumentation() -> None:
    wsgi = pytest.importorskip("opentelemetry.instrumentation.wsgi")
    recorder, seen = Recorder(), []  # type: ignore[var-annotated]
    app = flask_app(recorder, seen)
    tracers = TracerProvider(shutdown_on_exit=False)
    WsgiCall(wsgi.OpenTelemetryMiddleware(app, tracer_provider=tracers), "/orders/7").finish()
    (span,) = seen
    assert (recorder.only.trace_id, recorder.only.span_id) == (span.trace_id, span.span_id)


@pytest.mark.parametrize("read", [True, False])
def test_flasks_test_client_is_no_client_that_went_away(read: bool) -> None:
    recorder = Recorder()
    answer = flask_app(recorder).test_client().get("/orders/7")
    if read:
        assert answer.data
    answer.close()
    assert "disconnected" not in body_of(recorder.only)
    assert "error.type" not in attributes_of(recorder.only)


def test_a_client_that_takes_less_than_the_whole_went_away() -> None:
    recorder = Recorder()
    flask_app(recorder).test_client().get("/stream").close()
    assert attributes_of(recorder.only)["error.type"] == "client_disconnected"
