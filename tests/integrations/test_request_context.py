"""What is logged inside of a request carries its id, and what else of it is asked for."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import re
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel.context import add_to_request, current_context, log_context, set_global_context
from logwell_otel.handler import LogwellHandler
from logwell_otel.integrations.asgi import RequestLogMiddleware as ASGIRequestLogMiddleware
from logwell_otel.integrations.request_log import RequestLogger
from logwell_otel.integrations.wsgi import RequestLogMiddleware
from support.clock import NanosecondClock
from support.records import Recorder, attributes_of, body_of, provider_with
from support.web import Message, WsgiCall, acall, call, http_scope

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("shop.requests")
MADE = re.compile(r"[0-9a-f]{32}")


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Gets what is logged, and what the middlewares of `asgi` and `wsgi` log."""
    recorder = Recorder()
    handler = LogwellHandler(logger_provider=provider_with(recorder))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield recorder
    log.removeHandler(handler)


def context_of(recorder: Recorder) -> list[tuple[str, dict[str, Any]]]:
    """Messages with what they carry of their request, the request's own without its details."""
    kept = ("request_id", "http.request.method", "http.route", "user_id", "job")
    found = []
    for record in recorder.records:
        carried = {name: v for name, v in attributes_of(record).items() if name in kept}
        found.append((body_of(record), carried))
    return found


def ids(recorder: Recorder) -> list[tuple[str, str | None]]:
    return [(message, carried.get("request_id")) for message, carried in context_of(recorder)]


def asgi(app: Any, recorder: Recorder, **options: Any) -> Any:
    options.setdefault("clock_ns", NanosecondClock())
    return ASGIRequestLogMiddleware(app, logger_provider=provider_with(recorder), **options)


def wsgi(app: Any, recorder: Recorder, **options: Any) -> Any:
    options.setdefault("clock_ns", NanosecondClock())
    return RequestLogMiddleware(app, logger_provider=provider_with(recorder), **options)


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    log.info("inside")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    log.info("between")
    await send({"type": "http.response.body", "body": b"hello"})
    log.info("afterwards")


def wsgi_app(environ: Any, start_response: Any) -> Iterator[bytes]:
    log.info("inside")
    start_response("200 OK", [])
    yield b"hello"
    log.info("between")
    yield b"world"
    log.info("afterwards")


def asked(kind: str, recorder: Recorder, *headers: tuple[str, str], **options: Any) -> Any:
    """One request by either interface; returns the headers of the answer."""
    if kind == "asgi":
        sent = call(asgi(asgi_app, recorder, **options), headers=headers)
        return [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    environ = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers}
    done = WsgiCall(wsgi(wsgi_app, recorder, **options), **environ)
    done.finish()
    return done.headers


INSIDE = ["inside", "between", "afterwards", "GET / 200 0ms"]


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_every_record_of_a_request_carries_the_id_it_came_with(
    kind: str, recorder: Recorder
) -> None:
    log.info("before")
    asked(kind, recorder, ("X-Request-ID", "r-1"))
    log.info("outside")
    assert ids(recorder) == [("before", None), *((one, "r-1") for one in INSIDE), ("outside", None)]


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    "given",
    [
        (),
        (("X-Request-ID", ""),),
        (("X-Request-ID", "a b"),),
        (("X-Request-ID", "a\r\nX-Evil: 1"),),
        (("X-Request-ID", "<script>"),),
        (("X-Request-ID", "r-\u00e9"),),
        (("X-Request-ID", "r" * 129),),
        (("X-Request-ID", "one,two"),),
        (("X-Correlation-ID", "r-1"),),
    ],
)
def test_without_one_that_fits_one_is_made(
    kind: str, given: tuple[tuple[str, str], ...], recorder: Recorder
) -> None:
    asked(kind, recorder, *given)
    asked(kind, recorder, *given)
    found = ids(recorder)
    assert [message for message, _ in found] == INSIDE * 2
    first, second = found[0][1], found[-1][1]
    assert first
    assert second
    assert first != second
    assert MADE.fullmatch(first)
    assert MADE.fullmatch(second)
    assert [one for _, one in found] == [first] * 4 + [second] * 4


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    "given",
    [
        "r" * 128,
        "0b9f5c1e-3a52-4c86-9f43-0d4c5f2c8f11",
        "Root=1-67891233-abcdef012345678912345678",
        "105445aa7843bc8bf206b12000100000/1",
        "230b030023ae2822-SJC",
    ],
)
def test_ids_as_proxies_make_them(kind: str, given: str, recorder: Recorder) -> None:
    headers = asked(
        kind,
        recorder,
        ("CF-Ray", given),
        request_id_header="CF-Ray",
        echo_request_id=True,
    )
    assert ids(recorder) == [(message, given) for message in INSIDE]
    assert [(name.lower(), value) for name, value in headers] == [("cf-ray", given)]


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_the_answer_has_it_only_by_option(kind: str, recorder: Recorder) -> None:
    assert asked(kind, recorder, ("X-Request-ID", "r-1")) == []
    headers = asked(kind, recorder, echo_request_id=True, make_request_id=lambda: "made-1")
    assert [(name.lower(), value) for name, value in headers] == [("x-request-id", "made-1")]


