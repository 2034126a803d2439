"""Processes: a forked child has its own thread and counts, and the end of a program reports."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support.policy import PolicyStandIn

PROGRAM = """
import os, sys, threading
from multiprocessing import get_context
from logwell_otel.sampling import PolicyServer, Sampler

sampler = Sampler(clock=lambda: 0.0)
server = PolicyServer(sys.argv[1], service="shop", team_id=7)
sampler.follow(server)

def work(name, count):
    for number in range(count):
        sampler.decide("error", f"{name} did {number}")

def child():
    work("child", 3)

if __name__ == "__main__":
"""
END_OF_PROGRAM = '    work("parent", 5)\n'
OS_FORK = """
    work("parent", 5)
    # As if a thread had been counting at the very moment of the fork.
    server._polling.get().statistics._lock.acquire()
    pid = os.fork()
    if not pid:
        assert threading.active_count() == 1
        child()
        assert threading.active_count() == 2
        sys.exit(0)
    server._polling.get().statistics._lock.release()
    assert os.waitpid(pid, 0)[1] == 0
"""
MULTIPROCESSING = """
    work("parent", 5)
    process = get_context(sys.argv[2]).Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 0
"""


def _run(program: str, *arguments: str) -> None:
    environ = {
        name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")
    }
    # From 3.12 on Python warns of a fork beside threads, which is what some programs are about.
    quiet = ["-W", "ignore:This process:DeprecationWarning"]
    run = subprocess.run(
        [sys.executable, *quiet, "-c", PROGRAM + program, *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def _reported(stand_in: PolicyStandIn) -> list[tuple[int, str]]:
    return sorted(
        (pattern["count"], pattern["example"].split()[0])
        for report in stand_in.reports
        for pattern in report["patterns"]
    )


def test_the_end_of_a_program_reports() -> None:
    with PolicyStandIn() as stand_in:
        _run(END_OF_PROGRAM, stand_in.url)
        assert _reported(stand_in) == [(5, "parent")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_its_own_thread_and_counts() -> None:
    with PolicyStandIn() as stand_in:
        _run(OS_FORK, stand_in.url)
        assert _reported(stand_in) == [(3, "child"), (5, "parent")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_multiprocessing_reports_at_its_end() -> None:
    with PolicyStandIn() as stand_in:
        _run(MULTIPROCESSING, stand_in.url, "fork")
        assert _reported(stand_in) == [(3, "child"), (5, "parent")]


def test_a_server_that_does_not_answer_does_not_hold_up_the_end() -> None:
    with PolicyStandIn() as stand_in:
        stand_in.gate.clear()
        _run(END_OF_PROGRAM + "    server.shutdown(0.1)\n", stand_in.url)
