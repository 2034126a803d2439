"""docs/design.md follows one record through the package: file by file, as it really goes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import logwell_otel

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer

PACKAGE = Path(logwell_otel.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "design.md"
MOST_FILES = 25

# In a process of its own: only a thread that starts after `setprofile` is seen.
PROGRAM = """
import logging, sys, threading, time
from pathlib import Path
import logwell_otel

package = str(Path(logwell_otel.__file__).parent)
here = threading.get_ident()
watched = set()  # "call": this thread is in the logging call; "others": all other threads
ran = set()

def called(frame, event, argument):
    code = frame.f_code
    if ("call" if threading.get_ident() == here else "others") not in watched:
        return
    if event == "call" and code.co_name != "<module>" and code.co_filename.startswith(package):
        ran.add(Path(code.co_filename).relative_to(package).as_posix())

threading.setprofile(called)
sys.setprofile(called)
pipeline = logwell_otel.configure()
logging.info("the first: what is made once is made now")
pipeline.force_flush()
accepted = pipeline.health().accepted
watched.update(("call", "others"))
logging.info("order %d placed", 17)
watched.discard("call")
# Waited for, not flushed: a flush is no part of the record's way.
deadline = time.monotonic() + 60
while pipeline.health().accepted == accepted and time.monotonic() < deadline:
    time.sleep(0.05)
time.sleep(0.2)  # what follows an accepted request
watched.clear()
print("\\n".join(sorted(ran)))
"""


def traced(receiver: DevServer) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={
            **os.environ,
            "LOGWELL_ENDPOINT": receiver.url,
            "LOGWELL_API_KEY": receiver.key,
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
            "PYTHONPATH": str(PACKAGE.parent),
        },
    )
    return set(run.stdout.split())


def on_the_page() -> list[str]:
    section = PAGE.read_text(encoding="utf-8").split("## The way of a record")[1].split("\n## ")[0]
    return re.findall(r"^\| `([\w/.]+\.py)`", section, re.MULTILINE)


def test_the_page_names_every_file_that_a_record_passes_and_no_other(receiver: DevServer) -> None:
    assert sorted(on_the_page()) == sorted(traced(receiver))


def test_a_record_passes_few_files() -> None:
    assert len(on_the_page()) <= MOST_FILES
