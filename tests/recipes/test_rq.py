from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("rq")
pytest.importorskip("redis")

from redis import Redis
from redis.exceptions import ConnectionError as NotYet
from rq import Queue

from support.process import NEVER_BY_TIME, location, location_of, own_metadata, run, wait_until
from support.server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from logwell_otel.devserver import DevServer


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    # Not fakeredis: its TCP server (2.40) knows no INFO and cuts the connection after any
    # error, so that RQ's workers spend their time reconnecting.
    command = shutil.which("redis-server")
    if command is None:
        pytest.skip("RQ's worker needs a redis-server: apt-get install redis-server")
    port = free_port()
    server = subprocess.Popen(
        [command, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        with Redis("127.0.0.1", port) as client:

            def answers() -> bool:
                try:
                    return bool(client.ping())
                except NotYet:
                    return False

            wait_until(answers, server.poll)
            yield client
    finally:
        server.kill()
        server.wait()


def test_an_rq_worker(receiver: DevServer, redis: Redis) -> None:
    queue = Queue("invoices", connection=redis)
    jobs = [queue.enqueue("rq_worker.send_invoice", number).id for number in range(5)]
    port = redis.connection_pool.connection_kwargs["port"]
    run(
        f"rq worker --burst --url redis://127.0.0.1:{port} "
        "--worker-class rq_worker.LoggedWorker invoices",
        receiver,
        NEVER_BY_TIME,
    )
    entries = receiver.entries()
    sent = [entry for entry in entries if entry.message.startswith("invoice ")]
    assert [entry.message for entry in sent] == [f"invoice {number} sent" for number in range(5)]
    for entry, job in zip(sent, jobs, strict=True):
        assert own_metadata(entry) == {"job_id": job, "queue": "invoices"}
        assert location_of(entry) == location("rq_worker.py", '"invoice %d sent"')
    assert {entry.service for entry in entries} == {"shop"}
    # RQ's own records are there as well: of the jobs' processes and of the worker's.
    assert sum("Job OK" in entry.message for entry in entries) == 5
    assert sum("done, quitting" in entry.message for entry in entries) == 1
    # One connection a job, and the worker's.
    assert len({request.connection for request in receiver.requests}) == 6
