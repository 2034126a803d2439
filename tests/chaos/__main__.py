"""Run every scenario at full size and print one table; `scripts/chaos` starts it."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import sys
import time
from typing import TYPE_CHECKING

from chaos.catalogue import SCENARIOS
from chaos.result import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.catalogue import Scenario

_LONGEST_SECONDS = 600
_NAME = max(len(scenario.name) for scenario in SCENARIOS)


# The real one: the watchdog writes to the file itself.
_stderr = sys.__stderr__ or sys.stderr


def main(arguments: Sequence[str] | None = None) -> int:
    """Gives the exit status: 1 when any scenario failed, 2 when none has such a name."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("words", nargs="*", help="only scenarios whose name has one of these")
    parser.add_argument("--short", action="store_true", help="at the size that tests use")
    options = parser.parse_args(arguments)
    chosen = [one for one in SCENARIOS if _is_meant(one, options.words)]
    if not chosen:
        parser.error("no scenario has such a name")
    # What the exporter and OpenTelemetry have to say would tear the table apart; what of it
    # matters is checked by the scenarios.
    logging.basicConfig(level=logging.CRITICAL + 1)
    return 1 if _table(chosen, short=options.short) else 0


def _is_meant(scenario: Scenario, words: Sequence[str]) -> bool:
    return not words or any(word in scenario.name for word in words)


def _table(scenarios: Sequence[Scenario], *, short: bool) -> int:
    """Prints a row for each scenario as it ends; gives how many failed."""
    failed, began = 0, time.monotonic()
    _print(f"{'scenario':{_NAME}} {'sent':>8} {'arrived':>8} {'duplicates':>10} {'seconds':>8}")
    for scenario in scenarios:
        run = scenario.short if short else scenario.full
        if run is None:
            continue
        faulthandler.dump_traceback_later(_LONGEST_SECONDS, exit=True, file=_stderr)
        started = time.monotonic()
        try:
            result = run()
        except Exception as error:  # noqa: BLE001 - a row of its own, and the exit status
            seconds = time.monotonic() - started
            result = Result(0, 0, 0, seconds, (f"{type(error).__name__}: {error}",))
        faulthandler.cancel_dump_traceback_later()
        _print(row(scenario.name, result))
        failed += not result.passed
    _print(
        f"{time.monotonic() - began:.0f} s; {failed} failed"
        if failed
        else f"{time.monotonic() - began:.0f} s; all as promised"
    )
    return failed


def row(name: str, result: Result) -> str:
    verdict = "ok" if result.passed else "FAILED: " + "; ".join(result.problems)
    remark = f" ({result.remark})" if result.remark else ""
    return (
        f"{name:{_NAME}} {result.sent:8,} {result.arrived:8,} {result.duplicates:10,}"
        f" {result.seconds:8.1f}  {verdict}{remark}"
    )


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
