"""One sampler, many threads: no record is decided twice, no count goes wrong."""

from __future__ import annotations

import threading

from logwell_otel.sampling import Sampler
from support.clock import run_together


def test_threads_share_one_limit_and_one_minute() -> None:
    sampler = Sampler({"info": 1.0}, limit_per_second=50, clock=lambda: 0.0, rng=lambda: 0.0)
    kept: list[float] = []
    begin = threading.Barrier(8)

    def log() -> None:
        begin.wait()
        for number in range(1000):
            decision = sampler.decide("info", f"message {number}")
            if decision.keep:
                kept.append(decision.rate)

    run_together(*[log] * 8)
    # The minute's, the second's 50, then one in 100 of the 7,949 others.
    assert kept.count(1.0) == 51
    assert kept.count(0.01) == 80


def test_patterns_and_traces_stay_within_bounds_under_threads() -> None:
    sampler = Sampler(max_patterns=50, max_traces=50, keep_trace_on_error=True)

    def log(worker: int) -> None:
        for number in range(2000):
            name = f"{'abcdefgh'[number % 8]}{'abcdefgh'[number // 8 % 8]}{'abcdefgh'[worker]}"
            sampler.decide("info", name, number + 1)
            sampler.decide("error", name, number * 7 + worker + 1)

    threads = [threading.Thread(target=log, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sampler._patterns) == 50  # noqa: SLF001 - the bound is what is tested
    assert len(sampler._traces) == 50  # noqa: SLF001
