"""Values that are hard to show: huge numbers, proxies, other libraries' numbers and dates."""

from __future__ import annotations

import logging
import math
from collections import UserString
from datetime import date, datetime, time, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock, Mock

import pytest

from logwell_otel.handler import HandlerCounts, LogwellHandler
from support.records import Recorder, attributes_of, needs_mixed_lists, provider_with

if TYPE_CHECKING:
    from collections.abc import Callable

HUGE = 7**9000
HEXADECIMAL = f"{HUGE:#x}"


class Size(IntEnum):
    LARGE = 3


class Colour(Enum):
    RED = "red"


def logged(*message: Any, **extra: Any) -> tuple[Any, dict[str, Any], HandlerCounts]:
    """Body, attributes and counts of one record."""
    recorder = Recorder()
    handler = LogwellHandler(logger_provider=provider_with(recorder))
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    logger.info(*message, extra=extra)
    found = attributes_of(recorder.only)
    return (
        recorder.only.body,
        {name: value for name, value in found.items() if not name.startswith("code.")},
        handler.counts,
    )


def attribute(value: object) -> Any:
    _, attributes, counts = logged("x", value=value)
    assert counts == HandlerCounts()
    return attributes["value"]


@pytest.mark.parametrize(
    ("message", "body"),
    [
        ((HUGE,), HEXADECIMAL),
        (([HUGE],), f"[{HEXADECIMAL}]"),
        (({"a": HUGE},), f"{{'a': {HEXADECIMAL}}}"),
        (("%s", HUGE), HEXADECIMAL),
        (("%d", HUGE), HEXADECIMAL),
        (("%05d of %.2f %s", HUGE, 3, "x"), f"{HEXADECIMAL} of 3 x"),
        (("%r", HUGE), HEXADECIMAL),
        (("%s", [1, HUGE, "a"]), f"[1, {HEXADECIMAL}, 'a']"),
        (("%s", (1, (HUGE,))), f"(1, ({HEXADECIMAL},))"),
        (("%s", {"a": [HUGE]}), f"{{'a': [{HEXADECIMAL}]}}"),
        (("%(a)s and %(b)d", {"a": 1, "b": HUGE}), f"1 and {HEXADECIMAL}"),
        (("%s", -HUGE), f"-{HEXADECIMAL}"),
        (("%x", HUGE), HEXADECIMAL[2:]),
        (("%s %s", HUGE, Decimal("1.50")), f"{HEXADECIMAL} 1.50"),
    ],
    ids=lambda _: "",
)
def test_numbers_of_more_digits_than_python_writes(message: tuple[Any, ...], body: str) -> None:
    assert logged(*message)[0] == body
    assert logged(*message)[2] == HandlerCounts()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (HUGE, HUGE),
        ([HUGE], (HUGE,)),
        ({"a": {"b": HUGE}}, {"a": {"b": HUGE}}),
        ({HUGE: 1}, {HEXADECIMAL: 1}),
        pytest.param((HUGE, (HUGE,)), (HUGE, (HUGE,)), marks=needs_mixed_lists),
    ],
    ids=lambda _: "",
)
def test_they_stay_numbers_as_attributes(value: object, expected: object) -> None:
    assert attribute(value) == expected


def test_an_exception_with_such_a_number() -> None:
    recorder = Recorder()
    handler = LogwellHandler(logger_provider=provider_with(recorder))
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    try:
        raise KeyError(HUGE)
    except KeyError:
        logger.exception("failed")
    attributes = attributes_of(recorder.only)
    assert attributes["exception.type"] == "KeyError"
    assert attributes["exception.message"].startswith("<unprintable: ValueError: Exceeds")
    assert "test_an_exception_with_such_a_number" in attributes["exception.stacktrace"]


def lazy_of(library: str) -> Callable[[Any], Any]:
    if library == "werkzeug":
        proxies = pytest.importorskip("werkzeug.local")
        return lambda value: proxies.LocalProxy(lambda: value)
    if library == "django":
        functional = pytest.importorskip("django.utils.functional")
        return lambda value: functional.SimpleLazyObject(lambda: value)
    if library == "wrapt":
        return lambda value: pytest.importorskip("wrapt").ObjectProxy(value)
    return Claiming


class Claiming:
    """What every library of lazy objects has at its heart."""

    def __init__(self, value: Any) -> None:
        object.__setattr__(self, "_value", value)

    def __getattribute__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_value"), name)

    def _to(made: Any) -> Any:  # noqa: N805
        return lambda self: made(object.__getattribute__(self, "_value"))

    __str__, __repr__, __bool__ = _to(str), _to(repr), _to(bool)
    __int__, __float__, __len__, __iter__ = _to(int), _to(float), _to(len), _to(iter)


@pytest.mark.parametrize("library", ["werkzeug", "django", "wrapt", "own"])
@pytest.mark.parametrize("value", ["text", "", 7, 0, -1, True, False, 1.5])
def test_a_proxy_is_what_it_stands_for(library: str, value: Any) -> None:
    lazy = lazy_of(library)
    found = attribute(lazy(value))
    assert (found, type(found)) == (value, type(value))
    assert attribute([lazy(value)]) == (value,)
    assert attribute({"in": lazy(value)}) == {"in": value}
    assert logged("%s!", lazy(value))[0] == f"{value}!"


