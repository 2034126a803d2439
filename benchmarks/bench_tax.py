"""What an exporter adds to the CPU time of the process that logs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from figures import Check, Figure, Row
from sink import Sink
from subjects import CONFIGURED, EXPORTERS, JSON, LOGWELL_OTEL, NOOP, PROTOBUF, SDK
from worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator


def rows(*, quick: bool) -> Iterator[Row]:
    """Rounds of the same records through each subject in turn, to a sink in another process."""
    rounds, records = (5, 2_500) if quick else (25, 5_000)
    taken: dict[str, list[float]] = {subject: [] for subject in (*EXPORTERS, CONFIGURED, SDK)}
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())
        workers = [stack.enter_context(Worker(subject, sink.url)) for subject in taken]
        for worker in workers:  # connections, imports, caches
            worker.do("log", records=1_000)
        for _ in range(rounds):
            for worker in workers:
                microseconds = worker.do("log", records=records) / records * 1e6
                taken[worker.subject].append(microseconds)
    # Each round against the no-op's of the same round.
    taxes = {
        subject: Figure.of(
            [cost - floor for cost, floor in zip(taken[subject], taken[NOOP], strict=True)]
        )
        for subject in (LOGWELL_OTEL, PROTOBUF, JSON)
    }
    ours = taxes[LOGWELL_OTEL].median
    yield Row(
        "export tax",
        "CPU time, all threads, that the exporter adds to the pipeline with a no-op exporter",
        "µs per record",
        taxes,
        [
            Check("of OTLP protobuf's", ours / taxes[PROTOBUF].median, 1 / 3, 1 / 4),
            Check("of OTLP JSON's", ours / taxes[JSON].median, 1 / 4, 1 / 5),
        ],
    )
    whole = {subject: Figure.of(costs) for subject, costs in taken.items()}
    ours = whole[CONFIGURED].median
    yield Row(
        "way",
        "CPU time, all threads, from the logging call to the receiver's answer",
        "µs per record",
        whole,
        [
            Check("configure(), of OTLP protobuf's", ours / whole[PROTOBUF].median, 0.5),
            Check("configure(), of Logwell's own SDK's", ours / whole[SDK].median, 1.3),
        ],
    )
