"""What is too long is cut before it is queued, and where it costs least."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from logwell_otel._encoding.exceptions import exception_details
from logwell_otel._wire import MAX_ENTRY_BYTES
from logwell_otel.handler import LogwellHandler
from support.entries import entries
from support.records import Recorder, attributes_of, provider_with


def handling(*processors: Any) -> logging.Logger:
    logger = logging.Logger("shop")
    logger.addHandler(LogwellHandler(logger_provider=provider_with(*processors)))
    return logger


@pytest.mark.parametrize("letter", ["a", "é", "漢", "😀", "\0", "\n", "a\n"], ids=ascii)
def test_a_long_message_loses_its_middle(letter: str) -> None:
    recorder = Recorder()
    handling(recorder).info("begins here %s ends here", letter * 1_000_000)
    body = recorder.only.body
    assert isinstance(body, str)
    assert body.startswith(f"begins here {letter[0]}")
    assert body.endswith(f"{letter[-1]} ends here")
    assert ("..." if letter.isascii() else "…") in body
    assert MAX_ENTRY_BYTES * 0.9 < len(body.encode()) <= MAX_ENTRY_BYTES


@pytest.mark.parametrize("length", [0, 1, 32_768, 131_071, 131_072])
def test_a_message_that_fits_stays_whole(length: int) -> None:
    recorder = Recorder()
    handling(recorder).info("x" * length)
    assert recorder.only.body == "x" * length


def deep(level: int) -> None:
    if level == 0:
        raise ValueError("the final message")
    exec(f"def f{level}(): deep({level} - 1)\nf{level}()", {"deep": deep})


def test_a_long_stack_trace_loses_its_middle() -> None:
    # Each of these functions has a name of its own: Python does not fold their frames.
    try:
        deep(200)  # three frames each
    except ValueError as error:
        whole = exception_details(error)["exception.stacktrace"]
        recorder = Recorder()
        try:
            raise RuntimeError("y" * 200_000) from error
        except RuntimeError:
            handling(recorder).exception("failed")
    assert len(whole) > 20_000
    trace = attributes_of(recorder.only)["exception.stacktrace"]
    assert trace.startswith("Traceback (most recent call last):\n")
    assert trace.endswith("y\n")
    assert len(trace) <= MAX_ENTRY_BYTES


def test_an_entry_keeps_the_end_of_a_long_trace_and_message() -> None:
    kept = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    logger = handling(SimpleLogRecordProcessor(kept))
    lines = "".join(f'  File "app.py", line {number}, in f\n    f()\n' for number in range(20_000))
    record = logging.LogRecord("shop", 40, __file__, 1, "z" * 300_000 + " the end", None, None)
    record.exc_text = f"Traceback (most recent call last):\n{lines}ValueError: the final message"
    logger.handle(record)
    [entry] = entries(kept.get_finished_logs())
    trace = entry["metadata"]["exception.stacktrace"]
    assert entry["message"].startswith("zzz")
    assert entry["message"].endswith("zz the end")
    assert trace.startswith('Traceback (most recent call last):\n  File "app.py", line 0, in f\n')
    assert trace.endswith("line 19999, in f\n    f()\nValueError: the final message")
    assert "\n…\n" in trace
    assert entry["metadata"]["logwell.truncated"] is True
    assert len(json.dumps(entry, ensure_ascii=False).encode()) <= MAX_ENTRY_BYTES * 1.1


@pytest.mark.parametrize(
    "value",
    [
        "x" * 5_000_000,
        b"x" * 5_000_000,
        ["x" * 1_000_000] * 100,
        {"a": {"b": ["x" * 1_000_000] * 5}},
        {"x" * 1_000_000: 1, "y": "z" * 1_000_000},
        [b"x" * 1_000_000] * 10,
        bytearray(5_000_000),
        type("Text", (str,), {})("x" * 5_000_000),
        type("Verbose", (), {"__str__": lambda _: "x" * 5_000_000})(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_long_attribute_is_bounded(value: Any) -> None:
    recorder = Recorder()
    handling(recorder).info("x", extra={"value": value, "beside": "it"})
    attributes = attributes_of(recorder.only)
    assert size(attributes["value"]) < 2.1 * MAX_ENTRY_BYTES
    assert attributes["beside"] == "it"


def test_many_long_attributes_are_bounded_together() -> None:
    recorder = Recorder()
    handling(recorder).info("x", extra={f"a{number}": "x" * 1_000_000 for number in range(100)})
    attributes = attributes_of(recorder.only)
    assert len([name for name in attributes if name.startswith("a")]) == 100
    assert size(attributes) < 6 * MAX_ENTRY_BYTES


def test_what_is_queued_of_a_burst_of_long_messages() -> None:
    recorder = Recorder()
    logger = handling(recorder)
    for _ in range(200):
        logger.info("%s", "x" * 1_000_000)
    assert sum(sys.getsizeof(record.body) for record in recorder.records) < 201 * MAX_ENTRY_BYTES


def size(value: Any) -> int:
    if isinstance(value, dict):
        return sum(size(name) + size(item) for name, item in value.items())
    if isinstance(value, tuple):
        return sum(map(size, value))
    return sys.getsizeof(value)
