"""A reader's terminal: a bare virtual environment, and the project's wheel installed into it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

import pytest

from support.process import PATIENCE

ROOT = Path(__file__).parents[2]
# pip fetches some twenty packages.
INSTALLING = 5 * PATIENCE


def build_wheel(directory: Path) -> Path:
    """The project's own wheel, built now."""
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(directory), str(ROOT)]
    succeeded(subprocess.run(pip, capture_output=True, text=True, timeout=PATIENCE, check=False))
    (path,) = directory.glob("*.whl")
    return path


def succeeded(done: subprocess.CompletedProcess[str]) -> None:
    if "No matching distribution found" in done.stderr:
        pytest.skip("no package index can be reached, or it lacks a dependency")
    assert done.returncode == 0, done.stderr


class Terminal(NamedTuple):
    """A shell in a directory, with a virtual environment that is active."""

    directory: Path
    environ: dict[str, str]
    wheel: Path

    @classmethod
    def open(cls, directory: Path, wheel: Path) -> Terminal:
        """Make the directory and, in it, an environment with nothing installed."""
        venv.create(directory / "venv", symlinks=True)
        # The pip of this environment working on that one: an own copy takes 5 s to make.
        pip = directory / "venv" / "bin" / "pip"
        pip.write_text(f'#!/bin/sh\nexec {sys.executable} -m pip --python {pip.parents[1]} "$@"\n')
        pip.chmod(0o755)
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LOGWELL_", "OTEL_", "PYTHON", "COVERAGE_"))
        }
        path = f"{pip.parent}{os.pathsep}{os.environ['PATH']}"
        # pip may need a proxy; the server of this test is on this machine.
        environ = {**inherited, "PATH": path, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        return cls(directory, environ, wheel)

    def start(self, *lines: str) -> subprocess.Popen[str]:
        """Start these commands; what only the reader knows has been put in."""
        return subprocess.Popen(
            ["sh", "-ec", "\n".join(lines)],
            env=self.environ,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *lines: str) -> None:
        """Run these commands to their end, all in one shell."""
        process = self.start(*lines)
        stdout, stderr = process.communicate(timeout=INSTALLING)
        succeeded(subprocess.CompletedProcess(lines, process.returncode, stdout, stderr))

    def install(self, command: str) -> str:
        """The command, which takes the project from here instead of from the index."""
        assert command.count("logwell-otel") == 1
        return command.replace("logwell-otel", str(self.wheel))
