"""For tests of programs that log: a stand-in server, and assertions on what it stored.

pytest finds the fixture `logwell` by itself; `LogwellTestServer` is the same for unittest and
everything else. Needs `logwell-otel[devserver]`.
"""

from __future__ import annotations

import json
import os
import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._clock import monotonic
from logwell_otel._wire import LEVELS
from logwell_otel.exporter import exporters
from logwell_otel.setup import configure_again, pipelines

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from logwell_otel.devserver import DevServer, Entry

_FLUSH_MILLIS: Final = 5_000
_SHOWN: Final = 8
_VARIABLES: Final = ("LOGWELL_ENDPOINT", "LOGWELL_API_KEY", "LOGWELL_DISABLED")


class LogwellTestServer:
    """A Logwell server for one test, and what the program has logged to it.

    Example::

        with LogwellTestServer() as logwell:
            with configure():  # takes the server from the environment
                logging.getLogger("shop").info("order placed", extra={"order": 17})
            logwell.assert_logged("order placed", order=17)

    Between entering and leaving, `LOGWELL_ENDPOINT` and `LOGWELL_API_KEY` name it, for this
    process and for those it starts, and `LOGWELL_DISABLED` is off. What `configure()` set up
    before, as when the program was imported, sends to it as well, with the same options.

    Args:
        timeout: Seconds to wait for entries of other processes. What exporters in this process
            hold is delivered before each look.
    """

    # Not a test, although its name has the word.
    __test__ = False

    def __init__(self, timeout: float = 2.0) -> None:
        from logwell_otel.devserver import DevServer  # noqa: PLC0415 - an extra

        self._timeout = timeout
        self._server = DevServer(requests_per_minute=None)
        self._before: dict[str, str | None] = {}
        self._forget_calls: Callable[[], None] | None = None
        self._skipped = 0

    @property
    def server(self) -> DevServer:
        """The server itself: its fault switches, its requests."""
        return self._server

    def start(self) -> Self:
        """Start it, and name it in the environment."""
        self._server.start()
        self._before = {name: os.environ.get(name) for name in _VARIABLES}
        given = (self._server.url, self._server.key, "false")
        os.environ.update(zip(_VARIABLES, given, strict=True))
        self._forget_calls = configure_again(self._server.url, self._server.key)
        return self

    def stop(self) -> None:
        """Shut down what `configure()` set up for it, stop it, and restore the environment."""
        for pipeline in pipelines(self._server.url):
            pipeline.shutdown()
        if self._forget_calls is not None:
            self._forget_calls()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._server.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def clear(self) -> None:
        """Forget what was logged so far."""
        self._flush()
        self._skipped = self._server.count()

    def entries(
        self, *, level: str | None = None, service: str | None = None, **attributes: Any
    ) -> list[Entry]:
        """What was logged, in the order of storing.

        Args:
            level: Only this level.
            service: Only this service.
            **attributes: Only entries with these attributes; `user__id` means `user.id`.
        """
        if level is not None and level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
        self._flush()
        wanted = _Wanted(None, level, service, attributes)
        return [
            entry for entry in self._server.entries(self._skipped) if not wanted.differences(entry)
        ]

    def assert_logged(
        self,
        message: str | re.Pattern[str],
        *,
        level: str | None = None,
        service: str | None = None,
        **attributes: Any,
    ) -> Entry:
        """Fail unless an entry has this message, and the rest where it is given.

        Args:
            message: The whole message, or a pattern that occurs in it.
            level: Its level.
            service: Its service.
            **attributes: Its attributes; `user__id` means `user.id`. It may have others.

        Returns:
            The first such entry.

        Raises:
            AssertionError: There is none; it shows those that come closest, and how they differ.
        """
        __tracebackhide__ = True  # pytest shows the line of the test, and not ours
        wanted = _Wanted(message, level, service, attributes)
        until = monotonic() + self._timeout
        while True:
            self._flush()
            entries = self._server.entries(self._skipped)
            for entry in entries:
                if not wanted.differences(entry):
                    return entry
            left = until - monotonic()
            if left <= 0:
                break
            self._server.wait_for(self._skipped + len(entries) + 1, min(left, 0.05))
        raise AssertionError(wanted.failure(entries))

    def assert_not_logged(
        self,
        message: str | re.Pattern[str],
        *,
        level: str | None = None,
        service: str | None = None,
        **attributes: Any,
    ) -> None:
        """Fail if any entry is as `assert_logged` would want it."""
        __tracebackhide__ = True
        wanted = _Wanted(message, level, service, attributes)
        self._flush()
        for entry in self._server.entries(self._skipped):
            if not wanted.differences(entry):
                raise AssertionError(f"logged, although it should not be:\n  {_shown(entry)}")

    def _flush(self) -> None:
        for pipeline in pipelines(self._server.url):
            pipeline.force_flush(_FLUSH_MILLIS)
        for exporter in exporters(self._server.url):
            exporter.force_flush(_FLUSH_MILLIS)

    def __repr__(self) -> str:
        return f"<LogwellTestServer {self._server.url}, {self._server.count()} entries>"


