"""A day of a web shop's logs in one minute: what sampling keeps, saves, and still knows.

    python benchmarks/bench_shop_day.py [records] [seed]

1,000,000 records by default: 40 % debug, 40 % info, 15 % warn, 5 % error, of some 50
patterns, most of them in requests with a trace id, busier at noon and in the evening than
at night, with a payment provider failing for ten minutes. They go through a sampler with
the default rates, and what it keeps through the redactor. The clock is the shop's. Exit
status 1 if an error is missing or an estimate is more than 3 % off.
"""

from __future__ import annotations

import math
import random
import sys
import time
from bisect import bisect
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from logwell_otel._wire import LogEntry
from logwell_otel.redaction import Redactor
from logwell_otel.sampling import Sampler, pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from logwell_otel._wire import Level

DAY = 86_400.0
RECORDS_TO_A_REQUEST = 4
WITHOUT_TRACE = 0.15
OUTAGE = range(72_000, 72_600)  # 20:00, ten minutes
LIMIT = 0.03
LEVELS: dict[Level, float] = {"debug": 0.40, "info": 0.40, "warn": 0.15, "error": 0.05}

WORDS = ("shoes", "boots", "coat", "scarf", "red dress", "hat", "socks", "gloves")

# Weight, message. {n} is a number, {s} a small one, {u} a UUID, {ip} an address, {c} a
# token, {w} a word: no rule knows words for values, so that each makes a pattern.
PATTERNS: dict[Level, list[tuple[float, str]]] = {
    "debug": [
        (30, "SELECT products WHERE category = {s} took {s}ms, {s} rows"),
        (20, "cache hit product:{n}"),
        (10, "cache miss product:{n}, loading"),
        (8, "session {u} resumed"),
        (8, "price of product {n} is {s}.{s} EUR"),
        (6, "template product/detail.html rendered in {s}.{s}ms"),
        (5, "feature flag new-checkout is off for user_{n}"),
        (4, "connection {s} returned to pool, {s} idle"),
        (3, "recommendations for user_{n}: {s} of {s} shown"),
        (2, "lock stock:{n} acquired after {s}ms"),
        (2, "GET https://rates.example/eur?at={n} took {s}ms"),
        (1, "header Authorization: Bearer {c} accepted"),
        (1, "search index segment {s} merged, {n} documents"),
    ],
    "info": [
        (30, "GET /products/{n} 200 {s}ms"),
        (16, "GET /search?q={w} 200 {s}ms"),
        (12, "GET /health 200 {s}ms"),
        (8, "POST /cart/items 201 {s}ms"),
        (6, "user_{n} logged in from {ip}"),
        (5, "product {n} added to cart {u}"),
        (4, "order {n} placed: {s} items, {s}.{s} EUR"),
        (4, "payment {u} of order {n} authorised in {s}ms"),
        (3, "mail to kunde{n}@example.com queued: order confirmation {n}"),
        (3, "stock of product {n} is {s}"),
        (2, "worker {s} took job {u}"),
        (2, "job {u} done in {s}.{s}s"),
        (1, "sitemap written, {n} URLs"),
        (1, "customer paid with 4111 1111 1111 1111, order {n}"),
    ],
    "warn": [
        (30, "slow query: {s}ms for orders of user_{n}"),
        (20, "stock of product {n} below {s}"),
        (12, "retry {s} of payment {u} after {s}ms"),
        (10, "login of user_{n} from {ip} failed: wrong password"),
        (6, "cart {u} expired with {s} items"),
        (4, "rate limit of {ip} reached, {s} requests"),
        (2, "certificate of rates.example expires in {s} days"),
        (1, "disk of node-{s} is {s}% full"),
    ],
    "error": [
        (20, "payment {u} of order {n} failed: provider answered 502"),
        (8, "order {n} cannot be placed: stock of product {n} changed"),
        (5, "mail to kunde{n}@example.com bounced: 550 mailbox full"),
        (3, "deadlock found when trying to get lock; order {n}"),
        (1, "unhandled KeyError 'sku' in POST /cart/items"),
    ],
}
RARE: tuple[tuple[Level, str], ...] = (
    ("debug", "config reloaded by deploy"),
    ("info", "nightly report sent"),
)


class Record(NamedTuple):
    """One record of the shop."""

    at: float
    level: Level
    message: str
    trace_id: int


