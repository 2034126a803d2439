from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from logwell_otel import LogwellError, LogwellLogExporter
from logwell_otel._otel import LogRecordExportResult
from support.bench import Bench
from support.config import KEY
from support.records import messages, records
from support.server import RATE_LIMITED, REFUSED, SERVER_ERROR, UNAUTHORIZED

if TYPE_CHECKING:
    from logwell_otel._http import Answer, NoAnswer
    from logwell_otel.devserver import DevServer


def test_what_is_held_is_delivered() -> None:
    bench = Bench()
    bench.exporter.export(records(1234))
    bench.exporter.shutdown()
    assert bench.server.stored == messages(1234)
    assert bench.server.closed == 1
    assert bench.said == []


def test_a_second_shutdown_does_nothing() -> None:
    bench = Bench()
    bench.exporter.export(records(1))
    bench.exporter.shutdown()
    bench.exporter.shutdown()
    assert len(bench.server.requests) == 1


def test_export_after_shutdown_fails_and_is_counted() -> None:
    bench = Bench()
    bench.exporter.shutdown()
    assert bench.exporter.export(records(3)) is LogRecordExportResult.FAILURE
    assert bench.exporter.export([]) is LogRecordExportResult.FAILURE
    assert bench.exporter.health().dropped == {"shutdown": 3}
    bench.check_ledger()


def test_the_sdk_passes_its_timeout_on() -> None:
    from inspect import getfullargspec

    assert "timeout_millis" in getfullargspec(LogwellLogExporter.shutdown).args


@pytest.mark.parametrize(
    ("reply", "attempts"), [(REFUSED, 1), (RATE_LIMITED, 1), (UNAUTHORIZED, 1), (SERVER_ERROR, 1)]
)
def test_with_known_trouble_one_attempt_is_made(reply: Answer | NoAnswer, attempts: int) -> None:
    bench = Bench()
    bench.server.always = lambda _: reply
    bench.exporter.export(records(250))
    bench.run(300)
    before, began = len(bench.server.requests), bench.clock()
    bench.exporter.shutdown()
    assert len(bench.server.requests) - before == attempts
    assert bench.clock() - began < 1.5
    health = bench.exporter.health()
    assert (health.held, health.dropped) == (0, {"shutdown": 250})
    assert "250 entries were dropped at shutdown" in bench.said[-1]
    bench.check_ledger()


def test_the_one_attempt_drains_everything_if_the_server_is_back() -> None:
    bench = Bench()
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(250))
    bench.run(300)
    bench.server.always = lambda _: None
    bench.exporter.shutdown()
    assert bench.server.stored == messages(250)


@pytest.mark.parametrize("failures", range(1, 8))
def test_the_next_try_is_made_at_once_however_long_the_wait_was_to_be(failures: int) -> None:
    bench = Bench()
    bench.server.replies = [REFUSED] * failures
    bench.exporter.export(records(250))
    while len(bench.server.requests) < failures:
        bench.run(0.01)
    began = bench.clock()
    bench.exporter.shutdown()
    assert bench.server.stored == messages(250)
    assert bench.clock() - began < 1.5


def test_a_server_that_restarts_just_now_is_tried_for_a_second() -> None:
    bench = Bench()
    bench.server.replies = [REFUSED] * 2
    bench.exporter.export(records(5))
    began = bench.clock()
    bench.exporter.shutdown()
    assert bench.server.stored == messages(5)
    assert bench.clock() - began < 2


def test_a_pace_that_is_merely_slow_is_kept_within_the_budget() -> None:
    bench = Bench(requests_per_minute=60)
    bench.exporter.export(records(7_000))
    bench.exporter.shutdown(30_000)
    stored = len(bench.server.stored)
    assert 60 * 100 <= stored < 7_000 + 1
    assert bench.exporter.health().dropped.get("shutdown", 0) == 7_000 - stored


# With real sockets and the real thread.


def seconds_of_shutdown(exporter: LogwellLogExporter) -> float:
    began = time.monotonic()
    exporter.shutdown()
    return time.monotonic() - began


def test_a_well_server_gets_everything(receiver: DevServer) -> None:
    exporter = LogwellLogExporter(receiver.url, receiver.key)
    exporter.export(records(2_000))
    exporter.shutdown()
    assert [entry.message for entry in receiver.entries()] == messages(2_000)


@pytest.mark.socket
def test_refused_connections_end_it_long_before_its_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    exporter = LogwellLogExporter(f"http://127.0.0.1:{port}", KEY)
    exporter.export(records(10))
    assert seconds_of_shutdown(exporter) < 10  # 1.5 s on a clock that nothing holds up, see above
    assert exporter.health().dropped == {"shutdown": 10}


@pytest.mark.socket
def test_a_server_that_never_answers_ends_it_before_its_request_is_over() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        exporter = LogwellLogExporter(f"http://127.0.0.1:{silent.getsockname()[1]}", KEY)
        exporter.export(records(10))
        time.sleep(0.1)  # its request is under way, with the long time-out
        assert seconds_of_shutdown(exporter) < 9  # its request may take 10
        assert exporter.health().dropped == {"shutdown": 10}


def test_a_callback_that_shuts_down_does_not_deadlock(receiver: DevServer) -> None:
    errors: list[LogwellError] = []
    exporter = LogwellLogExporter(
        receiver.url,
        receiver.key,
        on_flush=lambda _: exporter.shutdown(),
        on_error=errors.append,
    )
    exporter.export(records(1))
    assert receiver.wait_for(1)
    deadline = time.monotonic() + 5
    while exporter._engine.sender.running and time.monotonic() < deadline:  # noqa: SLF001
        time.sleep(0.005)
    assert not exporter._engine.sender.running  # noqa: SLF001
    assert errors == []