def test_the_application_s_own_header_stays() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = iter([(b"X-Request-Id", b"own"), (b"a", b"b")])
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    sent = call(asgi(app, Recorder(), echo_request_id=True))
    assert sent[0]["headers"] == [(b"X-Request-Id", b"own"), (b"a", b"b")]

    def older(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("x-request-id", "own")])
        return [b""]

    assert WsgiCall(wsgi(older, Recorder(), echo_request_id=True)).headers == [
        ("x-request-id", "own")
    ]


@pytest.mark.parametrize("made", [lambda: "two words", lambda: 7, lambda: 1 / 0, lambda: "x" * 999])
def test_what_makes_no_id_costs_nothing(made: Any, recorder: Recorder) -> None:
    asked("asgi", recorder, make_request_id=made)
    found = {one for _, one in ids(recorder)}
    assert len(found) == 1
    assert MADE.fullmatch(found.pop() or "")


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_nothing_but_what_is_asked_for(kind: str, recorder: Recorder) -> None:
    options: Any = {"make_request_id": lambda: "r-1"}
    asked(kind, recorder, context=(), **options)
    inside, *_, own = context_of(recorder)
    assert inside == ("inside", {})
    assert own[1] == {"request_id": "r-1", "http.request.method": "GET"}
    recorder.records.clear()
    asked(kind, recorder, context="method", **options)
    assert context_of(recorder)[0] == ("inside", {"http.request.method": "GET"})


@pytest.mark.parametrize("wrong", [("path",), "r", ("request_id", "query")])
def test_names_that_are_none(wrong: Any) -> None:
    with pytest.raises(ValueError, match="context takes request_id, method, route, user, not"):
        RequestLogger(context=wrong)


def test_a_header_that_is_none() -> None:
    with pytest.raises(ValueError, match="request_id_header is no name of a header: 'a b'"):
        RequestLogger(request_id_header="a b")


def test_a_record_s_own_wins_and_so_does_an_inner_block(recorder: Recorder) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        log.info("own", extra={"request_id": "mine"})
        with log_context(request_id="inner", job="nightly"):
            log.info("block")
        start_response("200 OK", [])
        return [b""]

    with log_context(request_id="outer", job="hourly"):
        WsgiCall(wsgi(app, recorder), HTTP_X_REQUEST_ID="r-1").finish()
    assert context_of(recorder) == [
        ("own", {"request_id": "mine", "job": "hourly"}),
        ("block", {"request_id": "inner", "job": "nightly"}),
        ("GET / 200 0ms", {"request_id": "r-1", "http.request.method": "GET", "job": "hourly"}),
    ]


def test_beside_the_global_context(recorder: Recorder) -> None:
    set_global_context(job="global", request_id="none")
    try:
        asked("asgi", recorder, ("X-Request-ID", "r-1"))
    finally:
        set_global_context()
    assert context_of(recorder)[0] == ("inside", {"request_id": "r-1", "job": "global"})


