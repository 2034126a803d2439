"""OpenTelemetry's declarative configuration: `OTEL_CONFIG_FILE` and its YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("opentelemetry.configuration")

from logwell_otel.devserver import DevServer
from support.process import instrumented, json_objects

if TYPE_CHECKING:
    from pathlib import Path

APP = """\
import logging

from opentelemetry import trace

logging.basicConfig(level="INFO")
with trace.get_tracer("shop").start_as_current_span("order"):
    logging.getLogger("shop.orders").info("hello")
    logging.getLogger("shop.orders").info("left out: below the level of the exporter")
    logging.getLogger("shop.orders").error("it broke", extra={"amount": 12})
"""

CONFIG = """\
file_format: "1.0"
resource:
  attributes:
    - name: service.name
      value: shop
tracer_provider:
  processors:
    - simple:
        exporter:
          console:
logger_provider:
  processors:
    - batch:
        exporter:
          logwell:
            endpoint: ${LOGWELL_URL}
            api_key: ${LOGWELL_KEY}
            service: ${ACCOUNT}
            timeout: ${TIMEOUT:-5}
            requests_per_minute: 300
            level: ${LEVEL}
            source_location: false
            max_queue_bytes: ${NOT_SET}
            headers:
              X-Account: ${ACCOUNT}
              X-Token: ${TOKEN}
"""


def test_a_configuration_file(tmp_path: Path) -> None:
    app, config = tmp_path / "app.py", tmp_path / "otel.yaml"
    app.write_text(APP)
    config.write_text(CONFIG)
    with DevServer() as receiver:
        run = instrumented(
            app,
            OTEL_CONFIG_FILE=str(config),
            OTEL_PYTHON_LOG_CODE_ATTRIBUTES="true",
            LOGWELL_URL=f"{receiver.url}/v1/ingest",
            LOGWELL_KEY=receiver.key,
            ACCOUNT="20261120",  # which YAML reads as a number
            TOKEN="s3cr3tHeader",
            LEVEL="error",
        )
        assert run.returncode == 0, run.stderr
        entries = receiver.entries()
    assert [(entry.level, entry.message) for entry in entries] == [("error", "it broke")]
    (entry,) = entries
    assert entry.service == "20261120"
    assert (entry.source_file, entry.line_number) == (None, None)
    metadata = entry.metadata or {}
    (span,) = [found for found in json_objects(run.stdout) if "context" in found]
    assert metadata["trace_id"] == span["context"]["trace_id"].removeprefix("0x")
    assert metadata["span_id"] == span["context"]["span_id"].removeprefix("0x")
    assert metadata["amount"] == 12
    assert "s3cr3t" not in run.stdout + run.stderr
    assert receiver.key not in run.stdout + run.stderr
