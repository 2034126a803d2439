"""The outbox with a spool behind it: what goes to disk when, and that the sum holds."""

from __future__ import annotations

import functools
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.resources import Resource

from logwell_otel import LogwellError, LogwellErrorCode
from logwell_otel._buffer.outbox import Outbox
from logwell_otel._buffer.spool import Spool
from logwell_otel._diagnostics import Notices
from logwell_otel.cli.pools import list_spools
from support.bench import Bench
from support.records import messages, record, records
from support.server import REFUSED, SERVER_ERROR, UNAUTHORIZED, answer
from support.spool import Disk, World, chunk, drain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from logwell_otel._http import Answer, NoAnswer


def on_disk(directory: Path) -> int:
    """Entries in the databases in `directory`."""
    return sum(pool.entries for pool in list_spools(directory))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(spool_dir=str(tmp_path))


def test_while_all_is_well_nothing_is_written(bench: Bench, tmp_path: Path) -> None:
    bench.exporter.export(records(1000))
    bench.run()
    assert bench.server.stored == messages(1000)
    assert on_disk(tmp_path) == 0


def test_after_a_failure_everything_is_on_disk_at_the_flushers_next_look(
    bench: Bench, tmp_path: Path
) -> None:
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(150))
    bench.run(0.01)
    assert on_disk(tmp_path) == 150
    bench.exporter.export(records(30, 150))
    bench.keep()
    assert on_disk(tmp_path) == 180
    health = bench.exporter.health()
    assert (health.held, health.held_in_memory, health.held_on_disk) == (180, 0, 180)
    assert health.bytes_on_disk > 0
    bench.server.always = lambda _: None
    bench.run()
    assert bench.server.stored == messages(180)
    assert on_disk(tmp_path) == 0
    bench.check_ledger()


def test_what_is_unacknowledged_for_half_a_second_is_on_disk(bench: Bench, tmp_path: Path) -> None:
    bench.exporter.export(records(5))
    bench.clock.sleep(0.1)
    bench.keep()
    assert on_disk(tmp_path) == 0
    bench.clock.sleep(0.1)
    bench.exporter.export(records(5, 5))
    bench.keep()
    assert on_disk(tmp_path) == 10


def test_a_request_under_way_is_on_disk_too(bench: Bench, tmp_path: Path) -> None:
    seen: list[int] = []

    def hang(_: Sequence[dict[str, Any]]) -> None:
        bench.clock.sleep(3)
        bench.keep()
        seen.append(on_disk(tmp_path))

    bench.server.always = hang
    bench.exporter.export(records(42))
    bench.run()
    assert seen == [42]
    assert bench.server.stored == messages(42)
    assert on_disk(tmp_path) == 0
    bench.check_ledger()


def test_what_does_not_fit_in_memory_goes_to_disk(tmp_path: Path) -> None:
    bench = Bench(spool_dir=str(tmp_path), max_queue_bytes=1024 * 1024)
    bench.exporter.export(records(10_000))
    health = bench.exporter.health()
    assert health.dropped == {}
    assert health.held_in_memory + health.held_on_disk == 10_000
    assert health.held_on_disk > 0
    bench.run()
    assert sorted(bench.server.stored) == sorted(messages(10_000))
    bench.check_ledger()


def test_live_records_are_not_held_up_by_what_an_outage_left(bench: Bench) -> None:
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(5_000))
    bench.run(60)
    bench.server.always = lambda _: None
    bench.run(bench.engine.delivery.blocked_for() + 0.01)
    before = len(bench.server.requests)
    bench.exporter.export([record("live")])
    bench.run(0.2)
    place = next(number for number, texts in enumerate(bench.server.requests) if "live" in texts)
    assert place - before <= 2
    bench.run()
    assert sorted(bench.server.stored) == sorted([*messages(5_000), "live"])


