"""From a bare virtual environment to the first entry, by the commands of the front page."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import urlopen

import pytest

from support.process import PATIENCE
from support.terminal import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.terminal import Terminal


def block(language: str, text: str) -> str:
    """The one block of the front page in which `text` stands."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    (found,) = (block for block in blocks if text in block)
    return str(found)


def commands(text: str) -> list[str]:
    """The commands of the block in which `text` stands."""
    return block("sh", text).replace("\\\n", " ").splitlines()


class Server(NamedTuple):
    """What the stand-in has printed about itself."""

    url: str
    key: str

    def logs(self) -> list[dict[str, Any]]:
        with urlopen(f"{self.url}/api/logs", timeout=PATIENCE) as answer:
            found: list[dict[str, Any]] = json.load(answer)["logs"]
            return found

    def known_to(self, export: str) -> str:
        """The command with what only the reader knows; nothing else is replaced."""
        known = export.replace("https://logs.example.com", self.url).replace("lw_…", self.key)
        assert known != export
        return known


@pytest.fixture
def stand_in(open_terminal: Callable[[str], Terminal]) -> Iterator[Server]:
    """The page's stand-in, in a terminal of its own."""
    install, serve = commands("logwell-otel serve")
    terminal = open_terminal("second")
    terminal.run(terminal.install(install))
    # A port that is free here. `exec`: so that the process is the server's own.
    process = terminal.start(f"exec {serve} --port 0")
    assert process.stdout is not None
    try:
        shown = ""
        for line in process.stdout:
            shown += line
            if line.startswith("ready:"):
                break
        match = re.search(r"  export LOGWELL_ENDPOINT=(\S+) LOGWELL_API_KEY=(\S+)\n", shown)
        assert match, shown
        yield Server(match[1], match[2])
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def test_three_commands_and_no_code(
    stand_in: Server,
    open_terminal: Callable[[str], Terminal],
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    install, export, start = commands("opentelemetry-instrument")
    export = stand_in.known_to(export)
    terminal = open_terminal("first")
    app = terminal.directory / "app.py"
    app.write_text('import logging\nlogging.warning("it works")\n')

    began = time.monotonic()
    terminal.run(terminal.install(install), export, start)
    seconds = round(time.monotonic() - began, 1)

    (entry,) = stand_in.logs()
    assert (entry["level"], entry["message"], entry["serviceName"]) == ("warn", "it works", "shop")
    assert (entry["sourceFile"], entry["lineNumber"]) == (str(app), 2)
    record_property("seconds_to_the_first_entry", seconds)
    with capsys.disabled():  # The figure is wanted from a run that passes.
        print(f"\n{seconds} s from a bare virtual environment to the first entry")  # noqa: T201


@pytest.mark.nightly
def test_the_first_program_needs_nothing_but_the_package(
    stand_in: Server, open_terminal: Callable[[str], Terminal]
) -> None:
    install, export = commands("pip install logwell-otel\n")
    terminal = open_terminal("first")
    (terminal.directory / "app.py").write_text(block("python", "order %d placed"))
    terminal.run(terminal.install(install), stand_in.known_to(export), "python app.py")
    (entry,) = stand_in.logs()
    assert (entry["level"], entry["message"]) == ("info", "order 17 placed")
    assert (entry["serviceName"], entry["userId"]) == ("shop", "u-42")


PROGRAMS = {
    "logwell_otel.LogwellHandler": "pip install logwell-otel",
    "LogwellProcessor()": "pip install logwell-otel structlog",
    "LogwellSink()": "pip install logwell-otel loguru",
}


def test_what_people_log_by(stand_in: Server, open_terminal: Callable[[str], Terminal]) -> None:
    """Each is copied from the page, and stores what the page says below them."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    said = re.search(
        r"Each stores an `(\w+)` entry of the service `(\w+)` with the message `(.+?)` and "
        r"`(.+?)` in its metadata",
        page,
    )
    assert said is not None
    level, service, message, attribute = said.groups()
    _, export = commands("pip install logwell-otel\n")
    for number, (text, needs) in enumerate(PROGRAMS.items(), 1):
        assert needs in page
        terminal = open_terminal(f"program-{number}")
        (terminal.directory / "app.py").write_text(block("python", text))
        terminal.run(terminal.install(needs), stand_in.known_to(export), "python app.py")
        entries = stand_in.logs()
        assert len(entries) == number, text
        for entry in entries:
            found = (entry["level"], entry["serviceName"], entry["message"])
            assert found == (level, service, message), text
            assert json.loads(f"{{{attribute}}}").items() <= entry["metadata"].items(), text
