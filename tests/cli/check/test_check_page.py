"""docs/check.md and docs/cli.md say what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from logwell_otel.cli import main
from logwell_otel.cli.check.server import CLOCK_SECONDS
from logwell_otel.cli.check.tls import EXPIRES_SOON_DAYS
from logwell_otel.cli.spool import PATIENCE
from support.check import results
from support.server import free_port

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.socket
def test_every_step_is_explained() -> None:
    environ = {"OTEL_LOGS_EXPORTER": "logwell", "LOGWELL_STRAY": "x"}
    url = f"http://127.0.0.1:{free_port()}"
    found = results(url, environ=environ, spool_dir="spool")
    found += results(url, environ={**environ, "OTEL_CONFIG_FILE": "otel.yaml"})
    page = (DOCS / "check.md").read_text()
    names = {line.split(" | ")[0].lstrip("| ") for line in page.splitlines() if line[:1] == "|"}
    names |= {"Logs exporter", "Traces exporter", "Metrics exporter", "Versions"}
    assert {one.step for one in found} <= names


def test_numbers_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    page = (DOCS / "check.md").read_text()
    assert f"good for {EXPIRES_SOON_DAYS} days more" in page
    assert f"within {CLOCK_SECONDS:g} s of the server's `Date` header" in page
    assert f"nothing was accepted for {PATIENCE:g} s" in (DOCS / "cli.md").read_text()
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    shown = {word.strip("[],") for word in capsys.readouterr().out.split() if "--" in word}
    assert {option for option in shown if f"`{option}`" not in page} == {"--help"}
