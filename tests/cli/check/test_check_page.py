"""docs/check.md and docs/cli.md say what the code does."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from logwell_otel.cli import main
from logwell_otel.cli.check.network import EXPIRES_SOON_DAYS
from logwell_otel.cli.check.server import CLOCK_SECONDS
from logwell_otel.cli.check.startup import TIMEOUT
from logwell_otel.cli.spool import PATIENCE
from support.check import UP, results
from support.server import free_port

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.socket
def test_every_step_is_explained() -> None:
    environ = {"OTEL_LOGS_EXPORTER": "logwell", "LOGWELL_URL": "x"}
    url = f"http://127.0.0.1:{free_port()}"
    strange = msgspec.structs.replace(UP, said=["strange"])
    found = results(
        url, environ=environ, spool_dir="spool", dependencies={"start": lambda *_: strange}
    )
    page = (DOCS / "check.md").read_text()
    names = {line.split(" | ")[0].lstrip("| ") for line in page.splitlines() if line[:1] == "|"}
    steps = {one.step for one in found}
    assert {"Variables", "Spool", "Configurator", "Said at start-up"} <= steps
    assert steps - names == {"Versions"}


def test_numbers_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    page = (DOCS / "check.md").read_text()
    assert f"take {TIMEOUT:g} s" in page.replace("\n", " ")
    assert f"good for {EXPIRES_SOON_DAYS} days more" in page
    assert f"within {CLOCK_SECONDS:g} s of the server's `Date` header" in page
    assert f"nothing was accepted for {PATIENCE:g} s" in (DOCS / "cli.md").read_text()
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    shown = {word.strip("[],") for word in capsys.readouterr().out.split() if "--" in word}
    assert {option for option in shown if f"`{option}`" not in page} == {"--help"}
