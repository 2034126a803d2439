"""`force_flush` says True only when everything is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.pipeline import Pipeline, texts
from chaos.result import Trial
from logwell_otel import LogwellBatchLogRecordProcessor
from logwell_otel.devserver import DevServerProcess, FaultSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.result import Result

COUNTS = (1, 100, 511, 512, 513, 1024)


def exact(counts: Sequence[int] = COUNTS, *, delay_ms: int = 45, repeated: int = 1) -> Result:
    """Flushes of the provider; the receiver is looked at the moment each returns."""
    trial = Trial()
    with DevServerProcess() as receiver:
        receiver.set_faults(FaultSettings(delay_ms=delay_ms))
        pipeline = Pipeline(receiver, processor=LogwellBatchLogRecordProcessor)
        sent = 0
        for count in [*counts] * repeated:
            messages = texts(count, sent)
            trial.send(messages)
            pipeline.log(messages)
            sent += count
            stored = trial.within("force_flush", lambda: pipeline.provider.force_flush(9_000))
            arrived = len(receiver.entries())
            trial.expect(stored, f"the flush of {count} says it is not stored")
            trial.expect(arrived == sent, f"after the flush of {count}: {arrived} of {sent} stored")
        trial.ledger(pipeline.exporter.health())
        trial.within("shutdown", pipeline.provider.shutdown)
        return trial.judge(entry.message for entry in receiver.entries())
