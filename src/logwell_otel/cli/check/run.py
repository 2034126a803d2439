"""The steps of the check, in their order."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._config.options import Config, service_from_environment
from logwell_otel.cli.check import network, resolved, tls
from logwell_otel.cli.check.installed import Installed
from logwell_otel.cli.check.result import Finding, Result, Status, failed, passed, skipped
from logwell_otel.cli.check.server import ServerAnswers
from logwell_otel.cli.check.spooling import spool_directory
from logwell_otel.cli.check.way import Way, way_of
from logwell_otel.cli.check.zero_code import opentelemetry
from logwell_otel.errors import LogwellError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SERVER: Final = ("DNS", "TCP", "TLS", "Health", "Key", "Entry", "Clock")


@dataclass(frozen=True)
class Seams:
    """What tests replace.

    Attributes:
        getaddrinfo: Looks up names.
        wall: Wall clock, in seconds since 1970.
        environ: The environment.
        installed: What is installed.
    """

    getaddrinfo: Callable[..., list[Any]] = socket.getaddrinfo
    wall: Callable[[], float] = time.time
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    installed: Installed = field(default_factory=Installed)


class Check:
    """One run of the check.

    Resolves the settings at once and sends nothing before `results` is asked.

    Args:
        arguments: Settings by name; what is not here comes from LOGWELL_* variables.
        send: Whether to send an entry.
        seams: What tests replace.

    Attributes:
        settings: The resolved settings; empty when they are not complete or wrong.
        way: Where connections go, None without settings.
    """

    def __init__(
        self, arguments: Mapping[str, Any], *, send: bool = True, seams: Seams | None = None
    ) -> None:
        self._seams = seams or Seams()
        self._send = send
        self._config: Config | None = None
        self.settings: list[resolved.Setting] = []
        self.way: Way | None = None
        environ = self._seams.environ
        try:
            self._config = Config.resolve(environ, **arguments)
            self.settings = resolved.settings_of(self._config, arguments, environ)
            self.way = way_of(self._config, environ)
            self._resolved = passed("complete and well-formed")
        except LogwellError as error:
            self._resolved = failed("not complete, or wrong", error.message)
        except ValueError as error:
            self._resolved = failed(
                str(error), "Give it as http://host:port, or http://user:password@host:port."
            )

    def results(self) -> Iterator[Result]:
        """Run the steps and give each one's result as soon as it is there."""
        yield self._resolved.of("settings", "Settings")
        strays = resolved.unknown_variables(self._seams.environ)
        if strays is not None:
            yield strays.of("settings", "Variables")
        if self._config is not None and self._config.spool_dir is not None:
            yield spool_directory(self._config.spool_dir).of("settings", "Spool")
        for step, finding in self._server():
            yield finding.of("server", step)
        named = self._config.service if self._config is not None else None
        service = named or service_from_environment()
        seams = self._seams
        location = self._config is None or self._config.source_location
        for step, finding in opentelemetry(
            seams.environ, seams.installed, service, source_location=location
        ):
            yield finding.of("opentelemetry", step)

    def _server(self) -> Iterator[tuple[str, Finding]]:
        config, way = self._config, self.way
        if config is None or way is None:
            for step in _SERVER:
                yield step, skipped("not run: Settings failed")
            return
        answers = ServerAnswers(config, self._seams.wall)
        try:
            yield from self._steps(config, way, answers)
        finally:
            answers.close()

    def _steps(
        self, config: Config, way: Way, answers: ServerAnswers
    ) -> Iterator[tuple[str, Finding]]:
        addresses: list[network.AddressInfo] = []

        def dns() -> Finding:
            finding, found = network.resolve(way, self._seams.getaddrinfo)
            addresses.extend(found)
            return finding

        steps: dict[str, Callable[[], Finding]] = {
            "DNS": dns,
            "TCP": lambda: network.connect(way, addresses, config.timeout),
            "TLS": lambda: tls.handshake(config, way, self._seams.wall()),
            "Health": answers.health,
            "Key": answers.key,
            "Entry": answers.entry if self._send else lambda: skipped("not sent, as asked"),
            "Clock": answers.clock,
        }
        broken: str | None = None
        for step, run in steps.items():
            # The clock is that of the health answer, whatever became of key and entry.
            if broken is None or (step == "Clock" and answers.dated):
                finding = run()
            else:
                finding = skipped(f"not run: {broken} failed")
            if finding.status is Status.FAIL and broken is None:
                broken = step
            yield step, finding
