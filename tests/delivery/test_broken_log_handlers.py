"""The application's own log handlers raise when we warn: delivery goes on, nobody is hurt."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from logwell_otel import LogwellLogExporter
from logwell_otel._writer import LOGGER_NAME, unwritten
from logwell_otel.devserver import DevServer
from support.bench import Bench
from support.config import KEY
from support.process import wait_until
from support.records import records
from support.server import REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator


class Broken(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("this handler is broken")


@pytest.fixture(autouse=True)
def _broken() -> Iterator[None]:
    handler, logger = Broken(), logging.getLogger(LOGGER_NAME)
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.socket
def test_the_senders_thread_lives_on_and_delivers() -> None:
    with DevServer() as receiver:
        receiver.faults.answer(401, times=1)  # said at once
        before = unwritten()
        exporter = LogwellLogExporter(receiver.url, receiver.key)
        exporter.export(records(10))
        wait_until(lambda: unwritten() > before, exporter.health)
        assert exporter._engine.sender.running  # noqa: SLF001
        exporter.shutdown()
        assert receiver.count() == 10


def test_a_shutdown_that_has_losses_to_tell_does_not_raise() -> None:
    bench = Bench()
    bench.engine.notices._say = logging.getLogger(LOGGER_NAME).warning  # noqa: SLF001
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(10))
    bench.exporter.shutdown()
    assert bench.exporter.health().dropped == {"shutdown": 10}
    assert bench.engine.notices.failed_callbacks == 2  # about the failures, and the losses


def test_a_warning_at_construction_does_not_raise() -> None:
    LogwellLogExporter("http://logs.example.com", KEY).shutdown()
