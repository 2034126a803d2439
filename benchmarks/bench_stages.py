"""What sampling, redaction and `before_send` cost on the way of a record.

    scripts/bench stages

The same kind of record goes through the encoder without any stage (`plain`) and with each,
as `export()` does it; further rows have a signature and a decision by themselves. All take
turns within a round, so that other work on the machine hits all of them alike, and each
gets records of its own in every round: the caches find nothing but what a program would
log twice. In CPU time; limits are held against the best rounds, since what makes a round
slower is other processes' work. `sampling` keeps every record here, after the whole of its work; at
the default rates most are dropped before they are mapped, and all of it is cheaper.
"""

from __future__ import annotations

import functools
import gc
import random
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bench_encode import CODE, make_records, typical
from figures import Check, Figure, Row

from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from logwell_otel._encoding.stages import Stages
from logwell_otel.redaction import Redactor
from logwell_otel.sampling import Sampler, client_signature, signature
from logwell_otel.sampling.processor import decide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from logwell_otel._wire import LogEntry

    Work = Callable[[Any], object]

REDACTION_LIMIT: Final = 5.0
SIGNATURE_LIMIT: Final = 3.0

SECRETS: Final = (
    " by bob@example.com",
    " card 4111 1111 1111 1111",
    " password=hunter2",
    " https://shop.example/reset?token=6f1d9c",
    " Authorization: Bearer abcdef1234567890",
)
_random: Final = random.Random(1)


def _number(digits: int) -> int:
    return _random.randrange(10**digits)


def _uuid() -> uuid.UUID:
    return uuid.UUID(int=_random.getrandbits(128))


def request(_: int) -> dict[str, Any]:
    """A message of 80 characters with three numbers, and eleven attributes, two of them ids."""
    message = f"Order {_number(6)} of customer {_number(5)} processed in {_number(3)} ms by the "
    return {
        "body": (message + "checkout worker, all is well")[:80],
        "attributes": {
            "http.request.method": "GET",
            "http.route": "/api/v1/orders/{id}",
            "http.response.status_code": 200,
            "duration_ms": _random.random() * 100,
            "user.id": f"u_{_number(6)}",
            "request_id": str(_uuid()),
            "server.address": "shop-eu-1",
            "service.version": "2.14.3",
            **CODE,
        },
    }


def with_secret(index: int) -> dict[str, Any]:
    """The same with something to redact at the end of the message."""
    record = request(index)
    record["body"] += _random.choice(SECRETS)
    return record


MESSAGES: Final[dict[str, Callable[[], str]]] = {
    "constant": lambda: "Cache refreshed, all entries are up to date and nothing else to do",
    "numbers": lambda: f"Order {_number(6)} of customer {_number(5)} took {_number(3)}ms, all well",
    "a UUID": lambda: f"Request {_uuid()} of user_{_number(5)} done",
    "an address": lambda: f"Mail to u{_number(6)}@example.com queued by 10.0.{_number(2)}.7",
    "a URL": lambda: f"GET https://shop.example/p/{_number(6)}?x={_number(2)} took {_number(2)}.1s",
}


def keeps_all() -> Sampler:
    """A sampler that drops nothing, but does for every record what it does at any rate."""
    # With rates of 1.0 and no limit there would be nothing to decide.
    return Sampler(dict.fromkeys(("debug", "info", "warn"), 1.0), limit_per_second=1_000_000_000)


def look_at(entry: LogEntry) -> LogEntry | None:
    """What a `before_send` at least does."""
    return None if entry.metadata.get("http.route") == "/health" else entry


def on_the_way() -> dict[str, Work]:
    """An encoder without stages, and with each."""
    stages = {
        "plain": None,
        "sampling": Stages(partial(decide, keeps_all())),
        "sampling, default rates": Stages(partial(decide, Sampler())),
        "redaction": Stages(redactor=Redactor()),
        "sampling and redaction": Stages(partial(decide, keeps_all()), Redactor()),
        "before_send": Stages(before_send=look_at),
        "all three": Stages(partial(decide, keeps_all()), Redactor(), look_at),
    }
    return {
        name: Encoder(
            Mapper(redact=each.redact if each and each.redacts else None), stages=each
        ).encode
        for name, each in stages.items()
    }