class Shop:
    """Makes the records of a day, in order.

    Args:
        records: About how many.
        seed: The same seed makes the same day.
    """

    def __init__(self, records: int, seed: int) -> None:
        self._records = records
        self._random = random.Random(seed)
        self._makers = {level: self._chooser(patterns) for level, patterns in PATTERNS.items()}
        self._levels = list(LEVELS)
        self._level_weights = list(accumulate(LEVELS.values()))
        self._counters: Counter[str] = Counter()

    def _chooser(self, patterns: list[tuple[float, str]]) -> Callable[[], str]:
        weights = list(accumulate(weight for weight, _ in patterns))
        texts = [text for _, text in patterns]
        draw = self._random.random
        return lambda: self._fill(texts[bisect(weights, draw() * weights[-1])])

    def _fill(self, text: str) -> str:
        draw = self._random.getrandbits
        out = []
        for part in text.split("{"):
            kind, brace, rest = part.partition("}")
            if not brace:
                out.append(part)
                continue
            if kind == "n":
                out.append(str(draw(17)))
            elif kind == "s":
                out.append(str(draw(7)))
            elif kind == "u":
                hexes = f"{draw(128):032x}"
                out.append(
                    "-".join((hexes[:8], hexes[8:12], hexes[12:16], hexes[16:20], hexes[20:]))
                )
            elif kind == "ip":
                out.append(f"10.{draw(8)}.{draw(8)}.{draw(8)}")
            elif kind == "w":
                out.append(WORDS[draw(3)])
            else:
                out.append(f"{draw(128):032x}")
            out.append(rest)
        return "".join(out)

    def records(self) -> Iterator[Record]:
        """Yield the day."""
        draw = self._random.random
        requests = self._records / RECORDS_TO_A_REQUEST
        rare = {int(requests * hour / 24): hour for hour in range(24)}
        at = 0.0
        for number in range(int(requests)):
            # From a tenth of the average at 4 in the morning to twice it in the afternoon.
            load = 1 - 0.9 * math.cos((at / DAY * 24 - 4) / 24 * math.tau)
            at = min(DAY, at + DAY / requests / max(0.1, load) * draw() * 2)
            trace_id = 0 if draw() < WITHOUT_TRACE else self._random.getrandbits(128) or 1
            if number in rare:
                for level, text in RARE:
                    yield Record(at, level, text, 0)
            for _ in range(RECORDS_TO_A_REQUEST):
                level = self._levels[bisect(self._level_weights, draw() * 0.999999)]
                if int(at) in OUTAGE and level == "info" and draw() < 0.5:
                    yield Record(at, "error", self._fill(PATTERNS["error"][0][1]), trace_id)
                yield Record(at, level, self._makers[level](), trace_id)


class Tally:
    """What there was, what was kept, and what the kept records say there was."""

    def __init__(self) -> None:
        self.truth: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self.estimate: dict[str, float] = dict.fromkeys(LEVELS, 0.0)
        self.bytes = 0
        self.kept_bytes = 0
        self.redacted = 0
        self.patterns: set[str] = set()
        self.kept_patterns: set[str] = set()
        self.last = 0.0


def run(records: int, seed: int) -> Tally:
    """Let a day pass."""
    now = 0.0
    sampler = Sampler(clock=lambda: now, rng=random.Random(seed + 1).random)
    redactor = Redactor()
    tally = Tally()
    for at, level, message, trace_id in Shop(records, seed).records():
        now = at
        tally.truth[level] += 1
        tally.bytes += len(message)
        tally.patterns.add(pattern(message))
        decision = sampler.decide(level, message, trace_id)
        if not decision.keep:
            continue
        tally.kept[level] += 1
        tally.kept_bytes += len(message)
        tally.estimate[level] += 1 / decision.rate
        tally.kept_patterns.add(pattern(message))
        entry = LogEntry(level=level, message=message, metadata={"sampling.rate": decision.rate})
        tally.redacted += redactor.redact_entry(entry).message != message
    tally.last = now
    return tally


def main() -> int:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began = time.perf_counter()
    tally = run(records, seed)
    took = time.perf_counter() - began
    print(f"{'':8}{'records':>11}{'share':>8}{'kept':>11}{'saved':>8}{'estimate':>12}{'off by':>9}")
    total = tally.truth.total()
    worst = 0.0
    for level in (*LEVELS, "total"):
        if level == "total":
            truth, kept, estimate = total, tally.kept.total(), sum(tally.estimate.values())
        else:
            truth, kept, estimate = tally.truth[level], tally.kept[level], tally.estimate[level]
        off = estimate / truth - 1
        worst = max(worst, abs(off))
        print(
            f"{level:8}{truth:>11,}{truth / total:>8.1%}{kept:>11,}{1 - kept / truth:>8.1%}"
            f"{estimate:>12,.0f}{off:>+9.2%}"
        )
    errors_kept = tally.kept["error"] == tally.truth["error"]
    print(
        f"errors: {'all kept' if errors_kept else 'NOT all kept'}; patterns kept: "
        f"{len(tally.kept_patterns)} of {len(tally.patterns)}; messages: "
        f"{tally.bytes / 1e6:.1f} MB, kept {tally.kept_bytes / 1e6:.1f} MB; "
        f"redacted: {tally.redacted:,}"
    )
    print(
        f"limit for an estimate {LIMIT:.0%}: {'kept' if worst <= LIMIT else 'NOT kept'}; "
        f"{tally.last / 3600:.1f} h of the shop in {took:.0f} s"
    )
    return int(not errors_kept or worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
