"""What a `kill -9` may cost is a second: half of it in the processor's queue, half here.

`scripts/chaos "kill -9"` measures the sum, from the logging call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logwell_otel import setup
from logwell_otel._buffer.outbox import QUEUED_SECONDS, UNACKNOWLEDGED_SECONDS
from logwell_otel._config.options import Config
from support.bench import Bench
from support.config import KEY
from support.records import records

if TYPE_CHECKING:
    from pathlib import Path


def delay(spool_dir: str | None) -> float | None:
    config = Config.resolve(endpoint="http://localhost:1", api_key=KEY, spool_dir=spool_dir)
    return setup._schedule_delay(config)  # noqa: SLF001 - before it is the processor's


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, 500.0),
        ("", 500.0),
        ("5000", 500.0),
        ("100", 100.0),
        ("0", 0.0),  # which the processor refuses, as without a spool
        ("soon", None),  # so that it is the processor that says so
    ],
)
def test_with_a_spool_a_record_waits_half_a_second_in_the_queue_at_most(
    given: str | None, expected: float | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OTEL_BLRP_SCHEDULE_DELAY", raising=False)
    if given is not None:
        monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", given)
    assert delay(str(tmp_path)) == expected
    assert delay(None) is None


def test_both_halves_together_are_a_second() -> None:
    assert QUEUED_SECONDS + UNACKNOWLEDGED_SECONDS <= 1.0


@pytest.mark.parametrize("looks_every", [0.05, 0.1, 0.15])
def test_what_was_handed_over_is_on_disk_in_time(tmp_path: Path, looks_every: float) -> None:
    bench = Bench(spool_dir=str(tmp_path))
    bench.exporter.export(records(5))
    waited = 0.0
    while bench.exporter.health().held_on_disk < 5:
        bench.clock.sleep(looks_every)
        waited += looks_every
        bench.keep()
    assert 0.1 < waited < UNACKNOWLEDGED_SECONDS
    bench.exporter.shutdown()
