"""The interpreter's exit: what is logged in the course of it, and Ctrl-C while it waits."""

from __future__ import annotations

import json
import signal
import socket
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from support.process import json_objects, run
from support.server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from logwell_otel.devserver import DevServer

pytestmark = pytest.mark.process

# Exit callbacks run in reverse order: what is registered first runs when everything of ours
# has run, and tells what became of all records.
PROGRAM = """
import atexit, json, logging, sys

def tell():
    for number in range({count}):
        logging.getLogger().info("before the import %d", number)
    health = pipeline.health()
    print(json.dumps({{"handed_over": health.handed_over, "accepted": health.accepted,
                      "dropped": health.dropped, "held": health.held, "queued": health.queued}}))

atexit.register(tell)
import logwell_otel

def log(text, count):
    for number in range(count):
        logging.getLogger().info("%s %d", text, number)

atexit.register(log, "before configure", {count})
pipeline = logwell_otel.configure()
atexit.register(log, "after configure", {count})

class Logs:
    def __del__(self):
        logging.getLogger().info("finalizer 0")

kept = [Logs()]
atexit.register(kept.clear)
log("main", {count})
"""


def end(
    receiver: DevServer, tmp_path: Path, program: str, **variables: str
) -> CompletedProcess[str]:
    (tmp_path / "program.py").write_text(program)
    done = run("python program.py", receiver, variables, cwd=tmp_path)
    assert "Traceback" not in done.stderr
    return done


def told(done: CompletedProcess[str]) -> dict[str, Any]:
    (health,) = json_objects(done.stdout)
    assert health["handed_over"] == (
        health["accepted"] + sum(health["dropped"].values()) + health["held"]
    )
    assert health["queued"] == 0
    return health


def arrived(receiver: DevServer) -> Counter[str]:
    return Counter(entry.message.rpartition(" ")[0] for entry in receiver.entries())


@pytest.mark.parametrize("count", [1, 30])
def test_exit_callbacks_deliver_whenever_they_were_registered(
    receiver: DevServer, tmp_path: Path, count: int
) -> None:
    done = end(receiver, tmp_path, PROGRAM.format(count=count))
    assert arrived(receiver) == {
        "main": count,
        "after configure": count,
        "before configure": count,
        "before the import": count,
        "finalizer": 1,
    }
    assert told(done) == {
        "handed_over": 4 * count + 1,
        "accepted": 4 * count + 1,
        "dropped": {},
        "held": 0,
        "queued": 0,
    }
    assert done.stderr == ""


def test_callbacks_that_log_a_burst_are_batched(receiver: DevServer, tmp_path: Path) -> None:
    program = PROGRAM.replace("range({count})", "range(0)", 1)
    end(receiver, tmp_path, program.format(count=1_000))
    assert arrived(receiver)["before configure"] == 1_000
    assert len(receiver.requests) < 40


def test_more_than_there_is_time_for_is_counted_and_said_once(
    receiver: DevServer, tmp_path: Path
) -> None:
    done = end(receiver, tmp_path, PROGRAM.format(count=3_000), LOGWELL_REQUESTS_PER_MINUTE="60")
    health = told(done)
    assert health["handed_over"] == 12_001
    assert set(health["dropped"]) == {"shutdown"}
    assert health["accepted"] == sum(arrived(receiver).values())
    assert done.stderr.count("are dropped. health() counts them under `shutdown`") == 1


def test_a_server_that_is_away_is_not_asked_again_for_each(
    receiver: DevServer, tmp_path: Path
) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    done = end(receiver, tmp_path, PROGRAM.format(count=50), LOGWELL_ENDPOINT=away)
    assert told(done)["dropped"] == {"shutdown": 201}
    assert len(done.stderr.splitlines()) <= 3


def test_late_records_go_to_the_spool_where_the_server_is_away(
    receiver: DevServer, tmp_path: Path
) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    spool = {"LOGWELL_SPOOL_DIR": str(tmp_path / "spool"), "LOGWELL_ENDPOINT": away}
    end(receiver, tmp_path, PROGRAM.format(count=20), **spool)
    listed = run(f"logwell-otel spool list {tmp_path / 'spool'}", receiver)
    assert "81 entries in 1 pool" in listed.stdout


