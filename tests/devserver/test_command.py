"""What `serve` says, in this process; the command line is tested with the others."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel.devserver import serve
from logwell_otel.devserver.command import READY

if TYPE_CHECKING:
    from pathlib import Path

KEY = "lw_" + "k" * 32


class Screen(io.StringIO):
    """Asks the command to stop once it is ready."""

    def write(self, text: str) -> int:
        if text.startswith(READY):
            threading.Timer(0.01, os.kill, [os.getpid(), signal.SIGTERM]).start()
        return super().write(text)


def run(**options: Any) -> tuple[int, str]:
    screen = Screen()
    before = signal.getsignal(signal.SIGTERM)
    status = serve(port=0, api_key=KEY, stream=screen, **options)
    assert signal.getsignal(signal.SIGTERM) is before
    return status, screen.getvalue()


def test_the_introduction(tmp_path: Path) -> None:
    path = tmp_path / "logs.db"
    status, text = run(db=path, faults=True)
    lines = text.splitlines()
    url = lines[-2].split()[1]
    assert lines.pop(-3).startswith("  export LOGWELL_USERNAME=admin LOGWELL_PASSWORD=")
    assert status == 0
    assert lines == [
        "Logwell development server: for developing and testing, not for production.",
        f"open {url}/ to look at what arrives",
        f"  entries       {url}/api/logs",
        f"  stored in     {path}",
        f"  fault switch  {url}/_control/faults",
        "Send to it with",
        f"  export LOGWELL_ENDPOINT={url} LOGWELL_API_KEY={KEY}",
        "Read it with logwell-otel search, tail and incidents after",
        f"ready: {url} {KEY}",
        "stopped: 0 entries stored",
    ]


@pytest.mark.parametrize(
    ("faults", "warning"),
    [
        (False, "everybody who reaches 0.0.0.0 can read all entries\n"),
        (True, "everybody who reaches 0.0.0.0 can read all entries and set the fault switches\n"),
    ],
)
def test_listening_to_other_machines_is_pointed_out(faults: bool, warning: str) -> None:
    status, text = run(host="0.0.0.0", faults=faults)
    assert status == 0
    assert warning in text
    assert "stored in     memory" in text


def test_wrong_arguments(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert serve(port=0, api_key="secret") == 2
    assert serve(port=0, requests_per_minute=0) == 2
    assert serve(port=0, db=tmp_path / "missing" / "logs.db") == 1
    assert serve(host="192.0.2.1", port=0) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == "logwell-otel serve: the API key must be lw_ and 32 of A-Z a-z 0-9 _ -"
    assert "requests_per_minute must be at least 1" in errors[1]
    assert "cannot open the database" in errors[2]
    assert "cannot listen on port 0 of 192.0.2.1" in errors[3]


def test_a_port_that_needs_more_rights(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("logwell_otel.devserver.server.listen", refuse)
    assert serve(port=80) == 1
    assert "not allowed to listen on port 80" in capsys.readouterr().err


def test_what_is_said_without_the_extra() -> None:
    program = "import sys; sys.modules['uvicorn'] = None; import logwell_otel.devserver"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environ
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: the development server needs starlette and uvicorn: "
        "pip install 'logwell-otel[devserver]'"
    )
