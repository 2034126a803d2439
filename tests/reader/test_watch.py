"""Watching: what an application logs makes a rule fire, and its action is done once."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel._http import Answer
from logwell_otel.cli import main
from logwell_otel.errors import LogwellError, LogwellErrorCode
from logwell_otel.reader import watch_state
from logwell_otel.reader.actions import MOST_TRIES
from logwell_otel.reader.filters import iso
from logwell_otel.reader.rules import moment_at
from logwell_otel.reader.rules_file import parse_rules
from logwell_otel.reader.watch import LONGEST_CATCH_UP, LogwellWatch
from support.clock import Clock
from support.process import PATIENCE
from support.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    from logwell_otel.devserver import DevServer
    from logwell_otel.reader import LogwellReader

pytestmark = pytest.mark.socket

PATH = "/services/T0SECRET/B0SECRET/very-secret-token"


class Hook(HttpServer):
    """Receives webhooks.

    Attributes:
        received: Path, type and body of each.
        statuses: The next answers' statuses; 200 after them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received: list[tuple[str, str, dict[str, Any]]] = []
        self.statuses: list[int] = []
        self.address = self.url + PATH

    def respond(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        assert request.command == "POST"
        received = (request.path, request.headers["Content-Type"], json.loads(body))
        self.received.append(received)
        request.send_response(self.statuses.pop(0) if self.statuses else 200)
        request.end_headers()

    @property
    def rules(self) -> list[str]:
        """Which rules have told it something, in order."""
        return [body["rule"] for _, _, body in self.received]

    def wait_for(self, *rules: str) -> None:
        """Until it was told these, and for a while nothing more."""
        until = time.monotonic() + PATIENCE
        while len(self.rules) < len(rules) and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(1.0)
        assert self.rules == [*rules]


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as running:
        yield running


class World:
    """A project, a clock, and watches over it, one after the other."""

    def __init__(
        self, reader: LogwellReader, ingest: Callable[..., None], tmp_path: Path, hook: Hook
    ) -> None:
        self.clock = Clock(float(int(time.time())))
        self.state = tmp_path / "state" / "watch.db"
        self.said: list[str] = []
        self.lines: list[str] = []
        self.hook = hook
        self.reader = reader
        self.watch: LogwellWatch | None = None
        self._ingest = ingest

    def start(self, *rules: dict[str, Any]) -> None:
        """A watch takes over, where the last one was."""
        if self.watch is not None:
            self.watch.close()
        given = [
            {"actions": [{"webhook": self.hook.address}], "silence": "1h", **rule} for rule in rules
        ]
        self.watch = LogwellWatch(
            self.reader,
            parse_rules({"rules": given}),
            state=self.state,
            say=self.said.append,
            log=self.lines.append,
            _clock=self.clock,
            _rng=random.Random(1),
        )

    def log(self, *messages: str, ago: float = 0.0, **fields: Any) -> None:
        timestamp = iso(moment_at(self.clock.now - ago))
        self._ingest(
            *(
                {"level": "error", "message": message, "timestamp": timestamp, **fields}
                for message in messages
            )
        )

    def run(self, seconds: float) -> None:
        """As `run` does, in no time."""
        assert self.watch is not None
        until = self.clock.now + seconds
        while self.clock.now < until:
            wait = self.watch.step()
            self.clock.advance(min(max(wait, 0.001), until - self.clock.now))
        self.watch.step()


@pytest.fixture
def world(
    reader: LogwellReader, ingest: Callable[..., None], tmp_path: Path, hook: Hook
) -> Iterator[World]:
    one = World(reader, ingest, tmp_path, hook)
    yield one
    if one.watch is not None:
        one.watch.close()


BURST = {"name": "burst", "filter": {"level": "error"}, "count": 5, "window": "5m"}
QUIET = {"name": "quiet", "filter": {"text": "beat"}, "absence": "2m", "silence": "10m"}

APPLICATION = """
import logging, sys
import logwell_otel

logwell_otel.configure(service="shop")
for number in range(int(sys.argv[2])):
    logging.getLogger("shop").error(sys.argv[1], number)
"""


class Processes:
    """A watch and applications, each a process of its own."""

    def __init__(self, server: DevServer, rules: Path) -> None:
        self._environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "LOGWELL_ENDPOINT": server.url,
            "LOGWELL_API_KEY": server.key,
            "LOGWELL_USERNAME": server.username,
            "LOGWELL_PASSWORD": server.password,
            "XDG_STATE_HOME": str(rules.parent / "state"),
        }
        self._rules = rules
        self._watch: subprocess.Popen[str] | None = None

    def watch(self) -> None:
        """Start it, until it watches."""
        command = [sys.executable, "-m", "logwell_otel.cli", "watch", str(self._rules)]
        self._watch = subprocess.Popen(
            [*command, "--every", "0.1"], env=self._environ, stderr=subprocess.PIPE, text=True
        )
        assert self._watch.stderr is not None
        assert "Watching http://127.0.0.1:" in self._watch.stderr.readline()

    def end(self, number: int) -> int:
        """End it by a signal; its exit status."""
        if self._watch is None:
            return 0
        watch, self._watch = self._watch, None
        watch.send_signal(number)
        _, said = watch.communicate(timeout=PATIENCE)
        assert said == ""
        return watch.returncode

    def application(self, message: str, times: int) -> None:
        """One that logs errors, and ends."""
        command = [sys.executable, "-c", APPLICATION, message, str(times)]
        subprocess.run(command, env=self._environ, check=True, timeout=PATIENCE)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="ends a process by a signal")
