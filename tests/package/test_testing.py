"""What the package offers to tests of programs: the fixture, the server, their assertions."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel import configure
from logwell_otel.testing import LogwellTestServer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.socket

PROGRAM = """
import logging
import logwell_otel

log = logging.getLogger("shop")

def test_one(logwell):
    logwell_otel.configure(service="shop", logger=log)
    log.info("order placed", extra={"order": 17, "user.id": "ann"})
    log.error("payment failed")
    entry = logwell.assert_logged("order placed", order=17, service="shop", user__id="ann")
    assert entry.level == "info"
    assert [entry.message for entry in logwell.entries(level="error")] == ["payment failed"]

def test_the_next_begins_with_nothing(logwell):
    logwell_otel.configure(service="shop", logger=log)
    assert logwell.entries() == []
    log.info("order placed")
    logwell.assert_logged("order placed")
    assert len(logwell.entries()) == 1
    logwell.clear()
    assert logwell.entries() == []

def test_failing(logwell):
    logwell_otel.configure(service="shop", logger=log)
    log.info("order paced", extra={"order": 17})
    logwell.assert_logged("order placed", order=17)
"""


@pytest.mark.process
def test_the_fixture_is_there_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "test_program.py").write_text(PROGRAM)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 failed, 2 passed" in run.stdout, run.stdout
    assert "not logged: message='order placed', order=17" in run.stdout
    assert "message 'order paced', not 'order placed'" in run.stdout
    assert "_Wanted(" not in run.stdout  # the test's own line alone


IMPORTED = """
import logging
import logwell_otel

log = logging.getLogger("shop")
logwell_otel.configure(service="shop", logger=log, redact=True, level="DEBUG")

def place_order(number):
    log.debug("order placed", extra={"order": number, "card": "4111 1111 1111 1111"})
"""
IMPORTING = """
import logging
import unittest
import pytest
import shop

@pytest.mark.parametrize("number", [17, 18])
def test_it_is_logged_to_the_server_of_this_test(logwell, number, caplog):
    caplog.set_level("DEBUG")
    assert logwell.entries() == []
    shop.place_order(number)
    entry = logwell.assert_logged("order placed", level="debug", service="shop", order=number)
    assert "4111" not in str(entry.metadata)
    assert len(logwell.entries()) == 1
    # What the server's own thread logs stays out of the program's handlers.
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]

class InAClass(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def server(self, logwell):
        self.logwell = logwell

    def test_it(self):
        shop.place_order(19)
        self.logwell.assert_logged("order placed", order=19)
        assert len(self.logwell.entries()) == 1

def test_without_the_fixture():
    shop.place_order(20)
"""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "workers"),
    [
        ({"LOGWELL_ENDPOINT": "https://logs.example.com"}, "-pno:xdist"),  # disabled in a test run
        ({"LOGWELL_ENDPOINT": "http://127.0.0.1:9"}, "-pno:xdist"),
        ({"LOGWELL_DISABLED": "true"}, "-n2"),
    ],
    ids=str,
)
def test_a_program_that_is_set_up_when_it_is_imported(
    settings: dict[str, str], workers: str, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(IMPORTED)
    (tmp_path / "test_shop.py").write_text(IMPORTING)
    environ = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", workers],
        cwd=tmp_path,
        env={**environ, "LOGWELL_API_KEY": "lw_" + "k" * 32, **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "4 passed" in run.stdout, run.stdout


@pytest.fixture
def logger() -> logging.Logger:
    logger = logging.getLogger("tests.testing")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger


def test_a_program_without_pytest(logger: logging.Logger) -> None:
    before = {name: os.environ.get(name) for name in ("LOGWELL_ENDPOINT", "LOGWELL_DISABLED")}
    with LogwellTestServer(timeout=0.0) as logwell:
        configure(service="shop", logger=logger)
        logger.warning("slow", extra={"seconds": 2.5})
        logwell.assert_logged(re.compile("^slo"), level="warn", seconds=2.5)
        logwell.assert_not_logged("slow", seconds=3)
        with pytest.raises(AssertionError, match="logged, although it should not be"):
            logwell.assert_not_logged("slow")
        with pytest.raises(ValueError, match="level must be one of"):
            logwell.entries(level="loud")
    assert {name: os.environ.get(name) for name in before} == before
    # What configure() set up ended with it; pytest's own handlers stay.
    assert not [one for one in logger.handlers if type(one).__module__.startswith("logwell_otel")]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            {"message": "order placed"},
            (
                "not logged: message='order placed'\n"
                "2 entries were logged; the closest:\n"
                "  info  shop  'order paced'  order=17\n"
                "      message 'order paced', not 'order placed'\n"
                "  error  shop  'payment failed'\n"
                "      message 'payment failed', not 'order placed'"
            ),
        ),
        (
            {"message": "order paced", "level": "warn", "order": 18, "user": 1},
            (
                "not logged: message='order paced', level='warn', order=18, user=1\n"
                "2 entries were logged; the closest:\n"
                "  info  shop  'order paced'  order=17\n"
                "      level 'info', not 'warn'\n"
                "      order 17, not 18\n"
                "      no attribute user\n"
                "  error  shop  'payment failed'\n"
                "      message 'payment failed', not 'order paced'\n"
                "      level 'error', not 'warn'\n"
                "      no attribute order\n"
                "      no attribute user"
            ),
        ),
    ],
)
def test_a_failure_shows_what_comes_closest(
    logger: logging.Logger, wanted: dict[str, Any], said: str
) -> None:
    with LogwellTestServer(timeout=0.0) as logwell:
        configure(service="shop", logger=logger)
        logger.info("order paced", extra={"order": 17})
        logger.error("payment failed")
        with pytest.raises(AssertionError) as caught:
            logwell.assert_logged(**wanted)
        assert str(caught.value) == said


def test_nothing_logged_at_all() -> None:
    with (
        LogwellTestServer(timeout=0.0) as logwell,
        pytest.raises(AssertionError, match="nothing was logged at all"),
    ):
        logwell.assert_logged("order placed")


@pytest.mark.process
def test_entries_of_other_processes_are_waited_for() -> None:
    program = (
        "import logging, logwell_otel\n"
        "with logwell_otel.configure(service='child'): logging.warning('from a child')"
    )
    with LogwellTestServer(timeout=30.0) as logwell:
        child = subprocess.Popen([sys.executable, "-c", program])
        logwell.assert_logged("from a child", service="child", level="warn")
        assert child.wait(30) == 0
