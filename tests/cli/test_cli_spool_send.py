"""`logwell-otel spool send`: what a spool holds arrives, and what does not is said."""

from __future__ import annotations

import io
import sqlite3
from argparse import Namespace
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel._buffer.spool import Spool
from logwell_otel._buffer.spool.names import project_name
from logwell_otel._delivery.engine import Dependencies
from logwell_otel.cli import main, spool
from logwell_otel.cli.pools import list_spools
from logwell_otel.cli.terminal import Terminal
from logwell_otel.devserver import DevServer
from support.check import KEY, clean_environment
from support.server import RATE_LIMITED, REFUSED, UNAUTHORIZED, Server, answer
from support.spool import chunk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "https://logs.example.com"


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch)


@pytest.fixture
def receiver() -> Iterator[DevServer]:
    with DevServer(api_key=KEY) as running:
        yield running


def fill(
    directory: Path, count: int, *, endpoint: str = URL, service: str = "shop", **options: Any
) -> str:
    """Entries that a process left; returns the pool's name."""
    spool = open_spool(directory, endpoint=endpoint, service=service, **options)
    spool.store([chunk(first, min(100, count - first)) for first in range(0, count, 100)])
    spool.close()
    return spool.path.stem


def open_spool(
    directory: Path, *, endpoint: str = URL, service: str = "shop", key: str = KEY, **options: Any
) -> Spool:
    return Spool(
        directory, endpoint=endpoint, service=service, project=lambda: project_name(key), **options
    )