def test_websockets_and_requests_without_a_record_of_their_own(recorder: Recorder) -> None:
    sent: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        log.info("in a connection")
        await send({"type": "websocket.accept"})

    async def send(message: Message) -> None:
        sent.append(message)

    async def main() -> None:
        scope = http_scope(headers=[("X-Request-ID", "r-1")], type="websocket")
        del scope["method"]
        app_twice = asgi(asgi(app, recorder, context=("request_id", "method")), recorder)
        await app_twice(scope, None, send)
        plain = asgi(app, recorder, echo_request_id=True, make_request_id=lambda: "made-1")
        await plain({"type": "websocket", "path": "/"}, None, send)
        await acall(
            asgi(asgi_app, recorder), http_scope("/health", headers=[("X-Request-ID", "r")])
        )

    asyncio.run(main())
    done = WsgiCall(wsgi(wsgi_app, recorder), "/health", HTTP_X_REQUEST_ID="w")
    done.finish()
    assert context_of(recorder) == [
        ("in a connection", {"request_id": "r-1"}),
        ("in a connection", {"request_id": "made-1"}),
        *((message, {"request_id": "r"}) for message in INSIDE[:3]),
        *((message, {"request_id": "w"}) for message in INSIDE[:3]),
    ]
    assert sent == [
        {"type": "websocket.accept"},
        {"type": "websocket.accept", "headers": [(b"x-request-id", b"made-1")]},
    ]


@pytest.mark.parametrize("outer", [(), ("/",)])
def test_wrapped_twice_there_is_one_id(outer: tuple[str, ...], recorder: Recorder) -> None:
    """Also where the outer one leaves the request to the inner one."""
    inner = asgi(asgi_app, recorder)

    async def between(*arguments: Any) -> None:
        log.info("between the two")
        await inner(*arguments)

    call(asgi(between, recorder, exclude_paths=outer))
    found = ids(recorder)
    assert [message for message, _ in found] == ["between the two", *INSIDE]
    assert len({one for _, one in found}) == 1
    recorder.records.clear()

    def below(environ: Any, start_response: Any) -> Any:
        log.info("between the two")
        return wsgi(wsgi_app, recorder)(environ, start_response)

    WsgiCall(wsgi(below, recorder, exclude_paths=outer)).finish()
    found = ids(recorder)
    assert sorted(message for message, _ in found) == sorted(["between the two", *INSIDE])
    assert len({one for _, one in found}) == 1


def test_a_request_within_a_request(recorder: Recorder) -> None:
    """In process, as a gateway asks its services: it has its own id, and ends with it."""
    inner = asgi(asgi_app, recorder)

    async def gateway(scope: Any, receive: Any, send: Any) -> None:
        await acall(inner, http_scope(headers=[("X-Request-ID", "r-2")]))
        log.info("back")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    call(asgi(gateway, recorder), headers=[("X-Request-ID", "r-1")])
    assert ids(recorder) == [
        *((message, "r-2") for message in INSIDE),
        ("back", "r-1"),
        ("GET / 200 0ms", "r-1"),
    ]


