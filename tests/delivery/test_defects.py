"""A defect of ours, or of what it is plugged into, costs neither the thread nor an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel import LogwellLogExporter
from logwell_otel._delivery.delivery import Delivery
from logwell_otel.devserver import DevServer
from support.bench import Bench
from support.records import messages, record, records

if TYPE_CHECKING:
    from logwell_otel._encoding.chunk import Chunk


def test_a_meter_provider_that_raises_is_said_once_and_delivers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()

    def broken(*_: object) -> None:
        raise RuntimeError("no such instrument")

    monkeypatch.setattr(bench.engine.delivery, "_observe", broken)
    bench.exporter.export(records(300))
    bench.run()
    assert bench.server.stored == messages(300)
    assert len(bench.server.requests) == 3
    assert bench.said == [
        "The meter provider raised RuntimeError: no such instrument. Delivery goes on without it."
    ]
    bench.check_ledger()


def test_a_failure_before_a_request_keeps_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    send = Delivery._send  # noqa: SLF001 - a defect put inside
    failures = iter([ZeroDivisionError("first"), ZeroDivisionError("2nd")])

    def sometimes(delivery: Delivery, chunk: Chunk) -> None:
        if error := next(failures, None):
            raise error
        send(delivery, chunk)

    monkeypatch.setattr(Delivery, "_send", sometimes)
    bench.exporter.export(records(300))
    bench.run()
    assert sorted(bench.server.stored) == sorted(messages(300))
    (said, *_) = bench.said
    assert said == (
        "Delivery failed with ZeroDivisionError: first. The entries are kept and tried again. "
        "This is a defect of logwell-otel; please report it."
    )
    bench.check_ledger()


def test_an_entry_that_always_fails_is_dropped_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    send = Delivery._send  # noqa: SLF001 - as above

    def never(delivery: Delivery, chunk: Chunk) -> None:
        if b"cursed" in chunk.body():
            raise RecursionError
        send(delivery, chunk)

    monkeypatch.setattr(Delivery, "_send", never)
    bench.exporter.export([*records(950), record("cursed"), *records(49, first=950)])
    bench.run()
    assert sorted(bench.server.stored) == sorted(messages(999))
    assert bench.exporter.health().dropped == {"internal_error": 1}
    bench.check_ledger()


def test_a_failure_after_the_answer_sends_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()

    def broken(count: int) -> None:
        raise KeyError("flushed")

    monkeypatch.setattr(bench.engine.notices, "flushed", broken)
    bench.exporter.export(records(200))
    bench.run()
    assert bench.server.stored == messages(200)
    assert bench.exporter.health().held == 0
    bench.check_ledger()


@pytest.mark.socket
def test_the_thread_outlives_a_step_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with DevServer() as server:
        exporter = LogwellLogExporter(server.url, server.key)
        delivery: Delivery = exporter._engine.delivery  # noqa: SLF001 - a defect put inside
        step, failing = delivery.step, [True]

        def once(**options: Any) -> float | None:
            if failing:
                failing.clear()
                raise OSError("out of order")
            return step(**options)

        monkeypatch.setattr(delivery, "step", once)
        monkeypatch.setattr(exporter._engine.notices, "_say", said.append)  # noqa: SLF001
        exporter.export(records(3))
        assert server.wait_for(3)
        exporter.shutdown()
        assert [entry.message for entry in server.entries()] == messages(3)
    (text,) = said
    assert text == (
        "The sender's step failed with OSError: out of order. It is tried again. This is a "
        "defect of logwell-otel; please report it."
    )
