"""Programs started as people start them: examples, instrumented ones, forks of the test."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import traceback
from contextlib import contextmanager
from http.client import HTTPConnection
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import logwell_otel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from logwell_otel.devserver import DevServer, DevServerProcess, Entry

# The batch processor sends by size and on the way out, and never because time has passed.
NEVER_BY_TIME = {"OTEL_BLRP_SCHEDULE_DELAY": "60000"}

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BIN = Path(sys.executable).parent
PATIENCE = 180.0
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACE_PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


def environment(
    receiver: DevServer | DevServerProcess, variables: Mapping[str, str]
) -> dict[str, str]:
    """This process's environment, with the receiver's variables and no others of the kind.

    A variable given as "" is not set at all: `LOGWELL_SERVICE=""`.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LOGWELL_", "OTEL_", "PYTHON"))
        and not name.lower().endswith("_proxy")
    }
    ours = {
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(Path(logwell_otel.__file__).parents[1]),
        "LOGWELL_ENDPOINT": receiver.url,
        "LOGWELL_API_KEY": receiver.key,
        "LOGWELL_SERVICE": "shop",
        **variables,
    }
    return {name: value for name, value in {**inherited, **ours}.items() if value}


def run(
    command: str,
    receiver: DevServer | DevServerProcess,
    variables: Mapping[str, str] = MappingProxyType({}),
    *,
    status: int = 0,
    cwd: Path = EXAMPLES,
) -> subprocess.CompletedProcess[str]:
    """Run a command such as `python script.py` to its end, which must have that status."""
    done = subprocess.run(
        shlex.split(command),
        env=environment(receiver, variables),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


class Running(NamedTuple):
    """A command that runs until it is stopped."""

    process: subprocess.Popen[bytes]
    output: Path

    def said(self) -> str:
        """What it has printed so far, on both streams."""
        return self.output.read_text(errors="replace")

    def stop(self) -> int:
        """Send SIGTERM, as a container's runtime does, and give the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextmanager
def running(
    command: str,
    receiver: DevServer | DevServerProcess,
    output: Path,
    variables: Mapping[str, str] = MappingProxyType({}),
    *,
    cwd: Path = EXAMPLES,
) -> Iterator[Running]:
    """Run a command until the block ends; its whole process group is gone then."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            shlex.split(command),
            env=environment(receiver, variables),
            cwd=cwd,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Running(process, output)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)


def wait_until(true: Callable[[], Any], what: Callable[[], object]) -> None:
    """Wait for it; `what` tells the rest of the story if it does not come."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def ask(
    port: int,
    path: str,
    headers: Mapping[str, str] = MappingProxyType({"traceparent": TRACE_PARENT}),
) -> int:
    """GET from a server on this machine, as part of the trace `TRACE_ID`; gives the status."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def listens(port: int) -> bool:
    """True once a server takes connections there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def location(file: str, text: str) -> tuple[str, int]:
    """File and line of the one line of an example with this text in it."""
    path = EXAMPLES / file
    lines = path.read_text().splitlines()
    (number,) = [number for number, line in enumerate(lines, 1) if text in line]
    return str(path), number


def location_of(entry: Entry) -> tuple[str, int | None]:
    """File and line that an entry has; a path may go by `.` where a program put it on sys.path."""
    return os.path.normpath(entry.source_file or ""), entry.line_number


def own_metadata(entry: Entry) -> dict[str, Any]:
    """The metadata without what every entry of the logging handler has."""
    everywhere = {"resource", "otel.scope.name", "code.function.name"}
    return {name: value for name, value in entry.metadata.items() if name not in everywhere}


_OURS = ("LOGWELL_", "OTEL_")


_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}


def only_logging() -> dict[str, str]:
    """Leaves out every instrumentation but logging's: importing them takes most of a start."""
    others = [
        point.name
        for point in entry_points(group="opentelemetry_instrumentor")
        if point.name != "logging"
    ]
    return {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(others)}


NO_THREADS_AT_EXIT = (3, 12) <= sys.version_info < (3, 12, 2)
"""https://github.com/python/cpython/issues/113964"""

needs_threads_at_exit = pytest.mark.skipif(
    NO_THREADS_AT_EXIT,
    reason="this Python starts no threads at its exit: OpenTelemetry's logging handler flushes "
    "on one, and gevent looks up addresses on others",
)


def instrumented(program: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`opentelemetry-instrument python PROGRAM`, with these variables and no others of ours.

    Of instrumentations with logging's alone, unless a variable says which.
    """
    pytest.importorskip("opentelemetry.distro")
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for 1.39
    assert any(
        point.name == "logwell" for point in entry_points(group="opentelemetry_logs_exporter")
    ), "logwell-otel must be installed for this test: pip install -e ."
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OURS) and name.upper() not in _PROXIES
    }
    return subprocess.run(
        [str(command), sys.executable, str(program)],
        env={**environ, **only_logging(), **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def json_objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects in `text`, whatever stands between them."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := text.find("{", at)) >= 0:
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            at += 1
        else:
            found.append(value)
    return found


class Child:
    """A real process, forked, that runs `work` with the writing end of a pipe."""

    def __init__(self, work: Callable[[int], None], fork: Callable[[], int] | None = None) -> None:
        reading, writing = os.pipe()
        self.pid = (fork or os.fork)()
        if self.pid == 0:
            code = 1
            try:
                os.close(reading)
                signal.alarm(30)
                work(writing)
                code = 0
            except BaseException:  # noqa: BLE001 - it must not return into the test's own stack
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writing)
        self._file = os.fdopen(reading, "rb")

    def fileno(self) -> int:
        return self._file.fileno()

    def line(self) -> str:
        return self._file.readline().decode().strip()

    def kill(self) -> list[str]:
        """Kills it with SIGKILL; returns all lines it had still written."""
        os.kill(self.pid, signal.SIGKILL)
        lines = self.rest()
        os.waitpid(self.pid, 0)
        return lines

    def rest(self) -> list[str]:
        with self._file:
            return self._file.read().decode().split("\n")[:-1]

    def join(self) -> list[str]:
        """Waits for its end, which must be a good one; returns the lines it wrote."""
        lines = self.rest()
        assert os.waitpid(self.pid, 0)[1] == 0
        return lines


def say(fd: int, *words: object) -> None:
    os.write(fd, (" ".join(map(str, words)) + "\n").encode())
