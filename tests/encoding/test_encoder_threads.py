"""Mapper and encoder used by many threads at once: every entry is what one thread makes."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from logwell_otel._otel import SeverityNumber
from support.entries import NS, bounded, record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logwell_otel._otel import ReadableLogRecord

THREADS = 8
SEVERITIES = list(SeverityNumber)


@pytest.fixture(autouse=True)
def _switch_threads_all_the_time() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def batch(thread: int) -> list[ReadableLogRecord]:
    """Records that need every cache, and miss each now and then."""
    resources = [Resource({"service.name": f"s{n}", "n": n}) for n in range(20)]
    scopes = [InstrumentationScope(f"scope {thread} {n}") for n in range(10)]
    return [
        record(
            body=f"{thread} {number}",
            timestamp=NS + (number * 7 + thread) % 5 * 10**9 + thread,
            severity_number=SEVERITIES[(number + thread) % len(SEVERITIES)],
            severity_text=f"T{(number * thread) % 90}",
            resource=resources[number % 20],
            scope=scopes[number % 10],
            attributes=bounded({"number": number, "thread": thread}),
        )
        for number in range(200)
    ]


@pytest.mark.slow
def test_many_threads_with_one_encoder() -> None:
    encoder = Encoder(Mapper())
    batches = [batch(thread) for thread in range(THREADS)]
    expected = [
        [chunk.body() for chunk in Encoder(Mapper()).encode(records).chunks] for records in batches
    ]
    start = threading.Barrier(THREADS)
    wrong: list[str] = []

    def work(thread: int) -> None:
        start.wait()
        for _ in range(5):
            found = [chunk.body() for chunk in encoder.encode(batches[thread]).chunks]
            if found != expected[thread]:
                wrong.append(f"thread {thread}")

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_caches_stay_small() -> None:
    mapper = Mapper()
    threads = [
        threading.Thread(target=lambda n=n: Encoder(mapper).encode(batch(n)))
        for n in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scopes = mapper.resource_scope.__self__  # type: ignore[attr-defined]
    severities = mapper.severity.__self__  # type: ignore[attr-defined]
    # Each thread may add one entry between the look at the size and the emptying.
    assert len(scopes._resources) <= 16 + THREADS  # noqa: SLF001
    assert len(severities._known) <= 64 + THREADS  # noqa: SLF001
