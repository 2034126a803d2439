"""Any Python value -> plain JSON values, in bounded time and size, never raising."""

from __future__ import annotations

import array
import collections
import datetime as dt
import enum
import itertools
import json
import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NoReturn
from unittest.mock import MagicMock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel._encoding.fields import plain_metadata
from logwell_otel._encoding.values import (
    CIRCULAR,
    CUT,
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_VALUES,
    TOO_DEEP,
    Conversion,
    convert,
    safe_name,
    safe_str,
    storable,
)
from support.storable import problems

SLOW = 30.0
"""Seconds that nothing here may come near to, on whatever machine."""


def plain(value: object) -> Any:
    return convert(value)[0]


class Level(enum.IntEnum):
    HIGH = 3


class Kind(enum.Enum):
    PAIR = (1, "a\0")


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("not asked")


class Number(int):
    def __str__(self) -> str:
        raise RuntimeError("not asked")

    __repr__ = __str__


class Ratio(float):
    pass


class Point(collections.namedtuple("Point", "x y")):  # noqa: PYI024
    __slots__ = ()


class Answers:
    """`str()` gives what it is told to give."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __str__(self) -> str:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]


class Pretends:
    """Claims to be of a class that it is not, as proxies do."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return self.kind

    def __str__(self) -> str:
        return "behind the proxy"


class NoClass:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError

    def __str__(self) -> str:
        return "no class"


# A table and not parameters: pytest looks at those more closely than some of these let it.
TABLE: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (0, 0),
    (-(2**53), -(2**53)),
    (2**53, 2**53),
    (2**53 + 1, "9007199254740993"),
    (-(2**53) - 1, "-9007199254740993"),
    (Number(5), 5),
    (Number(2**60), str(2**60)),
    (Level.HIGH, 3),
    (Kind.PAIR, [1, "a\ufffd"]),
    (1.5, 1.5),
    (-0.0, -0.0),
    (5e-324, 5e-324),
    (Ratio(2.5), 2.5),
    (math.nan, "NaN"),
    (math.inf, "Infinity"),
    (-math.inf, "-Infinity"),
    (Ratio("nan"), "NaN"),
    ("a\0b\ud800c\udfff", "a\ufffdb\ufffdc\ufffd"),
    ("\U0001f600", "\U0001f600"),
    (Text("a\0"), "a\ufffd"),
    (b"", ""),
    (b"\xff\x00", "/wA="),
    (memoryview(b"abcd")[::2], "YWM="),
    (array.array("i", [1, 2]), [1, 2]),
    ((1, (2,)), [1, [2]]),
    ({3}, [3]),
    (frozenset({None}), [None]),
    (collections.deque([1]), [1]),
    (range(3), [0, 1, 2]),
    ({"a": 1}.keys(), ["a"]),
    ({"a": 1}.items(), [["a", 1]]),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.ChainMap({"a": 1}, {"b": 2}), {"b": 2, "a": 1}),
    (Point(1, "y"), [1, "y"]),
    ({(1, 2): "t", 1.5: "f", b"k": "b"}, {"(1, 2)": "t", "1.5": "f", "b'k'": "b"}),
    ({1: "a", "1": "b"}, {"1": "a", "1#2": "b"}),
    ({None: 1, "None": 2, "None#2": 3}, {"None": 1, "None#2": 2, "None#2#2": 3}),
    (dt.date(2026, 1, 2), "2026-01-02"),
    (dt.time(1, 2, 3), "01:02:03"),
    (PurePosixPath("/a"), "/a"),
    (Answers("a\0\ud800"), "a\ufffd\ufffd"),
    (Answers(Text("sub")), "sub"),
    (Answers(ValueError()), "<unprintable Answers: ValueError>"),
    (Answers(ValueError("a\0")), "<unprintable Answers: ValueError: a\ufffd>"),
    (Answers(RecursionError()), "<unprintable Answers: RecursionError>"),
    (Answers(MemoryError()), "<unprintable Answers: MemoryError>"),
    (
        Answers(5),
        "<unprintable Answers: TypeError: __str__ returned non-string (type int)>",
    ),
    (Pretends(str), "behind the proxy"),
    (Pretends(int), "behind the proxy"),
    (Pretends(float), "behind the proxy"),
    (Pretends(bytes), "behind the proxy"),
    (Pretends(dict), "behind the proxy"),
    (Pretends(list), "behind the proxy"),
    (Pretends(dt.datetime), "behind the proxy"),
    (Pretends(enum.Enum), "behind the proxy"),
    (NoClass(), "no class"),
    (
        [Answers(ValueError()), {"k": NoClass()}],
        ["<unprintable Answers: ValueError>", {"k": "no class"}],
    ),
]