def test_shutdown_leaves_the_rest_to_the_next_process(tmp_path: Path) -> None:
    first = Bench(spool_dir=str(tmp_path))
    first.server.always = lambda _: REFUSED
    first.exporter.export(records(250))
    first.exporter.shutdown()
    assert first.exporter.health().dropped == {}
    assert first.exporter.health().held_on_disk == 250
    assert first.said[-1] == ("250 entries left in the spool at shutdown, for the next process.")
    first.check_ledger()

    second = Bench(spool_dir=str(tmp_path))
    second.exporter.export(records(1, 250))
    second.engine.outbox.look_after_disk()
    second.run()
    assert sorted(second.server.stored) == sorted(messages(251))
    assert second.exporter.health().recovered == 250
    second.check_ledger()
    assert on_disk(tmp_path) == 0


def test_a_flush_is_exact_with_entries_on_disk(bench: Bench) -> None:
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(250))
    assert not bench.exporter.force_flush(2_000)
    bench.server.always = lambda _: None
    assert bench.exporter.force_flush(60_000)
    assert bench.server.stored == messages(250)


def test_poison_on_disk_is_bisected_and_set_aside_alone(bench: Bench, tmp_path: Path) -> None:
    bench.server.always = lambda _: REFUSED
    bench.server.poison = "poison"
    batch = records(1000)
    batch[517] = record("poison")
    bench.exporter.export(batch)
    bench.run(60)
    bench.server.always = lambda _: None
    bench.run()
    for number in range(50):
        bench.exporter.export(records(1, 1000 + number))
        bench.run(10)
    others = [text for text in messages(1050) if text != "message 517"]
    assert sorted(bench.server.stored) == sorted(others)
    health = bench.exporter.health()
    assert (health.held_on_disk, health.dropped) == (1, {})
    assert on_disk(tmp_path) == 1
    bench.check_ledger()


def test_every_insert_failing_for_an_hour_drops_nothing(bench: Bench) -> None:
    bench.server.always = lambda _: SERVER_ERROR
    for minute in range(60):
        bench.exporter.export(records(100, minute * 100))
        bench.run(60)
    bench.server.always = lambda _: None
    bench.run()
    assert sorted(bench.server.stored) == sorted(messages(6_000))
    assert bench.exporter.health().dropped == {}
    bench.check_ledger()


def test_the_oldest_are_dropped_and_counted_when_the_disk_is_full_too(tmp_path: Path) -> None:
    bench = Bench(spool_dir=str(tmp_path), spool_max_bytes=1024 * 1024, max_queue_bytes=1024 * 1024)
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(100))
    bench.run(1)
    for batch in range(1, 100):
        bench.exporter.export(records(100, batch * 100))
        bench.keep()
    health = bench.exporter.health()
    assert set(health.dropped) == {"spool_overflow"}
    assert health.held + health.dropped["spool_overflow"] == 10_000
    lost = health.dropped["spool_overflow"]
    assert f"{lost} entries were dropped in the last five minutes" in health.reasons
    assert health.bytes_on_disk <= 1024 * 1024
    bench.check_ledger()
    bench.server.always = lambda _: None
    bench.run()
    assert bench.server.stored == messages(10_000)[-health.held :]


