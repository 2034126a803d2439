"""From a bare virtual environment to the first entry, by the commands of the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recipe import PATIENCE

if TYPE_CHECKING:
    from logwell_otel.devserver import Receiver

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "recipes.md"


def commands() -> list[str]:
    """The commands under the page's heading, one an element."""
    section = PAGE.read_text().split("## First entry\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return block.replace("\\\n", " ").splitlines()  # type: ignore[no-any-return]


def succeeded(done: subprocess.CompletedProcess[str]) -> None:
    if "No matching distribution found" in done.stderr:
        pytest.skip("no package index can be reached, or it lacks a dependency")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A virtual environment with nothing in it but pip."""
    directory = tmp_path / "venv"
    venv.create(directory, symlinks=True)
    # The pip of this environment working on that one: an own copy takes 5 s to make.
    pip = directory / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec {sys.executable} -m pip --python {directory} "$@"\n')
    pip.chmod(0o755)
    return directory


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """The project's own wheel, built now."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    succeeded(
        subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    )
    (path,) = tmp_path.glob("*.whl")
    return path


def test_three_commands_and_no_code(
    receiver: Receiver, bare: Path, wheel: Path, tmp_path: Path
) -> None:
    install, export, start = commands()
    # Nothing is replaced but what only the reader knows.
    install = install.replace("logwell-otel", str(wheel))
    export = export.replace("https://logs.example.com", receiver.url).replace("lw_…", receiver.key)
    (tmp_path / "app.py").write_text('import logging\nlogging.warning("it works")\n')
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LOGWELL_", "OTEL_", "PYTHON", "COVERAGE_"))
    }
    began = time.monotonic()
    succeeded(
        subprocess.run(
            ["sh", "-ec", f"{install}\n{export}\n{start}"],
            env={**inherited, "PATH": f"{bare / 'bin'}{os.pathsep}{os.environ['PATH']}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE,
            check=False,
        )
    )
    seconds = time.monotonic() - began
    (entry,) = receiver.entries()
    assert (entry.level, entry.message, entry.service) == ("warn", "it works", "shop")
    # 10 to 20 s where packages are near, nearly all of it pip's.
    assert seconds < 120
