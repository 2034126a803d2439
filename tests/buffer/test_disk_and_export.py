"""With a spool, too, the application waits for nothing: not for a disk that takes its time."""

from __future__ import annotations

import functools
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel._buffer.spool import Spool
from logwell_otel._delivery.engine import Dependencies
from support.bench import Bench
from support.config import exporter_with
from support.records import records
from support.server import REFUSED
from support.spool import Disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from logwell_otel import LogwellLogExporter

pytestmark = pytest.mark.socket

SOON = 8.0  # waiting for the disk would take for ever
GIVEN_UP = 30.0


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    hanging = Disk()
    monkeypatch.setattr(
        "logwell_otel._buffer.spool.Spool", functools.partial(Spool, connect=hanging.connect)
    )
    yield hanging
    hanging.works.set()


@pytest.fixture
def nowhere() -> str:
    """An address that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def exporter_to(url: str, spool_dir: Path, **options: Any) -> LogwellLogExporter:
    quiet = Dependencies(say=lambda _: None)
    return exporter_with(quiet, url, spool_dir=spool_dir, **options)


def wait_until_on_disk(exporter: LogwellLogExporter, count: int) -> None:
    until = time.monotonic() + GIVEN_UP
    while exporter.health().held_on_disk < count:
        assert time.monotonic() < until, exporter
        time.sleep(0.005)


def seconds_of_use(exporter: LogwellLogExporter) -> float:
    began = time.monotonic()
    for number in range(5):
        exporter.export(records(100, 1_000 + number * 100))
        exporter.health()
        exporter.force_flush(0)
    return time.monotonic() - began


def test_while_entries_go_to_a_slow_disk(tmp_path: Path, nowhere: str, disk: Disk) -> None:
    """A burst of 20,000 during an outage lost 80 % in OpenTelemetry's queue otherwise."""
    exporter = exporter_to(nowhere, tmp_path / "spool")
    disk.works.clear()
    exporter.export(records(1_000))
    assert disk.waits.wait(GIVEN_UP)
    assert seconds_of_use(exporter) < SOON
    disk.works.set()
    wait_until_on_disk(exporter, 1_500)
    assert exporter.health().dropped == {}
    exporter.shutdown()


def test_while_the_rows_of_a_dead_process_are_taken_over(
    tmp_path: Path, nowhere: str, disk: Disk
) -> None:
    before = exporter_to(nowhere, tmp_path / "spool")
    before.export(records(1_000))
    before.shutdown()
    assert before.health().held_on_disk == 1_000
    exporter = exporter_to(nowhere, tmp_path / "spool")
    disk.works.clear()
    exporter.export(records(1))
    assert disk.waits.wait(GIVEN_UP)
    assert seconds_of_use(exporter) < SOON
    disk.works.set()
    wait_until_on_disk(exporter, 1_501)
    assert exporter.health().recovered == 1_000
    exporter.shutdown()


@pytest.mark.parametrize("server", ["refuses", "hangs"])
def test_a_disk_that_hangs_holds_up_shutdown_no_longer_than_a_server_that_hangs(
    tmp_path: Path, disk: Disk, nowhere: str, server: str
) -> None:
    """It took as long as the disk hung."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = f"http://127.0.0.1:{silent.getsockname()[1]}"
        exporter = exporter_to(nowhere if server == "refuses" else hanging, tmp_path / "spool")
        disk.works.clear()
        exporter.export(records(100))
        assert disk.waits.wait(GIVEN_UP)
        began = time.monotonic()
        assert not exporter.force_flush(200)
        assert time.monotonic() - began < SOON
        exporter.shutdown()
        assert time.monotonic() - began < 9  # 5, as for a server that hangs
        health = exporter.health()
        assert health.handed_over == health.dropped_total + health.held == 100


def test_a_full_memory_waits_for_a_disk_that_hangs_once(
    tmp_path: Path, nowhere: str, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logwell_otel._buffer.outbox._LONGEST_WAIT", 0.5)
    exporter = exporter_to(nowhere, tmp_path / "spool", max_queue_bytes=1024 * 1024)
    batches = [records(1_000, batch * 1_000) for batch in range(20)]
    disk.works.clear()
    waits = []
    for batch in batches:
        began = time.monotonic()
        exporter.export(batch)
        waits.append(time.monotonic() - began)
    assert sum(waited >= 0.5 for waited in waits) == 1
    health = exporter.health()
    assert health.held + health.dropped["queue_overflow"] == 20_000
    disk.works.set()
    exporter.shutdown()


def test_a_full_memory_waits_for_the_disk_and_drops_nothing(tmp_path: Path, nowhere: str) -> None:
    exporter = exporter_to(nowhere, tmp_path / "spool", max_queue_bytes=1024 * 1024)
    for batch in range(20):
        exporter.export(records(1_000, batch * 1_000))
    health = exporter.health()
    assert (health.held, health.dropped) == (20_000, {})
    assert health.bytes_in_memory <= 1024 * 1024
    exporter.shutdown()


def test_the_sum_holds_while_entries_move_to_disk(tmp_path: Path, nowhere: str) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        exporter = exporter_to(nowhere, tmp_path / "spool")
        for batch in range(50):
            exporter.export(records(20, batch * 20))
            for _ in range(10):
                health = exporter.health()
                ended = health.accepted + health.refused + health.dropped_total
                assert health.handed_over == ended + health.held
                assert health.held == (batch + 1) * 20
        wait_until_on_disk(exporter, 1_000)
    finally:
        sys.setswitchinterval(interval)
    exporter.shutdown()


def test_where_no_thread_can_be_started_entries_are_on_disk_when_export_returns(
    tmp_path: Path,
) -> None:
    bench = Bench(spool_dir=tmp_path / "spool")
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(10))
    bench.run(5)
    assert bench.exporter.health().held_on_disk == 10
    bench.exporter.export(records(5))
    assert bench.exporter.health().held_on_disk == 15
    bench.exporter.shutdown()
