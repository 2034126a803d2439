"""What bounds a shutdown, what becomes of the rest, and that it is said once."""

from __future__ import annotations

import functools
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from logwell_otel import LogwellError, LogwellLogExporter
from logwell_otel._buffer.spool import Spool
from logwell_otel._delivery.engine import Dependencies
from logwell_otel.cli.pools import list_spools
from logwell_otel.devserver import DevServer
from support.bench import Bench
from support.config import exporter_with
from support.records import records
from support.server import REFUSED
from support.spool import FULL, Disk

if TYPE_CHECKING:
    from pathlib import Path


def test_a_request_that_ends_without_an_answer_buys_no_more_time() -> None:
    """One that timed out in the middle of a shutdown once let it take 4.5 s more."""
    bench = Bench()
    bench.exporter.export(records(1))
    bench.run(1)
    answered_at = bench.engine.delivery.last_answer_at
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(1))
    bench.run(5)
    assert bench.engine.delivery.last_answer_at == answered_at
    bench.server.always = lambda _: None
    bench.run()
    assert bench.engine.delivery.last_answer_at > answered_at


@pytest.mark.socket
def test_what_is_left_in_the_spool_is_said_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    said: list[str] = []
    exporter = exporter_with(
        Dependencies(say=said.append), f"http://127.0.0.1:{port}", spool_dir=tmp_path / "spool"
    )
    exporter.export(records(10))
    exporter.shutdown()
    assert [text for text in said if "left in the spool" in text] == [
        "10 entries left in the spool at shutdown, for the next process."
    ]


def test_a_disk_that_has_just_refused_is_asked_once_more_at_shutdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    monkeypatch.setattr(
        "logwell_otel._buffer.spool.Spool", functools.partial(Spool, connect=disk.connect)
    )
    bench = Bench(spool_dir=tmp_path / "spool")
    bench.server.always = lambda _: REFUSED
    disk.error = FULL
    bench.exporter.export(records(250))
    bench.run(5)
    assert bench.exporter.health().held_in_memory == 250
    disk.error = None
    bench.exporter.shutdown()
    health = bench.exporter.health()
    assert (health.held_on_disk, health.dropped) == (250, {})


@pytest.mark.socket
def test_what_a_slow_server_has_not_taken_is_on_disk_while_shutdown_goes_on(
    tmp_path: Path,
) -> None:
    """The disk was once left alone from the beginning of the end, which may last 30 s: a
    `kill -9` after ten of them, as `docker stop` sends it, cost all that was held."""
    with DevServer() as receiver:
        receiver.faults.delay(400)
        exporter = LogwellLogExporter(receiver.url, receiver.key, spool_dir=tmp_path / "spool")
        exporter.export(records(2_000))
        ending = threading.Thread(target=exporter.shutdown)
        ending.start()
        time.sleep(1.3)
        on_disk = sum(pool.entries for pool in list_spools(tmp_path / "spool"))
        stored = receiver.count()
        assert ending.is_alive()
        receiver.faults.delay(0)
        ending.join()
        assert stored + on_disk >= 2_000
        assert receiver.count() == 2_000


@pytest.mark.socket
def test_a_shutdown_from_a_callback_ends_both_threads(tmp_path: Path) -> None:
    with DevServer() as receiver:
        before = threading.enumerate()
        seen = threading.Event()  # or they may have ended before they were looked at

        def end(_: int) -> None:
            assert seen.wait(10)
            exporter.shutdown()

        exporter = LogwellLogExporter(
            receiver.url, receiver.key, spool_dir=tmp_path / "spool", on_flush=end
        )
        exporter.export(records(1))
        started = [thread for thread in threading.enumerate() if thread not in before]
        mine = [thread for thread in started if thread.name.startswith("Logwell")]
        assert len(mine) == 2
        seen.set()
        for thread in mine:
            thread.join(5.0)
        assert not any(thread.is_alive() for thread in mine)


@pytest.mark.socket
def test_a_pace_slower_than_an_answer_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries were dropped after 4.5 s although the server was well and there were 30."""
    monkeypatch.setattr("logwell_otel._delivery.worker._STALLED_AFTER", 2.0)
    with DevServer() as receiver:
        exporter = LogwellLogExporter(receiver.url, receiver.key, requests_per_minute=11)
        for number in range(11):
            exporter.export(records(100, first=100 * number))
        assert receiver.wait_for(1_000)
        exporter.shutdown()
        assert receiver.count() == 1_100
        assert exporter.health().dropped == {}


def test_a_pace_slower_than_the_budget_is_not_waited_for_in_vain() -> None:
    bench = Bench(requests_per_minute=1)
    bench.exporter.export(records(250))
    began = bench.clock()
    bench.exporter.shutdown(30_000)
    assert len(bench.server.requests) == 2  # what the pace allows, and one attempt
    assert bench.clock() - began < 1
    assert bench.exporter.health().dropped == {"shutdown": 50}


@pytest.mark.socket
def test_a_callback_that_never_returns_holds_up_no_shutdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next of its calls was once made by shutdown itself."""
    monkeypatch.setattr("logwell_otel._delivery.worker._STALLED_AFTER", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    forever = threading.Event()
    called_by: list[str] = []
    said: list[str] = []

    def on_error(_: LogwellError) -> None:
        called_by.append(threading.current_thread().name)
        forever.wait(20)

    exporter = exporter_with(
        Dependencies(say=said.append),
        f"http://127.0.0.1:{port}",
        on_error=on_error,
        max_queue_bytes=1 << 20,
    )
    exporter.export(records(1))
    deadline = time.monotonic() + 5
    while not called_by and time.monotonic() < deadline:
        time.sleep(0.005)
    exporter.export(records(20_000))  # more than fits: another call of on_error
    began = time.monotonic()
    exporter.shutdown()
    took = time.monotonic() - began
    forever.set()
    assert took < 15  # the call that hangs does so for 20
    assert called_by[:1] == ["LogwellSender"]
    assert threading.current_thread().name not in called_by
    assert "were dropped at shutdown" in said[-2]
    assert said[-1].startswith("Lost since the start: 20001 of 20001 entries (")


def test_a_flush_after_the_end_does_not_wait_for_what_was_left_to_the_spool(
    tmp_path: Path,
) -> None:
    bench = Bench(spool_dir=tmp_path / "spool")
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(10))
    bench.exporter.shutdown()
    assert bench.exporter.health().held_on_disk == 10
    began = time.monotonic()
    assert bench.exporter.force_flush(5_000) is False
    assert bench.exporter.force_flush(5_000) is False
    assert time.monotonic() - began < 4  # each could take 5


def test_what_comes_after_the_end_is_no_overflow() -> None:
    bench = Bench()
    bench.exporter.shutdown()
    bench.exporter.export(records(3))
    assert bench.exporter.force_flush() is False
    bench.engine.notices.dispatch()
    assert (bench.errors, bench.said) == ([], [])
    assert bench.exporter.health().is_healthy
    assert bench.exporter.health().dropped == {"shutdown": 3}
