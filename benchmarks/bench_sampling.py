"""What a signature and a decision cost, beside what encoding an entry costs, in one run.

    python benchmarks/bench_sampling.py [messages]

Messages differ in what their names say; none comes twice unless it is constant. The limit
is held against the best round: what makes a round slower is other processes' work.
"""

from __future__ import annotations

import functools
import random
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING

import msgspec

from logwell_otel.sampling import Sampler, client_signature, signature
from logwell_otel.wire import LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_US = 3.0
ROUNDS = 9
RANDOM = random.Random(1)


def number(digits: int) -> int:
    return RANDOM.randrange(10**digits)


def random_uuid() -> uuid.UUID:
    return uuid.UUID(int=RANDOM.getrandbits(128))


MESSAGES: dict[str, Callable[[], str]] = {
    "constant": lambda: "Cache refreshed, all entries are up to date and nothing else to do",
    "numbers": lambda: f"Order {number(6)} of customer {number(5)} took {number(3)}ms, all is well",
    "a UUID": lambda: f"Request {random_uuid()} of user_{number(5)} done",
    "an address": lambda: f"Mail to u{number(6)}@example.com queued by 10.0.{number(2)}.7",
    "a URL": lambda: f"GET https://shop.example/p/{number(6)}?x={number(2)} took {number(2)}.1s",
}


def microseconds(work: Callable[[str], object], messages: list[str]) -> float:
    """Time of one message in the best of the rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for message in messages:
            work(message)
        best = min(best, time.perf_counter() - began)
    return best / len(messages) * 1e6


def in_threads(work: Callable[[str], object], messages: list[str], count: int) -> float:
    """Time of one message when `count` threads work at once, all of them in one process."""

    def all_messages() -> None:
        for message in messages:
            work(message)

    threads = [threading.Thread(target=all_messages) for _ in range(count)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - began) / len(messages) / count * 1e6


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    entry = LogEntry(level="info", message="m" * 80, metadata=dict.fromkeys("abcdefgh", "value"))
    encoder = msgspec.json.Encoder()
    nothing = microseconds(lambda _: None, ["m"] * count)
    encode = microseconds(lambda _: encoder.encode(entry), ["m"] * count) - nothing

    def say(name: str, cost: float) -> None:
        print(f"{name:38} {cost:6.2f} µs  {cost / encode:6.2f} x encoding an entry")

    say("encode an entry", encode)
    slowest = 0.0
    mixed: list[str] = []
    for name, make in MESSAGES.items():
        messages = [make() for _ in range(count)]
        mixed += messages[: count // len(MESSAGES)]
        ours = microseconds(signature, messages) - nothing
        slowest = max(slowest, ours)
        say(f"signature, message with {name}", ours)
        say("  by a policy server's algorithm", microseconds(client_signature, messages) - nothing)
    RANDOM.shuffle(mixed)
    for name, sampler, level in (
        ("an error", Sampler(), "error"),
        ("info", Sampler(), "info"),
        ("info, limit of 10/s", Sampler(limit_per_second=10), "info"),
    ):
        decide = functools.partial(sampler.decide, level)
        say(f"decide: {name}", microseconds(decide, mixed) - nothing)
    decide = functools.partial(Sampler().decide, "info")
    alone = in_threads(decide, mixed, 1)
    four = in_threads(decide, mixed, 4)
    print(f"{'decide: info, four threads':38} {four:6.2f} µs  {four / alone:6.2f} x one thread")
    print(f"{'limit for a signature':38} {LIMIT_US:6.2f} µs")
    return int(slowest > LIMIT_US)


if __name__ == "__main__":
    sys.exit(main())