def test_a_burst_that_an_application_logs_is_told_once(
    server: DevServer, hook: Hook, tmp_path: Path
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for 1.39
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        f"""
rules:
  - name: payments
    filter: {{level: error, service: shop, text: payment}}
    count: 20
    window: 5m
    actions: [webhook: {hook.address}]
  - name: orders
    filter: {{level: error, text: order}}
    new_incident: true
    actions: [webhook: {hook.address}]
""",
        encoding="utf-8",
    )
    processes = Processes(server, rules)
    try:
        processes.application("payment %d failed before anybody watched", 30)
        processes.watch()
        processes.application("payment %d failed", 25)
        hook.wait_for("payments")
        (path, kind, body) = hook.received[0]
        assert (path, kind) == (PATH, "application/json")
        assert body["count"] >= 20
        assert {entry["service"] for entry in body["entries"]} == {"shop"}
        # What comes while it is down is told when it is up, and what was told is not again.
        assert processes.end(signal.SIGKILL) == -signal.SIGKILL
        processes.application("order %d lost", 3)
        processes.watch()
        hook.wait_for("payments", "orders")
        assert processes.end(signal.SIGKILL) == -signal.SIGKILL
        processes.watch()
        hook.wait_for("payments", "orders")
        assert processes.end(signal.SIGINT) == 130
    finally:
        processes.end(signal.SIGKILL)


def test_what_was_there_before_counts_for_nothing(world: World) -> None:
    world.log(*["before"] * 10)
    world.start(BURST)
    world.run(60)
    world.log(*["after"] * 4)
    world.run(60)
    assert world.hook.rules == []
    world.log("after")
    world.run(60)
    assert world.hook.rules == ["burst"]
    (body,) = (body for _, _, body in world.hook.received)
    assert [entry["message"] for entry in body["entries"]] == ["after"] * 5


def test_a_burst_may_reach_over_restarts(world: World) -> None:
    world.start(BURST)
    world.run(10)
    for _ in range(5):
        world.log("failed")
        world.run(15)
        world.start(BURST)
    world.run(20)
    world.start(BURST)
    world.run(20)
    assert world.hook.rules == ["burst"]


def test_a_rule_that_asks_another_question_begins_anew(world: World) -> None:
    world.start(BURST)
    world.run(10)
    world.log(*["failed"] * 4)
    world.run(10)
    world.start({**BURST, "count": 2}, QUIET)
    world.run(10)
    assert world.hook.rules == []
    world.log(*["failed"] * 2)
    world.run(10)
    assert world.hook.rules == ["burst"]


def test_late_rows_and_clocks_that_run_ahead_count(world: World) -> None:
    world.start(BURST)
    world.run(120)
    world.log("late", ago=119)
    world.log("ahead", ago=-3600)
    world.log("now", "now")
    world.run(90)
    assert world.hook.rules == []
    world.log("late", ago=80)
    world.run(90)
    assert world.hook.rules == ["burst"]


@pytest.mark.slow
def test_more_rows_than_a_page_count_once_each(world: World) -> None:
    world.start({**BURST, "count": 1_500, "silence": "0s"})
    world.run(10)
    for part in range(3):
        world.log(*[f"{part}-{number}" for number in range(499 + part)])
        world.run(30)
    assert world.hook.rules == ["burst"]
    assert world.hook.received[0][2]["count"] == 1_500


