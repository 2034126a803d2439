"""`logwell-otel serve`: its arguments, the missing extra, and that others do not need it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from logwell_otel import devserver
from logwell_otel._version import __version__
from logwell_otel.cli import main

DEFAULTS = {
    "host": "127.0.0.1",
    "port": 3000,
    "api_key": None,
    "password": None,
    "requests_per_minute": 600,
    "db": None,
    "max_bytes": 256 << 20,
    "faults": False,
    "quiet": False,
    "colour": False,
}


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_arguments_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    # A real key in the environment is none of this server's business: it would be printed.
    monkeypatch.setenv("LOGWELL_API_KEY", "lw_" + "s" * 32)
    seen: list[dict[str, Any]] = []

    def note(**options: Any) -> int:
        seen.append(options)
        return 7

    monkeypatch.setattr(devserver, "serve", note)
    given = ["--host", "::1", "--port", "1", "--api-key", "k", "--requests-per-minute", "9"]
    given += ["--db", "x.db", "--max-mib", "3"]
    monkeypatch.setenv("LOGWELL_SERVE_PASSWORD", "sesame")
    assert main(["serve", *given, "--faults", "--quiet"]) == 7
    monkeypatch.delenv("LOGWELL_SERVE_PASSWORD")
    assert main(["serve"]) == 7
    assert main(["serve", "--max-mib", "0"]) == 7
    asked = ("::1", 1, "k", "sesame", 9, "x.db", 3 << 20, True, True, False)
    assert seen == [
        dict(zip(DEFAULTS, asked, strict=True)),
        DEFAULTS,
        {**DEFAULTS, "max_bytes": None},
    ]


def test_the_key_from_a_variable_or_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[object] = []

    def note(*, api_key: object, **_: Any) -> int:
        seen.append(api_key)
        return 0

    monkeypatch.setattr(devserver, "serve", note)
    keys = [f"lw_{letter * 32}" for letter in "abcd"]
    file = tmp_path / "key"
    file.write_text(f"{keys[0]}\n")
    assert main(["serve", "--api-key-file", str(file)]) == 0
    monkeypatch.setenv("LOGWELL_SERVE_API_KEY_FILE", str(file))
    assert main(["serve"]) == 0
    monkeypatch.setenv("LOGWELL_SERVE_API_KEY", keys[1])
    assert main(["serve"]) == 0
    assert main(["serve", "--api-key-file", str(file)]) == 0
    assert main(["serve", "--api-key", keys[2]]) == 0
    assert seen == [keys[0], keys[0], keys[1], keys[0], keys[2]]
    monkeypatch.setenv("LOGWELL_SERVE_API_KEY", "lw_short")
    assert main(["serve"]) == 2
    said = capsys.readouterr().err
    assert "LOGWELL_SERVE_API_KEY" in said
    assert "lw_short" not in said


def test_entries_are_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    seen: list[bool] = []

    def note(*, colour: bool, **_: Any) -> int:
        seen.append(colour)
        return 0

    monkeypatch.setattr(devserver, "serve", note)
    monkeypatch.setattr(sys, "stdout", Tty())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert main(["serve"]) == 0
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["serve"]) == 0
    assert seen == [True, False]


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_wrong_ports(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--port", port])
    assert ended.value.code == 2
    assert f"argument --port: must be 0 to 65,535, got {port}" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["-1", "1.5", "1GB", ""])
def test_wrong_sizes(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--max-mib", size])
    assert ended.value.code == 2
    wanted = f"argument --max-mib: must be a whole number of MiB, got {size}"
    assert wanted in capsys.readouterr().err


def test_what_is_said_without_the_extra() -> None:
    done = run(
        "import sys; sys.modules['uvicorn'] = None; from logwell_otel.cli import main; "
        "sys.exit(main(['serve']))"
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "logwell-otel serve needs uvicorn, which is not installed: "
        "pip install 'logwell-otel[devserver]'\n"
    )


def test_no_other_command_needs_the_extra() -> None:
    done = run(
        "import sys; sys.modules['uvicorn'] = sys.modules['starlette'] = None\n"
        "from logwell_otel.cli import main\n"
        "main(['check']); main(['spool', 'list', '/nonexistent'])\n"
        "assert 'logwell_otel.devserver' not in sys.modules"
    )
    assert done.returncode == 0, done.stderr
    assert "FAIL     Settings" in done.stdout


def test_the_command_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"logwell-otel {__version__}\n"
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2


@pytest.mark.parametrize("command", ["check", "serve", "spool", "spool list", "spool send"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert f"usage: logwell-otel {command} " in capsys.readouterr().out


def test_the_installed_command() -> None:
    command = Path(sys.prefix, "bin", "logwell-otel")
    if not command.exists():
        pytest.skip("the project is not installed here")
    done = subprocess.run(
        [str(command), "--version"], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.stdout == f"logwell-otel {__version__}\n"
