"""Five scenarios of `scripts/chaos` at a size for a test; all of them run at full size each night.

These are the ones in which something dies that no test on a cheaper layer can kill, and one
long outage from end to end.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for OpenTelemetry 1.39

from chaos.catalogue import SCENARIOS

SMOKE = [
    "outage of 10 min: refusing, spool beyond memory",
    "receiver killed under load, 10 times",
    "kill -9 in an outage: server refusing",
    "spool: subject killed, restarted",
    "gunicorn --preload, 4 workers",
]

# What Python warns of is what some scenarios are about: forks beside threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.mark.parametrize("name", SMOKE)
def test_nothing_is_lost_in(name: str) -> None:
    (scenario,) = (one for one in SCENARIOS if one.name == name)
    assert scenario.short is not None
    assert scenario.short().problems == ()


def test_every_scenario_has_a_name_of_its_own() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)


def test_what_pages_tell_to_run_is_there() -> None:
    pages = (Path(__file__).parents[2] / "docs").glob("*.md")
    commands = [
        words
        for page in pages
        for words in re.findall(r"`scripts/chaos ([^`]+)`", page.read_text(encoding="utf-8"))
    ]
    assert len(commands) >= 10
    for words in commands:
        for word in shlex.split(words):
            assert any(word in scenario.name for scenario in SCENARIOS), words
