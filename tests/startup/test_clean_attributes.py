"""A record that the handler emits without OpenTelemetry's second look at its attributes."""

from __future__ import annotations

import copy
import logging
import pickle
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.baggage import set_baggage
from opentelemetry.context import attach, detach
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import TracerProvider

from logwell_otel._otel import CleanAttributes, Goal, goal_of
from logwell_otel._translation import emit_clean
from logwell_otel.context import ContextLogRecordProcessor, log_context
from logwell_otel.handler import HandlerCounts, LogwellHandler
from logwell_otel.processor import _readable, _without_context
from support.records import Recorder, provider_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk._logs import LoggerProvider, ReadWriteLogRecord

ATTRIBUTES = {"order_id": 7, "ratio": 0.5, "paid": True, "of": ("a", 2), "by": {"id": "u-1"}}


class Keeping(Recorder):
    """Keeps what it is given, whole."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[ReadWriteLogRecord] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.given.append(log_record)


def goal_at(provider: LoggerProvider) -> Goal:
    goal = goal_of(provider.get_logger("shop.orders", "1.0"))
    if goal.limits is None:
        pytest.skip("this OpenTelemetry's loggers have no limits of their own")
    return goal


def emitted(**changes: Any) -> tuple[ReadWriteLogRecord, ReadWriteLogRecord]:
    """A record emitted as ours are, and by OpenTelemetry's own constructors."""
    kept = Keeping()
    goal = goal_at(provider_with(kept))
    attributes = changes.pop("attributes", ATTRIBUTES)
    emit_clean(
        goal,
        timestamp=5,
        number=SeverityNumber.INFO,
        text="INFO",
        body="order placed",
        attributes={**attributes},
        event=changes.get("event"),
    )
    goal.logger.emit(
        LogRecord(
            timestamp=5,
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            body="order placed",
            attributes={**attributes},
            event_name=changes.get("event"),
        )
    )
    ours, theirs = kept.given
    return ours, theirs


def fields_of(record: ReadWriteLogRecord) -> dict[str, Any]:
    """Everything that a record says but when it was made."""
    found = {**vars(record.log_record), "attributes": dict(record.log_record.attributes or {})}
    del found["observed_timestamp"]
    wrapper = {name: value for name, value in vars(record).items() if name != "log_record"}
    return {**found, **wrapper, "dropped": record.dropped_attributes}


@pytest.mark.parametrize("event", [None, "order.placed"])
@pytest.mark.parametrize("attributes", [ATTRIBUTES, {}], ids=["attributes", "none"])
def test_it_is_the_record_that_opentelemetrys_constructors_make(
    attributes: dict[str, Any], event: str | None
) -> None:
    ours, theirs = emitted(attributes=attributes, event=event)
    assert type(ours.log_record.attributes) is CleanAttributes
    assert fields_of(ours) == fields_of(theirs)


def test_its_trace_and_its_context_are_those_of_the_call() -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("shop")
    token = attach(set_baggage("tenant", "acme"))
    try:
        without_span = emitted()
        with tracer.start_as_current_span("request"):
            within = emitted()
    finally:
        detach(token)
    for ours, theirs in (without_span, within):
        assert fields_of(ours) == fields_of(theirs)
        assert ours.log_record.context is theirs.log_record.context
    assert without_span[0].log_record.trace_id == 0 < (within[0].log_record.trace_id or 0)


def test_another_processor_adds_changes_and_takes_away() -> None:
    ours, theirs = emitted()
    for record in (ours, theirs):
        attributes: Any = record.log_record.attributes
        attributes["added"] = [1, 2]
        attributes["order_id"] = 8
        del attributes["paid"]
        attributes[""] = "a name that is none"
    assert fields_of(ours) == fields_of(theirs)
    assert ours.dropped_attributes == 1
    attributes = ours.log_record.attributes
    assert type(attributes) is CleanAttributes
    assert attributes.clean is None


