from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from fakeredis import TcpFakeServer
from redis import Redis
from rq import Queue

from recipe import location, location_of, own_metadata, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logwell_otel.devserver import Receiver


@pytest.fixture
def redis_port() -> Iterator[int]:
    server = TcpFakeServer(("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_rq_worker(receiver: Receiver, redis_port: int) -> None:
    with Redis("127.0.0.1", redis_port) as redis:
        queue = Queue("invoices", connection=redis)
        jobs = [queue.enqueue("rq_worker.send_invoice", number).id for number in range(5)]
    run(
        f"rq worker --burst --url redis://127.0.0.1:{redis_port} "
        "--worker-class rq_worker.LoggedWorker invoices",
        receiver,
        OTEL_BLRP_SCHEDULE_DELAY="60000",
    )
    sent = [entry for entry in receiver.entries() if entry.message.startswith("invoice ")]
    assert [entry.message for entry in sent] == [f"invoice {number} sent" for number in range(5)]
    for entry, job in zip(sent, jobs, strict=True):
        assert own_metadata(entry) == {"job_id": job, "queue": "invoices"}
        assert location_of(entry) == location("rq_worker.py", '"invoice %d sent"')
        assert entry.service == "shop"
