"""`opentelemetry-instrument python app.py` with nothing but environment variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.config import KEY
from support.process import instrumented, json_objects, needs_threads_at_exit

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

APP = """\
import logging

from flask import Flask

app = Flask("shop")
log = logging.getLogger("shop.orders")


@app.get("/orders/<int:number>")
def order(number):
    log.warning("order %d is late", number, extra={"request_id": "r-7"})
    return "late"


assert app.test_client().get("/orders/7").text == "late"
log.error("outside of a request")
"""
LINE_OF_WARNING = 1 + APP.splitlines().index(
    '    log.warning("order %d is late", number, extra={"request_id": "r-7"})'
)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(APP)
    return path


def test_a_web_application_beside_its_traces(receiver: DevServer, app: Path) -> None:
    receiver.faults.answer(200, body='{"accepted":9}', stored=True, times=1)
    run = instrumented(
        app,
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="",
        OTEL_LOGS_EXPORTER="logwell",
        OTEL_TRACES_EXPORTER="console",
        OTEL_METRICS_EXPORTER="none",
        OTEL_SERVICE_NAME="shop",
        LOGWELL_ENDPOINT=receiver.url,
        LOGWELL_API_KEY=receiver.key,
    )
    assert run.returncode == 0, run.stderr
    (span,) = [found for found in json_objects(run.stdout) if "context" in found]
    entries = {entry.message: entry for entry in receiver.entries()}
    assert set(entries) == {"order 7 is late", "outside of a request"}

    inside = entries["order 7 is late"]
    assert (inside.level, inside.service, inside.request_id) == ("warn", "shop", "r-7")
    assert (inside.source_file, inside.line_number) == (str(app), LINE_OF_WARNING)
    metadata = inside.metadata or {}
    assert metadata["trace_id"] == span["context"]["trace_id"].removeprefix("0x")
    assert metadata["span_id"] == span["context"]["span_id"].removeprefix("0x")
    assert metadata["otel.scope.name"] == "shop.orders"

    outside = entries["outside of a request"].metadata or {}
    assert not {"trace_id", "span_id"} & set(outside)
    # Nobody but OpenTelemetry listens to logging here, and our warnings are not exported.
    assert "logwell_otel: The server answered 9 accepted and 0 rejected for 2 entries" in run.stderr
    assert receiver.key not in run.stdout + run.stderr


@needs_threads_at_exit
def test_a_wrong_setting_is_said_without_the_key_and_the_program_runs(app: Path) -> None:
    key = "lw_s3cr3ts3cr3ts3cr3ts3cr3t"
    run = instrumented(
        app,
        OTEL_LOGS_EXPORTER="logwell",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        LOGWELL_ENDPOINT="http://127.0.0.1:9",
        LOGWELL_API_KEY=key,
        LOGWELL_HEADERS="X-Token=s3cr3tHeader",
        HTTPS_PROXY="http://user:s3cr3tProxy@127.0.0.1:9",
    )
    assert run.returncode == 0, run.stderr
    assert "api_key (LOGWELL_API_KEY): expected 'lw_' and 32 characters" in run.stderr
    assert "got 27 characters from the variable LOGWELL_API_KEY." in run.stderr
    assert run.stderr.startswith("No logs go to Logwell: ")
    assert "Traceback" not in run.stderr
    assert "s3cr3t" not in run.stdout + run.stderr


def said_in_one_line(app: Path, **variables: str) -> str:
    """What the program, which runs all the same, says of a variable that is wrong."""
    run = instrumented(
        app,
        OTEL_LOGS_EXPORTER="logwell",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        LOGWELL_ENDPOINT="http://127.0.0.1:9",
        LOGWELL_API_KEY=KEY,
        **variables,
    )
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    (said,) = [line for line in run.stderr.splitlines() if "No logs go to Logwell" in line]
    return said


@needs_threads_at_exit
@pytest.mark.parametrize("chosen", [{}, {"OTEL_PYTHON_CONFIGURATOR": "logwell"}])
@pytest.mark.parametrize("name", ["SCHEDULE_DELAY", "MAX_EXPORT_BATCH_SIZE", "MAX_QUEUE_SIZE"])
def test_a_wrong_size_of_the_queue_is_said_in_one_line(
    app: Path, name: str, chosen: dict[str, str]
) -> None:
    """OpenTelemetry's own processor refuses it too, by the name of an argument."""
    assert f"(OTEL_BLRP_{name}): " in said_in_one_line(app, **chosen, **{f"OTEL_BLRP_{name}": "-5"})


@needs_threads_at_exit
def test_nothing_is_said_where_nothing_is_wrong(receiver: DevServer, tmp_path: Path) -> None:
    """Neither about the configurator of the SDK, which ours has called."""
    program = tmp_path / "program.py"
    program.write_text('import logging\nlogging.warning("only this")\n')
    run = instrumented(
        program,
        OTEL_LOGS_EXPORTER="logwell",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        LOGWELL_ENDPOINT=receiver.url,
        LOGWELL_API_KEY=receiver.key,
    )
    assert run.returncode == 0
    assert "not loaded" not in run.stderr
    assert "Traceback" not in run.stderr
    assert [entry.message for entry in receiver.entries()] == ["only this"]


@pytest.mark.parametrize("chosen", [{}, {"OTEL_PYTHON_CONFIGURATOR": "logwell"}])
def test_a_queue_smaller_than_a_batch_is_enough(
    receiver: DevServer, tmp_path: Path, chosen: dict[str, str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text("import logging\nfor n in range(9):\n    logging.warning('%d', n)\n")
    run = instrumented(
        program,
        OTEL_LOGS_EXPORTER="logwell",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        LOGWELL_ENDPOINT=receiver.url,
        LOGWELL_API_KEY=receiver.key,
        OTEL_BLRP_MAX_QUEUE_SIZE="256",
        **chosen,
    )
    assert "No logs go" not in run.stderr
    assert sorted(entry.message for entry in receiver.entries()) == [*"012345678"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "many"),
        ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "1.5"),
        ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-1"),
    ],
)
def test_a_wrong_limit_of_opentelemetrys_is_said_in_one_line(
    app: Path, variable: str, value: str
) -> None:
    assert variable in said_in_one_line(app, **{variable: value})