def each(work: Callable[[str], object]) -> Work:
    """`work` for every message of a batch."""

    def all_of(messages: Sequence[str]) -> None:
        for message in messages:
            work(message)

    return all_of


def measure(
    works: dict[str, Work], batch: Callable[[str], Sequence[Any]], *, rounds: int
) -> dict[str, list[float]]:
    """Microseconds of CPU time per item, for each work the one of every round, in order.

    Args:
        works: What takes turns, by name.
        batch: Makes the items for the work of that name, anew for every round.
        rounds: How often.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    for round_number in range(rounds + 1):  # the first fills the caches
        for name, work in works.items():
            gc.collect()
            items = batch(name)
            began = time.thread_time()
            work(items)
            spent = time.thread_time() - began
            if round_number:
                taken[name].append(spent / len(items) * 1e6)
    return taken


def rows(*, quick: bool) -> Iterator[Row]:
    """The rows of this group."""
    rounds, count = (7, 200) if quick else (25, 500)
    for name, kind, limit in (
        ("typical", typical, REDACTION_LIMIT),  # the same as in bench_encode
        ("request", request, None),
        ("something to redact", with_secret, None),
    ):
        yield from _way(name, kind, limit, rounds=rounds, count=count)
    yield _signatures(rounds=rounds, count=count)
    yield _decisions(rounds=rounds, count=count)


def _way(
    name: str,
    kind: Callable[[int], dict[str, Any]],
    limit: float | None,
    *,
    rounds: int,
    count: int,
) -> Iterator[Row]:
    taken = measure(on_the_way(), lambda _: make_records(kind, count), rounds=rounds)
    plain = taken["plain"]
    added = min(taken["redaction"]) - min(plain)
    yield Row(
        f"stages, {name}",
        "records to ready bytes, in one thread",
        "µs CPU per record",
        {stage: Figure.of(costs) for stage, costs in taken.items()},
        [] if limit is None else [Check("redaction adds, best rounds, µs", added, limit)],
    )
    yield Row(
        f"stages, {name}, beside plain",
        "the same, each round against the plain one of the same round",
        "times plain",
        {
            stage: Figure.of([cost / floor for cost, floor in zip(costs, plain, strict=True)])
            for stage, costs in taken.items()
            if stage != "plain"
        },
    )


def _signatures(*, rounds: int, count: int) -> Row:
    ours = measure(
        dict.fromkeys(MESSAGES, each(signature)),
        lambda name: [MESSAGES[name]() for _ in range(count)],
        rounds=rounds,
    )
    theirs = measure(
        {"a policy server's": each(client_signature)},
        lambda _: mixed(count),
        rounds=rounds,
    )
    figures = {name: Figure.of(costs) for name, costs in ours.items()}
    slowest = max(map(min, ours.values()))
    return Row(
        "stages, signature",
        "a message by itself; one with a UUID is never found in a cache",
        "µs CPU per message",
        figures | {name: Figure.of(costs) for name, costs in theirs.items()},
        [Check("the slowest of ours, best round, µs", slowest, SIGNATURE_LIMIT)],
    )


def _decisions(*, rounds: int, count: int) -> Row:
    samplers = {
        "an error": (Sampler(), "error"),
        "info": (Sampler(), "info"),
        "info, limit of 10/s": (Sampler(limit_per_second=10), "info"),
        "info, with a policy server's signatures": (
            Sampler(pattern_rates={"0" * 32: 0.5}),
            "info",
        ),
    }
    taken = measure(
        {
            name: each(functools.partial(sampler.decide, level))
            for name, (sampler, level) in samplers.items()
        },
        lambda _: mixed(count),
        rounds=rounds,
    )
    return Row(
        "stages, decision",
        "messages of all kinds, with their signature, without a trace id",
        "µs CPU per record",
        {name: Figure.of(costs) for name, costs in taken.items()},
    )


def mixed(count: int) -> list[str]:
    """Messages of all kinds."""
    return [make() for make in _random.choices([*MESSAGES.values()], k=count)]
