"""loguru's messages arrive whole and once."""

from __future__ import annotations

import shlex
import textwrap
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("loguru")

from support.process import own_metadata, run

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

PROGRAM = """
import logging, logwell_otel
from loguru import logger
from logwell_otel.integrations.loguru import LogwellSink

logwell_otel.configure()
logger.add(LogwellSink(), level="INFO"{more})
log = logger.bind(order_id=7, name="Ann")
with logger.contextualize(request_id="r-1"):
    log.info("order {{}} placed", 7)
    log.success("order paid")
    log.debug("below the level")
    try:
        raise ValueError("out of stock")
    except ValueError:
        log.exception("order cannot be sent")
logger.complete()
"""


@pytest.mark.parametrize("more", ["", ", enqueue=True", ", serialize=True"])
def test_messages_arrive_whole(receiver: DevServer, tmp_path: Path, more: str) -> None:
    path = tmp_path / "app.py"
    path.write_text(PROGRAM.format(more=more))
    run(f"python {shlex.quote(str(path))}", receiver)
    placed, paid, failed = sorted(receiver.entries(), key=lambda entry: entry.line_number or 0)
    bound = {"order_id": 7, "name": "Ann", "request_id": "r-1"}
    assert (placed.level, placed.message, placed.line_number) == ("info", "order 7 placed", 10)
    assert own_metadata(placed) == bound
    assert (paid.level, paid.message) == ("info", "order paid")
    assert own_metadata(paid)["severity_text"] == "SUCCESS"
    assert (failed.level, failed.message) == ("error", "order cannot be sent")
    assert {entry.source_file for entry in (placed, paid, failed)} == {str(path)}
    metadata = own_metadata(failed)
    assert "ValueError: out of stock" in metadata.pop("exception.stacktrace")
    assert metadata == {
        **bound,
        "exception.type": "ValueError",
        "exception.message": "out of stock",
    }


@pytest.mark.parametrize("level", ["logging.INFO", "0"])
def test_the_standard_librarys_records_by_an_intercept_handler_go_once(
    receiver: DevServer, tmp_path: Path, level: str
) -> None:
    path = tmp_path / "app.py"
    path.write_text(
        textwrap.dedent(
            f"""
            import logging, logwell_otel
            from loguru import logger
            from logwell_otel.integrations.loguru import LogwellSink

            class InterceptHandler(logging.Handler):
                def emit(self, record):
                    logger.opt(depth=6, exception=record.exc_info).log(
                        record.levelname, record.getMessage())

            logging.basicConfig(handlers=[InterceptHandler()], level={level}, force=True)
            logger.add(LogwellSink())
            logwell_otel.configure()
            logging.getLogger("library").warning("by logging")
            logger.warning("by loguru")
            """
        )
    )
    run(f"python {shlex.quote(str(path))}", receiver)
    assert sorted(entry.message for entry in receiver.entries()) == ["by logging", "by loguru"]


FROM_THE_DOCUMENTATION = """
import inspect, logging, sys
from loguru import logger

class InterceptHandler(logging.Handler):
    def emit(self, record):
        frame, depth = inspect.currentframe(), 0
        while frame and (depth == 0 or frame.f_code.co_filename == logging.__file__):
            frame, depth = frame.f_back, depth + 1
        logger.opt(depth=depth, exception=record.exc_info).log("INFO", record.getMessage())

import logwell_otel
from logwell_otel.integrations.loguru import LogwellSink
logger.remove()
logger.add(sys.stderr, format="{file}:{line} {function} {message}")
logger.add(LogwellSink())
"""


@pytest.mark.parametrize("level", ["logging.INFO", "0", "logging.WARNING"])
@pytest.mark.parametrize("first", ["loguru", "configure()"])
def test_loguru_finds_where_the_standard_librarys_records_were_logged(
    receiver: DevServer, tmp_path: Path, level: str, first: str
) -> None:
    """It looks for the first frame outside of logging's file, and shows that on its console."""
    intercept = f"logging.basicConfig(handlers=[InterceptHandler()], level={level}, force=True)"
    configure = "logwell_otel.configure()"
    steps = [intercept, configure] if first == "loguru" else [configure, intercept]
    path = tmp_path / "app.py"
    text = [FROM_THE_DOCUMENTATION, *steps, "def work():", "    logging.warning('x')", "work()"]
    path.write_text("\n".join(text))
    line = path.read_text().splitlines().index("    logging.warning('x')") + 1
    done = run(f"python {shlex.quote(str(path))}", receiver)
    assert done.stderr.splitlines() == [f"app.py:{line} work x"]
    (entry,) = receiver.entries()
    assert (entry.source_file, entry.line_number) == (str(path), line)
