from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from logwell_otel._encoding.exceptions import exception_details, is_recorded, mark_recorded


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class HostileError(Exception):
    @property
    def __cause__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no cause")


@dataclass(frozen=True)
class FrozenError(Exception):
    code: int


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_type_message_and_stack_trace() -> None:
    details = exception_details(raised(ValueError("boom", 2)))
    assert details["exception.type"] == "ValueError"
    assert details["exception.message"] == "('boom', 2)"
    assert details["exception.stacktrace"].startswith("Traceback (most recent call last):\n")
    assert details["exception.stacktrace"].endswith("ValueError: ('boom', 2)\n")


def test_the_stack_trace_can_be_left_out_and_types_carry_their_module() -> None:
    assert exception_details(FrozenError(3), stacktrace=False) == {
        "exception.type": f"{__name__}.FrozenError",
        "exception.message": "3",
    }


def test_causes_are_part_of_the_stack_trace() -> None:
    error = RuntimeError("outer")
    error.__cause__ = raised(KeyError("inner"))
    trace = exception_details(raised(error))["exception.stacktrace"]
    assert trace.index("KeyError: 'inner'") < trace.index("RuntimeError: outer")


def test_an_exception_without_text() -> None:
    details = exception_details(raised(UnprintableError()))
    assert details["exception.message"] == "<unprintable: RuntimeError: no text>"
    assert "UnprintableError" in details["exception.stacktrace"]


def test_an_exception_that_does_not_let_itself_be_formatted_still_shows_its_frames() -> None:
    trace = exception_details(raised(HostileError()))["exception.stacktrace"]
    assert "in raised" in trace
    assert trace.endswith("<not formatted: RuntimeError: no cause>")


@pytest.mark.parametrize("error", [ValueError("x"), FrozenError(1), KeyboardInterrupt()])
def test_marking(error: BaseException) -> None:
    text = str(error)
    assert not is_recorded(error)
    mark_recorded(error)
    assert is_recorded(error)
    assert not is_recorded(type(error)(1))
    assert str(error) == text
