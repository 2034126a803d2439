"""Entries that break other clients: awkward values, and poison that the server cannot store."""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING, Any, Literal

from chaos.compressed import Compressed
from chaos.pipeline import texts
from chaos.result import Trial
from logwell_otel import LogwellLogExporter
from logwell_otel._otel import SeverityNumber
from logwell_otel.devserver import DevServer
from support.records import record, records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.result import Result

_MARKER = "marked"
_MOST_EXTRA_REQUESTS = 22
_FIREWALL_LINE = "GET /search?q=<script>alert(1)</script>"


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
        sender.pass_time(30)
        requests = len(receiver.requests)
        most = math.ceil(count / 100) + _MOST_EXTRA_REQUESTS * len(places)
        trial.expect(requests <= most, f"{requests} requests, at most {most} expected")
        sender.pass_time(300)
        _check_named(trial, sender, places)
        health = sender.exporter.health()
        trial.ledger(health)
        trial.expect(health.held == len(places), f"{health.held} held, not {len(places)}")
        trial.expect(health.status == "degraded", f"health says {health.status}")
        trial.within("shutdown", sender.exporter.shutdown)
        marked = [f"{_MARKER} {place}" for place in places]
        trial.send([*{*texts(count, prefix="message")} - {f"message {p}" for p in places}, *marked])
        return trial.judge(
            (entry.message for entry in receiver.entries()),
            lost=marked,
            remark=f"{requests} requests",
        )


def poison_alone() -> Result:
    """Nothing else to compare with: held. Once others are accepted: named, and held for hours."""
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
        health = sender.exporter.health()
        trial.ledger(health)
        trial.expect(health.held == 1, "not held, though it is not sure")
        trial.within("shutdown", sender.exporter.shutdown)
        trial.send([*texts(500, prefix="message"), f"{_MARKER} 0"])
        return trial.judge(
            (entry.message for entry in receiver.entries()),
            lost=[f"{_MARKER} 0"],
            remark="half an hour compressed",
        )


Refusal = Literal["403", "502", "connection cut", "413"]


def firewall(refusal: Refusal, count: int = 5_960) -> Result:
    """Something in front of the server that does not like one line, at the head of all others."""
    trial = Trial()
    with DevServer() as receiver:
        if refusal == "connection cut":
            receiver.faults.close(only="<script>")
        else:
            receiver.faults.answer(int(refusal), body="<html>Blocked</html>", only="<script>")
        sender = Compressed(receiver)
        sender.export([record(_FIREWALL_LINE), *records(count)])
        sender.pass_time(120)
        trial.expect(receiver.count() == count, f"{receiver.count()} of {count} stored")
        requests = len(receiver.requests)
        most = math.ceil(count / 100) + 2 * _MOST_EXTRA_REQUESTS
        trial.expect(requests <= most, f"{requests} requests, at most {most} expected")
        named = [text for text in sender.said if _FIREWALL_LINE in text]
        trial.expect(len(named) == 1, f"named {len(named)} times")
        health = sender.exporter.health()
        trial.expect(health.status == "degraded", f"health says {health.status}")
        receiver.faults.clear()
        trial.expect(sender.deliver(1_200), f"still held: {sender.exporter!r}")
        trial.ledger(sender.exporter.health())
        trial.within("shutdown", sender.exporter.shutdown)
        trial.send([*texts(count, prefix="message"), _FIREWALL_LINE])
        return trial.judge(
            (entry.message for entry in receiver.entries()), remark=f"{requests} requests"
        )


