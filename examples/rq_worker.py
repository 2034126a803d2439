"""RQ: records carry the job's id, and are sent before the job's process ends.

pip install logwell-otel rq
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… LOGWELL_SERVICE=shop
rq worker --worker-class rq_worker.LoggedWorker
"""

import logging
from typing import Any

from rq import Queue, Worker
from rq.job import Job

import logwell_otel

logging.basicConfig(level=logging.INFO)  # the console, as ever
pipeline = logwell_otel.configure()
logger = logging.getLogger("shop.invoices")


class LoggedWorker(Worker):
    """Runs each job in a process of its own, which leaves by `os._exit`, without exit handlers."""

    def perform_job(self, job: Job, queue: Queue, *execution: Any) -> bool:
        """Run the job in its process."""
        try:
            with logwell_otel.log_context(job_id=job.id, queue=queue.name):
                return super().perform_job(job, queue, *execution)
        finally:
            pipeline.shutdown()  # of this process alone; the worker's own goes on


def send_invoice(number: int) -> int:
    logger.info("invoice %d sent", number)
    return number
