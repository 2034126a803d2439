"""The judge judged: what must fail a scenario does."""

from __future__ import annotations

import time
from functools import partial

import pytest

pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for OpenTelemetry 1.39

from chaos import __main__ as table
from chaos import workers
from chaos.catalogue import Scenario
from chaos.result import Figures, HangError, Result, Trial

WELL = Figures(10, 2, 9, 1, {"poison": 1}, 1)


def test_what_was_sent_and_arrived_passes() -> None:
    trial = Trial()
    trial.send(["a", "b"])
    result = trial.judge(["b", "a", "logwell-otel dropped 3 log entries"])
    assert (result.sent, result.arrived, result.duplicates) == (2, 2, 0)
    assert result.passed


@pytest.mark.parametrize(
    ("arrived", "problem"),
    [
        (["a"], "1 did not arrive: b"),
        (["a", "b", "c"], "1 arrived and were never sent: c"),
        (["a", "b", "b"], "1 duplicates, at most 0 expected"),
    ],
)
def test_what_is_missing_too_much_or_there_twice_fails(arrived: list[str], problem: str) -> None:
    trial = Trial()
    trial.send(["a", "b"])
    assert trial.judge(arrived).problems == (problem,)


def test_what_cannot_arrive_must_not_and_what_may_may() -> None:
    trial = Trial()
    trial.send(["a", "b", "c"])
    assert trial.judge(["a"], lost=["b"], maybe=["c"]).passed
    assert trial.judge(["a", "b"], lost=["b"], maybe=["c"]).problems == (
        "1 arrived though that was impossible: b",
    )


def test_a_ledger_that_does_not_add_up_fails() -> None:
    trial = Trial()
    trial.ledger(WELL, dropped=1)
    assert trial.problems == []
    trial.ledger(WELL._replace(held=0), dropped=1)
    assert len(trial.problems) == 1
    trial.ledger(WELL)
    assert trial.problems[1] == "1 dropped {'poison': 1}, not 0"


def test_a_call_that_hangs_is_noticed_and_one_that_raises_raises() -> None:
    trial = Trial()
    assert trial.within("quick", lambda: 7) == 7
    with pytest.raises(HangError, match="slow did not return"):
        trial.within("slow", partial(time.sleep, 0.5), seconds=0.05)
    with pytest.raises(ZeroDivisionError):
        trial.within("wrong", lambda: 1 / 0)


def test_the_table_says_what_failed_and_the_exit_status_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks() -> Result:
        raise HangError("shutdown did not return")

    good = Scenario("good", partial(Result, 1000, 1000, 0, 1.0, (), "twice"), None)
    monkeypatch.setattr(table, "SCENARIOS", [good])
    assert table.main([]) == 0
    monkeypatch.setattr(
        table,
        "SCENARIOS",
        [
            good,
            Scenario("bad", partial(Result, 5, 4, 0, 2.0, ("1 did not arrive: x",)), None),
            Scenario("broken", breaks, None),
        ],
    )
    assert table.main([]) == 1
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[-4:] == [
        "good 1,000 1,000 0 1.0 ok (twice)",
        "bad 5 4 0 2.0 FAILED: 1 did not arrive: x",
        "broken 0 0 0 0.0 FAILED: HangError: shutdown did not return",
        "0 s; 2 failed",
    ]


def test_requests_in_contrary_orders_are_noticed() -> None:
    one, two, three = ("a",), ("b",), ("c",)
    assert workers.in_one_order([[one, two], [two, three], [one, one, three]])
    assert not workers.in_one_order([[one, two], [two, one]])
    assert not workers.in_one_order([[one, two], [two, three], [three, one]])
