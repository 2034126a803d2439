"""gevent, eventlet and uvloop: patched before or after `configure()`, in real processes."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from support.process import instrumented, needs_threads_at_exit, run

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

    from logwell_otel.devserver import DevServer

pytestmark = pytest.mark.process

GEVENT = "from gevent import monkey; monkey.patch_all()"
EVENTLET = "import eventlet; eventlet.monkey_patch()"
CONFIGURE = "import logging, logwell_otel; pipeline = logwell_otel.configure()"
EARLY = "import time; logging.getLogger('shop').info('early'); assert pipeline.force_flush()"
LOG = "for number in range(1_000): logging.getLogger('shop').info('%d', number)"
FLUSH = "assert pipeline.force_flush(20_000)"


def end(receiver: DevServer, tmp_path: Path, *lines: str, status: int = 0) -> CompletedProcess[str]:
    for library in ("gevent", "eventlet", "uvloop"):
        if any(library in line for line in lines) and importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    (tmp_path / "program.py").write_text("\n".join(lines))
    return run("python -W ignore program.py", receiver, cwd=tmp_path, status=status)


def arrived(receiver: DevServer) -> list[int]:
    return sorted(int(entry.message) for entry in receiver.entries() if entry.message.isdigit())


@needs_threads_at_exit
@pytest.mark.parametrize("flush", ["", FLUSH])
@pytest.mark.parametrize("patch", [GEVENT, EVENTLET])
def test_patched_first(receiver: DevServer, tmp_path: Path, patch: str, flush: str) -> None:
    done = end(receiver, tmp_path, patch, CONFIGURE, LOG, flush)
    assert arrived(receiver) == [*range(1_000)]
    assert done.stderr == ""


@needs_threads_at_exit
@pytest.mark.parametrize("patch", [GEVENT, EVENTLET])
def test_beside_trio_which_cannot_be_imported_then(
    receiver: DevServer, tmp_path: Path, patch: str
) -> None:
    """httpcore imports it where it is there, and it does not expect sockets of eventlet's."""
    (tmp_path / "trio.py").write_text("import socket\nsocket.socket.of_the_standard_library\n")
    ask = "import sys; assert 'trio' not in sys.modules"
    done = end(receiver, tmp_path, patch, CONFIGURE, LOG, FLUSH, ask)
    assert arrived(receiver) == [*range(1_000)]
    assert done.stderr == ""


@needs_threads_at_exit
@pytest.mark.parametrize("flush", ["", FLUSH])
@pytest.mark.parametrize("early", ["", EARLY])
def test_gevent_patches_after_configure(
    receiver: DevServer, tmp_path: Path, early: str, flush: str
) -> None:
    done = end(receiver, tmp_path, CONFIGURE, early, GEVENT, LOG, flush)
    assert arrived(receiver) == [*range(1_000)]
    assert done.stderr == ""


@needs_threads_at_exit
def test_gevent_patches_a_program_that_is_started_without_code(
    receiver: DevServer, tmp_path: Path
) -> None:
    """With our batch processor. OpenTelemetry's waits with a lock that gevent has replaced.

    Its exit hangs for ever now and then: two threads import gevent's event loop, each holding
    what the other waits for.
    """
    pytest.importorskip("gevent")
    program = tmp_path / "program.py"
    program.write_text(f"{GEVENT}\nimport logging\nlogging.getLogger().setLevel('INFO')\n{LOG}")
    instrumented(
        program,
        OTEL_LOGS_EXPORTER="logwell",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        OTEL_PYTHON_CONFIGURATOR="logwell",
        LOGWELL_ENDPOINT=receiver.url,
        LOGWELL_API_KEY=receiver.key,
    )
    assert arrived(receiver) == [*range(1_000)]


def test_greenlets_go_on_while_a_system_thread_delivers(
    receiver: DevServer, tmp_path: Path
) -> None:
    receiver.faults.delay(300)
    program = f"""
{CONFIGURE}
{GEVENT}
import gevent, time
def tick():
    for _ in range(100):
        began = time.monotonic()
        gevent.sleep(0.01)
        waits.append(time.monotonic() - began)
waits = []
ticking = gevent.spawn(tick)
{LOG}
ticking.join()
print(sorted(waits)[80] < 0.2)
"""
    done = end(receiver, tmp_path, program)
    assert done.stdout == "True\n"
    assert arrived(receiver) == [*range(1_000)]


@needs_threads_at_exit
def test_eventlet_that_patches_after_configure_is_said(receiver: DevServer, tmp_path: Path) -> None:
    """It replaces the locks that are in use by searching all of memory."""
    done = end(receiver, tmp_path, CONFIGURE, EVENTLET, LOG, "eventlet.sleep(0.5)")
    assert "Call it first of all." in done.stderr


KILLED = """
import os, time
os.posix_spawnp("sh", ["sh", "-c", f"sleep 0.2; kill -TERM {os.getpid()}"], os.environ)
"""
ASLEEP = "time.sleep(60)"
AT_WORK = "while True: pass"


@pytest.mark.parametrize("meanwhile", [ASLEEP, AT_WORK])
@pytest.mark.parametrize("patch", [GEVENT, EVENTLET])
def test_sigterm(receiver: DevServer, tmp_path: Path, patch: str, meanwhile: str) -> None:
    """Where all greenlets wait, the signal arrives in the event loop, which cannot wait."""
    done = end(receiver, tmp_path, patch, CONFIGURE, LOG, KILLED, meanwhile, status=-15)
    assert arrived(receiver) == [*range(1_000)]
    assert done.stderr == ""


# By its own name server eventlet imports httpcore, which is to be imported by the first request.
SYSTEMS_NAME_SERVER = "import os; os.environ['EVENTLET_NO_GREENDNS'] = 'yes'"
WHILE_IT_CONNECTS = """
import os, signal, sys, time

class Finder:
    def find_spec(self, name, *_):
        if name == "httpcore":
            signal.raise_signal(signal.SIGTERM)

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("patch", [GEVENT, EVENTLET])
def test_sigterm_on_the_greenlet_that_delivers(
    receiver: DevServer, tmp_path: Path, patch: str
) -> None:
    """That one must not wait for itself."""
    program = [SYSTEMS_NAME_SERVER, patch, CONFIGURE, WHILE_IT_CONNECTS, LOG, "time.sleep(60)"]
    done = end(receiver, tmp_path, *program, status=-15)
    assert arrived(receiver) == [*range(1_000)]
    assert done.stderr == ""


def test_uvloop(receiver: DevServer, tmp_path: Path) -> None:
    program = f"""
import asyncio, uvloop
{CONFIGURE}

async def main():
    {LOG}
    assert await pipeline.aforce_flush()
    logging.getLogger("shop").info("1000")

uvloop.run(main())
"""
    assert end(receiver, tmp_path, program).stderr == ""
    assert arrived(receiver) == [*range(1_001)]
