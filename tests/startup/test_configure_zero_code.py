"""`configure()` in a program that `OTEL_LOGS_EXPORTER=logwell` has set up: nothing goes twice."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from logwell_otel import LogwellLogExporter
from logwell_otel.devserver import DevServer
from logwell_otel.setup import zero_code_exporter
from support.config import KEY
from support.process import instrumented, needs_threads_at_exit

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

OTHER_KEY = "lw_" + "o" * 32


def run(
    receiver: DevServer, tmp_path: Path, program: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "app.py"
    path.write_text(textwrap.dedent(program))
    settings = {
        "OTEL_LOGS_EXPORTER": "logwell",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "shop",
        "LOGWELL_ENDPOINT": receiver.url,
        "LOGWELL_API_KEY": receiver.key,
    }
    return instrumented(path, **{**settings, **variables})


@pytest.mark.parametrize("configurator", [None, "logwell"])
def test_it_takes_the_exporter_that_is_there(
    receiver: DevServer, tmp_path: Path, configurator: str | None
) -> None:
    result = run(
        receiver,
        tmp_path,
        """
        import logging, os, threading, logwell_otel
        with logwell_otel.configure() as pipeline:
            assert logwell_otel.configure() is pipeline
            for number in range(3):
                logging.info("message %d", number)
        assert pipeline.health().accepted == 3, pipeline.health()
        logging.warning("the last one")
        pipeline.shutdown()
        assert pipeline.health().accepted == 4, pipeline.health()
        os._exit(0)
        """,
        **({"OTEL_PYTHON_CONFIGURATOR": configurator} if configurator else {}),
    )
    assert result.returncode == 0, result.stderr
    assert [(entry.message, entry.service) for entry in receiver.entries()] == [
        ("message 0", "shop"),
        ("message 1", "shop"),
        ("message 2", "shop"),
        ("the last one", "shop"),
    ]


def test_another_project_gets_an_exporter_of_its_own(receiver: DevServer, tmp_path: Path) -> None:
    with DevServer(api_key=OTHER_KEY) as other:
        result = run(
            receiver,
            tmp_path,
            f"""
            import logging, logwell_otel
            with logwell_otel.configure({other.url!r}, {OTHER_KEY!r}):
                logging.info("to both")
            """,
        )
        assert result.returncode == 0, result.stderr
        assert [entry.message for entry in other.entries()] == ["to both"]
    assert [entry.message for entry in receiver.entries()] == ["to both"]


def test_arguments_that_come_too_late_are_named(receiver: DevServer, tmp_path: Path) -> None:
    """Those that say what the variables say have nothing to add."""
    result = run(
        receiver,
        tmp_path,
        """
        import logging, logwell_otel
        logwell_otel.configure(service="another", timeout=3, max_queue_bytes=33_554_432)
        logging.info("once")
        """,
    )
    assert result.returncode == 0, result.stderr
    assert (
        "logwell_otel: OTEL_LOGS_EXPORTER or the configuration file has set up what sends to this "
        "server with this key. What is given now differs from it in service, timeout. "
        "Set them there or by their LOGWELL_* variables, or leave logwell out of "
        "OTEL_LOGS_EXPORTER. Until then what was given first counts.\n"
    ) in result.stderr
    assert [(entry.message, entry.service) for entry in receiver.entries()] == [("once", "shop")]


@needs_threads_at_exit
@pytest.mark.parametrize("argument", ["redact=True", "before_send=print"])
def test_what_must_be_kept_back_is_an_error(
    receiver: DevServer, tmp_path: Path, argument: str
) -> None:
    result = run(receiver, tmp_path, f"import logwell_otel\nlogwell_otel.configure({argument})")
    assert f"What is given now differs from it in {argument.partition('=')[0]}." in result.stderr
    assert result.stderr.endswith("leave logwell out of OTEL_LOGS_EXPORTER. Nothing was changed.\n")
    assert result.returncode == 1


def test_only_where_zero_code_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = LogwellLogExporter("http://localhost:9", KEY)
    identity = exporter._config.identity  # noqa: SLF001 - what `configure` looks for
    assert zero_code_exporter(identity) is None
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "console, logwell")
    assert zero_code_exporter(identity) is exporter
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "otlp")
    assert zero_code_exporter(identity) is None
    monkeypatch.setenv("OTEL_CONFIG_FILE", "otel.yaml")
    assert zero_code_exporter(identity) is exporter
    exporter.shutdown()
    assert zero_code_exporter(identity) is None


def test_shutting_down_does_not_wait_for_a_server_that_is_down(
    receiver: DevServer, tmp_path: Path
) -> None:
    receiver.stop()
    result = run(
        receiver,
        tmp_path,
        """
        import logging, time, logwell_otel
        pipeline = logwell_otel.configure()
        logging.info("held")
        began = time.monotonic()
        pipeline.shutdown()
        assert time.monotonic() - began < 10, time.monotonic() - began
        """,
    )
    assert result.returncode == 0, result.stderr
