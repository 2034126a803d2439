"""PEP 3333: what stands between a server and an application may not be noticed."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from logwell_otel.integrations.wsgi import RequestLogMiddleware
from support.clock import NanosecondClock
from support.records import Recorder, provider_with
from support.web import WsgiCall, wsgi_environ

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADERS = [("Content-Type", "text/plain")]


def logged(app: Any, recorder: Recorder | None = None) -> Any:
    provider = provider_with(recorder or Recorder())
    return RequestLogMiddleware(app, logger_provider=provider, clock_ns=NanosecondClock())


def as_list(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", HEADERS)
    return [b"hello"]


def as_generator(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", HEADERS)
    yield b"hel"
    yield b"lo"


def as_written(environ: Any, start_response: Any) -> list[bytes]:
    write = start_response("200 OK", HEADERS)
    write(b"hel")
    write(b"lo")
    return []


def as_error_page(environ: Any, start_response: Any) -> list[bytes]:
    try:
        raise ValueError("boom")
    except ValueError:
        start_response("500 Oops", HEADERS, sys.exc_info())
    return [b"hello"]


@pytest.mark.parametrize("app", [as_list, as_generator, as_written, as_error_page])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_both_sides_keep_to_the_protocol(app: Any, method: str) -> None:
    # The standard library's checker stands on either side: it asserts on what the
    # application does towards us, and on what we do towards the server.
    recorder = Recorder()
    checked = validator(logged(validator(app), recorder))
    environ = wsgi_environ("/", method)
    written: list[bytes] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        return written.append

    body: Any = checked(environ, start_response)
    content = b"".join(body)
    body.close()
    assert b"".join(written) + content == b"hello"
    assert len(recorder.records) == 1


def test_exc_info_may_be_given_by_name_and_reaches_the_server_by_position() -> None:
    calls: list[tuple[Any, ...]] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", HEADERS)
        start_response("500 Oops", HEADERS, exc_info=(ValueError, ValueError("x"), None))
        return []

    def start_response(*arguments: Any) -> Any:
        calls.append(arguments)

    logged(app)(wsgi_environ(), start_response)
    assert [len(arguments) for arguments in calls] == [2, 3]


def test_what_start_response_raises_reaches_the_application() -> None:
    caught = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        try:
            start_response("200 OK", HEADERS)
        except AssertionError as error:
            caught.append(error)
        return []

    def start_response(*_: Any) -> Any:
        raise AssertionError("headers already set")

    logged(app)(wsgi_environ(), start_response)
    assert len(caught) == 1


def test_nothing_of_the_body_is_taken_before_the_server_asks() -> None:
    taken = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", HEADERS)
        for number in range(3):
            taken.append(number)
            yield b"x"

    exchange = WsgiCall(logged(app))
    assert taken == []
    iterator = iter(exchange.body)
    next(iterator)
    assert taken == [0]
    exchange.close()


@pytest.mark.parametrize("body", [[b"one"], (b"one", b"two"), []])
def test_a_body_with_a_length_keeps_it_for_the_servers_content_length(body: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", HEADERS)
        return body

    assert len(WsgiCall(logged(app)).body) == len(body)


def test_a_body_without_a_length_gets_none() -> None:
    assert not hasattr(WsgiCall(logged(as_generator)).body, "__len__")


@pytest.mark.parametrize("closable", [False, True])
def test_a_file_for_the_server_stays_the_object_it_is(closable: bool) -> None:
    content = io.BytesIO(b"hello")
    recorder = Recorder()

    class Bare:
        def read(self, size: int) -> bytes:
            return content.read(size)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", HEADERS)
        return environ["wsgi.file_wrapper"](content if closable else Bare())

    exchange = WsgiCall(logged(app, recorder), file_wrapper=FileWrapper)
    assert type(exchange.body) is FileWrapper
    assert recorder.records == []
    assert exchange.finish() == b"hello"
    assert content.closed is closable
    assert recorder.only.body == "GET / 200 0ms"


def test_a_file_whose_close_cannot_be_watched_is_logged_when_it_is_handed_over() -> None:
    class ServersOwn:
        __slots__ = ()

        def __init__(self, *_: object) -> None: ...

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"hello"])

    recorder = Recorder()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", HEADERS)
        return environ["wsgi.file_wrapper"](io.BytesIO())

    exchange = WsgiCall(logged(app, recorder), file_wrapper=ServersOwn)
    assert type(exchange.body) is ServersOwn
    assert recorder.only.body == "GET / 200 0ms"


def test_a_servers_file_wrapper_that_is_a_function() -> None:
    made: list[Any] = []

    def file_wrapper(file: Any, size: int = 0) -> Any:
        made.append(file)
        return file

    recorder = Recorder()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", HEADERS)
        return environ["wsgi.file_wrapper"](io.BytesIO(b"hello"), 4096)

    exchange = WsgiCall(logged(app, recorder), file_wrapper=file_wrapper)
    assert exchange.body is made[0]
    exchange.close()
    assert made[0].closed
    assert recorder.only.body == "GET / 200 0ms"


def test_with_a_file_wrapper_in_reach_other_bodies_are_watched_as_ever() -> None:
    for wrapper in (FileWrapper, lambda file: file):
        recorder = Recorder()
        WsgiCall(logged(as_list, recorder), file_wrapper=wrapper).finish()
        assert recorder.only.body == "GET / 200 0ms"
