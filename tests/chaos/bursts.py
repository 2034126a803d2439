"""Bursts through OpenTelemetry's own processor, whose queue of 2,048 fills within 50 ms."""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

from chaos.pipeline import Pipeline, texts
from chaos.result import Trial
from logwell_otel.devserver import DevServerProcess, FaultOutcome, FaultSettings

if TYPE_CHECKING:
    from chaos.result import Result

Trouble = Literal["refusing", "hanging"]


def two_bursts(
    batch_size: int, delay_ms: int, *, records: int = 20_000, more: int = 5_000, pause: float = 1.0
) -> Result:
    """A burst and a smaller one a second later, with the settings that everybody has."""
    with DevServerProcess() as receiver:
        receiver.set_faults(FaultSettings(delay_ms=delay_ms))
        run = _Run(receiver, batch_size=batch_size)
        run.log(records)
        time.sleep(pause)
        run.log(more)
        return run.result()


def during_an_export(*, records: int = 20_000) -> Result:
    """The burst begins while a request is under way."""
    with DevServerProcess() as receiver:
        receiver.set_faults(FaultSettings(delay_ms=500))
        run = _Run(receiver)
        run.log(1)
        run.pipeline.provider.force_flush()  # the exporter has it, and sends it now
        run.log(records)
        receiver.set_faults(FaultSettings())
        return run.result()


def while_another_thread_flushes(*, records: int = 20_000, more: int = 5_000) -> Result:
    """`force_flush` of provider and exporter, all the while."""
    with DevServerProcess() as receiver:
        run = _Run(receiver)
        done = threading.Event()

        def flush() -> None:
            while not done.is_set():
                run.pipeline.provider.force_flush()
                run.pipeline.exporter.force_flush(50)

        thread = threading.Thread(target=flush)
        thread.start()
        run.log(records)
        time.sleep(1.0)
        run.log(more)
        done.set()
        thread.join()
        return run.result()


def in_an_outage(trouble: Trouble, *, spool: bool, records: int = 20_000) -> Result:
    """The server has been away for a while when the burst comes; later it is back."""
    with ExitStack() as stack:
        receiver = stack.enter_context(DevServerProcess())
        options: dict[str, Any] = {}
        if spool:
            options["spool_dir"] = stack.enter_context(tempfile.TemporaryDirectory())
        run = _Run(receiver, timeout=2.0, **options)
        if trouble == "refusing":
            receiver.kill()
        else:
            receiver.set_faults(FaultSettings(outcome=FaultOutcome("hang")))
        run.log(10)
        run.pipeline.provider.force_flush()
        time.sleep(1.2)  # the trouble is known, and a spool in use
        run.log(records)
        time.sleep(1.0)
        run.log(records // 4)
        if trouble == "refusing":
            receiver.start()
        else:
            receiver.set_faults(FaultSettings())
        return run.result()


class _Run:
    """One pipeline and the records that went into it."""

    def __init__(self, receiver: DevServerProcess, **options: Any) -> None:
        self._receiver = receiver
        self._trial = Trial()
        self._count = 0
        self.pipeline = Pipeline(receiver, **options)

    def log(self, count: int) -> None:
        messages = texts(count, self._count)
        self._count += count
        self._trial.send(messages)
        self.pipeline.log(messages)

    def result(self) -> Result:
        trial, exporter = self._trial, self.pipeline.exporter
        trial.within("provider.force_flush", self.pipeline.provider.force_flush)
        handed_over = exporter.health().handed_over
        trial.expect(
            handed_over == self._count,
            f"OpenTelemetry's queue overflowed: {handed_over} of {self._count} handed over",
        )
        trial.deliver(exporter)
        trial.ledger(exporter.health())
        trial.within("shutdown", self.pipeline.provider.shutdown)
        return trial.judge(entry.message for entry in self._receiver.entries())
