"""What other people's code raises is told, and goes no further."""

from __future__ import annotations

import asyncio
import threading

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


ANYWHERE = [ValueError(), asyncio.CancelledError(), GeneratorExit()]
ON_THREADS = [SystemExit(1), KeyboardInterrupt()]


@pytest.mark.parametrize("error", [*ANYWHERE, *ON_THREADS], ids=repr)
def test_on_a_thread_nothing_goes_further(error: BaseException) -> None:
    told: list[BaseException] = []

    def run() -> None:
        with contained(told.append):
            raise error
        told.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert told == [error, error]


@pytest.mark.parametrize("error", ANYWHERE, ids=repr)
def test_what_no_signal_handler_raises_goes_no_further_on_the_main_thread(
    error: BaseException,
) -> None:
    told: list[BaseException] = []
    with contained(told.append):
        raise error
    assert told == [error]


@pytest.mark.parametrize("error", ON_THREADS, ids=repr)
def test_what_ends_the_program_goes_through_on_the_main_thread(error: BaseException) -> None:
    told: list[BaseException] = []
    with pytest.raises(type(error)), contained(told.append):
        raise error
    assert told == []
