"""How long the end of a `with configure()` block waits, and `shutdown` under zero-code start-up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from logwell_otel._delivery import worker as patience

if TYPE_CHECKING:
    import pytest

    from logwell_otel.health import Health


class Delivery:
    """What a flush and a look at the health find, one after the other; counts the flushes."""

    def __init__(self, *accepted: int, failures: int = 0, stored_after: int = 100) -> None:
        self._accepted = list(accepted)
        self._failures = failures
        self._stored_after = stored_after
        self.flushes: list[int] = []

    def flush(self, timeout_millis: int) -> bool:
        self.flushes.append(timeout_millis)
        return len(self.flushes) >= self._stored_after

    def health(self) -> Health:
        accepted = self._accepted.pop(0) if len(self._accepted) > 1 else self._accepted[0]
        return cast(
            "Health", SimpleNamespace(accepted=accepted, consecutive_failures=self._failures)
        )


def flushes(delivery: Delivery) -> int:
    patience.flush_while_progressing(delivery.flush, delivery.health)
    return len(delivery.flushes)


def test_what_is_stored_is_not_waited_for() -> None:
    delivery = Delivery(0, stored_after=1)
    assert flushes(delivery) == 1
    assert delivery.flushes == [2_000]


def test_a_server_that_fails_gets_one_look() -> None:
    assert flushes(Delivery(0, failures=1)) == 1


def test_a_server_that_hangs_gets_two_looks() -> None:
    assert flushes(Delivery(7)) == 2


def test_a_server_that_accepts_is_waited_for() -> None:
    assert flushes(Delivery(0, 100, 100, 200, 200, 300, stored_after=6)) == 6


def test_it_ends_after_thirty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.0)
    assert flushes(Delivery(0)) == 0
