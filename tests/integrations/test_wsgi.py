"""The record of a request under WSGI."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import SeverityNumber

from logwell_otel._encoding.exceptions import is_recorded
from logwell_otel.context import log_context
from logwell_otel.integrations.wsgi import RequestLogMiddleware
from support.clock import NanosecondClock
from support.records import Raising, Recorder, attributes_of, provider_with
from support.web import WsgiCall

if TYPE_CHECKING:
    from collections.abc import Iterator


def hello(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("X", "y")])
    return [b"hello"]


def logged(app: Any, recorder: Recorder, **options: Any) -> Any:
    options.setdefault("clock_ns", NanosecondClock())
    return RequestLogMiddleware(app, logger_provider=provider_with(recorder), **options)


def test_the_whole_record() -> None:
    recorder, clock = Recorder(), NanosecondClock()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        clock.advance(12.3456)
        return hello(environ, start_response)

    exchange = WsgiCall(
        logged(app, recorder, clock_ns=clock),
        "/orders/ä",
        "POST",
        SCRIPT_NAME="/shop",
        QUERY_STRING="token=secret",
        HTTP_HOST="shop.example:8443",
        HTTP_USER_AGENT="curl/8",
        HTTP_X_REQUEST_ID="r-1",
        HTTP_X_FORWARDED_FOR="6.6.6.6",
        HTTP_AUTHORIZATION="Bearer secret",
    )
    assert recorder.records == []
    assert exchange.finish() == b"hello"
    assert (exchange.status, exchange.headers) == ("200 OK", [("X", "y")])
    record = recorder.only
    assert record.body == "POST /shop/orders/ä 200 12ms"
    assert (record.severity_number, record.severity_text) == (SeverityNumber.INFO, "INFO")
    assert attributes_of(record) == {
        "http.request.method": "POST",
        "url.path": "/shop/orders/ä",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "192.0.2.7",
        "server.address": "shop.example",
        "user_agent.original": "curl/8",
        "request_id": "r-1",
        "http.server.request.duration": 0.012346,
        "http.response.status_code": 200,
    }


@pytest.mark.parametrize(
    ("environ", "name", "expected"),
    [
        ({"QUERY_STRING": "a=1"}, "url.query", "a=1"),
        ({}, "url.query", None),
        ({}, "server.address", "localhost"),
        ({"HTTP_HOST": "[::1]:80"}, "server.address", "::1"),
        ({"HTTP_HOST": "shop"}, "server.address", "shop"),
        ({"SERVER_NAME": ""}, "server.address", None),
        ({"SERVER_PROTOCOL": ""}, "network.protocol.version", None),
        ({"REMOTE_ADDR": None}, "client.address", None),
        ({"PATH_INFO": ""}, "url.path", "/"),
        ({"PATH_INFO": "/☃"}, "url.path", "/?"),  # no server should; PEP 3333 forbids it
        ({"HTTP_X_FORWARDED_FOR": "6.6.6.6, 203.0.113.9"}, "client.address", "203.0.113.9"),
    ],
)
def test_single_attributes(environ: dict[str, Any], name: str, expected: str | None) -> None:
    recorder = Recorder()
    WsgiCall(logged(hello, recorder, query=True, trusted_proxies=1), **environ).finish()
    assert attributes_of(recorder.only).get(name) == expected


@pytest.mark.parametrize(
    ("status", "severity"),
    [("204 No Content", "INFO"), ("302 Found", "INFO"), ("404 X", "WARN"), ("503 X", "ERROR")],
)
def test_the_severity_is_the_statuss(status: str, severity: str) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, [])
        return []

    recorder = Recorder()
    WsgiCall(logged(app, recorder)).finish()
    assert recorder.only.severity_text == severity
    assert recorder.only.body == f"GET / {status[:3]} 0ms"


def test_the_log_context_around_the_middleware() -> None:
    recorder = Recorder()
    with log_context(deployment="blue"):
        WsgiCall(logged(hello, recorder)).finish()
    assert attributes_of(recorder.only)["deployment"] == "blue"


def test_an_exception_is_logged_once_and_raised_unchanged() -> None:
    recorder = Recorder()
    error = ValueError("boom")

    def app(environ: Any, start_response: Any) -> Any:
        raise error

    with pytest.raises(ValueError, match="boom") as caught:
        WsgiCall(logged(app, recorder), "/orders")
    assert caught.value is error
    record = recorder.only
    attributes = attributes_of(record)
    assert (record.body, record.severity_text) == ("GET /orders 500 0ms", "ERROR")
    assert (attributes["exception.type"], attributes["exception.message"]) == ("ValueError", "boom")
    assert attributes["exception.stacktrace"].count("ValueError: boom") == 1
    assert is_recorded(error)


@pytest.mark.parametrize(
    ("chunks", "status"), [((), 500), ((b"",), 500), ((b"x",), 200), ((b"", b"x"), 200)]
)
def test_an_exception_in_the_body_is_a_500_until_the_headers_have_left(
    chunks: tuple[bytes, ...], status: int
) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield from chunks
        raise ValueError("boom")

    recorder = Recorder()
    exchange = WsgiCall(logged(app, recorder))
    with pytest.raises(ValueError, match="boom"):
        exchange.finish()
    record = recorder.only
    assert (record.body, record.severity_text) == (f"GET / {status} 0ms", "ERROR")
    assert attributes_of(record)["exception.type"] == "ValueError"


def test_an_exception_after_bytes_were_written() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [])
        write(b"x")
        raise ValueError("boom")

    recorder = Recorder()
    with pytest.raises(ValueError, match="boom"):
        WsgiCall(logged(app, recorder))
    assert recorder.only.body == "GET / 200 0ms"


def test_an_exception_when_the_body_is_closed() -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

        def close(self) -> None:
            raise ValueError("boom")

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return Body()

    recorder = Recorder()
    exchange = WsgiCall(logged(app, recorder))
    with pytest.raises(ValueError, match="boom"):
        exchange.finish()
    assert (recorder.only.body, recorder.only.severity_text) == ("GET / 200 0ms", "ERROR")
    assert attributes_of(recorder.only)["exception.message"] == "boom"


def test_an_exception_that_the_application_answers_with_an_error_page() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        try:
            raise ValueError("boom")
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())
        return [b"sorry"]

    recorder = Recorder()
    exchange = WsgiCall(logged(app, recorder))
    assert exchange.exc_info[0] is ValueError
    assert exchange.finish() == b"sorry"
    record = recorder.only
    assert record.body == "GET / 500 0ms"
    assert attributes_of(record)["exception.message"] == "boom"


def test_a_worker_that_is_stopped_in_a_request() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise SystemExit(1)  # gunicorn's way of stopping a worker that takes too long

    recorder = Recorder()
    with pytest.raises(SystemExit):
        WsgiCall(logged(app, recorder))
    record = recorder.only
    assert (record.body, record.severity_text) == ("GET / - 0ms (SystemExit)", "WARN")
    assert attributes_of(record)["error.type"] == "SystemExit"


def test_a_streamed_response_is_timed_to_its_end() -> None:
    recorder, clock = Recorder(), NanosecondClock()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(3):
            clock.advance(100)
            yield b"x"

    exchange = WsgiCall(logged(app, recorder, clock_ns=clock))
    assert b"".join(exchange.body) == b"xxx"
    assert recorder.records == []
    exchange.close()
    assert recorder.only.body == "GET / 200 300ms"
    exchange.close()
    assert len(recorder.records) == 1


def test_a_client_that_disconnects_while_the_body_is_sent() -> None:
    closed = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            yield b"x"
            yield b"y"
        finally:
            closed.append(True)

    recorder = Recorder()
    exchange = WsgiCall(logged(app, recorder))
    assert next(iter(exchange.body)) == b"x"
    exchange.close()
    assert closed == [True]
    assert recorder.only.body == "GET / 200 0ms (client disconnected)"
    assert attributes_of(recorder.only)["error.type"] == "client_disconnected"


def test_the_body_of_a_head_request_need_not_be_taken() -> None:
    recorder = Recorder()
    WsgiCall(logged(hello, recorder), "/", "HEAD").close()
    assert recorder.only.body == "HEAD / 200 0ms"


def test_excluded_requests_are_passed_on_as_they_are() -> None:
    recorder = Recorder()
    seen: list[Any] = []
    body: list[bytes] = []

    def app(*arguments: Any) -> list[bytes]:
        seen.extend(arguments)
        return body

    environ, start_response = {"PATH_INFO": "/healthz"}, object()
    assert logged(app, recorder)(environ, start_response) is body
    assert seen == [environ, start_response]
    assert seen[0] is environ
    assert environ == {"PATH_INFO": "/healthz"}
    assert recorder.records == []


def test_wrapped_twice_it_logs_once() -> None:
    recorder = Recorder()
    assert WsgiCall(logged(logged(hello, recorder), recorder)).finish() == b"hello"
    assert recorder.only.body == "GET / 200 0ms"


def test_errors_of_ours_are_counted_and_the_response_is_the_same() -> None:
    app = RequestLogMiddleware(hello, logger_provider=provider_with(Raising(RuntimeError("x"))))
    assert WsgiCall(app).finish() == b"hello"
    assert app.failures == 1


@pytest.mark.parametrize("change", [{"REQUEST_METHOD": None}, {"SCRIPT_NAME": 5}])
def test_an_environ_that_is_not_as_it_should_be(change: dict[str, Any]) -> None:
    recorder = Recorder()
    app = logged(hello, recorder)
    environ = WsgiCall(hello).environ | change
    if environ["REQUEST_METHOD"] is None:
        del environ["REQUEST_METHOD"]
    assert app(environ, lambda *_: None) == [b"hello"]
    assert (recorder.records, app.failures) == ([], 1)


def test_a_status_that_is_none_is_the_servers_to_refuse() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("fine", [])
        return [b"x"]

    recorder = Recorder()
    middleware = logged(app, recorder)
    exchange = WsgiCall(middleware)
    assert (exchange.finish(), exchange.status) == (b"x", "fine")
    assert middleware.failures == 1


def test_the_request_lets_go_of_its_exception() -> None:
    recorder = Recorder()
    exchange = WsgiCall(hello)

    def app(environ: Any, start_response: Any) -> Any:
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        logged(app, recorder)(exchange.environ, lambda *_: None)
    assert exchange.environ["logwell_otel.request_log"].error is None
