from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry._logs import SeverityNumber

from logwell_otel._encoding.exceptions import is_recorded
from logwell_otel.context import log_context
from logwell_otel.integrations.asgi import RequestLogMiddleware
from logwell_otel.integrations.request_log import KEY
from support.clock import NanosecondClock
from support.records import Raising, Recorder, attributes_of, provider_with
from support.web import Message, acall, call, http_scope

PLAIN: list[Message] = [
    {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]},
    {"type": "http.response.body", "body": b"hello"},
]


def answering(*messages: Message) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


def logged(app: Any, recorder: Recorder, **options: Any) -> Any:
    options.setdefault("clock_ns", NanosecondClock())
    return RequestLogMiddleware(app, logger_provider=provider_with(recorder), **options)


def test_the_whole_record() -> None:
    recorder, clock = Recorder(), NanosecondClock()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        clock.advance(12.3456)
        for message in PLAIN:
            await send(message)

    sent = call(
        logged(app, recorder, clock_ns=clock),
        "/orders/7",
        "POST",
        query_string=b"token=secret",
        headers=[
            ("Host", "shop.example:8443"),
            ("User-Agent", "curl/8"),
            ("X-Request-ID", "r-1"),
            ("X-Forwarded-For", "6.6.6.6"),
            ("Authorization", "Bearer secret"),
        ],
    )
    assert sent == PLAIN
    record = recorder.only
    assert record.body == "POST /orders/7 200 12ms"
    assert (record.severity_number, record.severity_text) == (SeverityNumber.INFO, "INFO")
    assert attributes_of(record) == {
        "http.request.method": "POST",
        "url.path": "/orders/7",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "192.0.2.7",
        "server.address": "shop.example",
        "user_agent.original": "curl/8",
        "request_id": "r-1",
        "http.server.request.duration": 0.012346,
        "http.response.status_code": 200,
    }


def test_what_the_server_does_not_say_is_left_out() -> None:
    recorder = Recorder()
    app = logged(answering(*PLAIN), recorder, make_request_id=lambda: "made-1")
    call(app, client=None, server=None)
    assert attributes_of(recorder.only) == {
        "http.request.method": "GET",
        "url.path": "/",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "request_id": "made-1",
        "http.server.request.duration": 0.0,
        "http.response.status_code": 200,
    }


@pytest.mark.parametrize(
    ("status", "severity"),
    [
        (200, "INFO"),
        (204, "INFO"),
        (304, "INFO"),
        (399, "INFO"),
        (400, "WARN"),
        (404, "WARN"),
        (499, "WARN"),
        (500, "ERROR"),
        (503, "ERROR"),
    ],
)
def test_the_severity_is_the_statuss(status: int, severity: str) -> None:
    recorder = Recorder()
    call(logged(answering({**PLAIN[0], "status": status}, PLAIN[1]), recorder))
    assert recorder.only.severity_text == severity
    assert recorder.only.body == f"GET / {status} 0ms"


def test_the_query_string_only_when_asked_for() -> None:
    recorder = Recorder()
    app = logged(answering(*PLAIN), recorder, query=True)
    call(app, query_string=b"a=1&b=%20")
    call(app)
    first, second = (attributes_of(record) for record in recorder.records)
    assert first["url.query"] == "a=1&b=%20"
    assert "url.query" not in second


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("shop.example", "shop.example"),
        ("shop.example:80", "shop.example"),
        ("[::1]:8000", "::1"),
        ("[::1]", "::1"),
        ("", "127.0.0.1"),
    ],
)
def test_the_servers_address(host: str, expected: str) -> None:
    recorder = Recorder()
    call(logged(answering(*PLAIN), recorder), headers=[("Host", host)])
    assert attributes_of(recorder.only)["server.address"] == expected


def test_forwarded_addresses_from_as_many_proxies_as_are_trusted() -> None:
    recorder = Recorder()
    call(
        logged(answering(*PLAIN), recorder, trusted_proxies=2),
        headers=[("X-Forwarded-For", "6.6.6.6, 203.0.113.9"), ("X-Forwarded-For", "10.0.0.2")],
    )
    assert attributes_of(recorder.only)["client.address"] == "203.0.113.9"


def test_what_clients_send_is_cut_and_stays_on_one_line() -> None:
    recorder = Recorder()
    call(logged(answering(*PLAIN), recorder), "/a\nb", headers=[("User-Agent", "x" * 60_000)])
    assert recorder.only.body == "GET /a\\nb 200 0ms"
    attributes = attributes_of(recorder.only)
    assert attributes["url.path"] == "/a\nb"
    assert len(attributes["user_agent.original"]) == 2048


