"""What redaction costs an entry, beside what encoding it costs, in one run.

    python benchmarks/bench_redaction.py [entries]

A typical entry has a message of 80 characters with three numbers in it and eight
attributes, two of which no other entry has (a request id, a user id). The limit is held
against the best round: what makes a round slower is other processes' work.
"""

from __future__ import annotations

import copy
import random
import sys
import time
import uuid
from typing import TYPE_CHECKING

import msgspec

from logwell_otel.redaction import Redactor
from logwell_otel.wire import LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_US = 5.0
ROUNDS = 9
SECRETS = (
    " by bob@example.com",
    " card 4111 1111 1111 1111",
    " password=hunter2",
    " https://shop.example/reset?token=6f1d9c",
    " Authorization: Bearer abcdef1234567890",
)


def typical(randomness: random.Random) -> LogEntry:
    message = (
        f"Order {randomness.randrange(10**6)} of customer {randomness.randrange(10**5)} "
        f"processed in {randomness.randrange(1, 500)} ms by the checkout worker, all is well"
    )
    return LogEntry(
        level="info",
        message=message[:80],
        timestamp="2025-10-24T12:00:00.123456Z",
        service="shop",
        metadata={
            "http.request.method": "GET",
            "http.route": "/api/v1/orders/{id}",
            "http.response.status_code": 200,
            "duration_ms": randomness.random() * 100,
            "user.id": f"u_{randomness.randrange(10**6)}",
            "request_id": str(uuid.UUID(int=randomness.getrandbits(128))),
            "server.address": "shop-eu-1",
            "service.version": "2.14.3",
        },
    )


def with_secret(randomness: random.Random) -> LogEntry:
    entry = typical(randomness)
    entry.message += randomness.choice(SECRETS)
    return entry


def microseconds(work: Callable[[LogEntry], object], entries: list[LogEntry]) -> float:
    """Time of one entry in the best of the rounds; each gets entries of its own."""
    best = float("inf")
    for _ in range(ROUNDS):
        batch = [copy.copy(entry) for entry in entries]
        began = time.perf_counter()
        for entry in batch:
            work(entry)
        best = min(best, time.perf_counter() - began)
    return best / len(entries) * 1e6


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    randomness = random.Random(1)
    plain = [typical(randomness) for _ in range(count)]
    secret = [with_secret(randomness) for _ in range(count)]
    nothing = microseconds(lambda _: None, plain)
    encode = microseconds(msgspec.json.Encoder().encode, plain) - nothing
    typically = microseconds(Redactor().redact_entry, plain) - nothing
    found = microseconds(Redactor().redact_entry, secret) - nothing
    for name, cost in (
        ("encode a typical entry", encode),
        ("redact a typical entry", typically),
        ("redact one with something in it", found),
    ):
        print(f"{name:34} {cost:6.2f} µs  {cost / encode:6.2f} x encoding")
    print(f"{'limit for a typical entry':34} {LIMIT_US:6.2f} µs")
    return int(typically > LIMIT_US)


if __name__ == "__main__":
    sys.exit(main())
