"""The receiver in a process of its own: to kill it, and to measure without sharing a GIL."""

from __future__ import annotations

import contextlib
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

from .faults import FaultSettings
from .journal import JournalPage
from .receiver import new_key
from .server import READY
from .store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

    from .entry import Entry

_T = TypeVar("_T")
_READY = re.compile(rf"{READY} (?P<url>http://\S+) (?P<key>lw_\S+)")
_STOP_SECONDS = 10.0
_REQUEST_SECONDS = 10.0
_MAX_REQUESTS_PER_MINUTE = 10**9


class DevServerProcess:
    """`python -m logwell_otel.devserver` with the control surface on.

    Port, key and database stay the same over `kill()`, `stop()` and `start()`.

    Args:
        db: The database; None makes a temporary one that goes with `close()`.
        api_key: The key; None makes one.
        port: Port to listen on; 0 picks a free one at the first start.
        requests_per_minute: The rate limit; None for as good as none.
        arguments: Further arguments of the command.
    """

    def __init__(
        self,
        *,
        db: str | Path | None = None,
        api_key: str | None = None,
        port: int = 0,
        requests_per_minute: int | None = 600,
        arguments: Sequence[str] = (),
    ) -> None:
        self.key = api_key or new_key()
        self.port = port
        self.url = ""
        self._directory = tempfile.TemporaryDirectory() if db is None else None
        self._db = Path(db) if self._directory is None else Path(self._directory.name, "logs.db")  # type: ignore[arg-type]
        self._limit = requests_per_minute or _MAX_REQUESTS_PER_MINUTE
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id, None while none runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> Self:
        """Starts the process and waits until it listens.

        Raises:
            RuntimeError: It ended instead; the text has its output.
        """
        if self._process is not None:
            raise RuntimeError("the receiver runs already")
        command = [sys.executable, "-m", "logwell_otel.devserver", "--quiet", "--faults"]
        command += ["--port", str(self.port), "--api-key", self.key, "--db", str(self._db)]
        command += ["--requests-per-minute", str(self._limit), *self._arguments]
        process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # The child must find the package where this process found it.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        said = []
        assert process.stdout is not None  # noqa: S101 - for mypy: a pipe was asked for
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
        raise RuntimeError(f"the receiver ended with status {status}: {''.join(said)}")

    def kill(self) -> None:
        """`kill -9`: no answer to anybody, connecting is refused from now on."""
        self._end(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)

    def stop(self) -> int:
        """Asks it to stop and gives its exit status."""
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def entries(self, skip: int = 0) -> list[Entry]:
        """As `DevServer.entries`; also while it does not run."""
        if not self._db.exists():
            return []
        with contextlib.closing(Store(self._db)) as store:
            return store.entries(skip)

    def set_faults(self, settings: FaultSettings) -> None:
        """Sets all fault switches."""
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
