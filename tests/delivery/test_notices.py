"""Telling people: callbacks and warnings, throttled, contained, heard."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for OpenTelemetry 1.39

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider

from logwell_otel import LogwellError, LogwellErrorCode
from logwell_otel import _diagnostics as notices
from logwell_otel._diagnostics import Notices, warn
from logwell_otel.handler import LogwellHandler
from support.bench import Bench
from support.clock import Clock
from support.records import records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ERROR = LogwellError("it broke", LogwellErrorCode.NETWORK_ERROR)


class Told:
    """Notices on a clock that tests move, and what came out of them."""

    def __init__(self, **callbacks: Any) -> None:
        self.clock = Clock()
        self.said: list[str] = []
        self.notices = Notices(**callbacks, clock=self.clock, say=self.said.append)

    def say(self, text: str, about: str | None = None) -> list[str]:
        """What is said now."""
        self.said.clear()
        self.notices.say(text, about=about)
        self.notices.dispatch()
        return [*self.said]


def test_nothing_is_told_before_dispatch_and_everything_in_order() -> None:
    told: list[object] = []
    collected = Notices(on_error=told.append, on_flush=told.append, say=told.append)
    collected.flushed(3)
    collected.error(ERROR)
    collected.say("a warning")
    collected.flushed(0)  # nothing was stored: nothing to tell
    assert told == []
    collected.dispatch()
    assert told == [3, ERROR, "a warning"]
    collected.dispatch()
    assert len(told) == 3


def test_without_callbacks_nothing_is_kept() -> None:
    told = Told()
    told.notices.error(ERROR)
    told.notices.flushed(3)
    told.notices.dispatch()
    assert told.said == []


def test_a_topic_is_told_once_a_minute_with_what_was_left_out() -> None:
    told = Told()
    assert told.say("down", "trouble") == ["down"]
    for _ in range(3):
        told.clock.sleep(10)
        assert told.say("still down", "trouble") == []
    assert told.say("another matter", "overflow") == ["another matter"]
    assert told.say("said every time") == ["said every time"]
    told.clock.sleep(30)
    left_out = "(3 more like this since it was last said.)"
    assert told.say("down yet", "trouble") == [f"down yet {left_out}"]
    assert told.say("and again", "trouble") == []
    told.clock.sleep(60)
    assert told.say("later", "trouble") == ["later (1 more like this since it was last said.)"]
    told.clock.sleep(60)
    assert told.say("much later", "trouble") == ["much later"]


def raising(error: BaseException) -> Callable[[object], NoReturn]:
    def callback(_: object) -> NoReturn:
        raise error

    return callback


class Unspeakable(Exception):  # noqa: N818 - what it is, is the point
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("error", "described"),
    [
        (ValueError("x"), "ValueError: x"),
        (Unspeakable(), "Unspeakable"),
        (GeneratorExit("x"), "GeneratorExit: x"),
        (asyncio.CancelledError("x"), "CancelledError: x"),
    ],
)
def test_a_callback_that_raises_is_counted_and_said_once_a_minute(
    error: BaseException, described: str
) -> None:
    flushed: list[int] = []
    told = Told(on_error=raising(error), on_flush=flushed.append)
    for count in range(1, 4):
        told.notices.error(ERROR)
        told.notices.flushed(count)
    told.notices.dispatch()
    assert flushed == [1, 2, 3]
    assert told.notices.failed_callbacks == 3
    name = "raising.<locals>.callback"
    assert told.said == [f"The callback {name} raised {described}. Delivery goes on without it."]


def test_a_callback_without_a_name_is_named_by_its_type() -> None:
    # Its repr would show what was bound to it: a token as often as not.
    report = functools.partial(lambda token, error: 1 / 0, "s3cr3t")
    told = Told(on_error=report)
    told.notices.error(ERROR)
    told.notices.dispatch()
    (said,) = told.said
    assert said == (
        "The callback partial raised ZeroDivisionError: division by zero. Delivery goes on "
        "without it."
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_what_is_meant_for_the_program_passes(error: BaseException) -> None:
    told = Told(on_error=raising(error))
    told.notices.error(ERROR)
    with pytest.raises(type(error)):
        told.notices.dispatch()


def test_a_callback_may_log_flush_and_shut_down() -> None:
    bench: Bench

    def on_flush(count: int) -> None:
        logging.getLogger("shop").warning("stored %d", count)
        flushed.append(bench.exporter.force_flush(10_000))
        bench.exporter.export(records(1, 50))
        bench.exporter.health()
        if count == 2:
            bench.exporter.shutdown(1000)

    flushed: list[bool] = []
    bench = Bench(on_flush=on_flush)
    bench.exporter.export(records(2))
    bench.run()
    assert flushed
    assert bench.server.stored[:2] == ["message 0", "message 1"]
    bench.check_ledger()


def test_a_handler_that_raises_does_not_end_delivery() -> None:
    flushed: list[int] = []
    broken = Notices(on_flush=flushed.append, say=raising(RuntimeError("handler")))
    broken.say("one")
    broken.flushed(7)
    broken.dispatch()
    assert flushed == [7]
    assert broken.failed_callbacks == 1


LEFT_OUT = (
    "500 warnings and calls of on_error and on_flush were left out: a callback takes longer than "
    "what it is called for."
)


def test_what_waits_for_a_slow_callback_is_bounded_counted_and_said() -> None:
    told: list[int] = []
    said: list[str] = []
    collected = Notices(on_flush=told.append, say=said.append)
    for count in range(1, 1501):
        collected.flushed(count)
    assert collected.untold == 500
    collected.dispatch()
    assert told == [*range(501, 1501)]
    assert [*said] == [LEFT_OUT]
    collected.flushed(1)
    collected.dispatch()
    assert len(said) == 1


def test_two_threads_that_dispatch_tell_everything_once() -> None:
    told: list[int] = []
    collected = Notices(on_flush=told.append)
    for count in range(1, 901):
        collected.flushed(count)
    threads = [threading.Thread(target=collected.dispatch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [*range(1, 901)]


# Who hears a warning.


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextlib.contextmanager
def heard_by(*handlers: logging.Handler) -> Iterator[logging.Logger]:
    """The root logger has these handlers only: not pytest's, which come with each test."""
    root, ours = logging.getLogger(), logging.getLogger("logwell_otel")
    before, level = root.handlers, ours.level
    root.handlers = [*handlers]
    try:
        yield ours
    finally:
        root.handlers = before
        ours.handlers.clear()
        ours.propagate = True
        ours.disabled = False
        ours.setLevel(level)