@pytest.mark.parametrize("row", range(len(TABLE)))
def test_each_type(row: int) -> None:
    value, expected = TABLE[row]
    for found in (plain(value), Conversion().value(value)):
        assert found == expected
        assert type(found) is type(expected)


def test_mocks_generators_and_foreign_json_are_text() -> None:
    assert plain(msgspec.Raw(b"not json")).startswith("<msgspec.Raw object")
    assert plain(MagicMock(name="m")).startswith("<MagicMock name='m'")
    assert plain(MagicMock(spec=str, name="s")).startswith("<MagicMock name='s'")
    assert plain(MagicMock(spec=dict)) == {}
    assert plain(number for number in range(3)).startswith("<generator object")


def test_a_date_that_cannot_be_written() -> None:
    class NoZone(dt.tzinfo):
        def utcoffset(self, when: dt.datetime | None) -> NoReturn:
            raise RuntimeError

        dst = tzname = utcoffset

    assert plain(dt.datetime(2026, 1, 2, tzinfo=NoZone())) == "<unprintable datetime: RuntimeError>"


def test_only_exceptions_are_contained() -> None:
    """Ctrl-C in somebody's `__str__` is not ours to swallow."""
    with pytest.raises(KeyboardInterrupt):
        plain(Answers(KeyboardInterrupt()))


class TestIntegersOfManyDigits:
    @pytest.mark.parametrize("sign", [1, -1])
    @pytest.mark.parametrize("digits", [600, 602, 640, 4301, 100_000])
    def test_are_text(self, digits: int, sign: int) -> None:
        value = sign * (10**digits - 1)
        found = plain(value)
        assert isinstance(found, str)
        assert int(found, 0) == value if found[1:3] != "99" else found.count("9") == digits

    def test_whatever_python_is_told_about_them(self) -> None:
        limit = sys.get_int_max_str_digits()
        try:
            sys.set_int_max_str_digits(640)
            assert plain(10**602 - 1) == "9" * 602
            assert plain(10**5000).startswith("0x")
            sys.set_int_max_str_digits(0)
            assert plain(10**5000).startswith("0x")
        finally:
            sys.set_int_max_str_digits(limit)

    def test_are_cut_like_other_text(self) -> None:
        started = time.monotonic()
        conversion = Conversion()
        found = conversion.value(1 << 4_000_000)
        assert (len(found), found[-1], conversion.cut) == (MAX_CHARACTERS + 1, CUT, True)
        assert time.monotonic() - started < SLOW


class TestDepth:
    def test_32_levels_stay(self) -> None:
        value: Any = "leaf"
        for _ in range(MAX_DEPTH):
            value = [value]
        conversion = Conversion()
        assert conversion.value(value) == value
        assert not conversion.cut

    @pytest.mark.slow
    @pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}, lambda v: (v,)])
    def test_what_lies_deeper_does_not(self, wrap: Any) -> None:
        value: Any = "leaf"
        for _ in range(100_000):
            value = wrap(value)
        conversion = Conversion()
        found = conversion.value(value)
        for _ in range(MAX_DEPTH):
            found = found[0] if isinstance(found, list) else found["k"]
        assert (found, conversion.cut) == (TOO_DEEP, True)
        while isinstance(value, (list, dict, tuple)):  # free it without recursion
            value = value["k"] if isinstance(value, dict) else value[0]

    def test_enums_inside_enums_end(self) -> None:
        class Loop(enum.Enum):
            SELF = "x"

        Loop.SELF._value_ = Loop.SELF  # type: ignore[assignment]
        assert plain(Loop.SELF) == "Loop.SELF"