def test_the_log_context_around_the_middleware() -> None:
    recorder = Recorder()
    with log_context(deployment="blue", request_id="outer"):
        call(logged(answering(*PLAIN), recorder), headers=[("X-Request-ID", "r-1")])
    attributes = attributes_of(recorder.only)
    assert (attributes["deployment"], attributes["request_id"]) == ("blue", "r-1")


def test_an_exception_is_logged_once_and_raised_unchanged() -> None:
    recorder = Recorder()
    error = ValueError("boom")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    with pytest.raises(ValueError, match="boom") as caught:
        call(logged(app, recorder), "/orders")
    assert caught.value is error
    record = recorder.only
    attributes = attributes_of(record)
    assert (record.body, record.severity_text) == ("GET /orders 500 0ms", "ERROR")
    assert attributes["http.response.status_code"] == 500
    assert (attributes["exception.type"], attributes["exception.message"]) == ("ValueError", "boom")
    assert attributes["exception.stacktrace"].count("ValueError: boom") == 1
    assert "in app" in attributes["exception.stacktrace"]
    assert is_recorded(error)


def test_an_exception_after_the_response_has_begun_keeps_the_status_that_was_sent() -> None:
    recorder = Recorder()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(PLAIN[0])
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        call(logged(app, recorder))
    assert (recorder.only.body, recorder.only.severity_text) == ("GET / 200 0ms", "ERROR")
    assert attributes_of(recorder.only)["exception.type"] == "ValueError"


def test_an_application_that_does_not_answer() -> None:
    recorder = Recorder()
    assert call(logged(answering(), recorder)) == []
    assert (recorder.only.body, recorder.only.severity_text) == ("GET / 500 0ms", "ERROR")


def test_a_streamed_response_is_timed_to_its_end_and_not_to_that_of_what_runs_after_it() -> None:
    recorder, clock = Recorder(), NanosecondClock()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(PLAIN[0])
        for number in range(3):
            clock.advance(100)
            await send({"type": "http.response.body", "body": b"x", "more_body": number < 2})
        clock.advance(60_000)  # a background task

    call(logged(app, recorder, clock_ns=clock))
    assert recorder.only.body == "GET / 200 300ms"
    assert attributes_of(recorder.only)["http.server.request.duration"] == 0.3


@pytest.mark.parametrize(
    "messages",
    [
        (
            {**PLAIN[0], "trailers": True},
            {"type": "http.response.body", "body": b"x"},
            {"type": "http.response.trailers", "headers": [], "more_trailers": True},
            {"type": "http.response.trailers", "headers": []},
        ),
        (PLAIN[0], {"type": "http.response.pathsend", "path": "/tmp/x"}),
        (PLAIN[0], {"type": "http.response.zerocopysend", "file": 3}),
        ({"type": "http.response.debug", "info": {}}, *PLAIN),
    ],
)
def test_the_extensions_ways_of_ending_a_response(messages: tuple[Message, ...]) -> None:
    recorder, clock = Recorder(), NanosecondClock()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            clock.advance(10)
            await send(message)
        clock.advance(1000)

    assert call(logged(app, recorder, clock_ns=clock)) == list(messages)
    assert recorder.only.body == f"GET / 200 {len(messages) * 10}ms"


def test_a_client_that_disconnects_before_the_response() -> None:
    recorder = Recorder()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.disconnect"

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    asyncio.run(logged(app, recorder)(http_scope("/orders"), receive, send))
    record = recorder.only
    assert (record.body, record.severity_text) == (
        "GET /orders - 0ms (client disconnected)",
        "WARN",
    )
    attributes = attributes_of(record)
    assert attributes["error.type"] == "client_disconnected"
    assert "http.response.status_code" not in attributes


class ClientDisconnect(Exception):  # noqa: N818 - Starlette's name
    pass


@pytest.mark.parametrize("as_framework", [False, True])
def test_a_client_that_disconnects_while_it_is_sent_to(as_framework: bool) -> None:
    recorder = Recorder()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(PLAIN[0])
        try:
            await send({**PLAIN[1], "more_body": True})
        except OSError:
            if as_framework:
                raise ClientDisconnect from None
            raise

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise OSError("gone")

    with pytest.raises(ClientDisconnect if as_framework else OSError):
        asyncio.run(logged(app, recorder)(http_scope(), None, send))
    record = recorder.only
    assert (record.body, record.severity_text) == ("GET / 200 0ms (client disconnected)", "INFO")
    assert "exception.type" not in attributes_of(record)


