"""Worker threads, objects of one process, and what runs at its end."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING

import pytest

from logwell_otel import _process
from logwell_otel._process import PerProcess, Worker
from support.clock import run_together

if TYPE_CHECKING:
    from pathlib import Path


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_many_callers_start_one_thread() -> None:
    stepped, finished = threading.Event(), threading.Event()

    def step() -> float:
        stepped.set()
        return 3600.0

    worker = Worker("LogwellTest", step, finish=finished.set)
    begin = threading.Barrier(8)

    def start() -> None:
        begin.wait()
        assert worker.start()

    run_together(*[start] * 8)
    assert stepped.wait(60)
    assert names().count("LogwellTest") == 1
    assert repr(worker) == "<Worker LogwellTest running>"
    worker.stop()
    assert worker.join(60)
    assert finished.is_set()
    assert (worker.start(), worker.wake()) == (False, False)
    assert "LogwellTest" not in names()
    assert repr(worker) == "<Worker LogwellTest not running>"


def test_what_was_never_started_ends_without_a_thread() -> None:
    finished: list[bool] = []
    worker = Worker("LogwellTest", lambda: 1.0, finish=lambda: finished.append(True))
    worker.stop()
    assert worker.join(0)
    assert not worker.start()
    assert finished == []
    assert "LogwellTest" not in names()


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    worker = Worker("LogwellTest", lambda: 3600.0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert not worker.start()
        assert not worker.running
    assert worker.start()
    worker.stop()
    assert worker.join(60)
    assert not Worker("LogwellTest", lambda: 1.0, threads=False).wake()


def test_started_by_a_signal_handler_while_it_is_being_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The handler runs in the very thread that starts this one, and logs."""
    worker = Worker("LogwellTest", lambda: 3600.0)
    start = threading.Thread.start
    interrupted: list[bool] = []

    def interrupt(thread: threading.Thread) -> None:
        interrupted.append(worker.start())
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupt)
        assert worker.start()
    assert interrupted == [True]
    assert names().count("LogwellTest") == 1
    worker.stop()
    assert worker.join(60)


def test_it_can_be_ended_from_within() -> None:
    over = threading.Event()
    joined: list[bool] = []

    def step() -> float:
        assert worker.is_current_thread()
        worker.stop()
        joined.append(worker.join(60))
        return 3600.0

    worker = Worker("LogwellTest", step, finish=over.set)
    worker.start()
    assert over.wait(60)
    assert joined == [False]


def test_it_steps_at_once_when_woken_and_when_there_is_more_to_do() -> None:
    waits: list[float | None] = [0, None, 0, None]
    rests, idle = threading.Event(), threading.Event()

    def step() -> float | None:
        wait = waits.pop(0)
        if wait is None:
            (idle if not waits else rests).set()
        return wait

    worker = Worker("LogwellTest", step)
    worker.start()
    assert rests.wait(60)
    assert len(waits) == 2
    assert worker.wake()
    assert idle.wait(60)
    worker.stop()
    assert worker.join(60)


def test_what_it_raises_is_counted_and_it_goes_on() -> None:
    def fail() -> float:
        if worker.failures == 3:
            worker.stop()
        raise RuntimeError("a bug")

    worker = Worker("LogwellTest", fail, finish=fail, after_failure=0)
    worker.start()
    assert worker.join(60)
    assert worker.failures == 5


def test_it_ends_in_time_or_says_so() -> None:
    gate = threading.Event()

    def step() -> float:
        gate.wait(60)
        return 3600.0

    worker = Worker("LogwellTest", step)
    worker.start()
    worker.stop()
    assert not worker.join(0.01)
    gate.set()
    assert worker.join(60)


def test_one_object_for_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    own = PerProcess(object)
    first = own.get()
    assert own.get() is first
    monkeypatch.setattr("os.getpid", lambda: -1)
    second = own.get()
    assert second is not first
    assert own.get() is second


def test_a_child_may_make_it_in_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    own = PerProcess(lambda: "parent", remake=lambda: "child")
    assert own.get() == "parent"
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert own.get() == "child"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_made_at_the_fork_and_what_a_callback_raises_is_dropped() -> None:
    made: list[int] = []

    class Failing:
        def fail(self) -> None:
            raise RuntimeError("not in the application's child")

    failing = Failing()
    _process.after_fork_in_child(failing.fail)
    own = PerProcess(lambda: made.append(os.getpid()), at_fork=True)
    own.get()
    pid = os.fork()
    if not pid:
        os._exit(0 if made[1:] == [os.getpid()] else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert made == [os.getpid()]


def test_hooks_keep_nothing_alive() -> None:
    class Owner:
        def callback(self) -> None:
            """Never called."""

    owners = []
    for _ in range(3):
        owner = Owner()
        _process.after_fork_in_child(owner.callback)
        _process.at_exit_of_children(owner.callback)
        owners.append(weakref.ref(owner))
    del owner
    gc.collect()
    assert [owner() for owner in owners] == [None, None, None]


PROGRAM = """
import os, sys
from multiprocessing import get_context
from logwell_otel import _process

class Owner:
    def __init__(self, name):
        self.name = name
    def end(self):
        os.write(1, f"{self.name} {os.getpid() == parent}\\n".encode())

# Children of a fork server import this after the fork, and before they begin.
parent = int(os.environ.setdefault("PARENT", str(os.getpid())))
own, child = Owner("own"), Owner("child")
_process.at_exit(own.end)
_process.at_exit_of_children(child.end)

def work():
    global born
    born = Owner("born")
    _process.at_exit(born.end)

if __name__ == "__main__":
    process = get_context(sys.argv[1]).Process(target=work)
    process.start()
    process.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize(
    ("start_method", "ended"),
    [
        ("fork", ["born False", "child False", "own True"]),
        ("spawn", ["born False", "child False", "own False", "own True"]),
        ("forkserver", ["born False", "child False", "own False", "own True"]),
    ],
)
def test_each_process_ends_what_is_its_own(
    tmp_path: Path, start_method: str, ended: list[str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    run = subprocess.run(
        [sys.executable, program, start_method],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert sorted(run.stdout.splitlines()) == ended
    assert (run.returncode, run.stderr) == (0, "")
