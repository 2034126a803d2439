"""Off is off: nothing is looked at, nothing is sent, and what was set up can be used."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from logwell_otel import LogwellLogExporter, configure
from support.records import records

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

ELSEWHERE = "https://logs.example.com"
KEY = "lw_" + "k" * 32


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGWELL_ENDPOINT", "LOGWELL_API_KEY", "LOGWELL_SEND_IN_TESTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LOGWELL_DISABLED", "1"), ("OTEL_SDK_DISABLED", "true"), ("OTEL_SDK_DISABLED", " TRUE ")],
)
def test_no_setting_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("LOGWELL_TIMEOUT", "never")
    monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", "never")
    monkeypatch.setenv("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "many")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    pipeline = configure("nonsense", spool_dir=tmp_path / "spool", level="loud")
    root.warning("to nobody")
    assert pipeline.force_flush()
    health = pipeline.health()
    assert (health.status, health.handed_over) == ("healthy", 0)
    assert "LOGWELL_DISABLED" in health.reasons[0]
    with pipeline:
        pass
    pipeline.shutdown()
    assert (root.handlers, root.level) == (handlers, level)
    assert not (tmp_path / "spool").exists()
    assert capsys.readouterr().err == ""


def test_a_disabled_exporter_takes_records_and_does_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGWELL_DISABLED", "true")
    exporter = LogwellLogExporter()
    assert exporter.export(records(3)).name == "SUCCESS"
    assert exporter.force_flush()
    assert exporter.health().handed_over == 0
    exporter.shutdown()


@pytest.mark.parametrize("value", ["false", "0", "tru"])
def test_what_is_not_true_does_not_disable_the_sdk(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", value)
    with pytest.raises(Exception, match="endpoint"):
        configure()


def test_a_test_run_sends_nothing_to_another_machine(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = configure(ELSEWHERE, KEY)
    assert "test run" in pipeline.health().reasons[0]
    (said,) = caplog.messages
    assert f"nothing is sent to {ELSEWHERE}" in said
    assert "LOGWELL_SEND_IN_TESTS" in said


def test_unless_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LogwellLogExporter(ELSEWHERE, KEY, send_in_tests=True).health().reasons == ()
    monkeypatch.setenv("LOGWELL_SEND_IN_TESTS", "true")
    assert LogwellLogExporter(ELSEWHERE, KEY).health().reasons == ()


def test_a_server_on_this_machine_is_sent_to(receiver: DevServer) -> None:
    exporter = LogwellLogExporter(receiver.url, receiver.key)
    exporter.export(records(2))
    assert exporter.force_flush()
    assert receiver.count() == 2
    exporter.shutdown()


UNITTEST = f"""
import unittest
from logwell_otel import configure

class Case(unittest.TestCase):
    def test_it(self):
        print(configure({ELSEWHERE!r}, {KEY!r}).health().reasons)
"""


@pytest.mark.process
def test_unittest_is_a_test_run_and_a_program_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_VERSION", raising=False)
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    (tmp_path / "test_case.py").write_text(UNITTEST)
    program = tmp_path / "program.py"
    program.write_text(
        "from logwell_otel import configure\n"
        f"print(configure({ELSEWHERE!r}, {KEY!r}).health().reasons)"
    )

    def said(*arguments: str) -> str:
        run = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return run.stdout

    assert "test run" in said("-m", "unittest", "-q")
    assert said(str(program)) == "()\n"