def test_a_disconnect_after_the_response_is_how_every_request_ends() -> None:
    recorder = Recorder()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        for message in PLAIN:
            await send(message)
        assert (await receive())["type"] == "http.disconnect"

    call(logged(app, recorder))
    assert "error.type" not in attributes_of(recorder.only)


@pytest.mark.parametrize("disconnected", [False, True])
def test_a_request_that_is_cancelled(disconnected: bool) -> None:
    recorder = Recorder()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(60)

    async def receive() -> Message:
        return {"type": "http.disconnect" if disconnected else "http.request"}

    async def main() -> None:
        async def send(message: Message) -> None:
            raise AssertionError(message)

        task = asyncio.ensure_future(logged(app, recorder)(http_scope(), receive, send))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    record = recorder.only
    why = "client disconnected" if disconnected else "CancelledError"
    assert (record.body, record.severity_text) == (f"GET / - 0ms ({why})", "WARN")
    assert attributes_of(record)["error.type"] == (
        "client_disconnected" if disconnected else "CancelledError"
    )
    assert "exception.stacktrace" not in attributes_of(record)


@pytest.mark.parametrize(
    "scope", [{"type": "lifespan"}, {"type": "websocket", "path": "/"}, http_scope("/health/live")]
)
def test_what_is_not_logged_is_passed_on_as_it_is(scope: dict[str, Any]) -> None:
    recorder = Recorder()
    seen: list[Any] = []

    async def app(*arguments: Any) -> None:
        seen.extend(arguments)

    before = dict(scope)
    receive, send = object(), object()
    middleware = logged(app, recorder)
    asyncio.run(middleware(scope, receive, send))
    assert seen[0] is scope
    assert {**scope, KEY: None} == {**before, KEY: None}  # where the request's id is known
    assert middleware.failures == 0
    assert (seen[1], seen[2]) == (receive, send)
    assert recorder.records == []


def test_wrapped_twice_it_logs_once() -> None:
    recorder = Recorder()
    call(logged(logged(answering(*PLAIN), recorder), recorder))
    assert recorder.only.body == "GET / 200 0ms"


def test_100_requests_at_once_do_not_mix() -> None:
    recorder = Recorder()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await send({**PLAIN[0], "status": 200 + int(scope["path"][1:])})
        await asyncio.sleep(0)
        await send(PLAIN[1])

    async def main() -> None:
        middleware = logged(app, recorder)
        await asyncio.gather(
            *(acall(middleware, http_scope(f"/{number}")) for number in range(100))
        )

    asyncio.run(main())
    assert sorted(recorder.bodies) == sorted(f"GET /{n} {200 + n} 0ms" for n in range(100))


def test_errors_of_ours_are_counted_and_the_response_is_the_same() -> None:
    app = RequestLogMiddleware(
        answering(*PLAIN), logger_provider=provider_with(Raising(RuntimeError("broken")))
    )
    assert call(app) == PLAIN
    assert app.failures == 1


def test_a_clock_that_raises() -> None:
    def broken() -> int:
        raise RuntimeError("no time")

    recorder = Recorder()
    app = logged(answering(*PLAIN), recorder, clock_ns=broken)
    assert call(app) == PLAIN
    assert (recorder.records, app.failures) == ([], 1)


@pytest.mark.parametrize(
    "change", [{"headers": None}, {"headers": [5]}, {"path": None}, {"client": 5}]
)
def test_a_scope_that_is_not_as_it_should_be(change: dict[str, Any]) -> None:
    recorder = Recorder()
    scope = http_scope()
    scope.update(change)
    app = logged(answering(*PLAIN), recorder)
    assert asyncio.run(acall(app, scope)) == PLAIN
    assert (recorder.records, app.failures) == ([], 1)


def test_messages_that_are_not_as_they_should_be_are_the_servers_to_refuse() -> None:
    recorder = Recorder()
    wrong = {"type": "http.response.start", "status": "fine"}
    app = logged(answering(wrong, PLAIN[1]), recorder)
    assert call(app) == [wrong, PLAIN[1]]
    assert app.failures == 1
    assert len(recorder.records) == 1


def test_the_request_lets_go_of_its_exception() -> None:
    # Its traceback holds the middleware's frame, which holds the request: a cycle that
    # would keep everything the request has touched until the garbage collector comes.
    recorder = Recorder()
    scope = http_scope()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        asyncio.run(acall(logged(app, recorder), scope))
    assert scope["logwell_otel.request_log"].error is None
