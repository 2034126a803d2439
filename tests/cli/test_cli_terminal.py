"""What commands write, whoever reads it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from logwell_otel.cli import check, main
from logwell_otel.cli.terminal import Terminal, wants_colour
from logwell_otel.devserver import DevServer
from support.config import KEY


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


def run_in_shell(command: str, redirection: str) -> tuple[int, str, str]:
    """Exit status, output and errors of `logwell-otel COMMAND REDIRECTION`."""
    environ = {name: value for name, value in os.environ.items() if "LOGWELL" not in name}
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -W error -m logwell_otel.cli {command} {redirection}"],
        env={**environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.process
def test_closed_streams_change_nothing_else(tmp_path: Path) -> None:
    """A stream that is closed is one that nobody wants to read."""
    log = tmp_path / "shop.log"
    log.write_text("order 1 placed\n", encoding="utf-8")
    for command in (f"patterns {log}", f"spool list {tmp_path}/none", "search x", "login"):
        status, output, errors = run_in_shell(command, "")
        for closed in ("<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
            said = "" if ">&-" in closed.split() else output, "" if "2>" in closed else errors
            assert run_in_shell(command, closed) == (status, *said), (command, closed)


@pytest.mark.process
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_check_with_closed_streams_finds_what_it_finds_without(closed: str) -> None:
    with DevServer() as server:
        arguments = f"--endpoint {server.url} --api-key {server.key} --service shop"
        status, output, errors = run_in_shell(f"check {arguments}", closed)
        assert (status, errors) == (0, "")
        assert ("Nothing failed" in output) is (closed == "2>&-")
        assert server.count() == 1


needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")


@needs_dev_full
@pytest.mark.process
@pytest.mark.parametrize(("command", "status"), [("check", 1), ("patterns LOG", 1)])
def test_output_to_a_full_disk_is_said_once(command: str, status: int, tmp_path: Path) -> None:
    log = tmp_path / "shop.log"
    log.write_text("order 1 placed\n", encoding="utf-8")
    command = command.replace("LOG", str(log))
    said = "logwell-otel: the output cannot be written: No space left on device\n"
    assert run_in_shell(command, ">/dev/full") == (status, "", said)
    assert run_in_shell(command, ">/dev/full 2>&1") == (status, "", "")


@needs_dev_full
@pytest.mark.process
def test_what_has_no_output_needs_no_room_for_it(tmp_path: Path) -> None:
    command = f"spool list {tmp_path}/none"
    assert run_in_shell(command, ">/dev/full") == run_in_shell(command, "")
    status, output, _ = run_in_shell(command, "")
    assert run_in_shell(command, "2>/dev/full") == (status, output, "")


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
    assert main(["check"]) == 130


@pytest.mark.parametrize(
    "arguments",
    [[KEY], ["spool", KEY], ["spool", "list", KEY], ["patterns", KEY], ["watch", KEY],
     ["serve", "--port", KEY], ["tail", "--limit", KEY]],
)  # fmt: skip
def test_a_key_in_another_arguments_place_is_not_shown(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with suppress(SystemExit):
        assert main(arguments) != 0
    said = capsys.readouterr()
    assert said.err
    assert KEY not in said.out + said.err


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["search", "--password", "hunter2"], "unrecognized arguments: --password\n"),
        (["search", "x", "--password=hunter2", "hunter2"], "unrecognized arguments: --password\n"),
        (["check", "hunter2"], "unrecognized arguments: more than it takes\n"),
        (["check", "--api", "hunter2"], "unrecognized arguments: --api\n"),
    ],
)
def test_a_password_where_none_is_taken_is_not_shown(
    arguments: list[str], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    said = capsys.readouterr()
    assert said.err.endswith(shown)
    assert "hunter2" not in said.out + said.err
