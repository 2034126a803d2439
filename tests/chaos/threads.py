"""Threads that do everything at once, and callbacks that do what they should not."""

from __future__ import annotations

import functools
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from chaos.pipeline import Pipeline, texts
from chaos.result import Figures, Trial
from logwell_otel import LogwellLogExporter
from logwell_otel.devserver import DevServer
from support.records import records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chaos.result import Result

_BATCHES = 20
_BATCH = 7


def all_at_once(repetitions: int) -> Result:
    """`export` twice, `force_flush` and `shutdown`, on three threads that change every µs.

    What is exported after the shutdown is dropped and counted; nothing else is lost.
    """
    trial = Trial()
    maybe: list[str] = []
    with DevServer(requests_per_minute=None) as receiver, _switching_every(1e-6):
        for repetition in range(repetitions):
            exporter = LogwellLogExporter(receiver.url, receiver.key)
            first, before = repetition * 10_000, receiver.count()
            _together(
                trial,
                functools.partial(_export, exporter, first),
                functools.partial(_export, exporter, first + 1_000),
                functools.partial(_flush_and_shut_down, exporter),
            )
            trial.within("shutdown", exporter.shutdown)
            for start in (first, first + 1_000):
                maybe += texts(_BATCHES * _BATCH, start, "message")
            figures, stored = Figures.of(exporter.health()), receiver.count() - before
            trial.expect(figures.adds_up, f"the ledger does not add up: {figures}")
            trial.expect(figures.held == 0, f"{figures.held} held after shutdown")
            trial.expect({*figures.dropped} <= {"shutdown"}, f"dropped: {figures.dropped}")
            trial.expect(figures.accepted == stored, f"{figures.accepted} accepted, {stored} there")
        trial.send(maybe)
        return trial.judge(
            (entry.message for entry in receiver.entries()),
            maybe=maybe,
            remark=f"{repetitions} times; rest exported after shutdown",
        )


def callback(does: Literal["logs", "flushes", "raises", "shuts down"], count: int = 300) -> Result:
    """`on_error` and `on_flush` that use what they are called from."""
    trial, calls = Trial(), list[str]()
    with DevServer() as receiver:
        act: Callable[[], object]

        def on_event(_: Any) -> None:
            calls.append(f"callback {len(calls)}")
            if len(calls) <= 5:  # a callback that always logs has always something to send
                act()

        pipeline = Pipeline(receiver, on_error=on_event, on_flush=on_event)
        exporter = pipeline.exporter

        def log() -> None:
            text = calls[-1]
            trial.send([text])
            pipeline.log([text])

        def flush() -> None:
            exporter.force_flush(5_000)
            pipeline.provider.force_flush()

        def fail() -> None:
            raise RuntimeError("a callback's own trouble")

        actions = {"logs": log, "flushes": flush, "raises": fail, "shuts down": exporter.shutdown}
        act = actions[does]
        receiver.faults.answer(503, times=2)
        for first in range(0, count, 100):
            messages = texts(100, first)
            trial.send(messages)
            pipeline.log(messages)
            trial.within("provider.force_flush", pipeline.provider.force_flush)
        if does == "shuts down":
            _wait_for_end(trial, exporter)
        else:
            trial.deliver(exporter)
        trial.within("provider.shutdown", pipeline.provider.shutdown)
        figures = Figures.of(exporter.health())
        trial.expect(figures.adds_up, f"the ledger does not add up: {figures}")
        trial.expect(calls, "the callbacks were never called")
        late = texts(count) if does == "shuts down" else []
        trial.expect(late or not figures.dropped, f"dropped: {figures.dropped}")
        return trial.judge((entry.message for entry in receiver.entries()), maybe=late)


def _export(exporter: LogwellLogExporter, first: int) -> None:
    for batch in range(_BATCHES):
        exporter.export(records(_BATCH, first + batch * _BATCH))


def _flush_and_shut_down(exporter: LogwellLogExporter) -> None:
    while exporter.health().handed_over < _BATCH * _BATCHES:  # half of it
        exporter.force_flush(2_000)
    exporter.shutdown()


def _together(trial: Trial, *works: Callable[[], None]) -> None:
    ready = threading.Barrier(len(works))
    failures: list[BaseException] = []

    def start(work: Callable[[], None]) -> None:
        ready.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    threads = [threading.Thread(target=start, args=(work,), daemon=True) for work in works]

    def run() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    trial.within("three threads", run)
    if failures:
        raise failures[0]


def _wait_for_end(trial: Trial, exporter: LogwellLogExporter) -> None:
    def wait() -> None:
        while exporter._engine.sender.running:  # noqa: SLF001 - nothing public tells
            threading.Event().wait(0.005)

    trial.within("the sender's end", wait)


@contextmanager
def _switching_every(seconds: float) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
