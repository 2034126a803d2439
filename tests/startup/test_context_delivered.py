"""No record goes out without its context: real exporter, real server, every way to set up.

A context processor behind the batch processor loses a race now and then: with batches of
two, 152 of 80,000 records were on their way before they had their context: of the number that
is logged here, some seven.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logwell_otel.devserver import DevServerProcess
from support.process import only_logging, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDS = 4_050
BLOCK = 90

EMIT = f"""
from logwell_otel import log_context

for block in range({RECORDS // BLOCK}):
    with log_context(block=block):
        for number in range(block * {BLOCK}, (block + 1) * {BLOCK}):
            emit(number)
"""
BY_LOGGING = f"""
import logging
logging.getLogger().setLevel(logging.INFO)
emit = logging.getLogger("many").info
{EMIT}
"""
# Here the processor alone adds the context, without help from the logging handler.
BY_THE_API = f"""
from opentelemetry._logs import get_logger
logger = get_logger("many")
def emit(number): logger.emit(body=str(number))
{EMIT}
"""
CONFIGURE = """
import logwell_otel
logwell_otel.configure()
"""
PROVIDER_OF_THEIR_OWN = """
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
set_logger_provider(LoggerProvider())
"""
ZERO_CODE = {
    **only_logging(),
    "OTEL_LOGS_EXPORTER": "logwell",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
}
WAYS = {
    "our provider": ("python", CONFIGURE + BY_THE_API, {}),
    "a provider that was there": ("python", PROVIDER_OF_THEIR_OWN + CONFIGURE + BY_LOGGING, {}),
    "zero-code": ("opentelemetry-instrument python", BY_LOGGING, ZERO_CODE),
    "zero-code with our configurator": (
        "opentelemetry-instrument python",
        BY_THE_API,
        {**ZERO_CODE, "OTEL_PYTHON_CONFIGURATOR": "logwell"},
    ),
}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[DevServerProcess]:
    pytest.importorskip("opentelemetry.distro")
    # Coverage measured in these processes takes four times as long and finds nothing new.
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)
    with DevServerProcess(requests_per_minute=None) as started:
        yield started


@pytest.mark.parametrize("way", WAYS)
def test_every_record_has_its_context(way: str, receiver: DevServerProcess, tmp_path: Path) -> None:
    command, program, variables = WAYS[way]
    if way.startswith("zero-code"):
        pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for 1.39
    path = tmp_path / "program.py"
    path.write_text(program)
    run(
        f"{command} {path}",
        receiver,
        {
            **variables,
            "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "2",
            "OTEL_BLRP_MAX_QUEUE_SIZE": str(RECORDS),
            "LOGWELL_REQUESTS_PER_MINUTE": "1000000",
        },
    )
    entries = receiver.entries()
    assert [entry.message for entry in entries] == [str(number) for number in range(RECORDS)]
    assert [entry.metadata.get("block") for entry in entries] == [
        number // BLOCK for number in range(RECORDS)
    ]
