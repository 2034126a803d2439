"""OpenTelemetry's configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logwell_otel.cli.check.config_file import look
from logwell_otel.cli.check.installed import Installed
from logwell_otel.cli.check.zero_code import opentelemetry
from support.check import Environment

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.cli.check.result import Finding

KEY = "lw_" + "k" * 32
OURS = """\
file_format: "1.0"
logger_provider:
  processors:
    - {kind}:
        exporter:
          logwell:
            api_key: ${{LOGWELL_API_KEY}}
"""
OTHER = OURS.replace("logwell:", "console:").partition("            api_key")[0]


def finding(path: Path, text: str) -> Finding:
    pytest.importorskip("opentelemetry.configuration")
    path.write_text(text)
    return look(str(path), Installed())


def said(found: Finding) -> str:
    return f"{found.status} {found.text} -> {found.advice}"


@pytest.mark.parametrize("kind", ["batch", "simple"])
def test_one_that_sends_to_logwell(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "otel.yaml"
    assert said(finding(path, OURS.format(kind=kind))) == (
        f"pass {path} sends logs to Logwell; OTEL_*_EXPORTER variables do not count, and settings "
        "in the file come before LOGWELL_* variables -> None"
    )


@pytest.mark.parametrize("text", [OTHER.format(kind="batch"), 'file_format: "1.0"\n'])
def test_one_that_does_not(tmp_path: Path, text: str) -> None:
    path = tmp_path / "otel.yaml"
    assert said(finding(path, text)) == (
        f"warning {path} sends no logs to Logwell -> Add to it: "
        "logger_provider: processors: - batch: exporter: logwell:"
    )


def test_one_that_is_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "otel.yaml"
    found = finding(path, f"file_format: [{KEY}")
    assert found.text.startswith(f"{path} stops the whole SDK: ")
    assert KEY not in found.text
    assert capsys.readouterr().err == ""


def test_one_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.configuration")
    found = look(str(tmp_path / "none.yaml"), Installed())
    assert "none.yaml stops the whole SDK: Configuration file not found" in found.text


def test_without_the_package() -> None:
    assert said(look("otel.yaml", Environment())) == (
        "fail OTEL_CONFIG_FILE is set, but opentelemetry-configuration is not installed, which "
        "stops the whole SDK -> Run pip install opentelemetry-configuration."
    )


def test_what_is_looked_at_with_a_file(tmp_path: Path) -> None:
    environ = {"OTEL_CONFIG_FILE": "otel.yaml"}
    found = dict(opentelemetry(environ, Environment(), "shop"))
    assert list(found) == [
        "Versions",
        "SDK",
        "Zero-code",
        "Configuration file",
        "Configurator",
        "Batches",
        "Logging handler",
        "Source location",
    ]
    assert found["Batches"].text == "the configuration file decides"


def test_a_module_below_one_that_is_not_there() -> None:
    assert Installed().module("json")
    assert not Installed().module("no_such_package.module")
    assert Installed().version("no-such-package") is None
