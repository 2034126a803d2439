"""The sampler as a filter of the standard library, on handlers that know nothing of us."""

from __future__ import annotations

import io
import logging
import logging.handlers
import queue

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext

from logwell_otel.sampling import RATE_ATTRIBUTE, Sampler
from logwell_otel.sampling.sampler import level_of


@pytest.fixture
def logger() -> logging.Logger:
    """A logger in no hierarchy: nobody else's handlers format its records."""
    return logging.Logger("shop", level=1)


def _handler(*filters: logging.Filter) -> tuple[logging.Handler, io.StringIO]:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    for one in filters:
        handler.addFilter(one)
    return handler, out


def _alternating(**options: object) -> Sampler:
    """Keep the first of a pattern, then every second record."""
    draws = iter([0.0, 0.0, 0.99] + [0.0, 0.99] * 1000)
    return Sampler(clock=lambda: 0.0, rng=lambda: next(draws), **options)  # type: ignore[arg-type]


def test_a_handler_gets_what_is_kept(logger: logging.Logger) -> None:
    handler, out = _handler(_alternating().as_logging_filter())
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s %(" + RATE_ATTRIBUTE + ")s"))
    logger.addHandler(handler)
    for number in range(5):
        logger.info("item %d", number)
    logger.error("boom %s", "x")
    logger.critical("dead")
    assert out.getvalue().splitlines() == [
        "INFO item 0 1.0",
        "INFO item 1 0.2",
        "INFO item 3 0.2",
        "ERROR boom x 1.0",
        "CRITICAL dead 1.0",
    ]


def test_handlers_that_share_the_filter_get_the_same_records(logger: logging.Logger) -> None:
    shared = _alternating().as_logging_filter()
    first, first_out = _handler(shared)
    second, second_out = _handler(shared)
    logger.addHandler(first)
    logger.addHandler(second)
    for number in range(9):
        logger.info("item %d", number)
    assert first_out.getvalue() == second_out.getvalue()
    assert len(first_out.getvalue().splitlines()) == 5


def test_a_logger_may_have_the_filter_too(logger: logging.Logger) -> None:
    logger.addFilter(_alternating().as_logging_filter())
    handler, out = _handler()
    logger.addHandler(handler)
    for number in range(5):
        logger.info("item %d", number)
    assert len(out.getvalue().splitlines()) == 3


def test_a_record_that_came_through_a_queue_is_not_decided_again(logger: logging.Logger) -> None:
    sampler = _alternating()
    passed: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    sending = logging.handlers.QueueHandler(passed)
    sending.addFilter(sampler.as_logging_filter())
    logger.addHandler(sending)
    for number in range(5):
        logger.info("item %d", number)
    receiving, out = _handler(sampler.as_logging_filter())
    while not passed.empty():
        receiving.handle(passed.get())
    assert len(out.getvalue().splitlines()) == 3


def test_the_current_span_decides(logger: logging.Logger) -> None:
    handler, out = _handler(_alternating().as_logging_filter())
    logger.addHandler(handler)
    logger.info("first")
    for trace_id in (1, 2**64 - 1):
        span = NonRecordingSpan(SpanContext(trace_id, 1, is_remote=False))
        with trace.use_span(span):
            logger.info("first")
            logger.info("first")
    assert len(out.getvalue().splitlines()) == 3


def test_a_message_that_cannot_be_formatted_is_the_handlers_to_report(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    handler, _ = _handler(_alternating().as_logging_filter())
    logger.addHandler(handler)
    text = "item %d %d"
    logger.info(text, 1)
    assert "not enough arguments" in capsys.readouterr().err


def test_a_message_that_is_always_kept_is_not_formatted_twice(logger: logging.Logger) -> None:
    class Counting:
        times = 0

        def __str__(self) -> str:
            Counting.times += 1
            return "x"

    handler, out = _handler(_alternating().as_logging_filter())
    logger.addHandler(handler)
    logger.error("%s", Counting())
    assert (out.getvalue(), Counting.times) == ("ERROR x\n", 1)


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (1, "debug"), (10, "debug"), (15, "debug"), (20, "info"), (25, "info"), (30, "warn"),
        (39, "warn"), (40, "error"), (45, "error"), (50, "fatal"), (60, "fatal"),
    ],
)  # fmt: skip
def test_levels(number: int, level: str) -> None:
    assert level_of(number) == level
