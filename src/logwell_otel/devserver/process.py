"""The development server as a subprocess: to kill it, and to measure without sharing a GIL."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from .command import READY
from .faults import FaultSettings
from .journal import JournalPage
from .server import new_key
from .store import Store

if TYPE_CHECKING:
    from typing_extensions import Self

    from .store import Entry

_T = TypeVar("_T")
_READY = re.compile(rf"{READY} (?P<url>http://\S+) (?P<key>lw_\S+)")
_STOP_SECONDS = 10.0
_REQUEST_SECONDS = 10.0


class DevServerProcess:
    """A Logwell-compatible server in a process of its own, with `/_control` switched on.

    Port, key and database stay the same over `kill()`, `stop()` and `start()`; the fault
    switches and the journal begin anew with each process. The context manager starts and
    closes it.

    Args:
        db: SQLite file to store entries in; None makes a temporary one that goes with
            `close()`.
        api_key: The key to accept: `lw_` and 32 of `A-Z a-z 0-9 _ -`. None makes one.
        port: TCP port to listen on; 0 picks a free one at the first start.
        requests_per_minute: The rate limit, at least 1; None for no limit.

    Attributes:
        key: The key it accepts.
        port: The TCP port; 0 before the first start where none was given.
        url: The base URL, without a slash at its end; empty before the first start.
    """

    def __init__(
        self,
        *,
        db: str | Path | None = None,
        api_key: str | None = None,
        port: int = 0,
        requests_per_minute: int | None = 600,
    ) -> None:
        self.key: str = api_key or new_key()
        self.port: int = port
        self.url: str = ""
        self._directory = tempfile.TemporaryDirectory() if db is None else None
        self._db = Path(db) if self._directory is None else Path(self._directory.name, "logs.db")  # type: ignore[arg-type]
        self._limit = requests_per_minute
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id, None while none runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> Self:
        """Starts the process and waits until it listens.

        Returns:
            The server itself.

        Raises:
            RuntimeError: It is running already, or it ended instead; the text has its output.
        """
        if self._process is not None:
            raise RuntimeError("the development server is running already")
        options = {
            "port": self.port,
            "api_key": self.key,
            "requests_per_minute": self._limit,
            "db": str(self._db),
            "faults": True,
            "quiet": True,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "logwell_otel.devserver", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # The child must find the package where this process found it.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        said = []
        assert process.stdin is not None  # noqa: S101 - for mypy: pipes were asked for
        assert process.stdout is not None  # noqa: S101
        # Not as an argument, which everybody on this machine sees.
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(options))
        for line in process.stdout:
            said.append(line)
            match = _READY.match(line)
            if match is not None:
                self._process = process
                self.url = match["url"]
                self.port = int(self.url.rpartition(":")[2])
                return self
        process.stdout.close()
        status = process.wait(_STOP_SECONDS)
        raise RuntimeError(f"the development server ended with status {status}: {''.join(said)}")

    def kill(self) -> None:
        """`kill -9`: no answer to anybody, connecting is refused from now on."""
        self._end(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)

    def stop(self) -> int:
        """Asks it to stop and waits until it has.

        Returns:
            The exit status; 0 where none runs.

        Raises:
            subprocess.TimeoutExpired: It had not ended after 10 s and was killed.
        """
        return self._end(signal.SIGTERM)

    def _end(self, signal_number: int) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(signal_number)
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()

    def close(self) -> None:
        """Ends it for good and removes the temporary database."""
        self.kill()
        if self._directory is not None:
            self._directory.cleanup()

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def entries(self, skip: int = 0) -> list[Entry]:
        """Everything stored, in the order of storing, without the first `skip` entries.

        Read from the file, so that it works while the server is dead, too.
        """
        if not self._db.exists():
            return []
        with contextlib.closing(Store(self._db)) as store:
            return store.entries(skip)

    def set_faults(self, settings: FaultSettings) -> None:
        """Sets all fault switches.

        Raises:
            OSError: No answer within 10 s (`urllib.error.URLError`). So do `faults` and
                `journal`.
        """
        self._call("PUT", "/_control/faults", FaultSettings, msgspec.json.encode(settings))

    def faults(self) -> FaultSettings:
        """The fault switches as they are."""
        return self._call("GET", "/_control/faults", FaultSettings)

    def journal(self) -> JournalPage:
        """Counts and ingest requests since the process started."""
        return self._call("GET", "/_control/requests", JournalPage)

    def _call(self, method: str, path: str, kind: type[_T], body: bytes | None = None) -> _T:
        request = urllib.request.Request(  # noqa: S310 - our own http URL
            self.url + path, body, {"Content-Type": "application/json"}, method=method
        )
        # No proxy from the environment stands between this process and its child.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_REQUEST_SECONDS) as answer:
            return msgspec.json.decode(answer.read(), type=kind)
