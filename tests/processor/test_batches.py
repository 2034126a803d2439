"""When a batch is exported: as soon as it is full, or when its oldest record has waited."""

from __future__ import annotations

from typing import Any

import pytest

from support.processor import Stepped


def stepped(**options: Any) -> Stepped:
    return Stepped(
        **{"schedule_delay_millis": 1_000, "max_export_batch_size": 3, "max_queue_size": 9}
        | options
    )


def test_an_idle_processor_waits_until_it_is_woken() -> None:
    pipeline = stepped()
    assert pipeline.step() is None
    pipeline.log("first")
    assert pipeline.woken == 1


def test_a_record_waits_for_its_delay_and_no_longer() -> None:
    pipeline = stepped()
    pipeline.log("first")
    assert pipeline.step() == pytest.approx(1.0)
    pipeline.clock.advance(0.6)
    pipeline.log("second")
    assert pipeline.step() == pytest.approx(0.4)
    pipeline.clock.advance(0.4)
    assert pipeline.step() == 0
    assert pipeline.batches == [["first", "second"]]
    assert pipeline.step() is None


def test_what_a_full_batch_leaves_keeps_its_own_time() -> None:
    """With OpenTelemetry's it waits for another whole delay."""
    pipeline = stepped()
    pipeline.log(0)
    pipeline.step()
    pipeline.clock.advance(0.9)
    for number in (1, 2, 3):
        pipeline.log(number)
    assert pipeline.step() == 0
    assert pipeline.batches == [[0, 1, 2]]
    assert pipeline.step() == pytest.approx(1.0)
    pipeline.clock.advance(1.0)
    pipeline.step()
    assert pipeline.batches == [[0, 1, 2], [3]]


def test_a_full_batch_wakes_the_thread_once() -> None:
    pipeline = stepped(max_queue_size=100)
    pipeline.log(0)
    pipeline.step()
    assert pipeline.woken == 1
    for number in (1, 2):
        pipeline.log(number)
    assert pipeline.woken == 2
    pipeline.log(3)
    assert pipeline.woken == 2, "until it has looked, or as many again are there"
    for number in (4, 5, 6):
        pipeline.log(number)
    assert pipeline.woken == 3


def test_records_keep_their_order_over_many_batches() -> None:
    pipeline = stepped(max_queue_size=1_000)
    for number in range(100):
        pipeline.log(number)
    while pipeline.step() == 0:
        pass
    pipeline.clock.advance(1)
    while pipeline.step() == 0:
        pass
    assert pipeline.bodies == list(range(100))
    assert max(map(len, pipeline.batches)) == 3


def test_a_thread_that_does_not_come_is_woken_again() -> None:
    """One that died, or was never there since C code forked without running hooks."""
    pipeline = stepped()
    pipeline.log(0)
    pipeline.step()
    pipeline.clock.advance(1.9)
    pipeline.log(1)
    assert pipeline.woken == 1
    pipeline.clock.advance(0.2)
    pipeline.log(2)
    assert pipeline.woken == 2


def test_an_interrupt_while_it_wakes_the_thread_costs_no_later_wake_up() -> None:
    pipeline = stepped()
    pipeline.step()
    pipeline.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        pipeline.log("first")
    pipeline.interrupted = False
    pipeline.log("second")
    assert pipeline.woken == 1
    pipeline.clock.advance(1)
    pipeline.step()
    assert pipeline.bodies == ["first", "second"]


def test_what_later_processors_change_is_not_exported() -> None:
    pipeline = stepped()

    class Changing:
        def on_emit(self, log_record: Any) -> None:
            log_record.log_record.body = "changed"

    pipeline.provider.add_log_record_processor(Changing())  # type: ignore[arg-type] # it is asked no more
    pipeline.log("as it was")
    pipeline.clock.advance(1)
    pipeline.step()
    assert pipeline.bodies == ["as it was"]
