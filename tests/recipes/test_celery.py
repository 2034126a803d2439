from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("celery")


from support.process import (
    EXAMPLES,
    NEVER_BY_TIME,
    location,
    location_of,
    only_logging,
    run,
    running,
    wait_until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

BROKER = """
app.conf.broker_url = "filesystem://"
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control",
    "polling_interval": 0.01,
}
"""

# The example with a broker of files, and with the process's id on every record.
APP = f"""
import os, sys
sys.path.insert(0, {str(EXAMPLES)!r})
from celery.signals import worker_process_init
from celery_app import app, send_invoice
from logwell_otel import set_global_context

{BROKER}
@worker_process_init.connect
def name_the_process(**_):
    set_global_context(pid=os.getpid())

if __name__ == "__main__":
    for number in range(20):
        print(send_invoice.delay(number).id)
"""


def test_a_prefork_worker_whose_processes_are_replaced(receiver: DevServer, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    for folder in ("queue", "control"):
        (tmp_path / folder).mkdir()
    task_ids = run("python app.py", receiver, cwd=tmp_path).stdout.split()
    assert receiver.count() == 0
    with running(
        "celery -A app worker --loglevel INFO --concurrency 2 --max-tasks-per-child 5 "
        "--without-gossip --without-mingle --without-heartbeat",
        receiver,
        tmp_path / "out",
        NEVER_BY_TIME,
        cwd=tmp_path,
    ) as worker:
        wait_until(lambda: worker.said().count(" succeeded in ") == 20, worker.said)
        assert worker.stop() == 0

    entries = receiver.entries()
    sent = [entry for entry in entries if entry.message.startswith("invoice ")]
    assert Counter(entry.message for entry in sent) == {
        f"invoice {number} sent": 1 for number in range(20)
    }
    assert [task_ids[int(entry.message.split()[1])] for entry in sent] == [
        entry.metadata["task_id"] for entry in sent
    ]
    assert {entry.metadata["task"] for entry in sent} == {"celery_app.send_invoice"}
    source = location("celery_app.py", '"invoice %d sent"')
    assert {location_of(entry) for entry in sent} == {source}
    assert {entry.service for entry in entries} == {"shop"}
    # Five tasks to a process, and each process has delivered all of its own.
    assert max(Counter(entry.metadata["pid"] for entry in sent).values()) == 5
    # Celery's own records are there as well, from both sides.
    assert sum(" succeeded in " in entry.message for entry in entries) == 20
    assert sum(" received" in entry.message for entry in entries) == 20


WITHOUT_CODE = (
    """
import logging
from celery import Celery

app = Celery("shop")
"""
    + BROKER
    + """
@app.task(name="send_invoice")
def send_invoice(number):
    logging.getLogger("shop.invoices").info("invoice %d sent", number)
    if number == 7:
        raise ValueError("no address")

if __name__ == "__main__":
    for number in range(20):
        send_invoice.delay(number)
"""
)


@pytest.mark.parametrize("pool", ["prefork --max-tasks-per-child 5", "threads", "solo"])
def test_without_code(receiver: DevServer, tmp_path: Path, pool: str) -> None:
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")
    (tmp_path / "app.py").write_text(WITHOUT_CODE)
    for folder in ("queue", "control"):
        (tmp_path / folder).mkdir()
    run("python app.py", receiver, cwd=tmp_path)
    with running(
        f"opentelemetry-instrument celery -A app worker --loglevel INFO --pool {pool} "
        "--concurrency 2 --without-gossip --without-mingle --without-heartbeat",
        receiver,
        tmp_path / "out",
        {
            **NEVER_BY_TIME,
            **only_logging(),
            "OTEL_LOGS_EXPORTER": "logwell",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_SERVICE_NAME": "shop",
        },
        cwd=tmp_path,
    ) as worker:
        wait_until(lambda: worker.said().count(" succeeded in ") == 19, worker.said)
        wait_until(lambda: " raised unexpected: " in worker.said(), worker.said)
        assert worker.stop() == 0
    entries = receiver.entries()
    assert Counter(e.message for e in entries if e.message.startswith("invoice ")) == {
        f"invoice {number} sent": 1 for number in range(20)
    }
    (failed,) = [entry for entry in entries if entry.level == "error"]
    assert failed.metadata["exception.type"] == "ValueError"


TASK_LOGGER = (
    """
import logging, sys
from celery import Celery
from celery.signals import after_setup_logger, after_setup_task_logger, worker_process_init
from celery.utils.log import get_task_logger

app = Celery("shop")
"""
    + BROKER
    + """
logger = get_task_logger("shop.tasks")

@app.task(name="send_invoice")
def send_invoice(number):
    logger.info("invoice %d sent", number)

if __name__ == "__main__":
    for number in range(6):
        send_invoice.delay(number)
"""
)
CONFIGURE = "import logwell_otel; logwell_otel.configure()"
PROPAGATED = """
@after_setup_task_logger.connect
def propagate(logger, **_):
    logger.propagate = True
"""


@pytest.mark.parametrize(
    ("set_up", "pool"),
    [
        ("", "prefork"),
        ("", "solo"),
        (f"{CONFIGURE}\n", "prefork"),
        (f"@after_setup_logger.connect\ndef set_up(**_): {CONFIGURE}", "threads"),
        (f"@worker_process_init.connect\ndef set_up(**_): {CONFIGURE}", "prefork"),
        (f"{PROPAGATED}\n{CONFIGURE}", "solo"),
        (f"{CONFIGURE}\n{PROPAGATED}", "prefork"),
    ],
    ids=[
        "without code",
        "without code, solo",
        "at import",
        "at set-up",
        "in each process",
        "propagated before",
        "propagated after",
    ],
)
def test_celerys_own_loggers_of_tasks(
    receiver: DevServer, tmp_path: Path, set_up: str, pool: str
) -> None:
    """A worker cuts them off from the root logger."""
    head, main = TASK_LOGGER.split("if __name__")
    (tmp_path / "app.py").write_text(head + set_up + "\nif __name__" + main)
    for folder in ("queue", "control"):
        (tmp_path / folder).mkdir()
    run("python app.py", receiver, cwd=tmp_path)
    command, variables = "", dict(NEVER_BY_TIME)
    if not set_up:
        pytest.importorskip("opentelemetry.instrumentation.logging.handler")
        command = "opentelemetry-instrument "
        variables |= {
            **only_logging(),
            "OTEL_LOGS_EXPORTER": "logwell",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
        }
    with running(
        f"{command}celery -A app worker --loglevel INFO --pool {pool} --concurrency 2 "
        "--without-gossip --without-mingle --without-heartbeat",
        receiver,
        tmp_path / "out",
        variables,
        cwd=tmp_path,
    ) as worker:
        wait_until(lambda: worker.said().count(" succeeded in ") == 6, worker.said)
        assert worker.stop() == 0
        for number in range(6):  # on the console as ever: once, twice where it is asked for
            assert worker.said().count(f"invoice {number} sent") == 1 + ("propagate" in set_up)
    entries = receiver.entries()
    assert Counter(e.message for e in entries if e.message.startswith("invoice ")) == {
        f"invoice {number} sent": 1 for number in range(6)
    }