def test_a_long_time_away_is_read_bit_by_bit_and_absence_told_once(world: World) -> None:
    world.start(BURST, QUIET)
    world.run(10)
    world.clock.advance(LONGEST_CATCH_UP / 2)
    world.log(*["failed"] * 5, ago=30_000)
    world.start(BURST, QUIET)
    world.run(10)
    assert sorted(world.hook.rules) == ["burst", "quiet"]
    assert world.said == []
    world.clock.advance(LONGEST_CATCH_UP * 2)
    world.start(BURST)
    world.run(10)
    (said,) = world.said
    assert said.startswith("Nothing was read for 2d")


def test_absence_is_told_but_not_while_the_server_is_away(world: World, server: DevServer) -> None:
    world.start(QUIET)
    for _ in range(5):
        world.log("beat")
        world.run(60)
    assert world.hook.rules == []
    server.stop()
    world.run(600)
    assert world.hook.rules == []
    (said,) = world.said
    assert said.startswith("Reading failed: No answer from http://127.0.0.1:")
    server.start()
    world.log("beat", ago=10)
    world.run(60)
    assert world.said[1:] == ["Reading works again."]
    world.run(120)
    assert world.hook.rules == ["quiet", "quiet"]


def test_new_incidents(world: World) -> None:
    rule = {"name": "new", "new_incident": True, "silence": "0s"}
    world.log("user 1 is gone", ago=10)
    world.start(rule)
    world.run(10)
    world.log("user 2 is gone")  # the same incident, known before
    world.log("disk is full", "disk is full")
    world.log("only a remark", level="info")
    world.run(20)
    world.log("disk is full")
    world.start(rule)
    world.run(20)
    assert [body["text"] for _, _, body in world.hook.received] == [
        "new: a new incident: disk is full"
    ]


def test_an_action_that_fails_is_tried_again_and_said(world: World) -> None:
    world.hook.statuses = [500, 429, 302]
    world.start(BURST)
    world.run(10)
    world.log(*["failed"] * 5)
    world.run(10)
    world.start(BURST)  # a restart forgets none
    world.run(120)
    assert world.hook.rules == ["burst"] * 4
    assert len({body["id"] for _, _, body in world.hook.received}) == 1
    assert world.said == [
        (
            "The webhook http://127.0.0.1 of the rule 'burst' failed: it answered HTTP 500. It is "
            "tried again for about half an hour."
        ),
        "The webhook http://127.0.0.1 of the rule 'burst' worked at try 4.",
    ]


def test_an_action_that_goes_on_failing_is_given_up_and_the_others_are_done(world: World) -> None:
    world.hook.statuses = [503] * 100
    world.start({**BURST, "actions": [{"webhook": world.hook.address}, "log"]})
    world.run(10)
    world.log(*["failed"] * 5)
    world.run(3600)
    assert world.hook.rules == ["burst"] * MOST_TRIES
    assert len(world.said) == 2
    assert world.said[1] == (
        "The webhook http://127.0.0.1 of the rule 'burst' failed 12 times and is given up: it "
        "answered HTTP 503. burst: 5 entries within 5m: failed"
    )
    (line,) = world.lines
    assert line.endswith("Z burst: 5 entries within 5m: failed")


def test_what_a_webhook_is_told_for_slack(world: World) -> None:
    action = {
        "webhook": world.hook.address,
        "format": "slack",
        "headers": {"Authorization": "Bearer T0SECRET"},
    }
    world.start({**BURST, "count": 1, "actions": [action]})
    world.run(10)
    world.log("<!channel>", service="shop")
    world.run(20)
    assert [body for _, _, body in world.hook.received] == [
        {"text": "burst: 1 entry within 5m: &lt;!channel&gt; (shop)"}
    ]


def test_no_address_of_a_webhook_is_shown(world: World) -> None:
    world.start({**BURST, "actions": [{"webhook": f"http://127.0.0.1:9{PATH}?t=T0SECRET"}]})
    world.run(10)
    world.log(*["failed"] * 5)
    world.run(3600)
    assert world.said[0].startswith("The webhook http://127.0.0.1 of the rule 'burst' failed: no ")
    assert "SECRET" not in "".join(world.said)
    assert "secret" not in "".join(world.said)
    assert b"SECRET" not in world.state.read_bytes()


