from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel._encoding.values import (
    CIRCULAR,
    CUT,
    MAX_DEPTH,
    MAX_VALUES,
    TOO_DEEP,
    clean_attributes,
    clean_value,
    convert,
    describe,
)

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
nested = st.recursive(
    plain,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner),
    max_leaves=20,
)


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no text")


class Liar:
    """As a proxy outside its request does: even asking for its class raises."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("outside of a request")


class Colour(str, enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


class Forever(Sequence[int]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: Any) -> Any:
        return index

    def __iter__(self) -> Iterator[int]:
        while True:
            yield 1


class Half(float):
    def __float__(self) -> float:
        raise ValueError("never asked")


@given(nested)
def test_plain_values_and_containers_keep_what_they_hold(value: Any) -> None:
    cleaned, replaced = clean_value(value)
    assert replaced == 0
    assert repr(cleaned) == repr(_frozen(value))


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(element) for element in value)
    if isinstance(value, dict):
        return {name: _frozen(element) for name, element in value.items()}
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (Size.LARGE, 3),
        (Half(0.5), 0.5),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime(2026, 1, 2, tzinfo=timezone.utc), "2026-01-02T00:00:00+00:00"),
        ({1: {2: "x"}}, {"1": {"2": "x"}}),
    ],
)
def test_other_types_become_plain_ones(value: object, expected: object) -> None:
    cleaned, replaced = clean_value(value)
    assert (cleaned, type(cleaned), replaced) == (expected, type(expected), 0)


def test_what_raises_is_replaced_where_it_stands() -> None:
    assert clean_value({"ok": 1, "bad": [Unprintable(), Liar()]}) == (
        {
            "ok": 1,
            "bad": (
                "<unprintable Unprintable: ValueError: no text>",
                "<unprintable Liar: RuntimeError: outside of a request>",
            ),
        },
        2,
    )


def test_a_container_that_holds_itself_ends() -> None:
    cycle: list[Any] = [1]
    cycle.append(cycle)
    assert clean_value(cycle) == ((1, CIRCULAR), 1)


def test_the_same_container_twice_is_not_a_cycle() -> None:
    shared = [1]
    assert clean_value([shared, shared]) == (((1,), (1,)), 0)


def test_depth_is_limited() -> None:
    deep: Any = "core"
    for _ in range(100_000):
        deep = [deep]
    cleaned, replaced = clean_value(deep)
    for _ in range(MAX_DEPTH):
        (cleaned,) = cleaned
    assert (cleaned, replaced) == (TOO_DEEP, 1)


def test_a_container_without_end_is_cut() -> None:
    cleaned, replaced = clean_value(Forever())
    assert len(cleaned) == MAX_VALUES
    assert (cleaned[-1], replaced) == (CUT, 1)


def test_a_container_that_multiplies_is_cut() -> None:
    bomb: Any = {"leaf": 1}
    for _ in range(30):
        bomb = {"a": bomb, "b": bomb}
    _, replaced = clean_value(bomb)
    assert replaced > 0


def test_what_was_cut_or_replaced_is_converted_to_the_same() -> None:
    """The exporter goes through it again, with the same limits."""
    deep: Any = "core"
    for _ in range(40):
        deep = [deep]
    cycle: list[Any] = []
    cycle.append(cycle)
    for value in (Forever(), {"deep": deep, "cycle": cycle, "bad": Unprintable()}):
        cleaned, _ = clean_value(value)
        assert convert(cleaned)[0] == convert(value)[0]


def test_names_that_become_the_same_keep_their_values() -> None:
    assert clean_value({"1": "a", 1: "b"}) == ({"1": "a", "1#2": "b"}, 0)


def test_names_become_strings_and_nameless_values_are_left_out() -> None:
    assert clean_attributes({"a": 1, 2: "two", "": 3, Unprintable(): 4, "in": {"": 5}}) == (
        {"a": 1, "2": "two", "<unprintable Unprintable: ValueError: no text>": 4, "in": {}},
        3,
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("why"), "ValueError: why"),
        (ValueError(), "ValueError"),
        (ValueError(Unprintable()), "ValueError"),
        (ValueError("x" * 1000), "ValueError: " + "x" * 188),
    ],
)
def test_describe_never_raises(error: Exception, text: str) -> None:
    assert describe(error) == text


def test_only_exceptions_that_are_errors_are_contained() -> None:
    class Interrupting:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clean_value(Interrupting())
