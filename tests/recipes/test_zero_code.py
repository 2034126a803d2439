from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("opentelemetry.distro")


from support.process import location, location_of, needs_threads_at_exit, own_metadata, run

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer

VARIABLES = {
    "LOGWELL_SERVICE": "",
    "OTEL_SERVICE_NAME": "shop",
    "OTEL_LOGS_EXPORTER": "logwell",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
}


@needs_threads_at_exit
@pytest.mark.parametrize("configurator", ["logwell", ""])
def test_zero_code(receiver: DevServer, configurator: str) -> None:
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for 1.39
    variables = {**VARIABLES, "OTEL_PYTHON_CONFIGURATOR": configurator}
    done = run("opentelemetry-instrument python zero_code.py", receiver, variables)
    entries = receiver.entries()
    assert [(entry.level, entry.message, entry.service) for entry in entries] == [
        ("info", "order placed", "shop"),
        ("warn", "stock is low", "shop"),
    ] * 1000
    for number, entry in enumerate(entries):
        order = number // 2
        assert own_metadata(entry) == {"order_id": order, "request_id": f"r-{order}"}
        assert location_of(entry) == location("zero_code.py", f'"{entry.message}"')
    # OpenTelemetry notes which of two configurators it does not load. Warnings are printed as
    # Python prints them where nothing else does, and nothing else is said.
    said = [line for line in done.stderr.splitlines() if not line.startswith("Configuration of ")]
    assert said == ["stock is low"] * 1000
