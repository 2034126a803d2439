"""Rates from a JSON file that is read again when it changes."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from logwell_otel._diagnostics import Once, warn
from logwell_otel._process import PerProcess, Worker
from logwell_otel.errors import LogwellError
from logwell_otel.sampling.policy import MAX_POLICY_BYTES, RATES_STAY, SHUTDOWN_SECONDS, Policy
from logwell_otel.sampling.rules import Volumes, invalid

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from logwell_otel.sampling.rules import SamplingRules

THREAD_NAME: Final = "LogwellPolicyFile"
_SECONDS_AFTER_FAILURE: Final = 60.0


class PolicyFile:
    """Sets a sampler's rates from a file, for `Sampler.follow`.

    It is read when the sampler begins to follow it, and again when its time, size or inode
    has changed. A file that is missing or wrong is said once, and the rates in use stay.

    Args:
        path: JSON; see `Policy.parse` for what is in it.
        check_seconds: How often to look whether it changed.
        volumes: For `anomaly_boost`.
        say: Writes a warning for people.
    """

    wants_messages = False
    """What `saw` is told is not looked at: errors need no message."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        check_seconds: float = 5.0,
        volumes: Volumes | None = None,
        say: Callable[[str], None] = warn,
    ) -> None:
        if not check_seconds > 0:
            raise invalid(f"check_seconds must be over 0, not {check_seconds!r}")
        self._path = Path(path)
        self._seconds = check_seconds
        self._volumes = Volumes() if volumes is None else volumes
        self._trouble = Once(f"The sampling policy in {self._path}", RATES_STAY, say)
        self._known: tuple[int, int, int] | None = None
        self._use: Callable[[SamplingRules], object] | None = None
        self._worker = PerProcess(self._new_worker)

    def feed(self, use: Callable[[SamplingRules], object]) -> None:
        """Read the file, and hand the rates to `use` now and whenever they change."""
        self._use = use
        self._known = None
        self.tick()

    def saw(self, message: str, *, kept: bool) -> None:  # noqa: ARG002 - the sampler's call
        """A decision was made: the thread that looks after the file may have to begin."""
        self._worker.get().start()

    def tick(self) -> float:
        """Look once; return the seconds until the next look."""
        try:
            self._look()
        except OSError as error:
            self._known = None  # it may come back as it was
            self._trouble.failed(f"cannot be read: {error.strerror or type(error).__name__}")
        except LogwellError as error:
            self._trouble.failed(f"was refused: {error.message}")
        return self._seconds

    def shutdown(self, timeout: float = SHUTDOWN_SECONDS) -> None:
        """End the thread. The rates in use stay.

        Args:
            timeout: Seconds to wait at most.
        """
        worker = self._worker.get()
        worker.stop()
        worker.join(timeout)

    def _new_worker(self) -> Worker:
        return Worker(THREAD_NAME, self.tick, after_failure=_SECONDS_AFTER_FAILURE)

    def _look(self) -> None:
        status = self._path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise invalid("it is not a regular file")  # opening a pipe would wait for ever
        seen = status.st_mtime_ns, status.st_size, status.st_ino
        if seen == self._known or self._use is None:
            return
        with self._path.open("rb") as file:
            text = file.read(MAX_POLICY_BYTES + 1)
        self._known = seen
        if len(text) > MAX_POLICY_BYTES:
            raise invalid(f"it is over {MAX_POLICY_BYTES} bytes")
        self._use(Policy.parse(text).rules(self._volumes))
        self._trouble.worked("was read")

    def __repr__(self) -> str:
        return f"<PolicyFile {self._path}>"
