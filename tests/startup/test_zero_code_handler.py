"""Under `opentelemetry-instrument`, too, a logging call never raises, and knows log context."""

from __future__ import annotations

import logging
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for 1.39

from opentelemetry.instrumentation.logging.handler import LoggingHandler

from logwell_otel import LogwellLogExporter, zero_code
from logwell_otel import _diagnostics as notices
from logwell_otel._translation import TranslatingHandler, make_safe
from support.config import KEY
from support.process import instrumented
from support.records import Recorder, body_of, provider_with

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

PROGRAM = """\
import logging
import logging.config

import logwell_otel


class Broken:
    def __str__(self):
        raise ValueError("no text")


{before}
log = logging.getLogger("shop")
itself = []
itself.append(itself)
with logwell_otel.log_context(request_id="r-1"):
    log.warning("one %s", Broken())
    log.warning("two", extra={{"broken": Broken(), "itself": itself}})
logging.config.dictConfig(
    {{
        "version": 1,
        "disable_existing_loggers": False,
        "root": {{"level": "INFO", "handlers": []}},
    }}
)
log.info("still there after dictConfig")
"""


@pytest.mark.parametrize("configurator", [None, "logwell"])
@pytest.mark.parametrize("before", ["", "logwell_otel.configure()"])
def test_a_logging_call_never_raises_and_has_its_context(
    receiver: DevServer, tmp_path: Path, configurator: str | None, before: str
) -> None:
    path = tmp_path / "app.py"
    path.write_text(PROGRAM.format(before=before))
    result = instrumented(
        path,
        OTEL_LOGS_EXPORTER="logwell",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        LOGWELL_ENDPOINT=receiver.url,
        LOGWELL_API_KEY=receiver.key,
        **({"OTEL_PYTHON_CONFIGURATOR": configurator} if configurator else {}),
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    first, second, third = receiver.entries()
    assert first.message.startswith("one <")
    assert (first.level, first.request_id, first.source_file) == ("warn", "r-1", str(path))
    assert (second.message, second.request_id) == ("two", "r-1")
    assert second.metadata is not None
    assert "ValueError" in str(second.metadata["broken"])
    assert third.message == "still there after dictConfig"
    assert third.request_id is None


def test_a_program_without_our_exporter_is_left_alone(receiver: DevServer, tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(
        textwrap.dedent(
            """
            import logging, sys
            (handler,) = logging.getLogger().handlers
            assert "emit" not in vars(handler), vars(handler)
            loaded = [name for name in sys.modules if name.startswith("logwell_otel.")]
            # Every distro that is installed is looked at.
            names = {"zero_code", "_version", "distro", "_otel"}
            assert set(loaded) <= {f"logwell_otel.{name}" for name in names}, loaded
            """
        )
    )
    result = instrumented(
        path,
        OTEL_PYTHON_CONFIGURATOR="configurator",
        OTEL_LOGS_EXPORTER="console",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
    )
    assert result.returncode == 0, result.stderr


class Handlers:
    """The root logger with these handlers and no others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *handlers: logging.Handler) -> None:
        monkeypatch.setattr(logging.getLogger(), "handlers", [*handlers])


def test_level_formatter_and_filters_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    handler = LoggingHandler(logging.WARNING, logger_provider=provider_with(recorder))
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.addFilter(lambda record: "secret" not in record.getMessage())
    make_safe(handler, provider_with(recorder))
    emit = vars(handler)["emit"]
    make_safe(handler, provider_with(recorder))
    assert vars(handler)["emit"] is emit  # once is enough
    logger = logging.getLogger("zero_code.levels")
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    logger.setLevel(logging.DEBUG)
    logger.info("below the level")
    logger.warning("secret")
    logger.error("kept")
    assert body_of(recorder.only) == "ERROR kept"


def test_handlers_of_ours_and_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, others = TranslatingHandler(), logging.NullHandler()
    Handlers(monkeypatch, ours, others)
    zero_code.take_over()
    assert "emit" not in vars(ours)
    assert "emit" not in vars(others)


def test_a_failure_is_said_and_start_up_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    LogwellLogExporter("http://localhost:9", KEY).shutdown()

    def broken() -> None:
        raise TypeError("another handler")

    monkeypatch.setattr(zero_code, "take_over", broken)
    monkeypatch.setattr(notices, "warn", said.append)
    zero_code.after_instrumentation()
    assert said == [
        (
            "OpenTelemetry's logging handler could not be replaced (TypeError: another handler): "
            "a record with an attribute that cannot be had may raise in a logging call."
        )
    ]
    monkeypatch.delitem(sys.modules, "logwell_otel.exporter")
    zero_code.after_instrumentation()
    assert len(said) == 1
