"""Several processes of one application."""

from __future__ import annotations

import itertools
import re
import signal
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from chaos.pipeline import texts
from chaos.process import Program, SubjectProcess, environment
from chaos.result import Trial
from logwell_otel.devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.result import Result
    from logwell_otel.devserver import Entry

_LISTENING = re.compile(r"Listening at: (http://\S+)")
_START_SECONDS = 30.0
_ANSWER_MS = 300
_MASTER_HOLDS = 50  # chaos.shop.HELD, whose import would set up logging here
_MOST_REQUESTS = 10_000


def gunicorn(requests: int, *, workers: int = 4) -> Result:
    """`gunicorn --preload`: each request's log line arrives once, without any set-up for it."""
    trial = Trial()
    with DevServer() as receiver:
        receiver.faults.delay(_ANSWER_MS)  # so that the master holds entries when it forks
        arguments = ["--preload", "--bind", "127.0.0.1:0", "--workers", str(workers)]
        with Program(
            "gunicorn", *arguments, "chaos.shop:application", env=environment(receiver)
        ) as server:
            url = _url(server)
            # Until all have answered: one that is still starting when gunicorn is told to end
            # misses the signal, and gunicorn waits for it for 30 s.
            pids: set[str] = set()
            sent = 0
            with ThreadPoolExecutor(workers) as clients:
                while sent < requests or (len(pids) < workers and sent < _MOST_REQUESTS):
                    numbers = range(sent, sent + requests)
                    pids.update(clients.map(lambda number: _get(f"{url}/{number}"), numbers))
                    sent += requests
            trial.expect(len(pids) == workers, f"only {len(pids)} workers took part")
            server.send_signal(signal.SIGTERM)
            trial.expect(server.end() == 0, f"gunicorn failed: {server.said()}")
        masters = ["shop loaded", *texts(_MASTER_HOLDS, prefix="shop ready")]
        trial.send([*texts(sent, prefix="request"), *masters])
        return trial.judge(entry.message for entry in receiver.entries())


def same_errors(records_each: int, *, processes: int = 4) -> Result:
    """The same ten errors, each process in orders of its own.

    Two requests that hold incidents A and B in different orders deadlock in the server's
    database. There is no such pair, nor a longer ring, exactly if "comes before in some
    request" has no cycle.
    """
    trial, batches = Trial(), list[list[tuple[object, ...]]]()

    def note(entries: Sequence[Entry]) -> None:
        batches.append([incident(entry) for entry in entries])

    with DevServer(requests_per_minute=None, on_stored=note) as receiver, ExitStack() as stack:
        names = [f"{number}00" for number in range(1, processes + 1)]
        subjects = [stack.enter_context(SubjectProcess(receiver, name)) for name in names]
        for subject in subjects:
            subject.started()
        for number, subject in enumerate(subjects):
            subject.write(f"errors {number} {records_each}")
        for subject in subjects:
            subject.line()
            trial.expect(subject.tell("flush", 9_000), f"process {subject.prefix} was not done")
            trial.ledger(subject.figures())
            trial.expect(subject.end() == 0, f"it failed: {subject.said()}")
        trial.send(texts(processes * records_each, prefix="error"))
        entries = receiver.entries()
        trial.expect(
            len({entry.message for entry in entries}) == len(entries), "an error arrived twice"
        )
        trial.expect(len({one for batch in batches for one in batch}) == 10, "not ten incidents")
        trial.expect(in_one_order(batches), "two requests hold the same incidents in other orders")
        full = sum(len(set(batch)) > 1 for batch in batches)
        trial.expect(full > processes, "requests with one kind of error each prove nothing")
        return trial.judge(
            (f"error {number}" for number in range(len(entries))), remark=f"{len(batches)} requests"
        )


def incident(entry: Entry) -> tuple[object, ...]:
    """What the server groups by, for the messages used here: case, digits, white space."""
    message = re.sub(r"\s+", " ", re.sub(r"\d+", "#", entry.message.lower().strip()))
    return (entry.service, entry.source_file, entry.line_number, message)


def in_one_order(batches: list[list[tuple[object, ...]]]) -> bool:
    order: TopologicalSorter[tuple[object, ...]] = TopologicalSorter()
    for batch in batches:
        for earlier, later in itertools.pairwise(batch):
            if earlier != later:
                order.add(later, earlier)
    try:
        order.prepare()
    except CycleError:
        return False
    return True


def _url(server: Program) -> str:
    until = time.monotonic() + _START_SECONDS
    while (match := _LISTENING.search(server.said())) is None:
        if time.monotonic() > until:
            raise RuntimeError(f"gunicorn did not start: {server.said()}")
        time.sleep(0.05)
    return match[1]


def _get(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return str(answer.read(), "ascii")
