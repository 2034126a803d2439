"""Entries that break other clients: awkward values, and poison that the server cannot store."""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING, Any

from chaos.compressed import Compressed
from chaos.pipeline import texts
from chaos.result import Trial
from logwell_otel import LogwellErrorCode, LogwellLogExporter
from logwell_otel.devserver import DevServer
from support.records import record, records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.result import Result

_MARKER = "marked"
_MOST_EXTRA_REQUESTS = 20


class _Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"deeper": value}
    return value


# Each one fails its whole batch at the server when it is sent as it is.
AWKWARD: tuple[dict[str, Any], ...] = (
    {"body": "NUL \x00 in a message"},
    {"body": "NUL in metadata", "attributes": {"key\x00": "value\x00"}},
    {"body": "a lone surrogate", "attributes": {"\ud800": "\udfff"}},
    {
        "body": "a fractional line",
        "attributes": {"code.file.path": "a.py", "code.line.number": 3.5},
    },
    {"body": "the year 11970", "timestamp": 10_000 * 31_556_952 * 10**9},
    {"body": {"nested": _nested(5_000), "not a number": math.nan, "huge": 2**70}},
    {"body": " ".join(str(uuid.UUID(int=number)) for number in range(40_000))},
    {"body": _Unprintable(), "attributes": {"service.name": "s" * 5_000}},
)


def awkward_ones(count: int = 1_000) -> Result:
    """Eight awkward records among a thousand. A record's text may be changed; it arrives."""
    trial = Trial()
    with DevServer() as receiver:
        exporter = LogwellLogExporter(receiver.url, receiver.key)
        step = count // len(AWKWARD)
        batch = []
        for number in range(count):
            place, rest = divmod(number, step)
            fields = dict(AWKWARD[place]) if not rest and place < len(AWKWARD) else {}
            attributes = {**fields.pop("attributes", {}), "number": number}
            body = fields.pop("body", f"record {number}")
            batch.append(record(body, attributes=attributes, **fields))
        trial.send(texts(count, prefix="number"))
        trial.within("export", lambda: exporter.export(batch))
        trial.deliver(exporter)
        trial.ledger(exporter.health())
        trial.within("shutdown", exporter.shutdown)
        return trial.judge(f"number {entry.metadata['number']}" for entry in receiver.entries())


def poison(places: Sequence[int], count: int = 1_000) -> Result:
    """A server that answers 500 whenever a marked record is inside, clock compressed."""
    trial = Trial()
    with DevServer() as receiver:
        receiver.faults.poison(_MARKER)
        sender = Compressed(receiver)
        batch = records(count)
        for place in places:
            batch[place] = record(f"{_MARKER} {place}")
        sender.export(batch)
        trial.expect(sender.deliver(), f"still held: {sender.exporter!r}")
        _check_named(trial, sender, places)
        requests = len(receiver.requests)
        most = math.ceil(count / 100) + _MOST_EXTRA_REQUESTS * len(places)
        trial.expect(requests <= most, f"{requests} requests, at most {most} expected")
        health = sender.exporter.health()
        trial.ledger(health, dropped=len(places))
        # The report of the loss is an entry too, once something else is accepted.
        trial.expect(health.accepted >= count - len(places), "others were not all accepted")
        trial.within("shutdown", sender.exporter.shutdown)
        marked = [f"{_MARKER} {place}" for place in places]
        trial.send([*{*texts(count, prefix="message")} - {f"message {p}" for p in places}, *marked])
        return trial.judge(
            (entry.message for entry in receiver.entries()),
            lost=marked,
            remark=f"{requests} requests",
        )


def poison_alone() -> Result:
    """Nothing else to compare with: held. Once others are accepted: dropped, and named."""
    trial = Trial()
    with DevServer() as receiver:
        receiver.faults.poison(_MARKER)
        sender = Compressed(receiver)
        sender.export([record(f"{_MARKER} 0")])
        sender.pass_time(1_800)
        health = sender.exporter.health()
        trial.ledger(health)
        trial.expect(health.held == 1, "not held, though nothing was accepted")
        for first in range(0, 500, 10):
            sender.export(records(10, first))
            sender.pass_time(10)
        _check_named(trial, sender, [0])
        trial.ledger(sender.exporter.health(), dropped=1)
        trial.within("shutdown", sender.exporter.shutdown)
        trial.send([*texts(500, prefix="message"), f"{_MARKER} 0"])
        return trial.judge(
            (entry.message for entry in receiver.entries()),
            lost=[f"{_MARKER} 0"],
            remark="half an hour compressed",
        )


def _check_named(trial: Trial, sender: Compressed, places: Sequence[int]) -> None:
    sender.pass_time(5)  # the report of the loss is delivered
    named = [e.message for e in sender.errors if e.code is LogwellErrorCode.VALIDATION_ERROR]
    for place in places:
        mentions = sum(f"'{_MARKER} {place}'" in text for text in named)
        trial.expect(mentions == 1, f"{_MARKER} {place} is named {mentions} times")
