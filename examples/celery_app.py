"""Celery: records carry the task's id and name, and a worker process that ends sends its last.

pip install logwell-otel celery
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… LOGWELL_SERVICE=shop
celery -A celery_app worker --loglevel INFO --max-tasks-per-child 100
"""

import logging
from typing import Any

from celery import Celery, Task
from celery.signals import after_setup_logger, worker_process_shutdown

import logwell_otel

logger = logging.getLogger("shop.invoices")


@after_setup_logger.connect
def send_logs(**_: object) -> None:
    """Here, and not at import: a Celery worker takes all handlers off the root logger first."""
    logwell_otel.configure()


@worker_process_shutdown.connect
def send_the_last(**_: object) -> None:
    """Celery's processes leave by `os._exit`: neither atexit nor finalizers run."""
    logwell_otel.configure().shutdown()


class LoggedTask(Task):
    """Adds the task to what is logged in it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task."""
        with logwell_otel.log_context(task_id=self.request.id, task=self.name):
            return super().__call__(*args, **kwargs)


app = Celery("shop", task_cls=LoggedTask)


@app.task
def send_invoice(number: int) -> int:
    logger.info("invoice %d sent", number)
    return number
