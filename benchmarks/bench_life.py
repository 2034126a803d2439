"""A fork and an end: what a forked worker's first record and an idle program's exit take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from figures import Check, Figure, Row
from subjects import LOGWELL_OTEL, NOOP, PROTOBUF
from worker import in_turn

if TYPE_CHECKING:
    from collections.abc import Iterator

AFTER_FORK = """
import os, sys, time, subjects
subject = subjects.make(*sys.argv[1:])
subject.log("first", {})
subject.flush()
reading, writing = os.pipe()
if os.fork() == 0:
    started = time.perf_counter()
    subject.log("first of the child", {})
    subject.flush()
    os.write(writing, str(time.perf_counter() - started).encode())
    os._exit(0)
os.wait()
print(os.read(reading, 100).decode())
os._exit(0)
"""
EMPTY = """
import os, sys, time, subjects
subject = subjects.make(*sys.argv[1:])
subject.log("first", {})
subject.flush()
started = time.perf_counter()
subject.processor.shutdown()
print(time.perf_counter() - started)
os._exit(0)
"""


def rows(*, quick: bool) -> Iterator[Row]:
    """Fresh processes in turn."""
    rounds = 3 if quick else 11
    yield _row(
        "first record after a fork", "from the call to the answer, in the child", AFTER_FORK, rounds
    )
    yield _row("shutdown, nothing queued", "of the processor and its exporter", EMPTY, rounds)


def _row(name: str, measures: str, program: str, rounds: int) -> Row:
    taken = in_turn(program, (NOOP, LOGWELL_OTEL, PROTOBUF), rounds)
    figures = {subject: Figure.of(values) for subject, values in taken.items()}
    ratio = figures[LOGWELL_OTEL].median / figures[PROTOBUF].median
    checks = [Check("of OTLP protobuf's", ratio, 1.5)] if "fork" in name else []
    return Row(name, measures, "ms", figures, checks)