class TestCycles:
    def test_are_named(self) -> None:
        items: list[Any] = [1]
        items.append(items)
        assert plain(items) == [1, CIRCULAR]
        mapping: dict[str, Any] = {}
        mapping["self"] = {"again": mapping}
        assert plain(mapping) == {"self": {"again": CIRCULAR}}

    def test_the_same_value_twice_is_no_cycle(self) -> None:
        shared = [1]
        conversion = Conversion()
        assert conversion.value([shared, shared, {"a": shared}]) == [[1], [1], {"a": [1]}]
        assert not conversion.cut


class TestBoundedTimeAndSize:
    def billion_laughs(self, levels: int, leaf: Any = "lol") -> Any:
        value: Any = [leaf]
        for _ in range(levels):
            value = [value] * 10
        return value

    @pytest.mark.parametrize("levels", [9, 60])
    @pytest.mark.parametrize("leaf", ["lol", "x" * 10_000, b"x" * 10_000, 10**600])
    def test_shared_structures(self, levels: int, leaf: Any) -> None:
        started = time.monotonic()
        conversion = Conversion()
        found = conversion.value(self.billion_laughs(levels, leaf))
        assert time.monotonic() - started < SLOW
        assert conversion.cut
        size = len(json.dumps(found))
        assert size < MAX_CHARACTERS + 20 * MAX_VALUES

    def test_shared_mappings(self) -> None:
        value: Any = {"k": "v" * 1000}
        for _ in range(100):
            value = {f"k{number}": value for number in range(10)}
        started = time.monotonic()
        found = plain(value)
        assert time.monotonic() - started < SLOW
        assert len(json.dumps(found)) < MAX_CHARACTERS + 20 * MAX_VALUES

    def test_a_long_list_says_where_it_was_cut(self) -> None:
        conversion = Conversion()
        found = conversion.value(list(range(MAX_VALUES + 5)))
        assert found == [*range(MAX_VALUES - 1), CUT]
        assert conversion.cut

    def test_a_long_mapping_too(self) -> None:
        conversion = Conversion()
        found = conversion.value({f"k{number}": number for number in range(MAX_VALUES + 5)})
        assert len(found) == MAX_VALUES
        assert found[CUT] == CUT
        assert conversion.cut

    def test_long_text(self) -> None:
        conversion = Conversion()
        assert conversion.value("x" * MAX_CHARACTERS) == "x" * MAX_CHARACTERS
        assert not conversion.cut
        conversion = Conversion()
        assert conversion.value("x" * (MAX_CHARACTERS + 1)) == "x" * MAX_CHARACTERS + CUT
        assert conversion.cut

    @pytest.mark.slow
    def test_containers_that_never_end(self) -> None:
        class Endless(Sequence[int]):
            def __getitem__(self, index: Any) -> Any:
                return index

            def __len__(self) -> int:
                return sys.maxsize

        class EndlessMapping(Mapping[int, int]):
            def __getitem__(self, key: int) -> int:
                return key

            def __iter__(self) -> Iterator[int]:
                return itertools.count()

            def __len__(self) -> int:
                return 1

        class Nested(Sequence[Any]):
            def __getitem__(self, index: Any) -> Any:
                return Nested()

            def __len__(self) -> int:
                return sys.maxsize

        started = time.monotonic()
        for value in (Endless(), EndlessMapping(), Nested(), range(10**15)):
            conversion = Conversion()
            conversion.value(value)
            assert conversion.cut
        assert time.monotonic() - started < SLOW


