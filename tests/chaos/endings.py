"""Programs that log ten records and end, each in a way of its own.

`python -m chaos.endings HOW`, with a pipeline made by hand or by `configure()`: the lines
that `docs/delivery.md` shows, and what happens without them. `exits.py` says what must arrive.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.util import Finalize
from typing import Final

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

from chaos.pipeline import texts
from logwell_otel import LogwellLogExporter, configure

CONFIGURED: Final = "CHAOS_CONFIGURED" in os.environ
logger = logging.getLogger("endings")


def _by_hand() -> LoggerProvider:
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(LogwellLogExporter()))
    logger.setLevel(logging.INFO)
    logger.addHandler(LoggingHandler(logger_provider=provider))
    return provider


# At the top of the module, as applications have it: children that are spawned, and not
# forked, import this module and so make a pipeline of their own.
pipeline = configure(logger=logger) if CONFIGURED else _by_hand()


def log(prefix: str) -> None:
    for text in texts(int(os.environ["CHAOS_COUNT"]), prefix=prefix):
        logger.info(text)


def returns() -> None:
    log("main")


def raises() -> None:
    log("main")
    raise RuntimeError("the program's own trouble")


def is_terminated() -> None:
    log("main")
    _terminate_me()


def is_terminated_with_handler() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log("main")
    _terminate_me()


def leaves_by_os_exit() -> None:
    log("main")
    os._exit(0)


def shuts_down_before_os_exit() -> None:
    log("main")
    pipeline.shutdown()
    os._exit(0)


def has_a_child() -> None:
    _run_child(_child)
    log("main")


def has_a_child_that_shuts_down() -> None:
    _run_child(_child_that_shuts_down)
    log("main")


def has_a_pool() -> None:
    with _context().Pool(2) as pool:
        pool.map(log, ["child-1", "child-2"], chunksize=1)
    log("main")


def has_a_pool_that_is_joined() -> None:
    # configure() has done that already.
    initializer = None if CONFIGURED else shut_down_at_end
    with _context().Pool(2, initializer=initializer) as pool:
        pool.map(log, ["child-1", "child-2"], chunksize=1)
        pool.close()
        pool.join()
    log("main")


def shut_down_at_end() -> None:
    """multiprocessing runs its own finalisers in children, and not atexit's."""
    Finalize(pipeline, pipeline.shutdown, exitpriority=0)


def _child() -> None:
    log("child-1")


def _child_that_shuts_down() -> None:
    try:
        log("child-1")
    finally:
        pipeline.shutdown()


def _run_child(target: object) -> None:
    child = _context().Process(target=target)  # type: ignore[attr-defined]
    child.start()
    child.join()


def _context() -> multiprocessing.context.BaseContext:
    return multiprocessing.get_context(os.environ["CHAOS_START_METHOD"])


def _terminate_me() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
