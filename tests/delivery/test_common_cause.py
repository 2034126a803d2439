"""Entries that fail for something they have in common wait together, and cost next to nothing."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel._delivery.common_cause import traits
from logwell_otel._otel import SeverityNumber
from support.bench import Bench
from support.records import messages, record, records
from support.server import SERVER_ERROR, answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from logwell_otel._otel import ReadableLogRecord
    from support.server import Reply


def error(text: str, **attributes: Any) -> ReadableLogRecord:
    return record(
        text,
        severity_number=SeverityNumber.ERROR,
        severity_text="ERROR",
        attributes={"request_id": "r-1", **attributes},
    )


def is_error(entry: dict[str, Any]) -> bool:
    return entry["level"] in ("error", "fatal")


class World:
    """A program that logs all the time, at a server that fails for some entries."""

    def __init__(self, fails: Callable[[dict[str, Any]], bool], **options: Any) -> None:
        self.bench = Bench(**options)
        self.fails = fails
        self.failing = True
        self.sent: list[str] = []
        self.seconds = 0
        self.bench.server.always = self.reply

    def reply(self, entries: list[dict[str, Any]]) -> Reply:
        return SERVER_ERROR if self.failing and any(map(self.fails, entries)) else None

    def live(self, seconds: int, log: Callable[[int], list[ReadableLogRecord]]) -> None:
        for second in range(seconds):
            batch = log(10 * (self.seconds + second))
            self.sent += [str(one.log_record.body) for one in batch]
            self.bench.exporter.export(batch)
            until = self.bench.clock() + 1
            self.bench.run(1)
            self.bench.clock.now = max(self.bench.clock.now, until)
        self.seconds += seconds


def a_few_errors(number: int) -> list[ReadableLogRecord]:
    """One in three batches has an error."""
    infos = [record(f"info {number + at}") for at in range(9)]
    return [*infos, error(f"error {number}")] if number % 30 == 0 else infos


def test_errors_of_a_minute_in_which_their_table_fails_are_stored_later() -> None:
    world = World(is_error)
    world.live(60, a_few_errors)
    bench = world.bench
    assert not any(text.startswith("error") for text in bench.server.stored)
    health = bench.exporter.health()
    assert (health.dropped, health.status) == ({}, "degraded")
    assert any("level error or fatal wait" in reason for reason in health.reasons)
    world.failing = False
    world.live(70, lambda number: [record(f"later {number}")])
    assert sorted(bench.server.stored) == sorted(world.sent)
    health = bench.exporter.health()
    assert (health.held, health.dropped, health.status) == (0, {}, "healthy")
    started, ended = (text for text in bench.said if "level error" in text)
    assert started == (
        "Entries of level error or fatal wait: every request with one was answered 500, while "
        "others were accepted. They are held, and sent as soon as one is accepted."
    )
    assert ended == "Entries of level error or fatal are accepted again."
    bench.check_ledger()


@pytest.mark.slow
def test_twenty_minutes_of_it_cost_few_requests_and_nothing_waits() -> None:
    world = World(is_error)
    bench = world.bench

    def log(number: int) -> list[ReadableLogRecord]:
        return [
            error(f"error {at}") if at % 10 == 0 else record(f"info {at}")
            for at in range(2 * number, 2 * number + 20)
        ]

    world.live(1200, log)
    infos = [text for text in world.sent if text.startswith("info")]
    assert len(set(infos) - set(bench.server.stored)) <= 20, "each within a second"
    with_errors = [r for r in bench.server.requests if any(t.startswith("error") for t in r)]
    assert len(with_errors) < 150
    assert bench.exporter.health().held == 2400
    world.failing = False
    before = len(bench.server.requests)
    world.live(120, lambda number: [record(f"later {number}")])
    assert sorted(bench.server.stored) == sorted(world.sent)
    assert len(bench.server.requests) - before < 120 + 72 + 60, "in full requests"
    assert bench.exporter.health().dropped == {}
    bench.check_ledger()


CAUSES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "service billing": lambda entry: entry.get("service") == "billing",
    "source app.py:7": lambda entry: entry.get("sourceFile") == "app.py",
    "size over 4096 bytes": lambda entry: len(entry["message"]) > 6000,
    "level debug": lambda entry: entry["level"] == "debug",
}


def of_all_kinds(number: int) -> list[ReadableLogRecord]:
    batch = [record(f"plain {number + at}") for at in range(9)]
    odd = number // 10 % 8
    if odd == 0:
        batch.append(record(f"b {number}", attributes={"service.name": "billing"}))
    elif odd == 1:
        source = {"code.file.path": "app.py", "code.line.number": 7}
        batch.append(record(f"s {number}", attributes=source))
    elif odd == 2:
        batch.append(record(f"l {number} " + "x" * 8000))
    elif odd == 3:
        kind = {"severity_number": SeverityNumber.DEBUG, "severity_text": "DEBUG"}
        batch.append(record(f"d {number}", **kind))
    return batch


def test_traits_are_level_service_source_and_size() -> None:
    entry = b'{"level":"fatal","message":"%b","service":"a","sourceFile":"b.py","lineNumber":3}'
    assert traits(entry % (b"x" * 5000)) == {
        "level fatal",
        "level error or fatal",
        "service a",
        "source b.py:3",
        "size over 4096 bytes",
    }
    assert traits(b"not JSON") == set()


@pytest.mark.parametrize("fails", [CAUSES["size over 4096 bytes"], CAUSES["level debug"]])
def test_whatever_they_have_in_common(fails: Callable[[dict[str, Any]], bool]) -> None:
    world = World(fails)
    world.live(240, of_all_kinds)
    bench = world.bench
    health = bench.exporter.health()
    assert health.dropped == {}
    assert any(" wait: others are accepted" in reason for reason in health.reasons)
    world.failing = False
    world.live(130, of_all_kinds)
    bench.run(600)
    assert sorted(bench.server.stored) == sorted(world.sent)
    bench.check_ledger()


def test_poison_of_one_place_in_the_code_holds_up_nothing_else_from_there() -> None:
    rng = random.Random(5)
    world = World(lambda entry: "poison" in entry["message"])

    def log(number: int) -> list[ReadableLogRecord]:
        kind = "poison" if rng.random() < 0.2 else "fine"
        return [error(f"{kind} {number}"), *(record(f"info {number + at}") for at in range(4))]

    world.live(600, log)
    world.live(60, lambda number: [record(f"later {number}")])
    stored = set(world.bench.server.stored)
    assert {text for text in world.sent if "poison" not in text} <= stored
    assert world.bench.exporter.health().dropped == {}
    world.bench.check_ledger()


def test_a_gateway_that_refuses_a_service_is_an_outage_of_that_service() -> None:
    world = World(lambda _: False)
    world.bench.server.always = lambda entries: (
        answer(403, "<html>no</html>")
        if any(entry["message"].startswith("b ") for entry in entries)
        else None
    )
    world.live(240, of_all_kinds)
    assert world.bench.exporter.health().dropped == {}
    world.bench.server.always = lambda _: None
    world.bench.run(1200)
    assert sorted(world.bench.server.stored) == sorted(world.sent)


def test_a_flush_during_it_says_so_at_once() -> None:
    world = World(is_error)
    world.live(60, a_few_errors)
    bench = world.bench
    began = bench.clock()
    bench.exporter.export([error("last"), *records(5)])
    assert not bench.exporter.force_flush(30_000)
    assert bench.clock() - began < 2
    assert bench.server.stored[-5:] == messages(5)
    bench.exporter.export(records(5, 5))
    assert bench.exporter.force_flush(30_000), "later ones wait for none of it"


def test_with_a_spool_it_outlives_the_process(tmp_path: Path) -> None:
    world = World(is_error, spool_dir=tmp_path)
    world.live(60, a_few_errors)
    world.bench.exporter.shutdown()
    assert world.bench.exporter.health().dropped == {}
    later = Bench(spool_dir=tmp_path)
    later.exporter.export(records(1))
    later.keep()
    later.run(120)
    stored = [*world.bench.server.stored, *later.server.stored]
    assert sorted(stored) == sorted([*world.sent, *messages(1)])


def large_errors(number: int) -> list[ReadableLogRecord]:
    infos = [record(f"i {number + at}") for at in (1, 2)]
    return [error(f"error {number} " + "x" * 5000), *infos]


def test_with_a_spool_what_does_not_fit_into_memory_waits_on_disk(tmp_path: Path) -> None:
    world = World(is_error, max_queue_bytes=1_048_576, spool_dir=tmp_path)
    for _ in range(40):
        world.live(10, large_errors)
        world.bench.keep()
    bench = world.bench
    health = bench.exporter.health()
    assert (health.dropped, health.held, health.held_on_disk) == ({}, 400, 400)
    assert health.bytes_in_memory < 700_000
    assert not any(text.startswith("error") for text in bench.server.stored)
    requests = len(bench.server.requests)
    world.failing = False
    bench.run(120)
    assert sorted(bench.server.stored) == sorted(world.sent)
    assert len(bench.server.requests) - requests < 20
    health = bench.exporter.health()
    assert (health.held, health.dropped, health.status) == (0, {}, "healthy")
    bench.check_ledger()


def test_without_a_spool_what_does_not_fit_is_the_oldest_of_it() -> None:
    world = World(is_error, max_queue_bytes=1_048_576)
    world.live(400, large_errors)
    bench = world.bench
    health = bench.exporter.health()
    assert set(health.dropped) == {"queue_overflow"}
    assert health.bytes_in_memory < 700_000
    infos = [text for text in world.sent if text.startswith("i ")]
    assert len(set(infos) - set(bench.server.stored)) <= 3
    world.failing = False
    bench.run(120)
    errors = [text for text in world.sent if text.startswith("error")]
    stored = [text for text in bench.server.stored if text.startswith("error")]
    assert errors[-1] in stored
    assert not set(errors[:50]) & set(stored)
    assert len(stored) == 400 - health.dropped["queue_overflow"]
    bench.check_ledger()
