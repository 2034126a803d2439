"""Suspects that memory has no room for wait in the spool, and count wherever they go from there."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel._otel import SeverityNumber
from support.bench import Bench
from support.records import record, records
from support.server import SERVER_ERROR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from logwell_otel._otel import ReadableLogRecord
    from support.server import Reply

_TEXT = "x" * 20_000


class World:
    """A program that logs large errors at a server that takes none, and has little memory."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = directory
        self.failing = True
        self.bench = Bench(spool_dir=directory, max_queue_bytes=1_048_576, **options)
        self.bench.server.always = self._reply
        self.sent: list[str] = []

    def _reply(self, entries: list[dict[str, Any]]) -> Reply:
        return (
            SERVER_ERROR if self.failing and any("error" in e["message"] for e in entries) else None
        )

    def log(self, seconds: int) -> None:
        for _ in range(seconds):
            number = len(self.sent)
            batch = [_error(f"error {number} {_TEXT}"), *records(2, number)]
            self.sent += [str(one.log_record.body) for one in batch]
            self.bench.exporter.export(batch)
            until = self.bench.clock() + 1
            self.bench.run(1)
            self.bench.clock.now = max(self.bench.clock.now, until)
            self.bench.keep()

    def database(self) -> Path:
        (path,) = self.directory.glob("*.db")
        return path

    @property
    def unloaded(self) -> int:
        """Entries of ours that are on disk only."""
        engine = self.bench.engine
        return sum(one.count for one in engine.outbox._memory if one.is_unloaded)  # noqa: SLF001

    def settle(self) -> None:
        """The server takes everything again."""
        self.failing = False
        self.bench.exporter.export([_error("error at last")])
        self.sent.append("error at last")
        for _ in range(40):
            self.bench.run(30)
            self.bench.keep()


def _error(text: str) -> ReadableLogRecord:
    return record(text, severity_number=SeverityNumber.ERROR, severity_text="ERROR")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.log(120)
    assert world.unloaded > 40
    assert world.bench.exporter.health().dropped == {}
    yield world
    world.bench.check_ledger()
    world.bench.exporter.shutdown()
    world.bench.check_ledger()


def test_all_are_stored_once_when_it_is_over(world: World) -> None:
    world.settle()
    assert sorted(world.bench.server.stored) == sorted(world.sent)
    assert world.bench.exporter.health().held == 0


def test_the_next_process_stores_them(world: World) -> None:
    world.bench.exporter.shutdown()
    later = Bench(spool_dir=world.directory)
    later.exporter.export(records(1))
    later.keep()
    later.run(120)
    stored = [*world.bench.server.stored, *later.server.stored]
    assert sorted(stored) == sorted([*world.sent, "message 0"])


def test_half_of_the_disk_is_for_others_and_the_oldest_are_dead_letters(tmp_path: Path) -> None:
    world = World(tmp_path, spool_max_bytes=2_097_152)
    world.log(120)
    health = world.bench.exporter.health()
    assert set(health.dropped) == {"queue_overflow"}
    assert health.bytes_on_disk < 2_000_000
    with sqlite3.connect(world.database()) as db:
        ((letters,),) = db.execute("SELECT sum(count) FROM dead")
    assert 0 < letters <= health.dropped["queue_overflow"], "the oldest of them make room, too"
    world.settle()
    assert len(world.bench.server.stored) == len(world.sent) - health.dropped["queue_overflow"]
    world.bench.check_ledger()
    world.bench.exporter.shutdown()


def test_what_another_process_evicted_is_counted(world: World) -> None:
    with sqlite3.connect(world.database()) as db:
        db.execute("UPDATE chunks SET evicted = bytes, bytes = 0, body = NULL WHERE id % 2")
    world.settle()
    health = world.bench.exporter.health()
    assert health.dropped.keys() == {"spool_overflow"}
    assert health.held == 0
    assert len(world.bench.server.stored) == len(world.sent) - health.dropped["spool_overflow"]


def test_what_somebody_deleted_is_counted(world: World) -> None:
    with sqlite3.connect(world.database()) as db:
        db.execute("DELETE FROM chunks WHERE id % 2")
    world.settle()
    health = world.bench.exporter.health()
    assert health.dropped.keys() == {"spool_gone"}
    assert health.held == 0
    assert len(world.bench.server.stored) == len(world.sent) - health.dropped["spool_gone"]


def test_a_database_that_is_gone_is_counted(world: World) -> None:
    for path in world.directory.glob("*.db*"):
        path.unlink()
    world.settle()
    health = world.bench.exporter.health()
    assert health.dropped.keys() == {"spool_gone"}
    assert health.held == 0
    assert len(world.bench.server.stored) == len(world.sent) - health.dropped["spool_gone"]


def test_what_is_too_old_is_given_up_as_such(tmp_path: Path) -> None:
    world = World(tmp_path, spool_max_age=3600.0)
    world.log(120)
    world.bench.clock.now += 3500
    world.log(200)
    health = world.bench.exporter.health()
    assert health.dropped.keys() <= {"poison", "spool_expired"}
    assert health.dropped_total >= 100
    world.bench.check_ledger()
    world.bench.exporter.shutdown()


def test_a_disk_that_cannot_be_read_is_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = world.bench.engine.outbox._overflow._spool  # noqa: SLF001

    def unreadable(*_: object) -> object:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as disk:
        disk.setattr("logwell_otel._storage.open_database", unreadable)
        spool._disconnect()  # noqa: SLF001
        for chunk in world.bench.engine.outbox._memory:  # noqa: SLF001
            assert world.bench.engine.outbox.unload(chunk)
        world.bench.run(120)
    assert any("disk I/O error" in said for said in world.bench.said)
    assert world.bench.exporter.health().dropped == {}
    world.settle()
    assert sorted(world.bench.server.stored) == sorted(world.sent)


def test_disliked_entries_that_are_large_wait_on_disk_as_well(tmp_path: Path) -> None:
    bench = Bench(spool_dir=tmp_path, max_queue_bytes=1_048_576)
    disliked = "<script>"
    bench.server.always = lambda entries: (
        SERVER_ERROR if any(disliked in e["message"] for e in entries) else None
    )
    sent: list[str] = []
    for number in range(40):
        texts = [f"a {number}", f"b {number}"]
        if number % 4 == 0:
            texts.append(f"{number} {disliked} " + "y" * 100_000)
        sent += texts
        bench.exporter.export(
            [record(text, severity_number=SeverityNumber(1 + number % 16)) for text in texts]
        )
        bench.run(20)
        bench.keep()
    assert bench.exporter.health().dropped == {}
    assert bench.exporter.health().bytes_in_memory < 1_048_576
    bench.server.always = lambda _: None
    bench.run(4 * 3600)
    assert sorted(bench.server.stored) == sorted(sent)
    bench.check_ledger()
    bench.exporter.shutdown()
