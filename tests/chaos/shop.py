"""A web application for gunicorn: `gunicorn --preload chaos.shop:application`.

Its logging is set up when it is imported, which with `--preload` happens in the master,
before the workers are forked. The master logs, too: by then it has a sender, an open
connection, and entries that it still holds. A worker that went on with any of them would
send those twice.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

from logwell_otel import LogwellLogExporter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

HELD: Final = 50
"""Entries that the master holds when it forks, where the server takes its time."""

_provider = LoggerProvider()
_exporter = LogwellLogExporter()
_provider.add_log_record_processor(BatchLogRecordProcessor(_exporter))
logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
logger.addHandler(LoggingHandler(logger_provider=_provider))
logger.info("shop loaded")
_provider.force_flush()
_exporter.force_flush(5_000)
for number in range(HELD):
    logger.info("shop ready %d", number)
_provider.force_flush()  # to the exporter, and no further


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    logger.info("request %s", environ["PATH_INFO"].strip("/"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