@pytest.mark.parametrize(
    "copy_of",
    [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_of_attributes_nobody_has_asked_for(copy_of: Callable[[Any], Any]) -> None:
    ours, _ = emitted()
    made: Any = ours.log_record.attributes
    try:
        other = copy_of(made)
    except TypeError:  # OpenTelemetry's hold a lock, which no pickle takes
        assert copy_of is not copy.copy
        return
    assert dict(other) == ATTRIBUTES
    other["added"] = 1
    assert "added" not in made
    assert dict(made) == ATTRIBUTES


def test_a_name_that_they_do_not_have() -> None:
    attributes: Any = emitted()[0].log_record.attributes
    for _ in range(2):
        with pytest.raises(AttributeError, match=r"^colour$"):
            _ = attributes.colour
    assert dict(attributes) == ATTRIBUTES


def test_many_threads_ask_at_the_same_time_and_each_finds_what_the_others_add() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(200):
            attributes: Any = emitted()[0].log_record.attributes
            start = threading.Barrier(4)

            def add(number: int, attributes: Any = attributes, start: Any = start) -> None:
                start.wait()
                attributes[f"of {number}"] = number

            threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert dict(attributes) == {**ATTRIBUTES, **{f"of {n}": n for n in range(4)}}
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "2"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "0"),
        ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "100"),
    ],
)
@pytest.mark.filterwarnings("ignore:Log record attributes were dropped")
def test_limits_of_the_provider_hold(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    kept = Keeping()
    provider = provider_with(kept)
    handler = LogwellHandler(logger_provider=provider)
    record = logging.makeLogRecord({"name": "shop.orders", "levelno": 20, "msg": "order placed"})
    record.pathname, record.lineno, record.funcName = "/app/orders.py", 42, "place"
    record.user_id, record.paid = "u-4711", True
    handler.handle(record)
    provider.get_logger("shop.orders").emit(
        LogRecord(
            attributes={
                "user_id": "u-4711",
                "paid": True,
                "code.file.path": "/app/orders.py",
                "code.function.name": "place",
                "code.line.number": 42,
            }
        )
    )
    ours, theirs = kept.given
    assert dict(ours.log_record.attributes or {}) == dict(theirs.log_record.attributes or {})
    assert ours.dropped_attributes == theirs.dropped_attributes


def test_one_attribute_more_than_a_record_may_have_drops_the_oldest() -> None:
    kept = Keeping()
    provider = provider_with(kept)
    goal_at(provider)  # an older one warns, and has no limits that are known
    handler = LogwellHandler(logger_provider=provider)
    for count in (125, 126):  # with file, line and function 128, and one more
        record = logging.makeLogRecord({"name": "shop", "pathname": "a.py", "lineno": 1})
        record.funcName = "place"
        for number in range(count):
            setattr(record, f"attribute_{number}", number)
        handler.handle(record)
    fits, does_not = kept.given
    assert (fits.dropped_attributes, does_not.dropped_attributes) == (0, 1)
    assert next(iter(does_not.log_record.attributes or {})) == "attribute_1"


def test_context_is_added_once_and_by_the_handler_alone() -> None:
    kept = Keeping()
    provider = provider_with(ContextLogRecordProcessor(), kept)
    goal_at(provider)
    handler = LogwellHandler(logger_provider=provider)
    with log_context(tenant="acme"):
        handler.handle(logging.makeLogRecord({"name": "shop", "msg": "x", "order_id": 7}))
    attributes = kept.given[0].log_record.attributes
    assert type(attributes) is CleanAttributes
    assert attributes.clean == {"tenant": "acme", "order_id": 7}


@pytest.mark.parametrize("kind", ["ours", "OpenTelemetry's", "a class of its own"])
def test_a_copy_has_everything_but_the_context(kind: str) -> None:
    class Own(LogRecord):
        pass

    ours, theirs = emitted()
    record = ours.log_record if kind == "ours" else theirs.log_record
    if kind == "a class of its own":
        record = Own(body="x")
        vars(record)["colour"] = "red"
    record.context = context = set_baggage("a", "b")
    other = _without_context(record)
    assert type(other) is type(record)
    assert other.context == {}
    assert record.context is context
    assert {**vars(other), "context": None} == {**vars(record), "context": None}


def test_what_exporters_are_given_is_what_the_constructor_makes() -> None:
    ours, _ = emitted()
    scope, limits = ours.instrumentation_scope, ours.limits
    made = _readable(ours.log_record, ours.resource, scope, limits)
    assert ours.resource is not None
    assert made == ReadableLogRecord(ours.log_record, ours.resource, scope, limits)
    assert made.dropped_attributes == 0
    assert isinstance(made.log_record.attributes, BoundedAttributes)
    with pytest.raises(AttributeError):
        made.limits = None  # type: ignore[misc]


def test_too_many_attributes_are_dropped_without_a_word(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """OpenTelemetry's own record logs a warning for each, which the handler would be given too."""
    kept = Keeping()
    provider = provider_with(kept)
    goal_at(provider)
    handler = LogwellHandler(logger_provider=provider)
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    given = {f"a{number}": number for number in range(200)}
    logger.info("x", extra=given)
    (found,) = kept.given
    assert found.log_record.attributes is not None
    assert found.log_record.attributes.dropped == 75  # type: ignore[attr-defined]
    assert list(found.log_record.attributes.items())[:2] == [("a75", 75), ("a76", 76)]
    assert len(found.log_record.attributes) == 128
    assert found.log_record.attributes.dropped == 75  # type: ignore[attr-defined]
    assert handler.counts == HandlerCounts()
    assert caplog.records == []
    assert list(recwarn) == []
