"""`scripts/environment` makes an environment anew while that very one is active."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.nightly,  # making an environment takes ten seconds
    pytest.mark.skipif(os.name == "nt", reason="the scripts are bash"),
]


def ran_by(python: Path) -> str:
    """The version, said by the interpreter itself."""
    said = subprocess.run([python, "-V"], capture_output=True, text=True, timeout=180, check=True)
    return said.stdout


def test_the_interpreter_is_not_deleted_before_it_is_used(tmp_path: Path) -> None:
    active = tmp_path / "venv"
    # A copy is one that following links does not lead out of.
    make = [sys.executable, "-m", "venv", "--without-pip", "--copies", str(active)]
    subprocess.run(make, timeout=180, check=True)
    (active / "left over").touch()
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / "environment"), str(active), "dev"],
        env={
            **os.environ,
            "PATH": f"{active / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHON": "python3",
            "PIP_NO_INDEX": "1",  # it gets as far as installing, which is not tried here
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert f"Installing into {active}" in done.stderr
    assert done.returncode != 0
    assert not (active / "left over").exists()
    assert not (active / ".installed").exists()
    assert ran_by(active / "bin" / "python") == ran_by(Path(sys.executable))
