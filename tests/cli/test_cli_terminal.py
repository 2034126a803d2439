"""What commands write, whoever reads it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys

import pytest

from logwell_otel.cli import check, main
from logwell_otel.cli.terminal import Terminal, wants_colour


def test_an_encoding_without_the_character() -> None:
    raw = io.BytesIO()
    terminal = Terminal(io.TextIOWrapper(raw, encoding="ascii"), io.StringIO())
    terminal.line("caf\xe9")
    assert raw.getvalue() == b"caf\\xe9\n"


def test_a_reader_that_goes_away() -> None:
    program = (
        "import os, sys\nfrom logwell_otel.cli import main\n"
        "sys.stdin.readline()\n"  # until nobody reads
        "sys.exit(main(['check']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate("go\n", timeout=180)
    assert (process.returncode, errors) == (1, "")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "colour"),
    [
        (Tty(), {}, True),
        (Tty(), {"NO_COLOR": ""}, True),
        (Tty(), {"NO_COLOR": "1"}, False),
        (Tty(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_when_to_colour(stream: io.StringIO, environ: dict[str, str], colour: bool) -> None:
    assert wants_colour(stream, environ) is colour


def test_a_question_and_the_end_of_input(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO(" y \n"))
    terminal = Terminal(io.StringIO(), errors)
    assert terminal.ask("Really?") == "y"
    assert terminal.ask("Really?") == ""
    assert errors.getvalue() == "Really? Really? "


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> int:
        signal.raise_signal(signal.SIGINT)
        return 0

    monkeypatch.setattr(check, "_run", interrupt)
    # A shell starts what runs in its background with SIGINT ignored; Python leaves it so.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["check"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