def test_a_finalizer_after_all_callbacks_is_said(receiver: DevServer, tmp_path: Path) -> None:
    """No connection is made when modules are taken down: the imports that it takes are gone."""
    done = end(
        receiver, tmp_path, PROGRAM.format(count=1).replace("atexit.register(kept.clear)", "")
    )
    assert arrived(receiver)["finalizer"] == 0
    assert done.stderr.count("are dropped. health() counts them under `shutdown`") == 1


def test_daemon_threads_that_go_on_logging_do_not_hold_up_the_exit(
    receiver: DevServer, tmp_path: Path
) -> None:
    program = """
import logging, threading, time, logwell_otel
logwell_otel.configure()

def log():
    while True:
        logging.getLogger().info("daemon")
        time.sleep(0)

for _ in range(4):
    threading.Thread(target=log, daemon=True).start()
time.sleep(0.2)
"""
    began = receiver.count()
    end(receiver, tmp_path, program)
    assert receiver.count() > began


INTERRUPTED = """
import json, logging, os, signal, threading, time
import logwell_otel

pipeline = logwell_otel.configure()
for number in range(50):
    logging.getLogger().info("main %d", number)

def interrupt():
    while threading.main_thread().is_alive():
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
"""


@pytest.fixture
def silent_server() -> Iterator[str]:
    """It takes connections, and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_an_interrupt_ends_the_wait_and_says_what_was_lost(
    receiver: DevServer, tmp_path: Path, silent_server: str
) -> None:
    program = INTERRUPTED
    done = end(receiver, tmp_path, program, LOGWELL_ENDPOINT=silent_server)
    assert done.stderr.startswith("logwell_otel: 50 entries were dropped at shutdown")


def test_an_interrupt_leaves_everything_to_the_spool(
    receiver: DevServer, tmp_path: Path, silent_server: str
) -> None:
    spool = {"LOGWELL_SPOOL_DIR": str(tmp_path / "spool"), "LOGWELL_ENDPOINT": silent_server}
    done = end(receiver, tmp_path, INTERRUPTED, **spool)
    assert "50 entries left in the spool" in done.stderr
    listed = run(f"logwell-otel spool list {tmp_path / 'spool'}", receiver)
    assert "50 entries in 1 pool" in listed.stdout


def test_an_interrupt_of_an_explicit_shutdown_is_the_programs(
    receiver: DevServer, tmp_path: Path, silent_server: str
) -> None:
    program = """
import json, logging, os, signal, threading, logwell_otel
pipeline = logwell_otel.configure()
logging.getLogger().info("one")
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    pipeline.shutdown()
except KeyboardInterrupt:
    print(json.dumps(pipeline.health().dropped))
"""
    done = end(receiver, tmp_path, program, LOGWELL_ENDPOINT=silent_server)
    assert json.loads(done.stdout) == {"shutdown": 1}


INTERRUPTS_ITSELF = """
import atexit, logging, os, signal
{before}

def work():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    finally:
        logging.warning("interrupted")  # the first record, so that all is imported at exit

work()
"""
SET_UP = "import logwell_otel; logwell_otel.configure()"


@pytest.mark.parametrize("module", [False, True], ids=["a script", "a module"])
@pytest.mark.parametrize("before", ["", SET_UP], ids=["without us", "configure()"])
def test_ctrl_c_has_the_status_that_shells_look_for(
    receiver: DevServer, tmp_path: Path, before: str, module: bool
) -> None:
    (tmp_path / "app.py").write_text(INTERRUPTS_ITSELF.format(before=before))
    command = "python -m app" if module else "python app.py"
    run(command, receiver, status=-signal.SIGINT, cwd=tmp_path)
    assert receiver.count() == bool(before)


def test_an_interrupt_that_was_survived_is_no_end(receiver: DevServer, tmp_path: Path) -> None:
    program = f"""
import code, logging
{SET_UP}
shell = code.InteractiveInterpreter()
shell.runcode(compile("raise KeyboardInterrupt", "<input>", "exec"))
logging.warning("one")
"""
    (tmp_path / "app.py").write_text(program)
    run("python app.py", receiver, cwd=tmp_path)
    assert receiver.count() == 1
