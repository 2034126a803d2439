"""A server whose rate limit is a tenth of what the client believes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.result import Trial
from logwell_otel.devserver.ingest import RateLimit
from support.bench import Bench
from support.clock import Clock
from support.records import messages, records
from support.server import RATE_LIMITED, Server

if TYPE_CHECKING:
    from chaos.result import Result

_MOST_REFUSALS = 12


def a_tenth_of_what_is_believed(count: int = 10_000) -> Result:
    """60 requests a minute at the server, 600 in the client.

    Both clocks are one that is moved: the receiver's own token bucket, in front of a
    server without a socket.
    """
    trial = Trial()
    clock = Clock()
    bucket = RateLimit(60, clock)
    server = Server(clock)
    server.always = lambda _: None if bucket.take() else RATE_LIMITED
    bench = Bench(server)
    began = clock()
    bench.exporter.export(records(count))
    trial.send(messages(count))
    bench.run()
    refusals = len(server.requests) - -(-count // 100)
    trial.expect(refusals <= _MOST_REFUSALS, f"{refusals} answers of 429")
    trial.ledger(bench.exporter.health())
    bench.exporter.shutdown()
    return trial.judge(
        server.stored, remark=f"{clock() - began:.0f} s compressed, {refusals} answers of 429"
    )
