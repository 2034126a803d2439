"""SIGTERM where nobody handles it: what is held is delivered, and the process ends by it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.process import NEVER_BY_TIME, environment, instrumented
from support.server import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

pytestmark = pytest.mark.process

TERM = -signal.SIGTERM


def end(
    receiver: DevServer, program: str, status: int = TERM, **variables: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import os, signal, sys, logging, time\n{program}"],
        env=environment(receiver, {**NEVER_BY_TIME, **variables}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def messages(receiver: DevServer) -> list[str]:
    return [entry.message for entry in receiver.entries()]


CONFIGURED = """
import logwell_otel
logwell_otel.configure()
for number in range(3):
    logging.getLogger().info("%d", number)
"""
ALL = ["0", "1", "2"]
RAISED = "signal.raise_signal(signal.SIGTERM)"


def test_by_default(receiver: DevServer) -> None:
    done = end(receiver, CONFIGURED + RAISED)
    assert messages(receiver) == ALL
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="not on Windows")
def test_the_terminal_is_closed(receiver: DevServer) -> None:
    hangup = "signal.raise_signal(signal.SIGHUP)"
    end(receiver, CONFIGURED + hangup, status=-signal.SIGHUP)
    assert messages(receiver) == ALL


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="not on Windows")
def test_nohup_stays_what_it_is(receiver: DevServer) -> None:
    ignored = "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    end(receiver, ignored + CONFIGURED + "signal.raise_signal(signal.SIGHUP)", status=0)
    assert messages(receiver) == ALL


@pytest.mark.parametrize(
    "program",
    [
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)",
        "signal.signal(15, 0)",
        "was = signal.signal(signal.SIGTERM, print); signal.signal(signal.SIGTERM, was)",
        "was = signal.getsignal(15); signal.signal(15, signal.SIG_IGN); signal.signal(15, was)",
        """
import asyncio
async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(15, print)
    loop.remove_signal_handler(15)
asyncio.run(main())""",
    ],
)
def test_whoever_puts_the_default_back(receiver: DevServer, program: str) -> None:
    end(receiver, f"{CONFIGURED}{program}\n{RAISED}")
    assert messages(receiver) == ALL


def test_an_application_that_is_loaded_while_a_server_handles_the_signal(
    receiver: DevServer,
) -> None:
    """As uvicorn does: it restores what was there, and raises the signal again."""
    program = f"""
was = signal.signal(signal.SIGTERM, lambda *_: None)
{CONFIGURED}
signal.signal(signal.SIGTERM, was)
"""
    end(receiver, program + RAISED)
    assert messages(receiver) == ALL


def test_code_that_looks_sees_the_default(receiver: DevServer) -> None:
    program = """
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.signal(signal.SIGTERM, signal.SIG_DFL) is signal.SIG_DFL
assert signal.signal(signal.SIGINT, signal.SIG_DFL) is signal.default_int_handler
assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
"""
    end(receiver, CONFIGURED + program, status=0)


@pytest.mark.parametrize("handler", ["signal.SIG_IGN", "lambda *_: print('theirs')"])
def test_a_handler_of_somebody_elses_stays(receiver: DevServer, handler: str) -> None:
    program = f"handler = {handler}\nsignal.signal(signal.SIGTERM, handler)\n{CONFIGURED}"
    program += "assert signal.getsignal(signal.SIGTERM) is handler\n" + RAISED
    end(receiver, program, status=0)
    assert messages(receiver) == ALL


@pytest.mark.parametrize("way", ["variable", "argument"])
def test_switched_off(receiver: DevServer, way: str) -> None:
    configured = CONFIGURED
    if way == "argument":
        configured = CONFIGURED.replace("configure()", "configure(deliver_on_sigterm=False)")
    program = configured + "assert signal.signal.__module__ == 'signal'\n" + RAISED
    variable = "false" if way == "variable" else ""
    end(receiver, program, LOGWELL_DELIVER_ON_SIGTERM=variable)
    assert messages(receiver) == []


def test_a_lock_of_ours_that_the_interrupted_code_holds(receiver: DevServer) -> None:
    """The delivery waits for it in vain, and the process ends all the same."""
    program = """
