"""What the handler makes of a record, beside what OpenTelemetry's own handler makes of it."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import Recorder, attributes_of, provider_with

pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for OpenTelemetry 1.39

from opentelemetry._logs import SeverityNumber
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import use_span

from logwell_otel.handler import LogwellHandler

FIELDS = (
    "timestamp",
    "severity_number",
    "severity_text",
    "body",
    "event_name",
    "trace_id",
    "span_id",
    "trace_flags",
)
NOT_NAMES = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "getMessage"}


class Both:
    """One record through both handlers."""

    def __init__(self, record: logging.LogRecord, formatter: logging.Formatter | None = None):
        self.scopes: list[Any] = []
        self.ours, self.theirs = (
            self._through(kind, record, formatter)
            for kind in (
                LogwellHandler,
                lambda **to: LoggingHandler(log_code_attributes=True, **to),
            )
        )

    def _through(self, kind: Any, record: logging.LogRecord, formatter: Any) -> dict[str, Any]:
        class Scopes(Recorder):
            def on_emit(recorder, log_record: Any) -> None:  # noqa: N805 - self is taken
                super().on_emit(log_record)
                self.scopes.append(log_record.instrumentation_scope)

        recorder = Scopes()
        handler = kind(logger_provider=provider_with(recorder))
        handler.setFormatter(formatter)
        handler.handle(record)
        found = recorder.only
        return {
            **{name: getattr(found, name) for name in FIELDS},
            "attributes": attributes_of(found),
        }


def record(**fields: Any) -> logging.LogRecord:
    known = {
        name: fields.pop(name, default)
        for name, default in {
            "name": "shop",
            "level": logging.INFO,
            "pathname": __file__,
            "lineno": 7,
            "msg": "hello",
            "args": None,
            "exc_info": None,
            "func": "buy",
        }.items()
    }
    made = logging.LogRecord(**known)
    made.__dict__.update(fields)
    return made


def raised(error: Exception) -> Any:
    try:
        raise error
    except Exception as caught:  # noqa: BLE001
        return type(caught), caught, caught.__traceback__


plain = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text() | st.binary()
numbers = st.floats(allow_nan=False)
values = st.recursive(
    plain | numbers,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4)
    ),
    max_leaves=8,
)
names = st.text(min_size=1).filter(lambda name: name not in NOT_NAMES and "event" not in name)
records = st.builds(
    record,
    name=st.text(min_size=1),
    level=st.integers(10, 70),
    # What is in a dictionary becomes attributes, as tests/integrations/test_structlog.py shows.
    msg=st.text().map(lambda text: text.replace("%", "%%"))
    | values.filter(lambda value: not isinstance(value, dict)),
    pathname=st.text(min_size=1),
    lineno=st.integers(1, 2**31),
    func=st.text(min_size=1),
    created=st.floats(1, 4e9),
    exc_info=st.sampled_from([None, raised(ValueError("boom")), raised(KeyError("key"))]),
)


@given(record=records, extra=st.dictionaries(names, values, max_size=6))
def test_the_same_record_as_opentelemetrys(record: logging.LogRecord, extra: Any) -> None:
    record.__dict__.update(extra)
    both = Both(record)
    for name in ("exception.type", "exception.message"):
        both.ours["attributes"].pop(name, None)
        both.theirs["attributes"].pop(name, None)
    assert both.ours == both.theirs
    assert both.scopes[0] == both.scopes[1]


@given(
    msg=st.sampled_from(["%s", "%r and more", "%(a)s", "%5.1f", "%%", "%d items"]),
    args=st.tuples(st.integers()) | st.tuples(numbers) | st.just(({"a": 1},)),
)
def test_the_same_message(msg: str, args: Any) -> None:
    made = record(msg=msg, args=args)
    try:
        expected = made.getMessage()
    except (TypeError, ValueError, OverflowError):
        return  # where OpenTelemetry's raises
    both = Both(made)
    assert both.ours["body"] == both.theirs["body"] == expected


@pytest.mark.parametrize("level", [10, 11, 12, 13, 19, 20, 25, 30, 35, 40, 45, 50, 52, 53, 54, 999])
def test_the_same_severity(level: int) -> None:
    both = Both(record(level=level))
    assert both.ours["severity_number"] is both.theirs["severity_number"]
    assert both.ours["severity_text"] == both.theirs["severity_text"]


@pytest.mark.parametrize("names", [("otel.event.name",), ("event.name",), ("event.name", "x")])
def test_the_same_event_name(names: tuple[str, ...]) -> None:
    made = record(**{name: f"a {name}" for name in names})
    assert Both(made).ours == Both(made).theirs
    made.__dict__["otel.event.name"] = "the stable one"
    both = Both(made)
    assert both.ours["event_name"] == both.theirs["event_name"] == "the stable one"


def test_the_same_trace() -> None:
    with use_span(TracerProvider().get_tracer("x").start_span("y")):
        both = Both(record())
    assert both.ours == both.theirs
    assert both.ours["trace_id"] != 0


def test_the_same_formatted_body() -> None:
    both = Both(record(msg="%s!", args=("hi",)), logging.Formatter("%(levelname)s: %(message)s"))
    assert both.ours == both.theirs
    assert both.ours["body"] == "INFO: hi!"


# The differences that docs/context.md names.


def test_an_exception_has_its_module_and_whole_text() -> None:
    class LateError(Exception):
        pass

    both = Both(record(exc_info=raised(LateError("no answer", 5))))
    ours, theirs = both.ours["attributes"], both.theirs["attributes"]
    assert ours["exception.stacktrace"] == theirs["exception.stacktrace"]
    assert (theirs["exception.type"], theirs["exception.message"]) == ("LateError", "no answer")
    assert ours["exception.type"] == f"{__name__}.{LateError.__qualname__}"
    assert ours["exception.message"] == "('no answer', 5)"


def test_a_formatted_body_has_no_traceback() -> None:
    both = Both(
        record(exc_info=raised(ValueError("boom")), sinfo="x", stack_info="Stack (most …)"),
        logging.Formatter("%(message)s"),
    )
    assert both.theirs["body"].startswith("hello\nTraceback")
    assert both.ours["body"] == "hello"
    assert both.ours["attributes"]["code.stacktrace"] == "Stack (most …)"
    assert "code.stacktrace" not in both.theirs["attributes"]


def test_a_level_below_debug_is_a_trace() -> None:
    both = Both(record(level=5))
    assert both.theirs["severity_number"] is SeverityNumber.UNSPECIFIED
    assert both.ours["severity_number"] is SeverityNumber.TRACE


def test_types_that_opentelemetry_does_not_know() -> None:
    moment = datetime(2026, 1, 2, tzinfo=timezone.utc)
    both = Both(record(at=moment, some={7}, thing=object))
    ours, theirs = both.ours["attributes"], both.theirs["attributes"]
    assert (theirs["at"], theirs["some"]) == (str(moment), "{7}")
    assert (ours["at"], ours["some"]) == (moment.isoformat(), (7,))
    assert ours["thing"] == "<class 'object'>"
    nothing = Both(record(thing=object()))
    assert nothing.theirs["attributes"]["thing"] is None
    assert nothing.ours["attributes"]["thing"].startswith("<object object at ")


def test_an_unknown_place_in_the_code_is_left_out() -> None:
    both = Both(record(pathname="", lineno=0, func=None))
    assert both.theirs["attributes"] == {
        "code.file.path": "",
        "code.line.number": 0,
        "code.function.name": None,
    }
    assert both.ours["attributes"] == {}