@pytest.mark.process
def test_a_command_gets_it_on_standard_input_and_no_shell(world: World, tmp_path: Path) -> None:
    program = (
        "import pathlib, sys; path = pathlib.Path(sys.argv[1]);"
        "path.write_text(path.read_text() + sys.stdin.read() + chr(10) if path.exists() else"
        " sys.argv[2]); sys.exit(0 if chr(10) in path.read_text() else 3)"
    )
    written = tmp_path / "written"
    command = [sys.executable, "-c", program, str(written), "$HOME; echo `id`"]
    world.start({**BURST, "actions": [{"command": command}]})
    world.run(10)
    world.log(*["failed"] * 5)
    world.run(60)
    text = written.read_text(encoding="utf-8")
    assert text.startswith(command[-1])
    body = json.loads(text.removeprefix(command[-1]))
    assert (body["rule"], body["count"], len(body["entries"])) == ("burst", 5, 5)
    assert world.said == [
        (
            f"The command {sys.executable} of the rule 'burst' failed: exit status 3. It is tried "
            "again for about half an hour."
        ),
        f"The command {sys.executable} of the rule 'burst' worked at try 2.",
    ]


def test_a_command_that_is_not_there(world: World) -> None:
    world.start({**BURST, "actions": [{"command": ["/nowhere/at/all"]}]})
    world.run(10)
    world.log(*["failed"] * 5)
    world.run(20)
    assert "it cannot be started: No such file or directory" in world.said[0]


def test_what_waits_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_state, "MOST_WAITING", 20)
    world.start({**BURST, "count": 1, "silence": "0s", "actions": ["log"]})
    world.run(10)
    world.log(*["failed"] * 27)
    world.run(20)
    assert len(world.lines) == 20
    assert world.said == ["7 actions were dropped: over 20 waited."]


def test_an_action_of_a_rule_that_is_gone_is_dropped_and_said(world: World) -> None:
    world.hook.statuses = [500]
    world.start(BURST)
    world.run(10)
    world.log(*["failed"] * 5)
    world.run(10)
    world.start(QUIET)
    world.run(20)
    assert world.hook.rules == ["burst"]
    assert world.said[1].startswith("An action of the rule 'burst' is dropped: ")


def test_a_clock_that_is_set_back_stops_nothing(world: World) -> None:
    world.start(BURST)
    world.run(10)
    world.clock.advance(-3600)
    world.log(*["failed"] * 5)
    world.run(20)
    assert world.hook.rules == ["burst"]


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_the_state_is_for_its_owner_alone(world: World) -> None:
    world.state.parent.mkdir()
    world.state.touch(0o644)
    before = os.umask(0)
    try:
        world.start(BURST)
        world.run(10)
    finally:
        os.umask(before)
    for path in world.state.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_process_for_a_state(world: World) -> None:
    world.start(BURST)
    with pytest.raises(
        LogwellError, match="another watch uses it; one process is enough"
    ) as caught:
        LogwellWatch(
            world.reader, parse_rules({"rules": [{**BURST, "actions": ["log"]}]}), state=world.state
        )
    assert caught.value.code is LogwellErrorCode.INVALID_CONFIG


def test_a_file_that_is_no_state_stays_as_it_is(world: World) -> None:
    world.state.parent.mkdir()
    world.state.write_text("something else" * 100, encoding="utf-8")
    with pytest.raises(LogwellError, match="it is no state of a watch"):
        world.start(BURST)
    assert world.state.read_text(encoding="utf-8") == "something else" * 100


def test_what_waiting_cannot_mend_ends_it(world: World) -> None:
    world.reader._project = "nope"  # noqa: SLF001 - as --project would
    world.start(BURST)
    with pytest.raises(LogwellError, match="expected one of this user's projects"):
        world.run(10)


def test_a_gateway_in_front_of_the_server_does_not_end_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start(BURST)
    world.run(10)
    with monkeypatch.context() as gateway:
        refused = Answer(403, {}, b"<html>")
        gateway.setattr(world.reader._client, "request", lambda *_: refused)  # noqa: SLF001
        world.run(60)
    world.log(*["failed"] * 5, ago=30)
    world.run(20)
    assert world.hook.rules == ["burst"]
    assert len(world.said) == 2
    assert "answered HTTP 403" in world.said[0]
    assert world.said[1] == "Reading works again."


def test_a_session_that_is_over_ends_it(world: World) -> None:
    world.start(BURST)
    world.run(10)
    world.reader._account = world.reader._cookie = None  # noqa: SLF001 - signed out elsewhere
    with pytest.raises(LogwellError) as caught:
        world.run(10)
    assert caught.value.code is LogwellErrorCode.UNAUTHORIZED


def test_a_disk_that_is_full_ends_it_and_nothing_is_told_twice(world: World) -> None:
    world.start(BURST)
    world.run(10)
    world.log(*["failed"] * 5)
    watch = world.watch
    assert watch is not None
    database = watch._store._db  # noqa: SLF001
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")
    world.log(*["x"] * 400)
    with pytest.raises(LogwellError, match="The state of the watch cannot be kept") as caught:
        world.run(10)
    assert caught.value.code is LogwellErrorCode.INTERNAL_ERROR
    assert world.hook.rules == []
    world.start(BURST)
    world.run(20)
    assert world.hook.rules == ["burst"]