def messages(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def left(directory: Path) -> int:
    return sum(pool.entries for pool in list_spools(directory))


class Send:
    """The command on a server without a socket and a clock of its own."""

    def __init__(self, directory: Path, server: Server, **options: Any) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        given = {
            "directory": str(directory),
            "pool": None,
            "any_endpoint": False,
            "any_key": False,
            "dead": False,
            "endpoint": URL,
            "api_key": KEY,
            "api_key_file": None,
            "certificate_file": None,
            "timeout": None,
            **options,
        }
        clock = server.clock
        dependencies = Dependencies(
            clock=clock, wall=clock, transport=lambda config: server, sleep=clock.sleep
        )
        began = clock()
        self.status = spool.send(Namespace(**given), Terminal(self.out, self.err), dependencies)
        self.seconds = clock() - began

    @property
    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()

    @property
    def errors(self) -> list[str]:
        return self.err.getvalue().splitlines()


def test_all_pools_of_the_server(
    receiver: DevServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = fill(tmp_path, 250, endpoint=receiver.url)
    till = fill(tmp_path, 1, endpoint=receiver.url, service="till")
    assert main(["spool", "send", str(tmp_path), "--endpoint", receiver.url, "--api-key", KEY]) == 0
    assert capsys.readouterr() == (
        (
            f"{shop}: 250 entries to {receiver.url}\n"
            f"{till}: 1 entry to {receiver.url}\n"
            "251 entries found: 251 delivered; 0 left in the directory.\n"
        ),
        "",
    )
    assert [one.message for one in receiver.entries()] == [*messages(250), "0"]
    assert left(tmp_path) == 0


def test_settings_from_variables(
    receiver: DevServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(tmp_path, 2, endpoint=receiver.url)
    assert main(["spool", "send", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(
        "logwell-otel spool send: endpoint (LOGWELL_ENDPOINT) is not set"
    )
    monkeypatch.setenv("LOGWELL_ENDPOINT", receiver.url)
    monkeypatch.setenv("LOGWELL_API_KEY", KEY)
    assert main(["spool", "send", str(tmp_path)]) == 0
    assert receiver.count() == 2


def test_nothing_to_send(tmp_path: Path) -> None:
    sent = Send(tmp_path, Server())
    assert sent.status == 0
    assert sent.lines == ["0 entries found: 0 delivered; 0 left in the directory."]


def test_only_the_pool_that_is_named(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    till = fill(tmp_path, 1, service="till")
    server = Server()
    assert Send(tmp_path, server, pool=till).status == 0
    assert server.stored == ["0"]
    assert left(tmp_path) == 2


def test_another_servers_entries(tmp_path: Path) -> None:
    ours = fill(tmp_path, 1)
    theirs = fill(tmp_path, 2, endpoint="https://other.example")
    server = Server()
    sent = Send(tmp_path, server)
    assert sent.status == 1
    assert sent.lines == [
        f"{ours}: 1 entry to {URL}",
        "1 entry found: 1 delivered; 2 left in the directory.",
    ]
    assert sent.errors == [
        (
            f"{theirs}: not sent: its entries are for https://other.example, not for {URL}. Give "
            "--any-endpoint to send them there all the same."
        )
    ]
    assert server.stored == ["0"]

    sent = Send(tmp_path, server, any_endpoint=True)
    assert (sent.status, sent.errors) == (0, [])
    assert server.stored == ["0", "0", "1"]
    assert left(tmp_path) == 0


def test_what_an_application_would_drop_as_too_old_is_delivered(tmp_path: Path) -> None:
    fill(tmp_path, 3, clock=lambda: 1_000.0)
    server = Server()
    assert Send(tmp_path, server).status == 0
    assert server.stored == messages(3)


def test_a_wrong_key_ends_it_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    name = fill(tmp_path, 250)
    fill(tmp_path, 5, service="till")
    server = Server()
    server.always = lambda _: UNAUTHORIZED
    sent = Send(tmp_path, server)
    assert (sent.status, len(server.requests)) == (1, 1)
    assert sent.seconds < 1
    assert sent.errors[-1].startswith(f"{name}: stopped: The server refuses the API key")
    assert sent.lines[-1] == "250 entries found: 0 delivered; 255 left in the directory."

    server = Server()
    assert Send(tmp_path, server).status == 0
    assert server.stored == [*messages(250), *messages(5)]


def test_a_server_that_is_down(tmp_path: Path) -> None:
    name = fill(tmp_path, 3)
    server = Server()
    server.always = lambda _: REFUSED
    sent = Send(tmp_path, server)
    assert sent.status == 1
    assert 2 <= len(server.requests) <= 10
    assert sent.seconds < 60
    assert sent.errors[-1].startswith(f"{name}: stopped: No answer from the server: ConnectError")
    assert sent.lines[-1] == "3 entries found: 0 delivered; 3 left in the directory."
    assert left(tmp_path) == 3


def test_one_failure_is_not_the_end(tmp_path: Path) -> None:
    fill(tmp_path, 250)
    server = Server()
    server.replies = [None, REFUSED, REFUSED]
    assert Send(tmp_path, server).status == 0
    assert server.stored == messages(250)


def test_the_rate_limit_is_waited_for(tmp_path: Path) -> None:
    fill(tmp_path, 250)
    server = Server()
    server.replies = [None, RATE_LIMITED]
    sent = Send(tmp_path, server)
    assert sent.status == 0
    assert 60 <= sent.seconds <= 240
    assert server.stored == messages(250)


def test_a_rate_limit_that_does_not_end(tmp_path: Path) -> None:
    name = fill(tmp_path, 1)
    server = Server()
    server.always = lambda _: RATE_LIMITED
    sent = Send(tmp_path, server)
    assert sent.status == 1
    assert sent.errors[-1] == f"{name}: stopped: nothing was accepted for 120 s."
    assert sent.seconds < spool.PATIENCE + 70


def test_progress_is_shown(tmp_path: Path) -> None:
    name = fill(tmp_path, 1_000)
    server = Server(latency=0.9)
    sent = Send(tmp_path, server)
    assert sent.status == 0
    assert sent.lines == [
        f"{name}: 1000 entries to {URL}",
        f"{name}: 300 of 1000 delivered",
        f"{name}: 600 of 1000 delivered",
        f"{name}: 900 of 1000 delivered",
        "1000 entries found: 1000 delivered; 0 left in the directory.",
    ]


def test_an_entry_that_the_server_cannot_store(tmp_path: Path) -> None:
    fill(tmp_path, 300)
    server = Server()
    server.poison = "^77$"
    sent = Send(tmp_path, server)
    assert sent.status == 1
    assert sent.lines[-1] == "300 entries found: 299 delivered; 1 left in the directory."
    assert "1 entry was set aside: others are accepted" in sent.errors[-1]
    assert sorted(server.stored, key=int) == [one for one in messages(300) if one != "77"]


def test_entries_that_the_server_refuses(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    server = Server()
    server.always = lambda _: answer(
        200, {"accepted": 2, "rejected": 1, "errors": ["Entry at index 0: bad"]}
    )
    sent = Send(tmp_path, server)
    assert sent.status == 1
    assert sent.lines[-1] == (
        "3 entries found: 2 delivered, 1 refused by the server; 0 left in the directory."
    )
    assert "Entry at index 0" in sent.errors[0] or "bad" in sent.errors[0]


def test_what_a_running_process_holds_is_its_own(tmp_path: Path) -> None:
    living = open_spool(tmp_path)
    living.store([chunk(0, 4)])
    server = Server()
    sent = Send(tmp_path, server)
    assert (sent.status, server.requests) == (1, [])
    assert sent.lines == [
        f"{living.path.stem}: 4 entries held by running processes",
        "0 entries found: 0 delivered; 4 left in the directory.",
    ]
    living.close()
    assert Send(tmp_path, server).status == 0
    assert server.stored == messages(4)


def test_interrupted(tmp_path: Path) -> None:
    name = fill(tmp_path, 250)
    server = Server()

    def interrupt(_: Any) -> None:
        if len(server.requests) == 2:
            raise KeyboardInterrupt

    server.always = interrupt
    sent = Send(tmp_path, server)
    assert sent.status == 1
    assert f"{name}: interrupted." in sent.errors
    assert sent.lines[-1] == "250 entries found: 100 delivered; 150 left in the directory."
    server.always = lambda _: None
    assert Send(tmp_path, server).status == 0
    assert server.stored == messages(250)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ("DELETE FROM about", "nobody knows whose it is."),
        (
            "UPDATE about SET endpoint = 'https://logs.example.com', service = 'till'",
            "what is in it belongs to another pool, logs.example.com-till-",
        ),
        ("UPDATE about SET endpoint = ''", "what is in it belongs to another pool"),
        ("DROP TABLE about", "no such table: about"),
    ],
)
def test_a_pool_of_which_nobody_knows_whose_it_is(about: str, said: str, tmp_path: Path) -> None:
    name = fill(tmp_path, 1)
    with sqlite3.connect(tmp_path / f"{name}.db") as db:
        db.execute(about)
    db.close()
    server = Server()
    sent = Send(tmp_path, server, any_endpoint=True)
    assert (sent.status, server.requests) == (1, [])
    assert sent.errors[0].startswith(f"{name}: not sent: {said}")


def test_another_keys_entries(tmp_path: Path) -> None:
    """Of another project, or of a key that was replaced: only a person can tell."""
    name = fill(tmp_path, 1)
    fill(tmp_path, 2, key="lw_" + "o" * 32)
    server = Server()
    sent = Send(tmp_path, server)
    assert sent.status == 1
    assert sent.lines == [
        f"{name}: 1 entry to {URL}",
        "1 entry found: 1 delivered; 2 left in the directory.",
    ]
    assert sent.errors[0] == (
        f"{name}: not sent: 2 entries stored for another key. Give --any-key to send them with "
        "this one all the same."
    )
    assert server.stored == ["0"]
    sent = Send(tmp_path, server, any_key=True)
    assert (sent.status, sent.errors) == (0, [])
    assert server.stored == ["0", "0", "1"]
    assert left(tmp_path) == 0


def test_the_key_is_in_no_output(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    server = Server()
    server.always = lambda _: answer(401, {"error": "unauthorized", "message": f"no {KEY}"})
    sent = Send(tmp_path, server)
    assert KEY not in sent.out.getvalue() + sent.err.getvalue()


# Dead letters.


def bury(directory: Path, count: int, *, key: str = KEY) -> str:
    """Entries that a process gave up; returns the pool's name."""
    spool = open_spool(directory, key=key)
    for number in range(count):
        spool.bury(chunk(number), "poison")
    spool.close()
    return spool.path.stem


def dead(directory: Path) -> int:
    return sum(one.entries for pool in list_spools(directory) for one in pool.dead)


def test_dead_letters_are_sent_when_asked_for(tmp_path: Path) -> None:
    name = bury(tmp_path, 3)
    server = Server()
    assert Send(tmp_path, server).status == 0
    assert (server.stored, dead(tmp_path)) == ([], 3)
    sent = Send(tmp_path, server, dead=True)
    assert sent.status == 0
    assert sent.lines == [
        f"{name}: 3 entries to {URL}",
        "3 entries found: 3 delivered; 0 left in the directory.",
    ]
    assert server.stored == messages(3)
    assert dead(tmp_path) == 0


def test_dead_letters_that_are_not_accepted_wait(tmp_path: Path) -> None:
    bury(tmp_path, 3)
    server = Server()
    server.always = lambda _: REFUSED
    sent = Send(tmp_path, server, dead=True)
    assert sent.status == 1
    assert sent.lines[-1] == "3 entries found: 0 delivered; 3 left in the directory."
    assert (left(tmp_path), dead(tmp_path)) == (3, 0)


def test_dead_letters_of_another_key(tmp_path: Path) -> None:
    name = bury(tmp_path, 2, key="lw_" + "o" * 32)
    server = Server()
    sent = Send(tmp_path, server, dead=True)
    assert sent.errors == [
        (
            f"{name}: not sent: 2 entries stored for another key. Give --any-key to send them with "
            "this one all the same."
        )
    ]
    assert (server.stored, dead(tmp_path)) == ([], 2)
    assert Send(tmp_path, server, dead=True, any_key=True).status == 0
    assert (server.stored, dead(tmp_path)) == (messages(2), 0)
