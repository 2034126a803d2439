"""Objects whose every special method may raise, lie or recurse never cost a record."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, use_span

from logwell_otel._otel import goal_of
from logwell_otel.handler import HandlerCounts, LogwellHandler
from support.entries import entries
from support.nightly import nightly
from support.records import Recorder, attributes_of, provider_with

if TYPE_CHECKING:
    from collections.abc import Callable

SPECIAL = (
    "__str__",
    "__repr__",
    "__format__",
    "__bytes__",
    "__bool__",
    "__hash__",
    "__eq__",
    "__ne__",
    "__lt__",
    "__le__",
    "__gt__",
    "__ge__",
    "__len__",
    "__iter__",
    "__next__",
    "__contains__",
    "__getitem__",
    "__reversed__",
    "__int__",
    "__index__",
    "__float__",
    "__complex__",
    "__round__",
    "__mod__",
    "__rmod__",
    "__add__",
    "__radd__",
    "__call__",
    "__dir__",
    "__getattr__",
    "__getattribute__",
    "__reduce_ex__",
    "__copy__",
    "__deepcopy__",
    "__length_hint__",
    "__fspath__",
    "__await__",
    "__enter__",
    "__exit__",
    "keys",
    "items",
    "values",
    "isoformat",
)
META = (
    "__instancecheck__",
    "__subclasscheck__",
    "__hash__",
    "__eq__",
    "__bool__",
    "__getattr__",
    "__str__",
    "__repr__",
)
RECORDS = 3_000
KINDS: tuple[type, ...] = (object, str, int, float, dict, list, tuple, set, bytes, Exception)
LIES: tuple[Any, ...] = (str, int, bool, float, dict, list, type(None), Exception, 5, None)
ERRORS = (
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    RecursionError,
    MemoryError,
    RuntimeError,
)


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


def behaviour(chance: random.Random) -> Callable[..., Any]:
    def recurses(self: Any, *_: Any) -> Any:
        return str(self) + repr(self)

    def raises(*_: Any, **__: Any) -> Any:
        raise chance.choice(ERRORS)("hostile")

    def raises_unprintable(*_: Any, **__: Any) -> Any:
        raise ValueError(Unprintable())

    lie: Any = chance.choice(
        [7**9000, "text", b"\0", None, -1, float("nan"), [1], {}, "\ud800", 10**12]
    )
    return chance.choice([raises, raises_unprintable, recurses, lambda *_, **__: lie])


def hostile(chance: random.Random) -> Any:
    """An object of a class of its own, both as bad as chance makes them."""
    namespace: dict[str, Any] = {
        name: behaviour(chance) for name in SPECIAL if chance.random() < 0.5
    }
    if chance.random() < 0.4:
        lie = chance.choice(LIES)
        namespace["__class__"] = property(
            behaviour(chance) if chance.random() < 0.5 else lambda _: lie
        )
    if chance.random() < 0.3:
        namespace["__dict__"] = property(behaviour(chance))
    meta: Any = type
    if chance.random() < 0.3:
        bad: dict[str, Any] = {name: behaviour(chance) for name in META if chance.random() < 0.5}
        bad["__name__"] = property(behaviour(chance))
        meta = type("Meta", (type,), bad)
    kind = chance.choice(KINDS)
    try:
        made = meta.__new__(meta, "Hostile", (kind,), namespace)
        return kind.__new__(made)  # type: ignore[call-overload]
    except Exception:  # noqa: BLE001 - so bad that there is no such object
        return Unprintable()


def anything(chance: random.Random, depth: int = 0) -> Any:
    roll = chance.random()
    if roll < 0.5 or depth > 2:
        return hostile(chance)
    if roll < 0.6:
        return [anything(chance, depth + 1) for _ in range(chance.randrange(3))]
    if roll < 0.7:
        return {chance.choice(["a", 1, None, (2,)]): anything(chance, depth + 1)}
    if roll < 0.8:
        return tuple(anything(chance, depth + 1) for _ in range(chance.randrange(3)))
    return chance.choice([7**9000, "text", 5, None, 1.5, b"x", object(), {7**9000: 1}])


FORMATS = ["%s", "%d and %s", "%r", "plain", "%(a)s", "%5.2f", "%", "%s %s %s", "%x", "%c"]


def records(seed: int, count: int) -> None:
    chance = random.Random(seed)
    recorder = Recorder()
    handler = LogwellHandler(logger_provider=provider_with(recorder))
    for number in range(count):
        record = logging.makeLogRecord({"name": "shop", "levelno": 20, "levelname": "INFO"})
        record.msg = anything(chance) if chance.random() < 0.2 else chance.choice(FORMATS)
        record.args = tuple(anything(chance) for _ in range(chance.randrange(3)))
        if chance.random() < 0.1:
            record.args = anything(chance)
        record.order = anything(chance)
        record.number = number
        for name in ("exc_info", "exc_text", "stack_info", "created", "levelno", "levelname"):
            if chance.random() < 0.1:
                setattr(record, name, anything(chance))
        for name in ("name", "pathname", "lineno", "funcName"):
            if chance.random() < 0.05:
                setattr(record, name, anything(chance))
        handler.handle(record)
    counts = handler.counts
    assert (counts.records_lost, counts.records_recursive, counts.errors_unreported) == (0, 0, 0)
    assert [attributes_of(found)["number"] for found in recorder.records] == [*range(count)]
    for found in recorder.records:
        assert type(found.body) is str


@pytest.mark.parametrize("seed", [*range(5), *nightly(*range(5, 20))])
def test_every_record_of_hostile_objects_arrives(seed: int) -> None:
    records(seed, 50)


@pytest.mark.slow
def test_thousands_of_records_and_the_count_adds_up() -> None:
    # A hundred thousand pass as well, in a minute. Making classes takes the time: the objects
    # are made once and meet in all ways.
    chance = random.Random(7)
    objects = [anything(chance) for _ in range(500)]
    recorder = Recorder()
    handler = LogwellHandler(logger_provider=provider_with(recorder))
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    emitted = 0
    for number in range(RECORDS):
        first, second = chance.choice(objects), chance.choice(objects)
        record = logging.LogRecord("shop", 20, __file__, 1, "%s", None, None)
        record.args = (first,)
        record.__dict__.update(order=second, number=number)
        logger.handle(record)
        emitted += 1
        if len(recorder.records) == 1_000:
            assert {type(found.body) for found in recorder.records} == {str}
            recorder.records.clear()
    counts = handler.counts
    assert counts == HandlerCounts(
        values_replaced=counts.values_replaced, messages_unformatted=counts.messages_unformatted
    )
    assert (emitted, counts.records_lost) == (RECORDS, 0)
    assert counts.values_replaced > RECORDS // 10


@pytest.mark.slow
def test_entries_can_be_made_of_them() -> None:
    chance = random.Random(11)
    from opentelemetry.sdk._logs.export import (
        InMemoryLogRecordExporter,
        SimpleLogRecordProcessor,
    )

    kept = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    handler = LogwellHandler(logger_provider=provider_with(SimpleLogRecordProcessor(kept)))
    for number in range(300):
        record = logging.LogRecord("shop", 20, __file__, 1, "%s", None, None)
        record.args = (anything(chance),)
        record.__dict__.update(order=anything(chance), number=number)
        handler.handle(record)
    found = entries(kept.get_finished_logs())
    assert [entry["metadata"]["number"] for entry in found] == [*range(300)]
    assert not any("logwell.mapping_error" in entry["metadata"] for entry in found)


class NoSpan(NonRecordingSpan):
    def get_span_context(self) -> SpanContext:
        raise RuntimeError("no context")


def test_a_span_that_raises_costs_the_record_its_trace_alone() -> None:
    recorder = Recorder()
    provider = provider_with(recorder)
    if goal_of(provider.get_logger("shop")).limits is None:
        pytest.skip("this OpenTelemetry asks the span itself, and raises")
    handler = LogwellHandler(logger_provider=provider)
    with use_span(NoSpan(INVALID_SPAN_CONTEXT)):
        handler.handle(logging.LogRecord("shop", 20, __file__, 1, "x", None, None))
    assert recorder.only.body == "x"
    assert not recorder.only.trace_id
    assert handler.counts == HandlerCounts()
