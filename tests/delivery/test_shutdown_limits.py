"""What bounds a shutdown."""

from __future__ import annotations

from kit import REFUSED, Bench, records


def test_a_request_that_ends_without_an_answer_buys_no_more_time() -> None:
    """One that timed out in the middle of a shutdown once let it take 4.5 s more."""
    bench = Bench()
    bench.exporter.export(records(1))
    bench.run(1)
    answered_at = bench.engine.delivery.last_answer_at
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(1))
    bench.run(5)
    assert bench.engine.delivery.last_answer_at == answered_at
    bench.server.always = lambda _: None
    bench.run()
    assert bench.engine.delivery.last_answer_at > answered_at
