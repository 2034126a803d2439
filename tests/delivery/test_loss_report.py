"""What was dropped is said where people look for their logs: in Logwell."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import msgspec

from logwell_otel._delivery.limits import Limits
from logwell_otel._delivery.status import LossReport
from support.bench import Bench
from support.records import record, records
from support.server import REFUSED

OVERFLOW: dict[str, Any] = {"max_queue_bytes": 1_048_576}


def reports(bench: Bench) -> list[dict[str, Any]]:
    """The reports that the server got."""
    entries = [entry for body in bench.server.bodies for entry in msgspec.json.decode(body)]
    return [entry for entry in entries if entry["message"].startswith("logwell-otel dropped")]


def overflow(bench: Bench) -> int:
    """More is logged during an outage than can be held; returns how much was dropped."""
    before = bench.exporter.health().dropped.get("queue_overflow", 0)
    bench.server.replies = [REFUSED] * 3
    for first in range(0, 10_000, 100):
        bench.exporter.export(records(100, first=first))
    return bench.exporter.health().dropped["queue_overflow"] - before


def test_what_overflowed_in_an_outage_is_reported_after_it() -> None:
    bench = Bench(service="shop", **OVERFLOW)
    lost = overflow(bench)
    bench.run()
    (report,) = reports(bench)
    metadata = report.pop("metadata")
    since, until = metadata.pop("logwell.dropped_since"), metadata.pop("logwell.dropped_until")
    assert since < until == report.pop("timestamp")
    assert report == {
        "level": "warn",
        "message": f"logwell-otel dropped {lost} log entries",
        "service": "shop",
    }
    assert metadata == {
        "otel.scope.name": "logwell_otel",
        "logwell.dropped": {"queue_overflow": lost},
    }
    bench.check_ledger()


def test_an_entry_that_is_given_up_at_the_end_of_all_traffic_is_reported_at_once() -> None:
    bench = Bench()
    bench.server.poison = "poison"
    bench.exporter.export([*records(999), record("poison")])
    for hour in range(7):
        bench.run(3600)
        bench.exporter.export(records(1, 999 + hour))
    bench.run()
    assert [report["message"] for report in reports(bench)] == ["logwell-otel dropped 1 log entry"]
    assert reports(bench)[0]["metadata"]["logwell.dropped"] == {"poison": 1}
    bench.check_ledger()


def test_a_second_loss_within_a_minute_waits_for_the_minute() -> None:
    bench = Bench(**OVERFLOW)
    first = overflow(bench)
    bench.run()
    second = overflow(bench)
    bench.run()
    assert len(reports(bench)) == 1
    bench.clock.sleep(60)
    bench.exporter.export(records(1))
    bench.run()
    assert [report["metadata"]["logwell.dropped"] for report in reports(bench)] == [
        {"queue_overflow": first},
        {"queue_overflow": second},
    ]


def test_a_second_loss_within_a_minute_of_the_end_is_reported_at_shutdown() -> None:
    bench = Bench(**OVERFLOW)
    first = overflow(bench)
    bench.run()
    second = overflow(bench)
    bench.run()
    bench.exporter.shutdown()
    assert [report["metadata"]["logwell.dropped"] for report in reports(bench)] == [
        {"queue_overflow": first},
        {"queue_overflow": second},
    ]
    assert bench.exporter.health().held == 0
    bench.check_ledger()


def test_a_shutdown_into_a_server_that_is_down_adds_nothing_that_is_lost_too() -> None:
    bench = Bench(**OVERFLOW)
    overflow(bench)
    bench.server.replies = [REFUSED] * 1000
    bench.run(30)
    held = bench.exporter.health().held
    bench.exporter.shutdown()
    assert bench.exporter.health().dropped["shutdown"] == held
    assert reports(bench) == []
    bench.check_ledger()


def test_a_shutdown_into_a_server_that_is_back_reports_what_the_outage_cost() -> None:
    """The report came after the outbox was closed, and was itself counted as a loss."""
    bench = Bench(**OVERFLOW)
    overflow(bench)
    bench.server.replies = [REFUSED] * 3
    bench.run(1)
    assert bench.exporter.health().consecutive_failures
    bench.server.replies = []
    bench.exporter.shutdown()
    assert len(reports(bench)) == 1
    assert set(bench.exporter.health().dropped) == {"queue_overflow"}
    bench.check_ledger()


def test_no_loss_no_report() -> None:
    bench = Bench()
    bench.exporter.export(records(300))
    bench.run()
    bench.exporter.shutdown()
    assert reports(bench) == []
    assert repr(Limits(bench.engine.outbox)) == "<Limits 100 entries, 500000 bytes>"


def test_two_threads_report_a_loss_once() -> None:
    """Shutdown's report and the sender's, at the same moment, were two of the same loss."""
    bench = Bench(**OVERFLOW)
    overflow(bench)
    losses = LossReport(bench.engine.outbox, clock=bench.clock, wall=bench.clock)
    both_have_found_it = threading.Barrier(2)

    def now() -> float:
        with contextlib.suppress(threading.BrokenBarrierError):
            both_have_found_it.wait(0.2)
        return bench.clock()

    losses._wall = now  # noqa: SLF001 - asked for between finding a loss and noting it
    reported: list[bool] = []
    threads = [
        threading.Thread(target=lambda: reported.append(losses.report(at_once=True)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reported) == [False, True]


def totals(bench: Bench) -> list[str]:
    return [text for text in bench.said if text.startswith("Lost since")]


def test_what_was_lost_in_all_is_one_line_at_shutdown() -> None:
    """Warnings about an overflow come once a minute: what they said of 15,000 added up to 3,900."""
    bench = Bench(**OVERFLOW)
    lost = overflow(bench) + overflow(bench)
    bench.engine.dropped_before(400, "processor_queue_full")
    bench.engine.dropped_before(7, "sampled")
    bench.run()
    assert totals(bench) == []
    bench.exporter.shutdown()
    health = bench.exporter.health()
    assert health.dropped == {"queue_overflow": lost, "processor_queue_full": 400, "sampled": 7}
    assert totals(bench) == [
        (
            f"Lost since the start: {lost + 400} of {health.handed_over} entries "
            f"(400 processor_queue_full, {lost} queue_overflow)."
        )
    ]
    bench.exporter.shutdown()
    bench.engine._leave()  # noqa: SLF001 - the end of the process
    assert len(totals(bench)) == 1


def test_what_was_left_at_the_end_is_in_it() -> None:
    bench = Bench(**OVERFLOW)
    bench.engine.outbox.put([], {"poison": 2})
    bench.server.replies = [REFUSED] * 1000
    bench.exporter.export(records(5))
    bench.run(30)
    bench.exporter.shutdown()
    assert totals(bench) == ["Lost since the start: 7 of 7 entries (2 poison, 5 shutdown)."]


def test_what_is_said_anyway_is_not_said_twice() -> None:
    bench = Bench()
    bench.server.replies = [REFUSED] * 1000
    bench.exporter.export(records(5))
    bench.exporter.shutdown()
    bench.engine._leave()  # noqa: SLF001 - the end of the process
    assert bench.exporter.health().dropped == {"shutdown": 5}
    assert totals(bench) == []
