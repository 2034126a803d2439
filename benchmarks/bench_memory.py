"""Memory that an outage costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from figures import Check, Figure, Row
from sink import Sink
from subjects import LOGWELL_OTEL, NOOP, PROTOBUF
from worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024
DEFAULT_CAP = 32
SMALL_CAP = 4


def rows(*, quick: bool) -> Iterator[Row]:
    """Processes that log 50,000 records while the receiver answers 503."""
    rounds, records = (1, 20_000) if quick else (3, 50_000)
    ours = {
        f"{LOGWELL_OTEL}, {cap} MiB cap": (LOGWELL_OTEL, {"max_queue_bytes": cap * MIB})
        for cap in (DEFAULT_CAP, SMALL_CAP)
    }
    variants: dict[str, tuple[str, dict[str, Any]]] = {
        NOOP: (NOOP, {}),
        **ours,
    }
    if not quick:
        variants[f"{PROTOBUF}, queue of {records:,}"] = (PROTOBUF, {"queue": records})
    peaks: dict[str, list[float]] = {name: [] for name in variants}
    held: dict[str, int] = {}
    with Sink() as sink:
        sink.fail()
        for _ in range(rounds):
            for name, (subject, options) in variants.items():
                with Worker(subject, sink.url, quiet=True, **options) as worker:
                    found = worker.do("outage", records=records)
                peaks[name].append(found["peak"] / MIB)
                held[name] = found["held"]
    over = {
        f"{name} (holds {held[name]:,})" if name in ours else name: Figure.of(
            [peak - floor for peak, floor in zip(values, peaks[NOOP], strict=True)]
        )
        for name, values in peaks.items()
        if name != NOOP
    }
    yield Row(
        "memory",
        f"peak RSS over the no-op exporter's (same imports), {records:,} records in an outage",
        "MiB",
        over,
        [
            Check(f"over a cap of {cap} MiB", figure.median - cap, 10)
            for cap, figure in zip((DEFAULT_CAP, SMALL_CAP), over.values(), strict=False)
        ],
    )
