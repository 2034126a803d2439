"""Ten minutes without a server, the clock compressed: `compressed.py` says how."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

from chaos.compressed import Compressed
from chaos.pipeline import Pipeline, texts
from chaos.result import Trial
from logwell_otel._wire import MAX_ENTRIES
from logwell_otel.devserver import DevServer, DevServerProcess
from support.records import records

if TYPE_CHECKING:
    from chaos.result import Result

Outage = Literal["refusing", "hanging", "inserts fail"]

RATE = 200
_MOST_PROBES = 40
"""Of ten minutes: five failures open the breaker, then one probe in 30 s."""


def ten_minutes(
    outage: Outage, *, seconds: int = 600, spool: bool = False, killed_connections: int = 0
) -> Result:
    """200 records a second all the time; the server comes back when the time is over.

    Args:
        outage: What the server does; with `inserts fail` its health answer stays 200.
        seconds: How long.
        spool: With a spool, and a memory of 1 MiB, far less than what comes in.
        killed_connections: Requests whose entries are stored and whose connection is then
            cut; half of them when the outage begins, half when it ends.
    """
    trial = Trial()
    with ExitStack() as stack:
        receiver = stack.enter_context(DevServer(requests_per_minute=None))
        options: dict[str, Any] = {}
        if spool:
            options["spool_dir"] = stack.enter_context(tempfile.TemporaryDirectory())
            options["max_queue_bytes"] = 1024 * 1024
        sender = Compressed(receiver, **options)
        cuts = [killed_connections // 2, killed_connections - killed_connections // 2]
        sent = 0
        for second in range(seconds + 20):
            if second == 10:
                _kill_connections(receiver, cuts[0])
            if second == 15:
                _begin(receiver, outage)
                sender.hangs = outage == "hanging"
            if second == seconds + 15:
                trial.expect(
                    receiver.count() < sent, "the outage was none: all of it has been stored"
                )
                _end(receiver, outage)
                sender.hangs = False
                _kill_connections(receiver, cuts[1])
            sender.export(records(RATE, sent))
            sent += RATE
            sender.pass_time(1.0)
        trial.send(texts(sent, prefix="message"))
        trial.expect(sender.deliver(), f"not delivered after an hour: {sender.exporter!r}")
        probes = sum(counted.status != 200 for counted in receiver.requests)
        most = _MOST_PROBES + killed_connections
        trial.expect(probes <= most, f"{probes} failing requests, at most {most} expected")
        trial.ledger(sender.exporter.health())
        trial.within("shutdown", sender.exporter.shutdown)
        return trial.judge(
            (entry.message for entry in receiver.entries()),
            duplicates=killed_connections * MAX_ENTRIES,
            remark=f"{seconds} s compressed",
        )


def receiver_killed(times: int, *, records_each: int = 2_000) -> Result:
    """`kill -9` of the receiver while requests are under way, in real time."""
    trial = Trial()
    with DevServerProcess() as receiver:
        pipeline = Pipeline(receiver)
        for number in range(times):
            messages = texts(records_each, number * records_each)
            trial.send(messages)
            pipeline.log(messages)
            pipeline.provider.force_flush()
            time.sleep(0.02 + 0.03 * (number % 5))
            receiver.kill()
            time.sleep(0.2)
            receiver.start()
            trial.within("force_flush", lambda: pipeline.exporter.force_flush(200))
        trial.deliver(pipeline.exporter)
        trial.ledger(pipeline.exporter.health())
        trial.within("shutdown", pipeline.provider.shutdown)
        return trial.judge(
            (entry.message for entry in receiver.entries()), duplicates=times * MAX_ENTRIES
        )


def _kill_connections(receiver: DevServer, times: int) -> None:
    if times:
        receiver.faults.close(times=times, stored=True)


def _begin(receiver: DevServer, outage: Outage) -> None:
    if outage == "refusing":
        receiver.stop()
    elif outage == "hanging":
        receiver.faults.hang()
    else:
        receiver.faults.fail_inserts()


def _end(receiver: DevServer, outage: Outage) -> None:
    receiver.faults.clear()
    if outage == "refusing":
        receiver.start()