WARNING = "the server is down"
ON_STDERR = "logwell_otel: the server is down\n"


@pytest.fixture(params=[LoggingHandler, LogwellHandler])
def otel_handler(request: pytest.FixtureRequest) -> logging.Handler:
    handler: logging.Handler = request.param(logger_provider=LoggerProvider())
    return handler


def test_a_handler_of_the_applications_is_enough(
    otel_handler: logging.Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = Heard()
    with heard_by(otel_handler, heard):
        warn(WARNING)
    assert (heard.lines, capsys.readouterr().err) == ([WARNING], "")


@pytest.mark.parametrize("null", [True, False])
def test_stderr_when_only_opentelemetry_would_hear_it(
    null: bool, otel_handler: logging.Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    with heard_by(otel_handler) as ours:
        if null:
            ours.addHandler(logging.NullHandler())
        warn(WARNING)
    assert capsys.readouterr().err == ON_STDERR


def test_without_any_handler_logging_itself_writes_to_stderr_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with heard_by():
        warn(WARNING)
    assert capsys.readouterr().err == f"{WARNING}\n"


def test_a_handler_of_our_own_logger_counts(
    otel_handler: logging.Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = Heard()
    with heard_by(otel_handler) as ours:
        ours.addHandler(heard)
        warn(WARNING)
    assert (heard.lines, capsys.readouterr().err) == ([WARNING], "")


def test_a_logger_that_does_not_propagate_has_its_own_handlers_only(
    otel_handler: logging.Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = Heard()
    with heard_by(heard) as ours:
        ours.addHandler(otel_handler)
        ours.propagate = False
        warn(WARNING)
    assert (heard.lines, capsys.readouterr().err) == ([], ON_STDERR)


@pytest.mark.parametrize("how", ["level", "disabled"])
def test_who_does_not_want_to_know_is_left_alone(
    how: str, otel_handler: logging.Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    with heard_by(otel_handler) as ours:
        if how == "level":
            ours.setLevel(logging.CRITICAL)
        else:
            ours.disabled = True
        warn(WARNING)
    assert capsys.readouterr().err == ""


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise ValueError("I/O operation on closed file")


@pytest.mark.parametrize("stream", [None, Closed()])
def test_no_stderr_is_nobody_to_tell(
    stream: io.StringIO | None,
    otel_handler: logging.Handler,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch, heard_by(otel_handler):
        patch.setattr(sys, "stderr", stream)
        warn(WARNING)
    assert capsys.readouterr().out == ""


def test_what_an_exporter_warns_of_carries_its_process_id(
    otel_handler: logging.Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four workers of a server write the same line to one stream."""
    collected = Notices()
    collected.say(WARNING)
    with heard_by(otel_handler):
        collected.dispatch()
    assert capsys.readouterr().err == f"logwell_otel: {WARNING} [process {os.getpid()}]\n"


def test_the_name_of_the_logger_is_public() -> None:
    assert notices.LOGGER_NAME == "logwell_otel"
