"""`OTEL_PYTHON_DISTRO=logwell`: endpoint, key and service, and nothing else to set."""

from __future__ import annotations

import json
import os
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("opentelemetry.instrumentation.distro")
pytest.importorskip("opentelemetry.instrumentation.logging.handler")

from logwell_otel import distro
from support.process import instrumented, needs_threads_at_exit

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

PROGRAM = """
import json, logging, os
from opentelemetry._logs import get_logger_provider
logging.warning("order placed")
print(json.dumps({name: value for name, value in os.environ.items() if name.startswith("OTEL_")}))
assert get_logger_provider().force_flush()
"""
EVERYTHING = {
    "OTEL_LOGS_EXPORTER": "logwell",
    "OTEL_PYTHON_CONFIGURATOR": "logwell",
    "OTEL_PYTHON_LOG_CODE_ATTRIBUTES": "true",
    "OTEL_BLRP_MAX_QUEUE_SIZE": "20480",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",  # what this environment has
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
}


@needs_threads_at_exit
def test_endpoint_key_and_service(receiver: DevServer, tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(PROGRAM)
    result = instrumented(
        path,
        OTEL_PYTHON_DISTRO="logwell",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="",
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",  # whose exporter is not installed
        LOGWELL_ENDPOINT=receiver.url,
        LOGWELL_API_KEY=receiver.key,
        LOGWELL_SERVICE="shop",
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == "WARNING:root:order placed\n"
    (entry,) = receiver.entries()
    assert (entry.message, entry.service, entry.source_file) == ("order placed", "shop", str(path))
    seen = json.loads(result.stdout)
    assert seen["OTEL_METRICS_EXPORTER"] == "none"
    assert seen["OTEL_BLRP_MAX_QUEUE_SIZE"] == "20480"


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    # Whatever is set in the test is taken back.
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_what_is_set_stays(environ: None, monkeypatch: pytest.MonkeyPatch) -> None:
    given = dict.fromkeys(EVERYTHING, "mine")
    os.environ.update(given, OTEL_PYTHON_DISTRO="logwell")
    distro.LogwellDistro().configure()
    assert {name: os.environ[name] for name in EVERYTHING} == given


@pytest.mark.parametrize(
    ("installed", "protocol", "exporter", "chosen"),
    [
        ([], "", "none", None),
        (["console"], "", "none", None),
        (["otlp_proto_http"], "", "otlp", "http/protobuf"),
        (["otlp_proto_http", "otlp_proto_grpc"], "", "otlp", "grpc"),
        (["otlp_proto_http"], "grpc", "none", "grpc"),
        (["otlp_proto_http"], "http/protobuf", "otlp", "http/protobuf"),
    ],
)
def test_traces_where_their_exporter_is_installed(
    environ: None,
    monkeypatch: pytest.MonkeyPatch,
    *,
    installed: list[str],
    protocol: str,
    exporter: str,
    chosen: str | None,
) -> None:
    monkeypatch.setattr(
        distro,
        "entry_points",
        lambda group: [EntryPoint(name, "module:name", group) for name in installed],
    )
    os.environ["OTEL_PYTHON_DISTRO"] = "logwell"
    if protocol:
        os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = protocol
    distro.LogwellDistro().configure()
    assert os.environ["OTEL_TRACES_EXPORTER"] == exporter
    assert os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == chosen


def test_a_program_that_did_not_ask_for_it_gets_the_other_distro(environ: None) -> None:
    distro.LogwellDistro().configure()
    assert os.environ.get("OTEL_LOGS_EXPORTER") == "otlp"  # as OpenTelemetry's own sets it
    assert "OTEL_BLRP_MAX_QUEUE_SIZE" not in os.environ