class _Wanted:
    """What an entry must have."""

    def __init__(
        self,
        message: str | re.Pattern[str] | None,
        level: str | None,
        service: str | None,
        attributes: dict[str, Any],
    ) -> None:
        self._message = message
        self._fields = {
            name: value
            for name, value in (("level", level), ("service", service))
            if value is not None
        }
        self._attributes = {
            name.replace("__", "."): json.loads(json.dumps(value, default=str))
            for name, value in attributes.items()
        }

    def differences(self, entry: Entry) -> list[str]:
        """How `entry` differs, in words; nothing if it is as it must be."""
        differences = []
        message = self._message
        if isinstance(message, re.Pattern):
            if not message.search(entry.message):
                differences.append(
                    f"message {entry.message!r} has no match for {message.pattern!r}"
                )
        elif message is not None and entry.message != message:
            differences.append(f"message {entry.message!r}, not {message!r}")
        for name, value in self._fields.items():
            if getattr(entry, name) != value:
                differences.append(f"{name} {getattr(entry, name)!r}, not {value!r}")
        metadata = entry.metadata if isinstance(entry.metadata, dict) else {}
        for name, value in self._attributes.items():
            if name not in metadata:
                differences.append(f"no attribute {name}")
            elif metadata[name] != value:
                differences.append(f"{name} {metadata[name]!r}, not {value!r}")
        return differences

    def failure(self, entries: list[Entry]) -> str:
        """What an assertion says that found none among `entries`."""
        wanted = [f"message={self._pattern()!r}"]
        wanted += [f"{name}={value!r}" for name, value in self._fields.items()]
        wanted += [f"{name}={value!r}" for name, value in self._attributes.items()]
        lines = [f"not logged: {', '.join(wanted)}"]
        if not entries:
            return f"{lines[0]}\nnothing was logged at all"
        ranked = sorted(entries, key=self._distance)
        number = "1 entry was" if len(entries) == 1 else f"{len(entries)} entries were"
        lines.append(f"{number} logged; the closest:")
        for entry in ranked[:_SHOWN]:
            lines.append(f"  {_shown(entry)}")
            lines += [f"      {difference}" for difference in self.differences(entry)]
        return "\n".join(lines)

    def _pattern(self) -> str:
        return (
            self._message.pattern if isinstance(self._message, re.Pattern) else self._message or ""
        )

    def _distance(self, entry: Entry) -> tuple[float, int]:
        likeness = SequenceMatcher(None, self._pattern(), entry.message).ratio()
        return (1 - round(likeness, 2), len(self.differences(entry)))


def _shown(entry: Entry) -> str:
    parts = [entry.level, entry.service or "-", repr(entry.message)]
    metadata = entry.metadata if isinstance(entry.metadata, dict) else {}
    parts += [
        f"{name}={value!r}"
        for name, value in metadata.items()
        if not name.startswith(("otel.", "code.", "exception.stacktrace", "resource"))
    ]
    return "  ".join(parts)
