"""The steps of the check, in their order."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._clock import wall_clock
from logwell_otel._config.options import Config
from logwell_otel.cli.check import network, settings, startup
from logwell_otel.cli.check.report import (
    NO_PROXY,
    Finding,
    Setting,
    Status,
    failed,
    passed,
    skipped,
)
from logwell_otel.cli.check.server import ServerAnswers
from logwell_otel.errors import LogwellError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from logwell_otel.cli.check.probe import How, Start

_SWITCHES: Final = ("LOGWELL_DISABLED", "OTEL_SDK_DISABLED")
_NOT_SET: Final = ("", "false", "0", "no", "off")
_SERVER: Final = ("DNS", "TCP", "TLS", "Health", "Key", "Entry", "Clock")


@dataclass(frozen=True)
class CheckDependencies:
    """What tests replace.

    Attributes:
        getaddrinfo: Looks up names.
        wall: Wall clock, in seconds since 1970.
        environ: The environment.
        start: Starts OpenTelemetry in a process of its own.
    """

    getaddrinfo: Callable[..., list[Any]] = socket.getaddrinfo
    wall: Callable[[], float] = wall_clock
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    start: Callable[[How, Mapping[str, str]], Start] = field(default_factory=lambda: startup.start)


class Check:
    """One run of the check.

    Resolves the settings at once and sends nothing before `results` is asked.

    Args:
        arguments: Settings by name; what is not here comes from LOGWELL_* variables.
        send: Whether to send an entry.
        dependencies: What tests replace.

    Attributes:
        settings: The resolved settings; empty when they are not complete or wrong.
        proxy: The proxy, as a setting.
    """

    def __init__(
        self,
        arguments: Mapping[str, Any],
        *,
        send: bool = True,
        dependencies: CheckDependencies | None = None,
    ) -> None:
        self._use = dependencies or CheckDependencies()
        self._arguments = arguments
        self._send = send
        self._config: Config | None = None
        self._route: network.Route | None = None
        self._off: list[str] = []
        self.settings: list[Setting] = []
        self.proxy: Setting = NO_PROXY
        environ = self._environ = {**self._use.environ}
        try:
            self._config = Config.resolve(environ, **arguments)
            if self._config.disabled:
                # It has no settings then: the rest is looked at as if it were on.
                values = [(name, environ.pop(name, "").strip().lower()) for name in _SWITCHES]
                self._off = [name for name, value in values if value not in _NOT_SET]
                self._config = Config.resolve(environ, **arguments)
            self.settings = settings.settings_of(self._config, arguments, environ)
            self._route = network.route_of(self._config, environ)
            self.proxy = self._route.shown
            self._resolved = passed("complete and well-formed")
        except LogwellError as error:
            self._resolved = failed("not complete, or wrong", error.message)
        except ValueError as error:
            self._resolved = failed(
                str(error), "Give it as http://host:port, or http://user:password@host:port."
            )

    def results(self) -> Iterator[Finding]:
        """Run the steps and give each one's result as soon as it is there."""
        yield self._resolved.of("settings", "Settings")
        if self._off:
            by = " and ".join(self._off)
            off = failed(f"by {by}: nothing is sent, whatever follows", f"Unset {by}.")
            yield off.of("settings", "Disabled")
        strays = settings.unknown_variables(self._environ)
        if strays is not None:
            yield strays.of("settings", "Variables")
        if self._config is not None and self._config.spool_dir is not None:
            yield settings.spool_directory(self._config.spool_dir).of("settings", "Spool")
        for step, finding in self._server():
            yield finding.of("server", step)
        environ = settings.as_variables(self._arguments, self._environ)
        for step, finding in startup.opentelemetry(environ, self._config, self._use.start):
            yield finding.of("opentelemetry", step)

    def _server(self) -> Iterator[tuple[str, Finding]]:
        config, route = self._config, self._route
        if config is None or route is None:
            for step in _SERVER:
                yield step, skipped("not run: Settings failed")
            return
        answers = ServerAnswers(config, self._use.wall)
        try:
            yield from self._steps(config, route, answers)
        finally:
            answers.close()

    def _steps(
        self, config: Config, route: network.Route, answers: ServerAnswers
    ) -> Iterator[tuple[str, Finding]]:
        addresses: list[network.AddressInfo] = []

        def dns() -> Finding:
            finding, found = network.resolve(route, self._use.getaddrinfo)
            addresses.extend(found)
            return finding

        steps: dict[str, Callable[[], Finding]] = {
            "DNS": dns,
            "TCP": lambda: network.connect(route, addresses, config.timeout),
            "TLS": lambda: network.handshake(config, route, self._use.wall()),
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