class TestForeignContainers:
    @pytest.mark.parametrize("error", [RuntimeError, ValueError, RecursionError])
    def test_that_raise_are_text(self, error: type[Exception]) -> None:
        class Broken(Sequence[int]):
            def __getitem__(self, index: Any) -> NoReturn:
                raise error

            def __len__(self) -> int:
                return 3

            def __str__(self) -> str:
                return "broken"

        assert plain(Broken()) == "broken"
        assert plain([1, Broken()]) == [1, "broken"]

    def test_whose_items_are_no_pairs(self) -> None:
        class Odd(Mapping[str, Any]):
            def __getitem__(self, key: str) -> Any:
                return 1

            def __iter__(self) -> Iterator[str]:
                return iter("a")

            def __len__(self) -> int:
                return 1

            def items(self) -> Any:
                return [1, 2]

            def __str__(self) -> str:
                return "odd"

        assert plain(Odd()) == "odd"

    def test_that_change_while_they_are_read(self) -> None:
        class Restless(Mapping[str, int]):
            def __init__(self, failures: int) -> None:
                self.failures = failures

            def __getitem__(self, key: str) -> int:
                return 1

            def __iter__(self) -> Iterator[str]:
                yield "a"
                if self.failures:
                    self.failures -= 1
                    raise RuntimeError("dictionary changed size during iteration")

            def __len__(self) -> int:
                return 1

            def __str__(self) -> str:
                return "restless"

        class Once(dict[str, int]):
            """What has gone on already cannot be asked again: it would seem empty."""

            def items(self) -> Any:
                yield "a", 1
                raise RuntimeError("dictionary changed size during iteration")

        assert plain(Once(a=1)) == "{'a': 1}"
        assert plain(Restless(3)) == {"a": 1}
        assert plain(Restless(1000)) == "restless"

    def test_dictionaries_and_lists_that_another_thread_changes(self) -> None:
        mapping: dict[str, Any] = {str(number): [number] for number in range(100)}
        items: list[Any] = list(range(100))
        over = threading.Event()

        def change() -> None:
            for number in itertools.count():
                mapping[f"new{number % 1000}"] = items
                mapping.pop(f"new{(number + 500) % 1000}", None)
                items.append(number)
                del items[:1]
                if over.is_set():
                    return

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        thread = threading.Thread(target=change)
        thread.start()
        try:
            for _ in range(50):
                found = plain(mapping)
                assert isinstance(found, dict)
                assert found["7"] == [7]
                assert len(plain(items)) >= 99
        finally:
            over.set()
            thread.join()
            sys.setswitchinterval(interval)


def test_names() -> None:
    keys = ["a", Text("b"), 5, Pretends(str), Kind.PAIR, Answers(ValueError())]
    expected = ["a", "b", "5", "behind the proxy", "Kind.PAIR", "<unprintable Answers: ValueError>"]
    assert [safe_name(key) for key in keys] == expected
    assert {type(safe_name(key)) for key in keys} == {str}


def test_safe_str_is_cut() -> None:
    assert safe_str("x" * 10, 3) == "xxx"
    assert len(safe_str(Answers("x" * 10**6))) == MAX_CHARACTERS


@given(st.text(st.characters()))
def test_storable_text_changes_nothing_else(value: str) -> None:
    found = storable(value)
    assert "\0" not in found
    found.encode("utf-8")
    assert len(found) == len(value)
    changed = {old for old, new in zip(value, found, strict=True) if old != new}
    assert all(char == "\0" or "\ud800" <= char <= "\udfff" for char in changed)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.dates()
    | st.sampled_from([*Level, *Kind, object(), Answers("x"), Answers(ValueError())]),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(st.characters()) | st.integers() | st.none(), inner)
    ),
    max_leaves=30,
)


@given(ANYTHING)
def test_anything_becomes_storable(value: Any) -> None:
    found = plain(value)
    assert Conversion().value(value) == found
    entry = {"level": "info", "message": "m", "metadata": {"v": found}}
    body = msgspec.json.encode([{**entry, "timestamp": "2026-11-20T14:09:42.426364Z"}])
    assert problems(body, 1) == []
    assert plain(found) == found


@given(ANYTHING)
def test_each_attribute_is_converted_on_its_own(value: Any) -> None:
    found = plain_metadata({"a": value, "b": list(range(20_000)), "c": value})
    assert found["a"] == found["c"] == plain(value)
    assert found["logwell.truncated"] is True
