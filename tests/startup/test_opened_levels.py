"""What `configure()` opens loggers up for is sent; every other handler gets what it got before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.process import run

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

ROOT = """
logging.debug("root debug")
logging.info("root info")
logging.warning("root warning")
"""
SHOP = """
logging.getLogger("shop.orders").debug("shop debug")
logging.getLogger("shop.orders").info("shop info")
logging.getLogger("shop.orders").error("shop error")
"""
ON_A_LOGGER = "logging.getLogger('shop').addHandler(logging.StreamHandler())\n"
FILE = "logging.getLogger().addHandler(logging.FileHandler('/dev/stderr'))\n"
LISTENER = """
from logging.handlers import QueueHandler, QueueListener
import queue
waiting = queue.Queue()
logging.getLogger().addHandler(QueueHandler(waiting))
listener = QueueListener(waiting, logging.StreamHandler())
listener.start()
"""
HANDED_OVER = """
for name, level in ("shop.orders", logging.INFO), ("root", logging.DEBUG):
    record = logging.LogRecord(name, level, "x.py", 1, "handed over", None, None)
    logging.getLogger(name).handle(record)
"""
OWN_CLASS = "logging.setLoggerClass(type('Own', (logging.Logger,), {}))\n"
# In front of `callHandlers`, as sentry-sdk does.
IN_FRONT = """
before = logging.Logger.callHandlers
def in_front(self, record):
    print("in front", record.getMessage())
    return before(self, record)
logging.Logger.callHandlers = in_front
"""

# What sets logging up, before `configure()` or after it, and what is logged then.
PROGRAMS = {
    "nothing": ("", ROOT + SHOP),
    "loggers alone": ("", SHOP),
    "the other way round": ("", SHOP + ROOT + SHOP),
    "basicConfig": ("logging.basicConfig()", ROOT + SHOP),
    "basicConfig late": ("", SHOP + "logging.basicConfig(format='%(message)s')\n" + ROOT + SHOP),
    "basicConfig with a level": ("logging.basicConfig(level='INFO')", ROOT + SHOP),
    "the level that it has": ("logging.basicConfig()", "logging.root.setLevel('INFO')\n" + ROOT),
    "a level later": ("", ROOT + "logging.getLogger().setLevel(logging.DEBUG)\n" + ROOT + SHOP),
    "a level closed": ("", ROOT + "logging.getLogger().setLevel('ERROR')\n" + ROOT + SHOP),
    "a level of a logger": ("logging.getLogger('shop').setLevel(20)", ROOT + SHOP),
    "a handler of a logger": (ON_A_LOGGER, SHOP + ROOT),
    "a file": (FILE, SHOP + ROOT),
    "a file later": ("", SHOP + FILE + SHOP),
    "a queue": (LISTENER, SHOP + "listener.stop()\n"),
    "records that are handed over": ("logging.basicConfig()", HANDED_OVER + SHOP),
    "a class of one's own": (OWN_CLASS + "logging.basicConfig()", SHOP),
    "nothing below ERROR": ("logging.getLogger().setLevel('ERROR')", ROOT + SHOP),
}


def printed(receiver: DevServer, tmp_path: Path, *parts: str) -> str:
    path = tmp_path / "program.py"
    path.write_text("\n".join(["import logging", *parts]))
    done = run("python program.py", receiver, cwd=tmp_path)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize(("setup", "log"), PROGRAMS.values(), ids=PROGRAMS)
def test_what_is_printed(receiver: DevServer, tmp_path: Path, setup: str, log: str) -> None:
    configure = "import logwell_otel; logwell_otel.configure()"
    alone = printed(receiver, tmp_path, setup, log)
    assert printed(receiver, tmp_path, configure, setup, log) == alone
    assert printed(receiver, tmp_path, setup, configure, log) == alone


def test_everything_that_is_opened_is_sent(receiver: DevServer, tmp_path: Path) -> None:
    configure = "import logwell_otel; logwell_otel.configure(levels={'shop': 'debug'})"
    said = printed(receiver, tmp_path, configure, "logging.basicConfig()", ROOT, SHOP)
    assert said == "WARNING:root:root warning\nERROR:shop.orders:shop error\n"
    sent = ["root info", "root warning", "shop debug", "shop info", "shop error"]
    assert [entry.message for entry in receiver.entries()] == sent


@pytest.mark.parametrize("first", [True, False])
def test_others_that_stand_in_front_are_called_once(
    receiver: DevServer, tmp_path: Path, *, first: bool
) -> None:
    configure = "import logwell_otel; logwell_otel.configure(levels={'shop': 'debug'})"
    steps = [IN_FRONT, configure] if first else [configure, IN_FRONT]
    more = "logwell_otel.configure(logger='further')"
    path = tmp_path / "program.py"
    path.write_text("\n".join(["import logging", *steps, more, SHOP]))
    done = run("python program.py", receiver, cwd=tmp_path)
    # What is opened for us alone comes by there only where somebody came after us.
    shown = [] if first else ["in front shop debug", "in front shop info"]
    assert done.stdout.splitlines() == [*shown, "in front shop error"]
    assert [entry.message for entry in receiver.entries()] == [
        "shop debug",
        "shop info",
        "shop error",
    ]


def test_a_level_that_is_saved_and_put_back(receiver: DevServer, tmp_path: Path) -> None:
    """As pytest's `caplog.at_level` does."""
    program = """
import logwell_otel; logwell_otel.configure()
logging.basicConfig()
level = logging.getLogger().level
assert level == logging.INFO
logging.getLogger().setLevel(logging.DEBUG)
logging.info("printed")
logging.getLogger().setLevel(level)
logging.info("not printed")
logging.getLogger("copy").setLevel(level)
logging.getLogger("copy").info("printed, since somebody has set it")
"""
    said = printed(receiver, tmp_path, program)
    assert said == "INFO:root:printed\nINFO:copy:printed, since somebody has set it\n"
    assert len(receiver.entries()) == 3
