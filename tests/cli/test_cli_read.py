"""`search`, `tail`, `incidents`, `login`, `logout` on the terminal."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import weakref
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from logwell_otel.cli import main, read
from logwell_otel.devserver import DevServer
from logwell_otel.reader import LogRow, LogwellReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.socket

NOW = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
STACK = "Traceback (most recent call last):\n  boom\nValueError: no"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[DevServer]:
    for name in os.environ:
        if name.startswith("LOGWELL_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with DevServer(requests_per_minute=None, stream_speed=60) as running:
        monkeypatch.setenv("LOGWELL_SESSION_FILE", str(tmp_path / "session.json"))
        monkeypatch.setenv("LOGWELL_ENDPOINT", running.url)
        monkeypatch.setenv("LOGWELL_USERNAME", running.username)
        monkeypatch.setenv("LOGWELL_PASSWORD", running.password)
        yield running


@pytest.fixture
def ingest(server: DevServer) -> Callable[..., None]:
    def store(*entries: dict[str, Any]) -> None:
        rows = [{"level": "info", "timestamp": NOW, **entry} for entry in entries]
        headers = {"Authorization": f"Bearer {server.key}"}
        url = f"{server.url}/v1/ingest"
        answer = httpx.post(url, json=rows, headers=headers, trust_env=False, verify=False)
        assert answer.json() == {"accepted": len(rows)}

    return store


def shown(timestamp: str = NOW) -> str:
    return timestamp.replace("T", " ")


def test_search_prints_a_line_for_each_entry(
    ingest: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    ingest(
        {
            "level": "error",
            "message": "payment failed\nsecond \x1b[31mline",
            "service": "shop",
            "sourceFile": "shop.py",
            "lineNumber": 7,
            "metadata": {
                "trace_id": TRACE,
                "exception.type": "ValueError",
                "exception.message": "no",
                "exception.stacktrace": STACK,
            },
        }
    )
    assert main(["search", "payment", "--level", "error", "--trace", TRACE]) == 0
    said = capsys.readouterr()
    assert said.out == (
        f"{shown()}  ERROR  shop  payment failed  shop.py:7  trace={TRACE}"
        "  [ValueError: no; -v shows the stack trace]\n"
        "    | second \\x1b[31mline\n"
    )
    assert said.err == ""
    assert main(["search", "-v"]) == 0
    assert capsys.readouterr().out == (
        f"{shown()}  ERROR  shop  payment failed  shop.py:7  trace={TRACE}\n"
        "    | second \\x1b[31mline\n"
        f"    trace_id={TRACE}\n"
        "    exception.type=ValueError\n"
        "    exception.message=no\n"
        "    | Traceback (most recent call last):\n"
        "    |   boom\n"
        "    | ValueError: no\n"
    )


def test_nothing_found_is_status_1(
    ingest: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    ingest({"message": "something"})
    assert main(["search", "else"]) == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "--level", "loud"], "level: expected one of"),
        (["search", "--where", "order"], "--where: expected KEY=VALUE, got 'order'"),
        (["search", "--project", "shop"], "project (LOGWELL_PROJECT): expected one of"),
        (["search", "--endpoint", "http://127.0.0.1:9"], "No answer from http://127.0.0.1:9"),
        (["incidents", "nope"], "Incident not found"),
        (["tail", "-f", "--until", "1h"], "--until: expected without -f"),
        (["incidents", "--since", "8d"], "since: expected at most 7d ago"),
        (["search", "caf\udce9"], "text: expected words"),
        (["search", "-o", "/nowhere/at/all"], "/nowhere/at/all: No such file"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("server")
def test_trouble_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"logwell-otel: {said}")
    assert captured.err.count("\n") == 1


def test_json_and_csv(
    ingest: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ingest({"message": "=1+1", "service": "shop", "metadata": {"order": 17}})
    assert main(["search", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["message"], row["serviceName"], row["metadata"]) == ("=1+1", "shop", {"order": 17})
    file = tmp_path / "out.csv"
    assert main(["search", "--csv", "-o", str(file), "--limit", "all"]) == 0
    assert capsys.readouterr().out == ""
    (line,) = csv.DictReader(io.StringIO(file.read_text()))
    assert line == {
        "timestamp": NOW,
        "level": "info",
        "service": "shop",
        "message": "'=1+1",
        "source": "",
        "trace_id": "",
        "request_id": "",
        "user_id": "",
        "metadata": '{"order": 17}',
    }


def test_a_cell_with_any_line_end_stays_one(
    ingest: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    messages = ["one\r=1+1", "two\n=1+1", "three\r\n=1+1"]
    ingest(*({"message": message} for message in messages))
    assert main(["search", "--csv"]) == 0
    said = capsys.readouterr().out
    assert {line["message"] for line in csv.DictReader(io.StringIO(said, newline=""))} == {
        *messages
    }
    assert said.count("\n") == 6
    assert said.count("\r") == 2


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_what_a_terminal_would_act_on_is_escaped_in_every_form(
    ingest: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    message = "a\x1b[31m \x9b31m \u202e b"
    ingest({"message": message})
    monkeypatch.setattr("sys.stdout", shown := Person())
    assert main(["search", form]) == 0
    assert all(line.isprintable() for line in shown.getvalue().splitlines())
    if form == "--json":  # which it stays, for whoever copies it
        assert json.loads(shown.getvalue())["message"] == message
    assert capsys.readouterr().err == ""


def test_tail_shows_the_newest_in_order(
    ingest: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    moments = [f"2026-11-20T10:00:0{second}.000Z" for second in range(5)]
    ingest(*({"message": f"m{n}", "timestamp": moment} for n, moment in enumerate(moments)))
    assert main(["tail", "-n", "2"]) == 0
    assert capsys.readouterr().out == (
        f"{shown(moments[3])}  INFO   -  m3\n{shown(moments[4])}  INFO   -  m4\n"
    )


def test_tail_by_time_and_number(
    ingest: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    moments = [f"2026-11-20T10:00:{second:02}.000Z" for second in range(20)]
    ingest(*({"message": f"m{n}", "timestamp": moment} for n, moment in enumerate(moments)))

    def told(*arguments: str) -> list[str]:
        assert main(["tail", *arguments]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        return [line.rpartition(" ")[2] for line in said.out.splitlines()]

    assert told() == [f"m{n}" for n in range(10, 20)]
    assert told("--since", moments[5]) == [f"m{n}" for n in range(5, 20)]
    assert told("--since", moments[5], "-n", "3") == ["m17", "m18", "m19"]
    assert told("--since", moments[5], "--until", moments[7]) == ["m5", "m6", "m7"]
    assert told("--limit", "2") == ["m10", "m11"]
    assert told("--since", moments[5], "--limit", "2") == ["m5", "m6"]
    assert told("-f", "-n", "2", "--limit", "2") == ["m18", "m19"]
    assert main(["tail", "-n", "0"]) == 1


def test_tail_holds_no_more_rows_than_it_prints(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Row(LogRow, frozen=True, weakref=True):
        pass

    alive: weakref.WeakSet[Row] = weakref.WeakSet()
    most = 0

    def found(*_: object, **__: object) -> Iterator[LogRow]:
        nonlocal most
        for number in range(100, 0, -1):
            row = Row(id=str(number), level="info", message=f"m{number}", timestamp=NOW)
            alive.add(row)
            most = max(most, len(alive))
            yield row
            del row

    monkeypatch.setattr(LogwellReader, "search", found)
    assert main(["tail", "--since", "1d", "--limit", "3"]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["m1", "m2", "m3"]
    assert most <= 5


@pytest.mark.parametrize(
    "arguments",
    [
        ["search"],
        ["search", "--level", "loud"],
        ["tail", "-n", "5", "--csv"],
        ["incidents", "nope"],
    ],
    ids=str,
)
def test_a_question_that_fails_leaves_the_file_as_it_was(
    server: DevServer, tmp_path: Path, arguments: list[str]
) -> None:
    file = tmp_path / "rows"
    file.write_text("of yesterday")
    server.stop()
    assert main([*arguments, "-o", str(file)]) == 2
    assert file.read_text() == "of yesterday"


@pytest.mark.usefixtures("server")
def test_the_file_holds_the_last_answer_alone(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_text("of yesterday")
    assert main(["search", "-o", str(file)]) == 1
    assert file.read_text() == ""


class Person(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_how_far_it_is_is_told_to_a_person_only(
    ingest: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ingest({"message": "one"}, {"message": "two"})
    ticks = iter(range(1000))
    monkeypatch.setattr(read, "monotonic", lambda: 2.0 * next(ticks))
    assert main(["search", "--json"]) == 0
    assert capsys.readouterr().err == ""
    said = Person()
    monkeypatch.setattr("sys.stderr", said)
    assert main(["search", "--json"]) == 0
    assert said.getvalue() == "\r\x1b[K1 entries …\r\x1b[K2 entries …\r\x1b[K"


@pytest.mark.process
def test_tail_follows_until_it_is_interrupted(
    server: DevServer, ingest: Callable[..., None]
) -> None:
    ingest({"message": "before"})
    command = [sys.executable, "-m", "logwell_otel.cli", "tail", "-f", "-n", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == f"{shown()}  INFO   -  before\n"
        while not server.streams:
            assert process.poll() is None
        ingest({"message": "after"})
        assert process.stdout.readline() == f"{shown()}  INFO   -  after\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == ""


def test_incidents(ingest: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    failure = {"level": "error", "service": "shop", "sourceFile": "shop.py", "lineNumber": 3}
    for number in (1, 2):
        ingest({**failure, "message": f"order {number} failed", "metadata": {"request_id": "r-1"}})
    assert main(["incidents", "--json"]) == 0
    incident = json.loads(capsys.readouterr().out)
    assert main(["incidents"]) == 0
    line = f"{shown()}        2 ×  ERROR  shop  order 1 failed  shop.py:3  {incident['id']}\n"
    assert capsys.readouterr().out == line
    assert main(["incidents", incident["id"]]) == 0
    assert capsys.readouterr().out == (
        f"{line}          2 from shop.py:3\n          2 in request r-1\n"
    )
    assert main(["incidents", "--service", "other"]) == 1
    assert main(["incidents", "--status", "resolved"]) == 1
    assert main(["incidents", "--where", "request_id=r-2"]) == 1
    capsys.readouterr()
    assert main(["incidents", "--where", "request_id=r-1", "--csv", "--limit", "1"]) == 0
    (record,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert record == {
        "last_seen": NOW,
        "first_seen": NOW,
        "events": "2",
        "level": "error",
        "service": "shop",
        "title": "order 1 failed",
        "source": "shop.py:3",
        "status": "open",
        "id": incident["id"],
    }


def test_login_keeps_a_session_and_logout_ends_it(
    server: DevServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("LOGWELL_USERNAME")
    monkeypatch.delenv("LOGWELL_PASSWORD")
    assert main(["search"]) == 2
    assert "Run `logwell-otel login`" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{server.username}\n{server.password}\n"))
    assert main(["login"]) == 0
    said = capsys.readouterr()
    assert said.out == f"Signed in at {server.url}; the session is kept until it is over.\n"
    assert server.password not in said.err
    assert main(["search"]) == 1
    assert main(["logout"]) == 0
    assert main(["search"]) == 2
    monkeypatch.delenv("LOGWELL_ENDPOINT")
    capsys.readouterr()
    assert main(["search"]) == 2
    assert "endpoint (LOGWELL_ENDPOINT) is not set: " in capsys.readouterr().err


@pytest.mark.usefixtures("server")
def test_where_no_session_can_be_kept_a_search_goes_on_and_login_fails(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """As in a container, whose user has a home that cannot be written to, or none."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOGWELL_SESSION_FILE", str(tmp_path / "file" / "session.json"))
    assert main(["search"]) == 1
    assert "The session cannot be kept in" in caplog.text + capsys.readouterr().err
    monkeypatch.delenv("LOGWELL_SESSION_FILE")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", "relative")  # which is none
    assert main(["search"]) == 1
    capsys.readouterr()
    assert main(["login"]) == 2
    assert "this user has no home directory: name a file in" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="a terminal of one's own")
@pytest.mark.process
def test_a_password_that_is_not_typed(server: DevServer) -> None:
    """Ctrl-D at the prompt."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "logwell_otel.cli", "login", "--username", server.username],
        env={name: value for name, value in os.environ.items() if name != "LOGWELL_PASSWORD"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        assert process.stderr is not None
        # What is typed before the prompt is thrown away.
        assert process.stderr.read(len("Password: ")) == b"Password: "
        os.write(ours, b"\x04")
        os.close(ours)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, b"")
    assert errors.decode().splitlines()[-1] == (
        "logwell-otel: password (LOGWELL_PASSWORD or LOGWELL_PASSWORD_FILE): expected the password "
        f"of {server.username!r}, got none."
    )


def test_commands_in_a_row_sign_in_once(
    server: DevServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server takes three sign-ins, then none for ten seconds."""
    assert [main(["search"]) for _ in range(6)] == [1] * 6
    assert capsys.readouterr().err == ""
    server.stop()
    assert main(["search"]) == 2