def firewall_in_a_row(refusal: Refusal, lines: int = 1_000, seconds: int = 300) -> Result:
    """Somebody scans the application: the firewall dislikes every line of it, and none after."""
    trial = Trial()
    with DevServer(requests_per_minute=None) as receiver:
        if refusal == "connection cut":
            receiver.faults.close(only="<script>")
        else:
            receiver.faults.answer(int(refusal), body="<html>Blocked</html>", only="<script>")
        sender = Compressed(receiver)
        sender.export(records(10))
        disliked = [f"{_FIREWALL_LINE} {number}" for number in range(lines)]
        for start in range(0, lines, 100):
            sender.export([record(text) for text in disliked[start : start + 100]])
        for second in range(seconds):
            sender.export([record(f"later {second}")])
            sender.pass_time(1)
        sender.pass_time(60)
        stored = receiver.count() - 10
        trial.expect(stored == seconds, f"{stored} of {seconds} that came later stored")
        receiver.faults.clear()
        trial.expect(sender.deliver(1_200), f"still held: {sender.exporter!r}")
        trial.ledger(sender.exporter.health())
        trial.within("shutdown", sender.exporter.shutdown)
        trial.send([*texts(10, prefix="message"), *disliked, *texts(seconds, prefix="later")])
        return trial.judge(
            (entry.message for entry in receiver.entries()),
            remark=f"{len(receiver.requests)} requests",
        )


def table_fails(seconds: int = 60) -> Result:
    """Every request with an error entry is answered 500, while the rest is stored."""
    trial = Trial()
    with DevServer() as receiver:
        receiver.faults.answer(500, only='"level":"error"')
        sender = Compressed(receiver)
        error = {"severity_number": SeverityNumber.ERROR, "severity_text": "ERROR"}
        sent = 0
        for second in range(seconds):
            batch = records(10, sent)
            trial.send(texts(10, sent, prefix="message"))
            sent += 10
            if second % 3 == 0:
                batch.append(record(f"error {second}", **error))
                trial.send([f"error {second}"])
            sender.export(batch)
            sender.pass_time(1)
        trial.expect(receiver.count() >= sent - 30, f"{receiver.count()} of {sent} stored at once")
        requests = len(receiver.requests)
        trial.expect(requests <= 2 * seconds + 40, f"{requests} requests")
        receiver.faults.clear()
        trial.expect(sender.deliver(120), f"still held: {sender.exporter!r}")
        trial.ledger(sender.exporter.health())
        trial.within("shutdown", sender.exporter.shutdown)
        return trial.judge(
            (entry.message for entry in receiver.entries()), remark=f"{requests} requests"
        )


def gateway_out_of_order(status: int, seconds: int = 20) -> Result:
    """A gateway refuses everything for a while; a burst a minute later is at full size."""
    trial = Trial()
    with DevServer(requests_per_minute=None) as receiver:
        sender = Compressed(receiver)
        sent = 0
        for second in range(3 * seconds):
            if second == seconds:
                receiver.faults.answer(status, body="<html>no</html>")
            if second == 2 * seconds:
                receiver.faults.clear()
            sender.export(records(50, sent))
            sent += 50
            sender.pass_time(1)
            if second == 2 * seconds - 2:
                status_then = sender.exporter.health().status
                trial.expect(status_then != "healthy", "health says healthy")
        trial.expect(sender.deliver(), f"still held: {sender.exporter!r}")
        sender.pass_time(60)
        before = len(receiver.requests)
        for first in range(sent, sent + 20_000, 100):
            sender.export(records(100, first))
        sent += 20_000
        trial.expect(sender.deliver(), f"still held: {sender.exporter!r}")
        burst = len(receiver.requests) - before
        trial.expect(burst <= 210, f"{burst} requests for a burst of 20,000")
        health = sender.exporter.health()
        trial.ledger(health)
        trial.expect(health.refused == 0, f"{health.refused} refused")
        trial.within("shutdown", sender.exporter.shutdown)
        trial.send(texts(sent, prefix="message"))
        return trial.judge(
            (entry.message for entry in receiver.entries()), remark=f"burst in {burst} requests"
        )


def _check_named(trial: Trial, sender: Compressed, places: Sequence[int]) -> None:
    named = [e.message for e in sender.errors if e.message.startswith("One entry is set aside")]
    for place in places:
        mentions = sum(f"'{_MARKER} {place}'" in text for text in named)
        trial.expect(mentions == 1, f"{_MARKER} {place} is named {mentions} times")
