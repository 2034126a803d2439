"""Records that do not come straight from a logger keep what they have."""

from __future__ import annotations

import json
import logging
import logging.handlers
import pickle
import queue
import sys
import time
from typing import Any

import pytest

from logwell_otel._encoding.exceptions import mark_recorded
from logwell_otel._encoding.values import type_name
from logwell_otel._install import InstalledHandler
from logwell_otel._otel import LogRecord, SeverityNumber
from logwell_otel.handler import HandlerCounts, LogwellHandler
from support.records import Recorder, attributes_of, provider_with


def handled(record: logging.LogRecord, formatter: logging.Formatter | None = None) -> LogRecord:
    recorder = Recorder()
    handler = LogwellHandler(logger_provider=provider_with(recorder))
    handler.setFormatter(formatter)
    handler.handle(record)
    assert handler.counts == HandlerCounts()
    return recorder.only


def made(**fields: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": "x", "levelno": 20, "levelname": "INFO", **fields})


def failed() -> logging.LogRecord:
    try:
        raise KeyError("order")
    except KeyError:
        return logging.LogRecord(
            "shop", 40, __file__, 9, "no %s", ("order",), sys.exc_info(), "buy"
        )


def exception_of(record: LogRecord) -> dict[str, Any]:
    return {
        name.removeprefix("exception."): value
        for name, value in attributes_of(record).items()
        if name.startswith("exception.")
    }


TRACE = "Traceback (most recent call last):\n  …\nKeyError: 'order'"


def test_through_a_socket() -> None:
    sent = logging.handlers.SocketHandler("127.0.0.1", 9).makePickle(failed())
    found = handled(logging.makeLogRecord(pickle.loads(sent[4:])))
    assert found.body == "no order"
    assert found.severity_number is SeverityNumber.ERROR
    attributes = attributes_of(found)
    assert attributes["code.line.number"] == 9
    assert attributes["exception.stacktrace"].startswith("Traceback (most recent call last):\n")
    assert attributes["exception.stacktrace"].endswith("KeyError: 'order'")


def test_pickled_and_back() -> None:
    record = failed()
    record.exc_text, record.exc_info = TRACE, None
    assert exception_of(handled(pickle.loads(pickle.dumps(record)))) == {"stacktrace": TRACE}


def test_through_a_queue() -> None:
    passing: queue.Queue[Any] = queue.Queue()
    logging.handlers.QueueHandler(passing).emit(failed())
    found = handled(passing.get_nowait())
    assert "no order" in str(found.body)
    assert "KeyError: 'order'" in str(found.body)  # where the standard library's handler puts it


def test_through_json() -> None:
    record = logging.LogRecord("shop", 40, __file__, 9, "%s of %d", ("one", 3), None, "buy")
    found = handled(logging.makeLogRecord(json.loads(json.dumps(vars(record)))))
    assert found.body == "one of 3"  # its arguments are a list now


@pytest.mark.parametrize("exc_info", [None, (None, None, None), [], (), "text", 5])
def test_a_stack_trace_without_its_exception(exc_info: Any) -> None:
    found = handled(made(exc_info=exc_info, exc_text=TRACE))
    assert exception_of(found) == {"stacktrace": TRACE}


def test_an_exception_that_has_lost_its_traceback_has_its_text() -> None:
    error = KeyError("order")
    found = handled(made(exc_info=(KeyError, error, None), exc_text=TRACE))
    assert exception_of(found) == {"type": "KeyError", "message": "'order'", "stacktrace": TRACE}


def test_a_traceback_beside_its_exception() -> None:
    _, error, trace = failed().exc_info or (None, None, None)
    assert error is not None
    error.__traceback__ = None
    found = exception_of(handled(made(exc_info=(KeyError, error, trace))))
    assert "in failed" in found["stacktrace"]


def test_a_recorded_exceptions_text_is_not_repeated() -> None:
    error = KeyError("order")
    mark_recorded(error)
    found = exception_of(handled(made(exc_info=(KeyError, error, None), exc_text=TRACE)))
    assert found == {"type": "KeyError", "message": "'order'"}


@pytest.mark.parametrize(
    ("exc_info", "expected"),
    [
        ((KeyError, None, None), {"type": "KeyError"}),
        ([KeyError, None, None], {"type": "KeyError"}),
        ((KeyError,), {"type": "KeyError"}),
        (KeyError, {"type": "KeyError"}),
        ((json.JSONDecodeError, None, None), {"type": "json.decoder.JSONDecodeError"}),
        ((KeyError, "order", None), {"type": "KeyError", "message": "order"}),
        ((int, None, None), {}),
        (True, {}),
        ("text", {}),
        ((1, 2, 3), {}),
    ],
)
def test_what_is_left_of_an_exception(exc_info: Any, expected: dict[str, str]) -> None:
    assert exception_of(handled(made(exc_info=exc_info))) == expected


def test_a_type_with_a_traceback_and_no_exception() -> None:
    _, _, trace = failed().exc_info or (None, None, None)
    found = exception_of(handled(made(exc_info=(KeyError, None, trace))))
    assert found["type"] == "KeyError"
    assert "in failed" in found["stacktrace"]
    assert found["stacktrace"].endswith("\nKeyError")


def test_the_stack_stays() -> None:
    stack = "Stack (most recent call last):\n  …"
    for formatter in (None, logging.Formatter("%(message)s")):
        found = handled(made(stack_info=stack), formatter)
        assert found.body == "x"
        assert attributes_of(found)["code.stacktrace"] == stack


NOW = [None, float("nan"), float("inf"), float("-inf"), "", "yesterday", [], object(), 1e300, True]


@pytest.mark.parametrize("created", NOW, ids=[*map(type_name, NOW)])
def test_no_time_is_now(created: Any) -> None:
    found = handled(made(created=created))
    assert found.timestamp is None
    assert abs((found.observed_timestamp or 0) - time.time_ns()) < 60e9


@pytest.mark.parametrize("created", [1_700_000_000.5, "1700000000.5", b"1700000000.5"])
def test_a_time_in_another_form(created: Any) -> None:
    assert handled(made(created=created)).timestamp == 1_700_000_000_500_000_000


@pytest.mark.parametrize(
    ("levelno", "levelname", "number", "text"),
    [
        (None, "ERROR", None, "ERROR"),
        (None, None, None, ""),
        ("30", "WARNING", 13, "WARN"),
        ("WARNING", None, 13, "WARN"),
        (30.0, None, 13, "WARN"),
        (30, None, 13, "WARN"),
        (30, "", 13, "WARN"),
        (7, None, 3, "Level 7"),
        (float("nan"), "INFO", None, "INFO"),
        ([], "INFO", None, "INFO"),
        (20, 5, 9, "5"),
        (10**30, "HIGH", 24, "HIGH"),
        (-5, "LOW", 0, "LOW"),
        (0, "NOTSET", 0, "NOTSET"),
        (True, "INFO", None, "INFO"),
    ],
)
def test_levels_that_are_none(levelno: Any, levelname: Any, number: int | None, text: str) -> None:
    found = handled(made(levelno=levelno, levelname=levelname))
    assert (found.severity_number and found.severity_number.value, found.severity_text) == (
        number,
        text,
    )


@pytest.mark.parametrize(
    ("name", "scope"), [(None, "unknown"), ("", ""), (5, "5"), (["a"], "['a']"), ("shop", "shop")]
)
def test_a_name_that_is_none(name: Any, scope: str) -> None:
    scopes = []

    class Scopes(Recorder):
        def on_emit(self, log_record: Any) -> None:
            scopes.append(log_record.instrumentation_scope.name)

    handler = LogwellHandler(logger_provider=provider_with(Scopes()))
    for _ in range(2):
        handler.handle(made(name=name))
    assert scopes == [scope, scope]


@pytest.mark.parametrize(
    ("path", "line", "function", "expected"),
    [
        ("/app/a.py", 3, "f", {"file.path": "/app/a.py", "line.number": 3, "function.name": "f"}),
        ("/app/a.py", -1, None, {"file.path": "/app/a.py"}),
        ("", 0, "", {}),
        (None, None, None, {}),
        (5, "seven", [], {}),
        (
            "/app/a.py",
            "12",
            "f",
            {"file.path": "/app/a.py", "line.number": 12, "function.name": "f"},
        ),
        ("/app/a.py", 3.0, None, {"file.path": "/app/a.py", "line.number": 3}),
        ("/app/a.py", True, None, {"file.path": "/app/a.py"}),
    ],
)
def test_a_place_that_is_none(path: Any, line: Any, function: Any, expected: Any) -> None:
    found = attributes_of(handled(made(pathname=path, lineno=line, funcName=function)))
    assert found == {f"code.{name}": value for name, value in expected.items()}


@pytest.mark.parametrize(
    ("msg", "args", "body"),
    [
        (None, None, "None"),
        (5, None, "5"),
        ({"a": 1}, None, "{'a': 1}"),
        ("%s and %s", ["a", "b"], "a and b"),
        ("%s", ["a", "b"], "['a', 'b']"),
        ("%s", 5, "5"),
        ("%s", {"a": 1}, "{'a': 1}"),
        ("%(a)s", {"a": 1}, "1"),
        ("x", (), "x"),
        ("100%", None, "100%"),
    ],
)
def test_a_message_and_arguments_of_any_kind(msg: Any, args: Any, body: str) -> None:
    assert handled(made(msg=msg, args=args)).body == body


def test_a_record_with_nothing_in_it() -> None:
    record = logging.LogRecord.__new__(logging.LogRecord)
    found = handled(record)
    assert (found.body, found.severity_number, attributes_of(found)) == ("", None, {})
    record = made()
    for name in list(vars(record)):
        if name != "msg":
            delattr(record, name)
    assert handled(record).body == "x"


def test_loguru_with_a_queue() -> None:
    loguru = pytest.importorskip("loguru")
    recorder = Recorder()
    handler = LogwellHandler(logger_provider=provider_with(recorder))
    number = loguru.logger.add(handler, format="{message}", enqueue=True, level=0)
    try:
        loguru.logger.trace("a trace")
        try:
            raise KeyError("order")
        except KeyError:
            loguru.logger.exception("failed")
        loguru.logger.complete()
    finally:
        loguru.logger.remove(number)
    trace, error = recorder.records
    assert trace.severity_number is SeverityNumber.TRACE
    assert exception_of(error)["type"] == "KeyError"
    assert exception_of(error)["message"] == "'order'"


@pytest.mark.parametrize(
    ("levelno", "text", "number"),
    [
        (10, "DEBUG", SeverityNumber.DEBUG),
        (20, "INFO", SeverityNumber.INFO),
        (30, "WARN", SeverityNumber.WARN),
        (40, "ERROR", SeverityNumber.ERROR),
        (50, "FATAL", SeverityNumber.FATAL),
        (25, "Level 25", SeverityNumber.INFO4),
    ],
)
def test_a_level_by_its_number_alone(levelno: int, text: str, number: SeverityNumber) -> None:
    """`makeLogRecord` calls it `Level None` then."""
    found = handled(logging.makeLogRecord({"msg": "x", "levelno": levelno}))
    assert (found.severity_text, found.severity_number) == (text, number)


class Uncomparable:
    """What has code of its own for every question."""

    def _fails(self, *_: object) -> Any:
        raise ValueError("not to be asked")

    __eq__ = __ne__ = __hash__ = __lt__ = __gt__ = __le__ = __ge__ = __bool__ = _fails


@pytest.mark.parametrize("field", [*vars(made())])
def test_any_field_that_cannot_be_compared_beside_a_second_handler(field: str) -> None:
    recorder = Recorder()
    provider = provider_with(recorder)
    record = made(**{"name": "x", "thread": 5, field: Uncomparable()})
    for _ in range(2):
        LogwellHandler(logger_provider=provider).handle(record)
    assert len(recorder.records) == 1


class Unhashable(logging.LogRecord):
    def __hash__(self) -> int:
        raise ValueError("not to be asked")


def test_a_record_that_cannot_be_hashed_beside_a_second_handler() -> None:
    recorder = Recorder()
    provider = provider_with(recorder)
    LogwellHandler(logger_provider=provider)
    record = Unhashable("shop", 20, __file__, 1, "x", None, None)
    LogwellHandler(logger_provider=provider).handle(record)
    assert recorder.only.body == "x"


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({"message": "made by a formatter"}, "made by a formatter"),
        ({"message": "made", "msg": "%s", "args": ("formatted",)}, "formatted"),
        ({"message": "made", "msg": None}, "None"),
        ({"message": 5}, ""),
        ({"message": ["text"]}, ""),
        ({}, ""),
    ],
)
def test_a_message_that_a_formatter_made(fields: dict[str, Any], body: str) -> None:
    """`python-json-logger` and others write `message`, and no `msg`."""
    record = logging.makeLogRecord({"levelno": 20, "levelname": "INFO", **fields})
    assert handled(record).body == body


def test_a_stack_trace_in_the_place_of_the_exception() -> None:
    assert exception_of(handled(made(exc_info=TRACE))) == {"stacktrace": TRACE}


@pytest.mark.parametrize("levelno", [None, "30", "WARNING", 30.0, [30]])
def test_a_level_that_is_no_number_is_not_reported(
    levelno: object, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder()
    handler = InstalledHandler(logger_provider=provider_with(recorder))
    logger = logging.getLogger("nobody.listens")
    logger.propagate = False
    handler.install(logger)
    try:
        handler.handle(made(name=logger.name, levelno=levelno))
    finally:
        handler.uninstall()
        logger.propagate = True
    assert recorder.only.body == "x"
    assert capsys.readouterr().err == ""