def test_a_directory_that_cannot_be_used_is_said_at_construction(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(LogwellError) as raised:
        Bench(spool_dir=str(tmp_path / "file"))
    assert raised.value.code is LogwellErrorCode.INVALID_CONFIG
    assert "spool_dir" in raised.value.message


@pytest.mark.parametrize(
    ("option", "attributes", "service"),
    [
        (None, {"service.name": "till"}, "till"),
        ("own", {"service.name": "till"}, "own"),
        (None, {}, "unknown_service"),
        (None, {"service.name": 7}, "unknown_service"),
    ],
)
def test_the_database_is_that_of_the_service_which_the_entries_bear(
    option: str | None,
    attributes: dict[str, Any],
    service: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where only the resource names it, it was `unknown_service`, and shared with others."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    bench = Bench(spool_dir=str(tmp_path), service=option)
    bench.server.always = lambda _: REFUSED
    bench.exporter.export([record("first", resource=Resource(attributes))])
    bench.exporter.export(records(1))  # of another one: too late
    bench.run(1)
    (pool,) = list_spools(tmp_path)
    assert (pool.service, pool.entries) == (service, 2)
    bench.exporter.shutdown()


def test_the_key_is_never_written(bench: Bench, tmp_path: Path) -> None:
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(100))
    bench.run(60)
    key = bench.exporter._config.api_key.reveal()  # noqa: SLF001
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    for path in written:
        assert key.encode() not in path.read_bytes()
        assert key not in str(path)
        assert path.stat().st_mode & 0o077 == 0


def test_the_sum_holds_between_what_the_disk_did_and_its_count(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for the health while a disk works must find every entry once."""
    spool = bench.exporter._spool  # noqa: SLF001 - the moment to look at
    assert spool is not None
    changes, looks = spool.changes, 0

    def looking() -> Any:
        nonlocal looks
        looks += 1
        bench.check_ledger()
        return changes()

    monkeypatch.setattr(spool, "changes", looking)
    bench.server.always = lambda entries: (
        answer(413, "too large") if len(entries) > 40 else REFUSED if looks < 30 else None
    )
    for first in range(0, 300, 50):
        bench.exporter.export(records(50, first))
        bench.run(2)
        bench.keep()
    bench.run()
    assert sorted(bench.server.stored) == sorted(messages(300))
    assert looks > 30
    bench.exporter.shutdown()
    bench.check_ledger()


@pytest.mark.parametrize("status", [413, 400])
def test_what_is_split_is_not_joined_again_by_the_spool(bench: Bench, status: int) -> None:
    """It was: the sender then split the same chunk for ever, and sent nothing."""
    down = True

    def proxy(entries: Sequence[dict[str, Any]]) -> Answer | NoAnswer | None:
        if down:
            return REFUSED
        if status == 413:
            return answer(413, "too large") if len(entries) > 40 else None
        wrong = any(entry["message"] == "message 17" for entry in entries)
        return answer(400, {"error": "validation_error", "message": "no"}) if wrong else None

    bench.server.always = proxy
    for first in range(0, 300, 50):
        bench.exporter.export(records(50, first))
        bench.run(2)
        bench.keep()
    assert bench.exporter.health().held_on_disk == 300
    down = False
    before = len(bench.server.requests)
    bench.run()
    expected = [text for text in messages(300) if status == 413 or text != "message 17"]
    assert sorted(bench.server.stored) == sorted(expected)
    assert len(bench.server.requests) - before < 30
    bench.check_ledger()


def test_a_flush_is_exact_whatever_went_to_disk_in_which_order(tmp_path: Path) -> None:
    """It said True with nothing stored, once an older chunk went to disk after a younger one."""
    with World(tmp_path) as world:
        spool = world.open()
        box = Outbox(1_000_000, spool, notices=Notices(None, None, say=lambda _: None))
        box.put([chunk(0, 3)])
        older = box.take()
        assert older is not None
        mark = box.mark()
        box.put([chunk(3, 10)])
        younger = box.take()
        assert younger is not None
        for one in (younger, older):
            with spool.lock:
                box._memory.is_on_disk(one, spool.store([one])[0])  # noqa: SLF001 - this order
            box.put_back([one])
        assert box.holdings().entries_on_disk == 13
        assert not box.is_settled(mark)
        last = box.mark()
        for waiting in (False, True):
            taken = box.take()
            assert taken is not None
            box.settle(taken, accepted=taken.count)
            assert box.is_settled(mark) is (waiting or taken.count == 3)
        assert box.is_settled(last)


def test_what_goes_back_while_it_is_being_stored_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with World(tmp_path) as world:
        spool = world.open()
        box = Outbox(1_000_000, spool, notices=Notices(None, None, say=lambda _: None))
        box.put([chunk(0, 3)])
        taken = box.take()
        assert taken is not None
        store, storing, goes_on = spool.store, threading.Event(), threading.Event()

        def slow(*args: Any, **options: Any) -> Any:
            storing.set()
            assert goes_on.wait(30)
            return store(*args, **options)

        monkeypatch.setattr(spool, "store", slow)
        flusher = threading.Thread(target=box.spill)
        sender = threading.Thread(target=box.put_back, args=([taken],))
        flusher.start()
        assert storing.wait(30)
        sender.start()
        sender.join(0.1)
        goes_on.set()
        flusher.join(30)
        sender.join(30)
        found = []
        while (again := box.take()) is not None:
            found += again.entries()
            box.settle(again, accepted=again.count)
        assert len(found) == 3
        assert box.holdings().counters.accepted == 3
        assert spool.entries() == 0


def test_nobody_waits_for_what_is_in_flight_and_on_disk(tmp_path: Path) -> None:
    """Suspects filled the memory: `export()` waited 5 s for the disk to make room."""
    with World(tmp_path) as world:
        box = Outbox(1_000_000, world.open(), notices=Notices(None, None, say=lambda _: None))
        box.put([chunk(0, 20, size=30_000), chunk(20, 20, size=30_000)])
        box.spill()
        assert [box.take() is not None for _ in range(2)] == [True, True]
        assert box.holdings().bytes_in_memory > 1_000_000
        assert box.put([chunk(40, 3)]) == 0
        assert not box._hangs  # noqa: SLF001 - it waited in vain
        held = box.holdings()
        assert (held.entries_on_disk, held.entries_in_memory) == (43, 0)
        assert held.counters.dropped == {}


def test_what_a_defect_interrupts_while_it_is_stored_is_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something else than a disk's refusal left the chunk between memory and disk for ever."""
    spool = bench.exporter._spool  # noqa: SLF001 - where the defect is
    assert spool is not None
    bench.exporter.export(records(150))
    bench.clock.sleep(1)
    with monkeypatch.context() as patched:
        patched.setattr(spool, "store", lambda *_: 1 / 0)
        bench.keep()
    bench.engine.notices.dispatch()
    assert "Looking after the spool failed with ZeroDivisionError" in bench.said[-1]
    bench.check_ledger()
    assert bench.exporter.health().held_in_memory == 150
    bench.run()
    assert bench.server.stored == messages(150)


def test_a_spool_that_cannot_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said nowhere: entries just stayed where they were."""
    disk = Disk()
    monkeypatch.setattr(
        "logwell_otel._buffer.spool.Spool", functools.partial(Spool, connect=disk.connect)
    )
    bench = Bench(spool_dir=str(tmp_path))
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(10))
    bench.run(1)
    assert bench.exporter.health().held_on_disk == 10
    disk.error, disk.reads_fail = sqlite3.OperationalError("disk I/O error"), True
    bench.server.always = lambda _: None
    bench.run(60)
    assert sum("disk I/O error. What lies there is left alone" in text for text in bench.said) == 1
    disk.error = None
    bench.run()
    assert bench.server.stored == messages(10)
    bench.check_ledger()


def test_a_key_that_was_read_again_sends_what_was_stored_with_the_old_one(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("lw_" + "a" * 32)
    bench = Bench(spool_dir=str(tmp_path / "spool"), api_key_file=key)
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(10))
    bench.run(5)
    key.write_text("lw_" + "b" * 32)
    bench.server.replies = [UNAUTHORIZED]
    bench.server.always = lambda _: None
    bench.run()
    assert bench.server.stored == messages(10)
    assert on_disk(tmp_path / "spool") == 0


def test_two_projects_with_one_service_name_do_not_get_each_others_entries(tmp_path: Path) -> None:
    first = Bench(spool_dir=str(tmp_path), api_key="lw_" + "a" * 32)
    first.server.always = lambda _: REFUSED
    first.exporter.export(records(10))
    first.exporter.shutdown()
    second = Bench(spool_dir=str(tmp_path), api_key="lw_" + "b" * 32)
    second.exporter.export(records(1, 10))
    second.run()
    assert second.server.stored == ["message 10"]
    assert sum("stored for another key" in text for text in second.said) == 1
    assert second.exporter.health().recovered == 0
    again = Bench(spool_dir=str(tmp_path), api_key="lw_" + "a" * 32)
    again.exporter.export(records(1, 20))
    again.run()
    assert sorted(again.server.stored) == sorted([*messages(10), "message 20"])


@pytest.mark.parametrize("damage", [False, True])
def test_a_database_that_is_lost_in_an_outage_costs_what_was_in_it(
    bench: Bench, tmp_path: Path, damage: bool
) -> None:
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(100))
    bench.run(1)
    for path in tmp_path.glob("*.db*"):
        if damage:
            path.write_bytes(b"\xff" * 10_000)
        else:
            path.unlink()
    bench.exporter.export(records(200, 100))
    bench.keep()
    assert on_disk(tmp_path) == bench.exporter.health().held_on_disk == 200
    reason = "spool_unreadable" if damage else "spool_gone"
    assert bench.exporter.health().dropped == {reason: 100}
    bench.engine.notices.dispatch()
    assert any(("set aside" if damage else "deleted or replaced") in text for text in bench.said)
    assert any("100 entries were dropped from the spool: its database" in t for t in bench.said)
    assert bench.errors[-1].code is LogwellErrorCode.INTERNAL_ERROR
    bench.check_ledger()
    bench.server.always = lambda _: None
    bench.run()
    assert bench.server.stored == messages(200, 100)
    health = bench.exporter.health()
    assert (health.status, health.reasons) == (
        "degraded",
        ("100 entries were dropped in the last five minutes",),
    )
    told = b'"logwell.dropped":{"%s":100}' % reason.encode()
    assert any(told in body for body in bench.server.bodies)
    bench.check_ledger()


def test_rows_that_a_person_deletes_are_missed_and_counted(bench: Bench, tmp_path: Path) -> None:
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(300))
    bench.run(1)
    (path,) = tmp_path.glob("*.db")
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM chunks WHERE id = 2")
    db.close()
    bench.server.always = lambda _: None
    bench.run()
    assert len(bench.server.stored) == 200
    health = bench.exporter.health()
    assert (health.status, health.dropped) == ("degraded", {"spool_gone": 100})
    bench.check_ledger()


def test_a_shutdown_waits_for_a_disk_no_longer_than_for_a_server(
    bench: Bench, tmp_path: Path
) -> None:
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(300))
    bench.run(1)
    bench.keep()
    bench.server.always = lambda _: None
    (path,) = tmp_path.glob("*.db")
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE chunks RENAME TO elsewhere")
    db.close()
    began = bench.clock()
    bench.exporter.shutdown()
    assert bench.clock() - began < 8
    bench.check_ledger()


def test_what_the_spool_dropped_under_a_request_is_left_to_it_again(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        notices = Notices(say=lambda _: None)
        spool = world.open(max_age=3600.0)
        outbox = Outbox(1024 * 1024, spool, notices=notices, clock=lambda: world.mono)
        outbox.put([chunk(0)])
        outbox.spill()
        assert outbox.take() is not None
        world.sleep(2 * 3600.0)
        outbox.look_after_disk()
        assert outbox.give_up("shutdown") == (0, 1)
        following = world.open()
        assert world.look(following) == {"recovered": 1}
        assert drain(following) == [0]


def test_what_is_in_flight_while_another_process_fills_the_spool_is_not_gone(
    tmp_path: Path,
) -> None:
    """Its row is, and so is all that waited: once it was counted as lost, and as accepted."""
    with World(tmp_path) as world:
        ours, others = (
            Outbox(
                30_000,
                world.open(max_bytes=60_000),
                notices=Notices(None, None, clock=lambda: world.mono, say=lambda _: None),
                clock=lambda: world.mono,
            )
            for _ in range(2)
        )
        ours.put([chunk(0, 5, 3_000)])
        in_flight = ours.take()
        assert in_flight is not None
        ours.put([chunk(5, 2, 3_000)])
        ours.spill()
        for number in range(5):
            others.put([chunk(7 + 5 * number, 5, 3_000)])
            others.spill()
        assert ours.take() is None
        ours.settle(in_flight, accepted=in_flight.count)
        held = ours.holdings()
        assert (held.counters.handed_over, held.counters.accepted) == (7, 5)
        assert held.counters.dropped == {"spool_overflow": 2}
        assert (held.entries, held.bytes_in_memory, held.bytes_on_disk) == (0, 0, 0)