import logwell_otel._sigterm as ours
ours.LONGEST_DELIVERY = 0.5
exporter = logwell_otel.configure().exporter
exporter._engine.outbox._changed.acquire()
"""
    end(receiver, CONFIGURED + program + RAISED)


def test_a_second_signal_ends_it_at_once(receiver: DevServer) -> None:
    program = """
import threading
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
exporter = logwell_otel.configure().exporter
exporter._engine.outbox._changed.acquire()
began = time.monotonic()
import logwell_otel._sigterm as ours
ours.LONGEST_DELIVERY = 1_000
"""
    end(receiver, CONFIGURED + program + RAISED)


def test_a_server_that_is_away(receiver: DevServer) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    done = end(receiver, CONFIGURED + RAISED, LOGWELL_ENDPOINT=away)
    assert "3 entries were dropped at shutdown" in done.stderr


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="not on Windows")
def test_a_forked_child_and_its_parent_deliver_their_own(receiver: DevServer) -> None:
    program = """
if (child := os.fork()) == 0:
    logging.getLogger().info("child")
    signal.raise_signal(signal.SIGTERM)
assert os.WTERMSIG(os.waitpid(child, 0)[1]) == 15
"""
    end(receiver, CONFIGURED + program + RAISED)
    assert sorted(messages(receiver)) == [*ALL, "child"]


SIGNALLED_WHILE_IT_IS_MADE = """
os.register_at_fork(after_in_child=lambda: signal.raise_signal(signal.SIGTERM))
"""
FORK = """
if (child := os.fork()) == 0:
    os._exit(1)
assert os.WTERMSIG(os.waitpid(child, 0)[1]) == 15
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_that_gets_it_while_it_is_made_sends_nothing_of_its_parents(
    receiver: DevServer,
) -> None:
    """As the workers of a `Pool` that is left at once."""
    end(receiver, SIGNALLED_WHILE_IT_IS_MADE + CONFIGURED + FORK, status=0)
    assert messages(receiver) == ALL


CHILD = """
import multiprocessing

def work(number):
    logging.warning("child %d", number)

if __name__ == "__main__":
    multiprocessing.set_start_method("METHOD")
    children = [multiprocessing.Process(target=work, args=(number,)) for number in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
"""


@pytest.mark.parametrize("configurator", ["configurator", "logwell"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_without_code(
    receiver: DevServer, tmp_path: Path, method: str, configurator: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"import logging, os\n{CHILD.replace('METHOD', method)}")
    without_code(receiver, program, configurator)
    assert sorted(messages(receiver)) == ["child 0", "child 1"]


def without_code(receiver: DevServer, program: Path, configurator: str, **variables: str) -> None:
    done = instrumented(
        program,
        OTEL_LOGS_EXPORTER="logwell",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        OTEL_PYTHON_CONFIGURATOR=configurator,
        LOGWELL_ENDPOINT=receiver.url,
        LOGWELL_API_KEY=receiver.key,
        **NEVER_BY_TIME,
        **variables,
    )
    assert done.returncode == 0, done.stderr


def test_during_the_exit_the_exit_goes_on(receiver: DevServer) -> None:
    program = "import atexit; atexit.register(signal.raise_signal, signal.SIGTERM)"
    end(receiver, CONFIGURED + program, status=0)
    assert messages(receiver) == ALL


def test_configured_on_another_thread(receiver: DevServer) -> None:
    """Python lets only the main thread set handlers: the next who restores the default does it."""
    program = """
import logwell_otel, threading
thread = threading.Thread(target=logwell_otel.configure)
thread.start()
thread.join()
logging.getLogger().info("0")
signal.signal(signal.SIGTERM, signal.SIG_DFL)
"""
    end(receiver, program + RAISED)
    assert messages(receiver) == ["0"]


def test_while_a_shutdown_is_under_way(receiver: DevServer) -> None:
    """The shutdown that is interrupted is brought to its end first."""
    receiver.faults.delay(300)
    program = """
import threading
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
logwell_otel.configure().shutdown()
time.sleep(30)
"""
    end(receiver, CONFIGURED + program)
    assert messages(receiver) == ALL
