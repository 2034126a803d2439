"""Memory that an outage and a burst cost."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

from figures import Check, Figure, Row
from sink import Sink
from subjects import CONFIGURED, LOGWELL_OTEL, NOOP, PROTOBUF
from worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024
DEFAULT_CAP = 32
SMALL_CAP = 4


def rows(*, quick: bool) -> Iterator[Row]:
    """Processes that log 50,000 records while the receiver answers 503, and at once."""
    yield _outage(quick=quick)
    yield _burst(1 if quick else 5)


def _burst(rounds: int) -> Row:
    """`configure()` with its defaults, beside a process that keeps another core busy."""
    records = 50_000
    lost: list[float] = []
    memory: list[float] = []
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with Sink() as sink:
            for _ in range(rounds):
                with Worker(CONFIGURED, sink.url, requests_per_minute=600) as worker:
                    found = worker.do("burst", records=records)
                lost.append(found["lost"])
                memory.append(found["memory"] / MIB)
    finally:
        busy.kill()
        busy.wait()
    return Row(
        "burst",
        f"{records:,} records without a pause, configure()'s defaults, another core busy",
        "MiB more at the peak; records lost",
        {"memory": Figure.of(memory), "lost": Figure.of(lost)},
        [Check("records lost in any round", max(lost), 0)],
    )


def _outage(*, quick: bool) -> Row:
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
    return Row(
        "memory",
        f"peak RSS over the no-op exporter's (same imports), {records:,} records in an outage",
        "MiB",
        over,
        [
            Check(f"over a cap of {cap} MiB", figure.median - cap, 10)
            for cap, figure in zip((DEFAULT_CAP, SMALL_CAP), over.values(), strict=False)
        ],
    )
