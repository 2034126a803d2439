"""Where the system starts no more threads, `configure()` works all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.process import run

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

# What OpenTelemetry does when its SDK is imported is not ours.
PROGRAM = """
import _thread, logging, sys, threading
from logwell_otel import configure

def none(*_, **__):
    raise RuntimeError("can't start new thread")

threading._start_new_thread = threading._start_joinable_thread = _thread.start_new_thread = none
pipeline = configure({options})
logging.getLogger("shop").warning("order placed")
print(pipeline.force_flush(), pipeline.health().accepted)
"""


@pytest.mark.parametrize(
    ("options", "printed", "service"),
    [
        ("", "True 1", "unknown_service"),
        ("service='shop'", "True 1", "shop"),
        ("spool_dir='spool'", "True 1", "unknown_service"),
        ("disabled=True", "True 0", None),
    ],
)
def test_without_threads(
    options: str, printed: str, service: str | None, receiver: DevServer, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(options=options))
    done = run("python program.py", receiver, {"LOGWELL_SERVICE": ""}, cwd=tmp_path)
    assert done.stdout.split("\n")[0] == printed, done.stderr
    found = [(entry.message, entry.service) for entry in receiver.entries()]
    assert found == ([] if service is None else [("order placed", service)])


def test_the_resource_that_the_environment_names(receiver: DevServer, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(options=""))
    variables = {
        "LOGWELL_SERVICE": "",
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_RESOURCE_ATTRIBUTES": "host.name=web-1",
    }
    run("python program.py", receiver, variables, cwd=tmp_path)
    (entry,) = receiver.entries()
    assert entry.service == "shop"
    assert entry.metadata["resource"] == {"host.name": "web-1"}
