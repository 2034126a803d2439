"""Programs under test in processes of their own: started, told, killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import msgspec

from chaos.result import HANG_SECONDS, Figures, HangError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typing_extensions import Self

    from logwell_otel.devserver import DevServer, DevServerProcess

_START_SECONDS = 30.0


def environment(receiver: DevServer | DevServerProcess, **settings: object) -> dict[str, str]:
    """This process' environment, in which a program finds `receiver`; and further settings."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "LOGWELL_ENDPOINT": receiver.url,
        "LOGWELL_API_KEY": receiver.key,
        "OTEL_SERVICE_NAME": "shop",
        **{f"LOGWELL_{name.upper()}": str(value) for name, value in settings.items()},
    }


class Program:
    """`python -m MODULE ARGUMENTS…`; killed when the `with` block ends before it did."""

    def __init__(self, module: str, *arguments: str, env: Mapping[str, str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=env,
            bufsize=0,
        )
        self._rest = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def line(self, seconds: float = HANG_SECONDS) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise HangError(f"no line within {seconds:.0f} s; it said: {self.said()}")
            read = os.read(self._process.stdout.fileno(), 65536)
            if not read:
                raise RuntimeError(f"it ended; it said: {self.said()}")
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def said(self) -> str:
        """What it wrote to stderr."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace")[-2000:]

    def lines(self) -> list[str]:
        """What else it printed; to be asked once it has ended."""
        assert self._process.stdout is not None
        text = (self._rest + self._process.stdout.read()).decode()
        return text.split("\n")[:-1]

    def end(self, seconds: float = HANG_SECONDS) -> int:
        """Closes its input and waits for its end; gives the exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise HangError(f"no end within {seconds:.0f} s; it said: {self.said()}") from None

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> float:
        """`kill -9`; gives the moment just before, on the monotonic clock."""
        at = time.monotonic()
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        return at

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            assert stream is not None
            stream.close()


class SubjectProcess(Program):
    """`chaos.subject`."""

    def __init__(
        self,
        receiver: DevServer | DevServerProcess,
        prefix: str,
        spool: Path | None = None,
        **variables: str,
    ) -> None:
        settings = {} if spool is None else {"spool_dir": spool}
        env = {**environment(receiver, **settings), **variables}
        super().__init__("chaos.subject", prefix, env=env)
        self.prefix = prefix

    def started(self) -> Self:
        assert self.line(_START_SECONDS) == "ready"
        return self

    def tell(self, command: str, *arguments: int) -> Any:
        """Gives a command and returns its answer."""
        self.write(" ".join([command, *map(str, arguments)]))
        return msgspec.json.decode(self.line())

    def figures(self) -> Figures:
        return Figures(**self.tell("health"))

    def wait_until_nothing_is_held(self, seconds: float) -> Figures:
        until = time.monotonic() + seconds
        while (figures := self.figures()).held and time.monotonic() < until:
            self.tell("flush", 100)
            time.sleep(0.05)
        return figures
