from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import logwell_otel.handler

PROGRAM = """
import logging
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, ConsoleLogRecordExporter
from logwell_otel.handler import LogwellHandler

provider = LoggerProvider()
provider.add_log_record_processor(
    BatchLogRecordProcessor(ConsoleLogRecordExporter(formatter=lambda data: data.log_record.body))
)
logging.getLogger().addHandler(LogwellHandler(logger_provider=provider))
logging.warning("last words")
"""


def test_a_process_that_ends_sends_its_records_and_says_nothing() -> None:
    # logging.shutdown() flushes every handler, at a time when Python 3.12 and later refuse
    # to start the thread that OpenTelemetry's flush() wants.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(logwell_otel.handler.__file__).parents[1])},
    )
    assert (done.stdout, done.stderr, done.returncode) == ("last words", "", 0)