def test_two_at_the_same_time_do_not_mix(recorder: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for step in range(5):
            log.info("%s %d", scope["path"], step)
            await asyncio.sleep(0)
        await asgi_app(scope, receive, send)

    async def main() -> None:
        watched = asgi(app, recorder)
        await asyncio.gather(
            *(
                acall(watched, http_scope(f"/{name}", headers=[("X-Request-ID", name)]))
                for name in ("a", "b", "c")
            )
        )

    asyncio.run(main())
    found = [(message[:2], one) for message, one in ids(recorder) if message.startswith("/")]
    assert sorted(found) == [(f"/{name}", name) for name in ("a", "b", "c") for _ in range(5)]
    # They did run at the same time.
    assert found != sorted(found)


def test_two_responses_taken_in_turns_on_one_thread(recorder: Recorder) -> None:
    """As servers with greenlets or coroutines of their own do."""
    app = wsgi(wsgi_app, recorder)
    first = WsgiCall(app, HTTP_X_REQUEST_ID="a")
    second = WsgiCall(app, HTTP_X_REQUEST_ID="b")
    bodies = iter(first.body), iter(second.body)
    for body in (*bodies, *bodies):
        next(body)
        log.info("the server")
    for one, body in zip((first, second), bodies, strict=True):
        assert next(body, None) is None
        one.close()
    assert ids(recorder) == [
        ("inside", "a"),
        ("the server", None),
        ("inside", "b"),
        ("the server", None),
        ("between", "a"),
        ("the server", None),
        ("between", "b"),
        ("the server", None),
        ("afterwards", "a"),
        ("GET / 200 0ms", "a"),
        ("afterwards", "b"),
        ("GET / 200 0ms", "b"),
    ]


def test_one_thread_serves_one_after_the_other(recorder: Recorder) -> None:
    """Keep-alive, and servers that use their threads again: nothing stays, errors included."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        log.info("asked")
        if environ["PATH_INFO"] == "/fail":
            raise ValueError("boom")
        start_response("200 OK", [])
        return [b""]

    watched = wsgi(app, recorder)
    WsgiCall(watched, HTTP_X_REQUEST_ID="a").finish()
    with pytest.raises(ValueError, match="boom"):
        WsgiCall(watched, "/fail", HTTP_X_REQUEST_ID="b")
    abandoned = WsgiCall(watched, HTTP_X_REQUEST_ID="c")  # and never closed
    log.info("between requests")
    WsgiCall(watched, HTTP_X_REQUEST_ID="d").finish()
    assert abandoned.status == "200 OK"
    assert ids(recorder) == [
        ("asked", "a"),
        ("GET / 200 0ms", "a"),
        ("asked", "b"),
        ("GET /fail 500 0ms", "b"),
        ("asked", "c"),
        ("between requests", None),
        ("asked", "d"),
        ("GET / 200 0ms", "d"),
    ]
    failed = attributes_of(recorder.records[3])
    assert failed["exception.type"] == "ValueError"


def test_a_file_s_close_belongs_to_its_request(recorder: Recorder) -> None:
    class File:
        def close(self) -> None:
            log.info("closed")

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"]()

    WsgiCall(wsgi(app, recorder), HTTP_X_REQUEST_ID="f", file_wrapper=File).close()
    assert ids(recorder) == [("closed", "f"), ("GET / 200 0ms", "f")]


def test_added_from_within(recorder: Recorder) -> None:
    """From a thread and a task of the request's too, and for all that follows in it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        add_to_request({"user.plan": "gold"}, user_id=17)
        await asyncio.to_thread(add_to_request, user_id="u-17")
        log.info("inside")
        await asyncio.create_task(later())
        await asgi_app(scope, receive, send)

    async def later() -> None:
        add_to_request(job="import")

    add_to_request(user_id="nobody")  # there is no request
    call(asgi(app, recorder), headers=[("X-Request-ID", "r-1")])
    log.info("outside")
    carried = {"request_id": "r-1", "user_id": "u-17"}
    found = context_of(recorder)
    assert found[0] == ("inside", carried)
    assert found[1] == ("inside", {**carried, "job": "import"})
    assert found[-2][1] == {**carried, "job": "import", "http.request.method": "GET"}
    assert found[-1] == ("outside", {})
    assert attributes_of(recorder.records[0])["user.plan"] == "gold"
    with pytest.raises(TypeError, match="attributes must be a mapping, not str"):
        add_to_request("user_id")  # type: ignore[arg-type]


def test_the_user_that_the_server_names(recorder: Recorder) -> None:
    WsgiCall(wsgi(wsgi_app, recorder, context="user"), REMOTE_USER="ann").finish()
    assert context_of(recorder)[0] == ("inside", {"user_id": "ann"})
    assert context_of(recorder)[-1][1]["user_id"] == "ann"


def test_what_clients_choose_is_cut(recorder: Recorder) -> None:
    user, method = "u" * 9000, "G" * 9000
    app = wsgi(wsgi_app, recorder, context=("method", "user"))
    WsgiCall(app, method=method, REMOTE_USER=user).finish()
    cut = {"http.request.method": method[:2048], "user_id": user[:2048]}
    assert context_of(recorder)[0] == ("inside", cut)


class Anonymous:
    is_authenticated = False
    identity = "nobody"


class Simple:
    """As Starlette's SimpleUser."""

    is_authenticated = True
    display_name = "ann"

    @property
    def identity(self) -> str:
        raise NotImplementedError


class Logs:
    """An application's own, whose property logs."""

    @property
    def identity(self) -> int:
        log.info("looked up")
        return 7


class Breaks:
    @property
    def identity(self) -> int:
        raise RuntimeError("no database")


@pytest.mark.parametrize(
    ("user", "expected"),
    [(Anonymous(), None), (Simple(), "ann"), ("ann", "ann"), (Breaks(), None), (object(), None)],
)
def test_the_user_that_authentication_has_found(
    user: Any, expected: str | None, recorder: Recorder
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        log.info("not yet")
        scope["user"] = user
        await asgi_app(scope, receive, send)

    call(asgi(app, recorder, context="user"))
    found = [(message, carried.get("user_id")) for message, carried in context_of(recorder)]
    assert found == [("not yet", None), *((message, expected) for message in INSIDE)]


def test_a_user_that_logs_while_it_is_looked_for(recorder: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["user"] = Logs()
        assert current_context() == {"user_id": "7"}
        await asgi_app(scope, receive, send)

    call(asgi(app, recorder, context="user"))
    assert [message for message, _ in context_of(recorder)] == ["looked up", *INSIDE]
    assert context_of(recorder)[1] == ("inside", {"user_id": "7"})


def test_what_was_added_is_not_looked_for(recorder: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        add_to_request(user_id="added")
        scope["user"] = "found"
        await asgi_app(scope, receive, send)

    call(asgi(app, recorder, context="user"))
    assert {carried["user_id"] for _, carried in context_of(recorder)} == {"added"}


def test_what_goes_on_after_a_request_still_belongs_to_it(recorder: Recorder) -> None:
    later: list[asyncio.Task[None]] = []

    async def work() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        log.info("much later")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asgi_app(scope, receive, send)
        later.append(asyncio.create_task(work()))

    async def main() -> None:
        await acall(asgi(app, recorder), http_scope(headers=[("X-Request-ID", "r-1")]))
        await later[0]

    asyncio.run(main())
    assert ids(recorder)[-1] == ("much later", "r-1")


def test_a_thread_of_one_s_own_has_it_with_a_copy_of_the_context(recorder: Recorder) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        copy = contextvars.copy_context()
        thread = threading.Thread(target=copy.run, args=(log.info, "elsewhere"))
        thread.start()
        thread.join()
        start_response("200 OK", [])
        return [b""]

    WsgiCall(wsgi(app, recorder), HTTP_X_REQUEST_ID="r-1").finish()
    assert ids(recorder)[0] == ("elsewhere", "r-1")


@pytest.mark.parametrize("kind", ["websocket", "asgi", "wsgi"])
def test_what_the_server_logs_of_an_exception_has_the_id(kind: str, recorder: Recorder) -> None:
    """Where the request has no record of its own, that is the only one."""
    server = logging.getLogger("uvicorn.error")
    server.addHandler(log.handlers[0])

    async def app(*_: Any) -> None:
        raise ValueError("boom")

    def older(environ: Any, start_response: Any) -> Any:
        raise ValueError("boom")

    try:
        if kind == "wsgi":
            WsgiCall(wsgi(older, recorder), "/health", HTTP_X_REQUEST_ID="r-1")
        else:
            changes = {"type": "websocket"} if kind == "websocket" else {}
            call(asgi(app, recorder), "/health", headers=[("X-Request-ID", "r-1")], **changes)
    except ValueError:
        server.exception("Exception in ASGI application")
    finally:
        server.removeHandler(log.handlers[0])
    assert ids(recorder) == [("Exception in ASGI application", "r-1")]
    attributes = attributes_of(recorder.only)
    assert attributes["code.function.name"] == ("older" if kind == "wsgi" else "app")
    assert attributes["code.file.path"] == __file__


def test_nothing_of_a_request_is_held_when_it_is_over(recorder: Recorder) -> None:
    """No cycle through the scope: without the garbage collector, it is gone."""

    class Held:
        pass

    references: list[weakref.ref[Held]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        held = scope["held"] = Held()
        references.append(weakref.ref(held))
        await asgi_app(scope, receive, send)

    async def main() -> None:
        gc.disable()
        try:
            watched = asgi(app, recorder, context=("request_id", "route", "user"))
            await acall(watched, http_scope())
            assert references[0]() is None
        finally:
            gc.enable()

    asyncio.run(main())
