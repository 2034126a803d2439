from __future__ import annotations

import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from logwell_otel import LogwellLogExporter
from logwell_otel.devserver import DevServer
from support.records import records

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads change places every microsecond."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def run_all(*functions: object) -> None:
    failures: list[BaseException] = []

    def guarded(function: object) -> None:
        try:
            function()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(f,), daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive(), "deadlock"
    assert failures == []


@pytest.mark.socket
@pytest.mark.parametrize("repetition", range(5))
def test_export_flush_and_shutdown_from_three_threads_at_once(
    restless: None, repetition: int
) -> None:
    with DevServer(requests_per_minute=None) as receiver:
        exporter = LogwellLogExporter(receiver.url, receiver.key)
        handed_over = threading.Barrier(3)

        def export(first: int) -> None:
            handed_over.wait()
            for batch in range(20):
                exporter.export(records(7, first + batch * 7))

        def flush() -> None:
            handed_over.wait()
            for _ in range(5):
                exporter.force_flush(2_000)
            exporter.shutdown()

        run_all(lambda: export(0), lambda: export(1_000), flush)
        exporter.shutdown()
        health = exporter.health()
        assert health.handed_over == 280
        assert health.accepted + health.dropped_total == 280
        assert health.held == 0
        stored = Counter(entry.message for entry in receiver.entries())
        assert set(stored.values()) <= {1}, "no duplicates"
        assert stored.total() == health.accepted


@pytest.mark.socket
def test_the_sum_holds_at_any_moment(restless: None) -> None:
    with DevServer(requests_per_minute=None) as receiver:
        exporter = LogwellLogExporter(receiver.url, receiver.key, max_queue_bytes=1024 * 1024)
        done = threading.Event()

        def export() -> None:
            for batch in range(60):
                exporter.export(records(100, batch * 100))
            done.set()

        def watch() -> None:
            while not done.is_set():
                health = exporter.health()
                ended = health.accepted + health.refused + health.dropped_total
                assert health.handed_over == ended + health.held

        run_all(export, watch)
        exporter.shutdown()


def test_no_thread_is_started_before_the_first_record() -> None:
    before = threading.active_count()
    exporter = LogwellLogExporter("http://127.0.0.1:9", "lw_" + "x" * 32)
    assert threading.active_count() == before
    assert exporter.force_flush()
    assert threading.active_count() == before
    exporter.shutdown()
    assert threading.active_count() == before