@pytest.mark.parametrize("library", ["werkzeug", "django", "wrapt"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"ab", b"ab"),
        (bytearray(b"ab"), b"ab"),
        (Colour.RED, "red"),
        (Size.LARGE, 3),
        (UserString("text"), "text"),
        (None, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_proxy_for_what_is_converted(library: str, value: object, expected: object) -> None:
    assert attribute(lazy_of(library)(value)) == expected


@pytest.mark.parametrize("library", ["werkzeug", "wrapt"])
@pytest.mark.parametrize("value", [Decimal("2.5"), Fraction(5, 2)])
def test_a_proxy_for_a_number_of_another_type(library: str, value: object) -> None:
    assert attribute(lazy_of(library)(value)) == 2.5


@pytest.mark.parametrize("library", ["werkzeug", "django", "wrapt"])
def test_a_proxy_for_a_structure(library: str) -> None:
    lazy = lazy_of(library)
    assert attribute(lazy({"a": [1]})) == {"a": (1,)}
    assert attribute(lazy(["a", "b"])) == ("a", "b")
    assert attribute(lazy(datetime(2026, 1, 2))) == "2026-01-02T00:00:00"  # noqa: DTZ001


def test_an_unbound_proxy_says_so() -> None:
    local = pytest.importorskip("werkzeug.local")
    unbound = local.LocalStack()()
    body, attributes, counts = logged("%s!", unbound, value=unbound)
    assert attributes["value"].startswith("<unprintable LocalProxy: RuntimeError: ")
    assert body.startswith("<unprintable LocalProxy: RuntimeError: ")
    assert counts == HandlerCounts(values_replaced=2)


def test_a_proxy_whose_object_cannot_be_made() -> None:
    functional = pytest.importorskip("django.utils.functional")

    def fails() -> Any:
        raise ConnectionError("no database")

    _, attributes, counts = logged("x", value=functional.SimpleLazyObject(fails))
    assert attributes["value"] == "<unprintable SimpleLazyObject: ConnectionError: no database>"
    assert counts == HandlerCounts(values_replaced=1)


@pytest.mark.parametrize(
    "kind", [str, int, float, bool, bytes, bytearray, Decimal, datetime, Colour, dict, list, None]
)
def test_mocks_have_a_text(kind: type | None) -> None:
    mock = Mock(spec=kind) if kind else Mock()
    body, attributes, counts = logged("%s", mock, value=mock)
    assert body == str(mock)
    if kind not in (bool, dict, list):
        assert attributes["value"] == str(mock)
    assert counts.records_lost == 0
    assert attribute(MagicMock()).startswith("<MagicMock id=")


class Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Floating:
    def __float__(self) -> float:
        return 2.5

    def __str__(self) -> str:
        return "2.5"


class bool_:  # noqa: N801 - numpy's name
    def __bool__(self) -> bool:
        return True


class complex64:  # noqa: N801
    def __float__(self) -> float:
        raise AssertionError("gives away half of it")

    def __str__(self) -> str:
        return "(1+2j)"


class Array:
    def __len__(self) -> int:
        return 1

    __index__ = __len__

    def __str__(self) -> str:
        return "[7]"


class Arrow:
    def isoformat(self) -> str:
        return "2026-01-02T03:04:05+00:00"


class Refusing:
    """A number that cannot be had, with a text."""

    def __float__(self) -> float:
        raise TypeError("units")

    def __str__(self) -> str:
        return "5 m"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Index(7), 7),
        (Index(HUGE), HUGE),
        (Floating(), 2.5),
        (bool_(), True),
        (complex64(), "(1+2j)"),
        (3 + 2j, "(3+2j)"),
        (Array(), "[7]"),
        (Arrow(), "2026-01-02T03:04:05+00:00"),
        (Refusing(), "5 m"),
        (Decimal("12.50"), 12.5),
        (Decimal(5), 5.0),
        (Decimal("12345678901234567890.12"), "12345678901234567890.12"),
        (Decimal("1E+400"), "1E+400"),  # more than a float holds
        (Decimal("-1E+400"), "-1E+400"),
        (Decimal("1E-400"), "1E-400"),  # less
        (Decimal("0E-400"), 0.0),
        (Decimal("-Infinity"), -math.inf),
        (Fraction(1, 10**400), f"1/1{'0' * 400}"),
        (Fraction(10**400, 3), f"1{'0' * 400}/3"),
        (Fraction(1, 4), 0.25),
        (Size.LARGE, 3),
        (Colour.RED, "red"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (datetime(2026, 1, 2, tzinfo=timezone.utc), "2026-01-02T00:00:00+00:00"),
        ({1}, (1,)),
        ({"a": 1}.values(), (1,)),
        (UserString("text"), "text"),
        (UserString(""), ""),
        (range(3), (0, 1, 2)),
        (object, "<class 'object'>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types_keep_their_kind(value: object, expected: object) -> None:
    found = attribute(value)
    assert (found, type(found)) == (expected, type(expected))
    assert attribute([value]) == (expected,)


def test_an_object_without_a_text_leaves_a_trace() -> None:
    assert attribute(object()).startswith("<object object at 0x")
    assert math.isnan(attribute(Decimal("NaN")))


def test_numpys_numbers_keep_their_kind() -> None:
    numpy = pytest.importorskip("numpy")
    for value, expected in (
        (numpy.int64(7), 7),
        (numpy.uint8(7), 7),
        (numpy.float32(1.5), 1.5),
        (numpy.float64(1.5), 1.5),
        (numpy.bool_(True), True),
        (numpy.str_("a"), "a"),
        (numpy.float32("-inf"), -math.inf),
        (numpy.longdouble(0), 0.0),
    ):
        found = attribute(value)
        assert (found, type(found)) == (expected, type(expected))
    if numpy.isfinite(large := numpy.longdouble("1e400")):  # where it is wider than a double
        assert attribute(large) == str(large)