def test_ctrl_c_right_after_a_commit_is_ctrl_c(world: World) -> None:
    world.start(BURST)
    world.run(10)
    assert world.watch is not None
    database = world.watch._store._db  # noqa: SLF001

    class Interrupted:
        in_transaction = False

        def __getattr__(self, name: str) -> Any:
            return getattr(database, name)

        def execute(self, statement: str, *values: Any) -> Any:
            done = database.execute(statement, *values)
            if statement == "COMMIT":
                raise KeyboardInterrupt
            return done

    world.watch._store._db = Interrupted()  # type: ignore[assignment]  # noqa: SLF001
    world.log(*["failed"] * 5)
    with pytest.raises(KeyboardInterrupt):
        world.run(10)
    world.start(BURST)
    world.run(20)
    assert world.hook.rules == ["burst"]


def test_stop_ends_run(world: World) -> None:
    world.start({**BURST, "count": 1, "actions": ["log"]})
    assert world.watch is not None
    world.watch.step()
    world.log("failed")
    world.clock.advance(10)
    watch, lines = world.watch, world.lines

    class Stopping(list[str]):
        def append(self, line: str) -> None:
            lines.append(line)
            watch.stop()

    watch._actions._log = Stopping().append  # noqa: SLF001
    watch.run()
    assert len(lines) == 1


# The command.


@pytest.fixture
def rules(server: DevServer, hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOGWELL_ENDPOINT", server.url)
    monkeypatch.setenv("LOGWELL_USERNAME", server.username)
    monkeypatch.setenv("LOGWELL_PASSWORD", server.password)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "rules.yaml"
    document = {
        "rules": [
            {**BURST, "actions": [{"webhook": hook.address}]},
            {**QUIET, "absence": "1d", "actions": ["log"]},
        ]
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_test_says_what_would_have_fired_and_does_nothing(
    world: World, rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", "--test", str(rules), "--since", "2h"]) == 1
    assert capsys.readouterr() == ("", "2 rules would have fired 0 times; nothing was done.\n")
    world.log(*["failed\x1b[31m"] * 5, ago=3600)
    world.log(*["failed"] * 4, ago=3000)
    world.log(*["failed"] * 5, ago=1800)
    assert main(["watch", "--test", str(rules), "--since", "2h"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{shown}  burst  5 entries within 5m: {message}"
        for shown, message in (
            (iso(moment_at(world.clock.now - 3600)).replace("T", " "), r"failed\x1b[31m"),
            (iso(moment_at(world.clock.now - 1800)).replace("T", " "), "failed"),
        )
    ]
    assert said.err == "2 rules would have fired 2 times; nothing was done.\n"
    assert main(["watch", "--test", str(rules), "--since", "2d"]) == 0
    assert "quiet  no entry for 1d\n" in capsys.readouterr().out
    assert world.hook.received == []
    assert not (tmp_path / "state").exists()


def test_without_pyyaml_it_says_what_to_install(
    rules: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert main(["watch", str(rules)]) == 2
    assert "needs PyYAML: pip install 'logwell-otel[reader]'" in capsys.readouterr().err


@pytest.mark.process
def test_reading_loads_nothing_of_it() -> None:
    program = "import sys, logwell_otel.cli.read; print({'sqlite3', 'yaml'} & set(sys.modules))"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, env=environ, text=True, timeout=PATIENCE) == "set()\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "1d"], "--since and --until: expected with --test only"),
        (["--test", "--since", "tomorrow"], "--since: expected a time such as"),
        (["--test", "--since", "1h", "--until", "2h"], "--since: expected a time before --until"),
        (["--every", "0"], "every: expected seconds over 0, at most 600, got 0.0"),
        (["--state", "/proc/nowhere/at"], "state: cannot use /proc/nowhere/at: "),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense(
    arguments: list[str], said: str, rules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", str(rules), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_wrong_rules_file_ends_it_before_anything_is_asked(
    rules: Path, capsys: pytest.CaptureFixture[str], server: DevServer
) -> None:
    server.stop()
    rules.write_text("rules: [{name: a, count: 1, window: soon, actions: [log]}]")
    assert main(["watch", str(rules)]) == 2
    assert capsys.readouterr().err == (
        f"logwell-otel: {rules}: line 1, rule 1 ('a'): window: expected a duration such as 30s, "
        "5m, 2h, 1d, at most 1d and not 0, got 'soon'.\n"
    )
    server.start()
