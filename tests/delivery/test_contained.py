"""What other people's code raises is told, and goes no further."""

from __future__ import annotations

import asyncio

import pytest

from logwell_otel._diagnostics import contained


def test_an_exception_is_told_and_goes_no_further() -> None:
    told: list[Exception] = []
    error = ValueError("x")
    with contained(told.append):
        raise error
    assert told == [error]


def test_nothing_is_told_where_nothing_is_raised() -> None:
    told: list[Exception] = []
    with contained(told.append):
        pass
    assert told == []


@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError()], ids=repr)
def test_an_exit_is_contained_only_where_it_is_asked_for(error: BaseException) -> None:
    told: list[BaseException] = []
    with pytest.raises(type(error)), contained(told.append):
        raise error
    assert told == []
    with contained(told.append, exits=True):
        raise error
    assert told == [error]


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("exits", [False, True])
def test_an_interrupt_goes_through(error: type[BaseException], exits: bool) -> None:
    told: list[BaseException] = []
    with pytest.raises(error), contained(told.append, exits=exits):
        raise error
    assert told == []
