"""How the cost per record holds as there is more: records, attributes, bytes, backlog.

Measured from `export()` to the receiver's answer, without OpenTelemetry's pipeline in
front, which costs several times as much and would hide a slope.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from figures import Check, Figure, Row
from sink import Sink
from subjects import LOGWELL_OTEL, PROTOBUF
from worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

UNIT = "µs CPU per record"
MIB = 1024 * 1024


def rows(*, quick: bool) -> Iterator[Row]:
    """Four ways to grow; two of them when it must be quick."""
    yield _records([1_000, 10_000] if quick else [1_000, 10_000, 100_000, 1_000_000], quick=quick)
    yield _backlog([1_000, 10_000] if quick else [1_000, 10_000, 100_000], 3 if quick else 9)
    if not quick:
        yield _compared("attributes", "attributes of a record", [0, 10, 30, 100], 9)
        yield _compared("size", "bytes added to the message", [100, 1_000, 10_000], 9)


def _records(sizes: Sequence[int], *, quick: bool) -> Row:
    """Every size has a process of its own; they take turns, the larger ones in ten slices."""
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())
        workers = {size: stack.enter_context(Worker(LOGWELL_OTEL, sink.url)) for size in sizes}
        for worker in workers.values():
            worker.do("export", records=1_000)
        for _ in range(2 if quick else 10):
            for size, worker in workers.items():
                for part in [size] * 5 if size <= 10_000 else [size // 10]:
                    taken[size].append(worker.do("export", records=part) / part * 1e6)
    figures = {f"{size:,} records": Figure.of(values) for size, values in taken.items()}
    medians = [figure.median for figure in figures.values()]
    return Row(
        "records",
        "from export() to the answer; each size in a process of its own, in turn",
        UNIT,
        figures,
        [Check("dearest over cheapest", max(medians) / min(medians), 1.15)],
    )


def _compared(what: str, said: str, points: Sequence[int], rounds: int) -> Row:
    records = 1_000
    taken: dict[str, list[float]] = {}
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())
        workers = [
            stack.enter_context(Worker(subject, sink.url)) for subject in (LOGWELL_OTEL, PROTOBUF)
        ]
        for number in range(rounds + 1):
            for point in points:
                for worker in workers:
                    arguments: dict[str, Any] = {"records": records, what: point}
                    cost = worker.do("export", **arguments) / records * 1e6
                    if number:  # the first is for the caches
                        taken.setdefault(f"{point:,}: {worker.subject}", []).append(cost)
    return Row(
        what,
        f"from export() to the answer, by {said}",
        UNIT,
        {name: Figure.of(values) for name, values in taken.items()},
    )


def _backlog(sizes: Sequence[int], rounds: int) -> Row:
    """The receiver keeps its answers back until all is handed over."""
    figures: dict[str, Figure] = {}
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())
        worker = stack.enter_context(Worker(LOGWELL_OTEL, sink.url, max_queue_bytes=1024 * MIB))
        worker.do("export", records=1_000)
        taken: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(rounds):
            for size in sizes:
                sink.hold()
                handing_over = worker.do("hand_over", records=size)
                sink.go()
                taken[size].append((handing_over + worker.do("drain")) / size * 1e6)
    figures = {f"{size:,} held": Figure.of(values) for size, values in taken.items()}
    medians = [figure.median for figure in figures.values()]
    return Row(
        "backlog",
        "from export() to the answer, with that many records held before the first answer",
        UNIT,
        figures,
        [Check("largest over smallest backlog", medians[-1] / medians[0], 1.15)],
    )
