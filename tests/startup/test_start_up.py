"""What start-up imports: all that it needs, and nothing that only some exporters need."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import opentelemetry.sdk._configuration, opentelemetry.sdk._logs.export
before = {*sys.modules}
from logwell_otel.exporter import LogwellLogExporter
exporter = LogwellLogExporter("http://127.0.0.1:9", "lw_" + 32 * "k")
print(*sorted({*sys.modules} - before))
exporter.shutdown()
"""


def imported(**variables: str) -> set[str]:
    """Modules beyond the SDK's that making an exporter imports."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LOGWELL_") and not name.lower().endswith("_proxy")
    }
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**environ, **variables},
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        # HTTP: with the first batch.
        "httpx",
        "httpcore",
        "http.client",
        "ssl",
        "urllib.request",
        # What configure() and the command line need.
        "asyncio",
        "multiprocessing",
        "logwell_otel.setup",
        "logwell_otel.uncaught",
        "logwell_otel.context",
        "logwell_otel.handler",
        "logwell_otel._translation",
        # What type checkers need.
        "logwell_otel.types",
        # What settings ask for.
        "logwell_otel._buffer.spool",
        "logwell_otel._buffer.overflow",
        "logwell_otel._encoding.stages",
        "logwell_otel.redaction",
        "logwell_otel.sampling",
        # What is asked for afterwards.
        "logwell_otel.health",
    ],
)
def test_start_up_does_without(module: str, plain: set[str]) -> None:
    assert "logwell_otel.exporter" in plain
    assert module not in plain


@pytest.fixture(scope="module")
def plain() -> set[str]:
    return imported()


def test_a_spool_is_imported_where_it_is_asked_for(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("spool")
    assert "logwell_otel._buffer.spool" in imported(LOGWELL_SPOOL_DIR=str(directory))


def test_proxies_are_looked_for_where_a_variable_names_one() -> None:
    assert "urllib.request" in imported(https_proxy="http://proxy.example:3128")
