"""What the application waits for `logger.info()`."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import TYPE_CHECKING

from figures import Check, Figure, Row
from sink import Sink
from subjects import CONFIGURED, EXPORTERS, LOGWELL_OTEL, NOOP, PROTOBUF
from worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 1_000
# A stack trace takes most of a millisecond to write out, and the computing thread wants its half.
RATE_OF_ERRORS = 200


def rows(*, quick: bool) -> Iterator[Row]:
    """Runs of a few seconds with each exporter in turn; twice as many with the no-op one."""
    runs, seconds = (2, 0.6) if quick else (5, 1.5)
    yield from _rows(runs, seconds)
    yield from _rows(runs, seconds, computing=True)
    yield from _rows(runs, seconds, computing=True, failing=True)


def _rows(
    runs: int, seconds: float, *, computing: bool = False, failing: bool = False
) -> Iterator[Row]:
    rate = RATE_OF_ERRORS if failing else RATE
    order = (NOOP, LOGWELL_OTEL, CONFIGURED, NOOP, *EXPORTERS[2:])
    calls: dict[str, list[list[float]]] = {subject: [] for subject in order}
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())
        workers = {subject: stack.enter_context(Worker(subject, sink.url)) for subject in calls}
        for worker in workers.values():
            worker.do("log", records=1_000)
        for _ in range(runs):
            for subject in order:
                calls[subject].append(
                    workers[subject].do(
                        "call_times",
                        seconds=seconds,
                        rate=rate,
                        computing=computing,
                        failing=failing,
                    )
                )
    beside = ", with an exception" if failing else ""
    beside += ", beside a thread that computes" if computing else ""
    for percentile in (50, 99):
        of_runs = {
            subject: [statistics.quantiles(run, n=100)[percentile - 1] * 1e6 for run in runs]
            for subject, runs in calls.items()
        }
        figures = {subject: Figure.of(values) for subject, values in of_runs.items()}
        slowest = max(of_runs[NOOP])
        figures["no-op, slowest run"] = Figure.of([slowest])
        checks = []
        if percentile == 99:
            ours = figures[LOGWELL_OTEL].median
            whole = figures[CONFIGURED].median
            checks = [
                Check("of OTLP protobuf's", whole / figures[PROTOBUF].median, 1.0),
                Check("of the slowest of the no-op's runs", ours / slowest, 1.0),
            ][: 1 if computing else 2]
        yield Row(
            f"logger.info() p{percentile}{beside}",
            f"wall time of the call at {rate:,} records a second; runs of {seconds} s",
            "µs",
            figures,
            checks,
        )
