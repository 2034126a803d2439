"""Every scenario of `scripts/chaos`, at a size for a test."""

from __future__ import annotations

import pytest

pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for OpenTelemetry 1.39

from chaos.catalogue import SCENARIOS, Scenario

SHORT = [scenario for scenario in SCENARIOS if scenario.short is not None]

# What Python warns of is what some scenarios are about: forks beside threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.mark.parametrize("scenario", SHORT, ids=[scenario.name for scenario in SHORT])
def test_nothing_is_lost_in(scenario: Scenario) -> None:
    assert scenario.short is not None
    assert scenario.short().problems == ()


def test_every_scenario_has_a_name_of_its_own() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
