"""Rates from a file: read at once, read again when it changes, kept when it is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from logwell_otel.errors import LogwellError
from logwell_otel.sampling import PolicyFile, Sampler

if TYPE_CHECKING:
    from pathlib import Path


class Following:
    """A sampler that follows a file, and what was said."""

    def __init__(self, path: Path) -> None:
        self.said: list[str] = []
        self.file = PolicyFile(path, say=self.said.append)
        # The first record of its minute is kept anyway: never again, by this clock.
        self.sampler = Sampler(clock=lambda: 0.0, rng=lambda: 0.0)
        self.sampler.decide("info", "x")
        self.sampler.follow(self.file)

    def rate(self) -> float:
        return self.sampler._judge("info", "x", 0).rate  # noqa: SLF001 - starts no thread


def _write(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def test_it_is_read_at_once_and_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    _write(path, '{"rates": {"info": 0.5}}')
    following = Following(path)
    assert following.rate() == 0.5
    _write(path, '{"rates": {"info": 0.7}}')
    assert following.file.tick() == 5.0
    assert following.rate() == 0.7
    path.write_text('{"rates": {"info": 0.25}}')
    following.file.tick()
    assert following.rate() == 0.25
    assert following.said == []


def test_a_file_that_did_not_change_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    _write(path, '{"rates": {"info": 0.5}}')
    used: list[object] = []
    file = PolicyFile(path)
    file.feed(used.append)
    file.tick()
    assert len(used) == 1
    os.utime(path, (1, 1))
    file.tick()
    assert len(used) == 2


def test_whatever_is_wrong_is_said_once_and_the_rates_stay(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    following = Following(path)
    assert following.rate() == 0.2
    following.file.tick()
    assert following.said == [
        (
            f"The sampling policy in {path} cannot be read: No such file or directory. "
            "The sampling rates in use stay."
        )
    ]
    _write(path, '{"rates": {"info": 0.5}}')
    following.file.tick()
    assert following.said[1:] == [f"The sampling policy in {path} was read again."]
    for garbage in ("", "{", '{"rates": {"info": 5}}', "[]", "x" * 1024 * 1024 + "x"):
        _write(path, garbage)
        following.file.tick()
        assert following.rate() == 0.5
    path.unlink()
    following.file.tick()
    assert following.rate() == 0.5
    assert len(following.said) == 3
    assert "was refused: a policy must be JSON" in following.said[2]
    path.mkdir()
    following.file.tick()
    assert following.rate() == 0.5


def test_a_file_that_goes_and_comes_back_as_it_was_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    _write(path, '{"rates": {"info": 0.5}}')
    following = Following(path)
    path.rename(tmp_path / "aside")
    following.file.tick()
    (tmp_path / "aside").rename(path)
    following.file.tick()
    assert following.rate() == 0.5
    assert len(following.said) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    following = Following(path)
    assert "not a regular file" in following.said[0]


def test_an_interval_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(LogwellError, match="check_seconds"):
        PolicyFile(tmp_path, check_seconds=0)


def test_the_thread_starts_with_the_first_decision_and_sees_a_change(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    _write(path, '{"rates": {"info": 0.5}}')
    file = PolicyFile(path, check_seconds=0.001)
    changed = threading.Event()
    before = threading.active_count()
    sampler = Sampler()
    sampler.follow(file)
    assert threading.active_count() == before
    use = file._use  # noqa: SLF001 - to see it called
    assert use is not None

    def noticed(rules: object) -> None:
        use(rules)  # type: ignore[arg-type]
        changed.set()

    file._use = noticed  # noqa: SLF001
    sampler.decide("info", "x")
    sampler.decide("info", "x")
    assert threading.active_count() == before + 1
    _write(path, '{"rates": {"info": 0.75}}')
    assert changed.wait(10)
    sampler.shutdown()
    assert threading.active_count() == before
    assert sampler.decide("info", "y").keep
    assert repr(file) == f"<PolicyFile {path}>"


def test_importing_and_constructing_start_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, threading\n"
        "from logwell_otel.sampling import PolicyFile, PolicyServer, Sampler\n"
        "Sampler().follow(PolicyServer('http://127.0.0.1:9', service='shop', team_id=7))\n"
        "Sampler().follow(PolicyFile(__file__ if '__file__' in globals() else '/dev/null',\n"
        "    say=lambda text: None))\n"
        "print(threading.active_count(), sorted({'httpx', 'httpcore'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.stdout, run.stderr) == ("1 []\n", "")
