"""Entries a second to a receiver that takes its time, and what one request costs."""

from __future__ import annotations

import http.client
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from figures import Check, Figure, Row
from records import bodies, exporter, typical_records
from sink import Sink
from subjects import KEY, LOGWELL_OTEL

from logwell_otel._config.options import Config
from logwell_otel._delivery.engine import transport_to
from logwell_otel._http import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DELAY = 0.02
BARE = "http.client"


def rows(*, quick: bool) -> Iterator[Row]:
    """The same entries through the exporter and through a bare loop, in turn."""
    yield _throughput(quick=quick)
    yield _request(quick=quick)


def _throughput(*, quick: bool) -> Row:
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
    return Row(
        "throughput",
        f"{DELAY * 1000:.0f} ms a request; bare: http.client posts the same ready bodies in a loop",
        "entries per second",
        figures,
        [Check("of the bare loop's", Figure.of(ratios).median, 0.9, better="higher")],
    )


def _request(*, quick: bool) -> Row:
    """The same ready body, posted in turn."""
    rounds, requests = (7, 50) if quick else (41, 100)
    (body,) = bodies(typical_records(100))
    taken: dict[str, list[float]] = {LOGWELL_OTEL: [], BARE: []}
    with Sink() as sink:
        transport = transport_to(Config.resolve({}, endpoint=sink.url, api_key=KEY))
        connection = http.client.HTTPConnection("127.0.0.1", sink.port)

        def ours() -> None:
            if not isinstance(transport.post(body, 10), Answer):
                raise TypeError("there was no answer")

        for number in range(rounds + 1):
            for name, post in ((LOGWELL_OTEL, ours), (BARE, lambda: _post(connection, body))):
                started = time.thread_time()
                for _ in range(requests):
                    post()
                if number:  # the first opens the connection
                    taken[name].append((time.thread_time() - started) / requests * 1e6)
        transport.close()
        connection.close()
    ratios = [mine / bare for mine, bare in zip(taken[LOGWELL_OTEL], taken[BARE], strict=True)]
    return Row(
        "request",
        f"one request of 100 entries, {len(body):,} bytes, from ready body to answer",
        "µs CPU of the thread that sends",
        {name: Figure.of(values) for name, values in taken.items()},
        [Check("of http.client's", Figure.of(ratios).median, 1.9)],
    )


def _post(connection: http.client.HTTPConnection, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/ingest", body, headers)
    connection.getresponse().read()


def bare_loop(port: int, bodies: Sequence[bytes]) -> float:
    """Seconds to post all bodies over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    started = time.perf_counter()
    for body in bodies:
        _post(connection, body)
    taken = time.perf_counter() - started
    connection.close()
    return taken
