"""The queue's limits in records and in bytes, and where its losses are seen."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from logwell_otel import LogwellErrorCode
from support.bench import Bench
from support.processor import Keeping, Stepped

MIB = 1024 * 1024


def test_a_full_queue_drops_what_comes_and_keeps_what_is_there() -> None:
    pipeline = Stepped(max_queue_size=5)
    for number in range(8):
        pipeline.log(number)
    health = pipeline.exporter.health()
    assert (health.queued, health.queue_share) == (5, 1.0)
    assert (health.handed_over, health.dropped) == (3, {"processor_queue_full": 3})
    assert health.handed_over == health.dropped_total + health.held
    assert health.reasons == ("3 entries were dropped in the last five minutes",)
    pipeline.drain()
    assert pipeline.bodies == [0, 1, 2, 3, 4]


def test_health_says_what_a_burst_finds_room_for() -> None:
    assert Bench().exporter.health().queue_room is None
    pipeline = Stepped(max_queue_size=5, max_queue_bytes=1000)
    health = pipeline.exporter.health()
    assert (health.queue_room, health.queue_room_bytes) == (5, 1000)
    pipeline.log("x" * 300)
    pipeline.log("x" * 600)
    health = pipeline.exporter.health()
    assert (health.queue_room, health.queue_room_bytes) == (3, 100)
    pipeline.drain()
    health = pipeline.exporter.health()
    assert (health.queue_room, health.queue_room_bytes) == (5, 1000)


def test_losses_are_said_once_and_handed_to_on_error() -> None:
    bench = Bench()
    pipeline = Stepped(bench.exporter, max_queue_size=2)
    for number in range(10):
        pipeline.log(number)
        if number > 4:
            bench.exporter.health()
    bench.run()
    assert {error.code for error in bench.errors} == {LogwellErrorCode.QUEUE_OVERFLOW}
    assert "OTEL_BLRP_MAX_QUEUE_SIZE" in bench.errors[0].message
    assert len([text for text in bench.said if "batch processor" in text]) == 1


def test_losses_are_reported_to_logwell_itself() -> None:
    bench = Bench()
    pipeline = Stepped(bench.exporter, max_queue_size=2)
    for number in range(5):
        pipeline.log(f"message {number}")
    pipeline.drain()
    bench.exporter.health()
    bench.run()
    entries = [entry for body in bench.server.bodies for entry in msgspec.json.decode(body)]
    texts = [entry["message"] for entry in entries]
    assert texts == ["message 0", "message 1", "logwell-otel dropped 3 log entries"]
    assert entries[2]["metadata"]["logwell.dropped"] == {"processor_queue_full": 3}
    bench.check_ledger()


def test_a_flush_after_a_loss_says_false_and_the_next_one_true() -> None:
    bench = Bench()
    pipeline = Stepped(bench.exporter, max_queue_size=2)
    for number in range(3):
        pipeline.log(f"message {number}")
    pipeline.drain()
    assert not pipeline.processor.force_flush(60_000)
    pipeline.log("message 3")
    pipeline.drain()
    assert pipeline.processor.force_flush(60_000)
    assert {"message 0", "message 1", "message 3"} <= set(bench.server.stored)
    bench.check_ledger()


TEXT = "x" * 1000
LARGE: dict[str, dict[str, Any]] = {
    "message": {"body": TEXT},
    "attribute": {"body": "", "attributes": {"payload": TEXT}},
    "two attributes": {"body": "", "attributes": {"a": TEXT[:500], "b": TEXT[500:]}},
    "bytes": {"body": "", "attributes": {"payload": TEXT.encode()}},
    "list": {"body": "", "attributes": {"payload": [TEXT[:500], TEXT[500:]]}},
    "nested": {"body": "", "attributes": {"payload": {"a": {"b": [TEXT]}}}},
    "structured body": {"body": {"text": TEXT}},
}


@pytest.mark.parametrize("what", LARGE)
def test_the_queue_has_a_limit_in_bytes(what: str) -> None:
    record = LARGE[what]
    pipeline = Stepped(max_queue_size=1_000, max_queue_bytes=10_000)
    for _ in range(15):
        pipeline.log(record["body"], **record.get("attributes", {}))
    assert pipeline.processor.queued == 10
    assert pipeline.processor.queue_share == 1.0
    assert pipeline.exporter.health().dropped == {"processor_queue_full": 5}


def test_small_records_pass_where_a_large_one_does_not() -> None:
    pipeline = Stepped(max_queue_bytes=1_000)
    pipeline.log("x" * 900)
    pipeline.log("x" * 200)
    pipeline.log("small")
    assert pipeline.processor.queued == 2


def test_a_record_larger_than_the_queue_is_taken_alone() -> None:
    pipeline = Stepped(max_queue_bytes=1_000)
    pipeline.log("x" * 5_000)
    pipeline.log("x")
    assert pipeline.processor.queued == 1
    pipeline.drain()
    pipeline.log("x")
    assert pipeline.processor.queued == 1
    assert pipeline.exporter.health().dropped == {"processor_queue_full": 1}


def test_what_has_left_makes_room() -> None:
    pipeline = Stepped(max_queue_size=4, max_export_batch_size=2, max_queue_bytes=1_000)
    for _ in range(50):
        for _ in range(4):
            pipeline.log("x" * 250)
        while pipeline.step() == 0:
            pass
    assert len(pipeline.bodies) == 200
    assert pipeline.exporter.health().dropped == {}


def test_the_limit_in_bytes_is_the_exporters_unless_given() -> None:
    pipeline = Stepped(Keeping(max_queue_bytes=MIB), max_queue_size=10_000)
    for _ in range(30):
        pipeline.log("x" * 100_000)
    assert pipeline.processor.queued == 10


def test_messages_of_a_megabyte_do_not_take_gigabytes() -> None:
    pipeline = Stepped(max_queue_size=20_480)
    for number in range(3_000):
        pipeline.log(f"{number:04d}" * 262_144)
    assert pipeline.processor.queued == 32
    assert pipeline.exporter.health().dropped == {"processor_queue_full": 2_968}
