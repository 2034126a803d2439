"""Entries a second to a receiver that takes its time, as a real server does."""

from __future__ import annotations

import http.client
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from figures import Check, Figure, Row
from records import bodies, exporter, typical_records
from sink import Sink
from subjects import KEY, LOGWELL_OTEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DELAY = 0.02
BARE = "http.client"


def rows(*, quick: bool) -> Iterator[Row]:
    """The same entries through the exporter and through a bare loop, in turn."""
    rounds, requests = (2, 40) if quick else (5, 200)
    records = typical_records(requests * 100)
    ready = bodies(records)
    rates: dict[str, list[float]] = {LOGWELL_OTEL: [], BARE: []}
    with ExitStack() as stack:
        sink = stack.enter_context(Sink(DELAY))
        ours = exporter(sink.url)
        stack.callback(ours.shutdown)
        ours.export(records[:100])
        ours.force_flush()
        for _ in range(rounds):
            started = time.perf_counter()
            for start in range(0, len(records), 500):
                ours.export(records[start : start + 500])
            if not ours.force_flush(60_000):
                raise RuntimeError("entries were lost")
            rates[LOGWELL_OTEL].append(len(records) / (time.perf_counter() - started))
            rates[BARE].append(len(records) / bare_loop(sink.port, ready))
    figures = {subject: Figure.of(values) for subject, values in rates.items()}
    ratios = [mine / bare for mine, bare in zip(rates[LOGWELL_OTEL], rates[BARE], strict=True)]
    yield Row(
        "throughput",
        f"{DELAY * 1000:.0f} ms a request; bare: http.client posts the same ready bodies in a loop",
        "entries per second",
        figures,
        [Check("of the bare loop's", Figure.of(ratios).median, 0.9, better="higher")],
    )


def bare_loop(port: int, bodies: Sequence[bytes]) -> float:
    """Seconds to post all bodies over one connection."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    started = time.perf_counter()
    for body in bodies:
        connection.request("POST", "/v1/ingest", body, headers)
        connection.getresponse().read()
    taken = time.perf_counter() - started
    connection.close()
    return taken
