"""What delivery does after each kind of answer; the outages have a file of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logwell_otel import LogwellErrorCode
from support.bench import Bench
from support.config import KEY
from support.records import messages, record, records
from support.server import RATE_LIMITED, REFUSED, UNAUTHORIZED, answer

if TYPE_CHECKING:
    import pathlib

    from logwell_otel._http import Answer


def test_a_refused_key_is_reported_at_once_and_nothing_is_sent_for_thirty_seconds() -> None:
    bench = Bench()
    bench.server.replies = [UNAUTHORIZED]
    bench.exporter.export(records(3))
    bench.run(29)
    assert len(bench.server.requests) == 1
    assert [e.code for e in bench.errors] == [LogwellErrorCode.UNAUTHORIZED]
    assert bench.exporter.health().status == "unhealthy"
    assert "The server refuses the API key" in bench.said[0]
    bench.run(10)
    assert bench.server.stored == messages(3)
    assert bench.exporter.health().status == "healthy"


def test_a_rotated_key_file_is_read_again_and_used_at_once(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    bench = Bench(api_key_file=str(path))
    fresh = "lw_" + "n" * 32
    path.write_text(fresh)
    bench.server.replies = [UNAUTHORIZED]
    bench.exporter.export(records(3))
    bench.run(1)
    assert bench.server.stored == messages(3)
    assert bench.exporter._config.api_key.reveal() == fresh  # noqa: SLF001


def test_a_redirect_is_not_followed_and_names_its_target() -> None:
    bench = Bench()
    bench.server.replies = [answer(308, "", location="https://logs.example.com/v1/ingest")]
    bench.exporter.export(records(3))
    bench.run(29)
    assert len(bench.server.requests) == 1
    (error,) = bench.errors
    assert error.code is LogwellErrorCode.INVALID_CONFIG
    assert "https://logs.example.com/v1/ingest" in error.message
    bench.run(10)
    assert bench.server.stored == messages(3)


def test_a_rate_limit_pauses_and_slows_down() -> None:
    bench = Bench()
    bench.server.replies = [None, RATE_LIMITED]
    bench.exporter.export(records(200))
    bench.run(59)
    assert len(bench.server.requests) == 2
    health = bench.exporter.health()
    assert health.status == "degraded"
    assert health.requests_per_minute < 600
    bench.run()
    assert bench.server.stored == messages(200)


def test_small_chunks_gather_while_the_sender_waits() -> None:
    bench = Bench()
    bench.server.replies = [RATE_LIMITED]
    for number in range(50):
        bench.exporter.export(records(1, number))
        bench.run(1)
    bench.run()
    assert bench.server.stored == messages(50)
    assert len(bench.server.requests) == 2 or len(bench.server.requests) == 3


def test_five_hundred_and_twelve_records_are_six_requests() -> None:
    bench = Bench()
    bench.exporter.export(records(512))
    bench.run()
    assert [len(request) for request in bench.server.requests] == [100, 100, 100, 100, 100, 12]


def test_remainders_of_batches_are_filled_up() -> None:
    bench = Bench()
    bench.server.replies = [REFUSED]
    for batch in range(10):
        bench.exporter.export(records(512, batch * 512))
    bench.run()
    assert [len(request) for request in bench.server.requests[1:]] == [100] * 51 + [20]
    assert bench.server.stored == messages(5120)


def test_refused_entries_are_named_and_never_sent_again() -> None:
    bench = Bench()
    bench.server.replies = [
        answer(
            200,
            {
                "accepted": 98,
                "rejected": 2,
                "errors": [
                    "Entry at index 3: invalid level 'x' (must be one of: …)",
                    "Entry at index 50: message cannot be empty",
                ],
            },
        )
    ]
    bench.exporter.export(records(100))
    bench.run()
    assert len(bench.server.requests) == 1
    (error,) = bench.errors
    assert error.message == (
        "The server refused 2 of 100 entries, which are not sent again: info 'message 3' "
        "(invalid level 'x' (must be one of: …)); info 'message 50' (message cannot be empty)."
    )
    assert (error.code, error.status_code, error.retryable) == (
        LogwellErrorCode.VALIDATION_ERROR,
        200,
        False,
    )
    assert bench.flushed == [98]
    health = bench.exporter.health()
    assert (health.accepted, health.refused, health.held) == (98, 2, 0)


def test_counts_that_do_not_add_up_are_taken_as_stored_and_said_once() -> None:
    bench = Bench()
    bench.server.replies = [answer(200, {"accepted": 7}), answer(200, {"accepted": 7})]
    bench.exporter.export(records(200))
    bench.run()
    assert len(bench.server.requests) == 2
    assert len(bench.said) == 1
    assert "7 accepted and 0 rejected for 100 entries" in bench.said[0]
    bench.check_ledger()


@pytest.mark.parametrize(
    "too_large",
    [answer(413, ""), answer(400, {"error": "batch_too_large", "message": "over 30"})],
    ids=["413", "batch_too_large"],
)
def test_a_request_that_is_too_large_is_split_and_the_limit_learned(too_large: Answer) -> None:
    bench = Bench()
    bench.server.always = lambda entries: too_large if len(entries) > 30 else None
    bench.exporter.export(records(400))
    bench.run()
    assert bench.server.stored == messages(400)
    refused = [request for request in bench.server.requests if len(request) > 30]
    assert len(refused) <= 3, "once for each halving, not for each chunk"


def test_an_entry_that_never_fits_is_held_and_whole() -> None:
    bench = Bench()
    bench.server.always = lambda _: answer(413, "")
    bench.exporter.export([record("never " + "x" * 10_000)])
    bench.run(24 * 3600)
    health = bench.exporter.health()
    assert (health.refused, health.held, health.dropped) == (0, 1, {})
    assert len(bench.server.requests) < 24 * 120 + 20
    assert {len(body) for body in bench.server.bodies} == {len(bench.server.bodies[0])}


def test_content_that_the_server_calls_wrong_is_bisected_and_named() -> None:
    bench = Bench()
    wrong = answer(400, {"error": "invalid_json", "message": "Request body must be valid JSON"})
    bench.server.always = lambda entries: (
        wrong if any(entry["message"] == "message 77" for entry in entries) else None
    )
    bench.exporter.export(records(100))
    bench.run()
    assert sorted(bench.server.stored) == sorted(set(messages(100)) - {"message 77"})
    assert bench.exporter.health().refused == 1
    assert "info 'message 77'" in bench.errors[-1].message
    assert "invalid_json" in bench.errors[-1].message


def test_more_than_can_be_held_drops_the_oldest_and_says_so() -> None:
    bench = Bench(max_queue_bytes=1024 * 1024)
    bench.server.always = lambda _: REFUSED
    for batch in range(100):
        bench.exporter.export(records(100, batch * 100))
    health = bench.exporter.health()
    assert health.bytes_in_memory <= 1024 * 1024
    assert health.dropped["queue_overflow"] > 0
    assert health.held + health.dropped["queue_overflow"] == 10_000
    assert health.status == "degraded"
    bench.run(1)
    assert any(e.code is LogwellErrorCode.QUEUE_OVERFLOW for e in bench.errors)
    bench.server.always = lambda _: None
    bench.run()
    assert bench.server.stored == messages(10_000)[-health.held :]
    report = [body for body in bench.server.bodies if b"logwell-otel dropped" in body]
    assert len(report) == 1, "what was dropped is itself said in Logwell"
    bench.check_ledger()
