"""A program that starts OpenTelemetry as an application would, and writes what is there then.

`logwell-otel check` runs it in a process of its own, as `python -m` with `zero-code` or
`configure`. It sends nothing and stores nothing: sockets refuse to connect, no spool is
opened, and it ends without the exit handlers, which would flush.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from typing import Any, Final, Literal

import msgspec

How = Literal["zero-code", "configure"]
"""Started by `opentelemetry-instrument`, or by `logwell_otel.configure()`."""

_SIGNALS: Final = ("logs", "traces", "metrics")
_NETWORK: Final = frozenset(
    {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendmsg"}
    | {"socket.sendto"}
)


class Problem(msgspec.Struct):
    """What ended the start.

    Attributes:
        text: The exception's text.
        kind: Its class; empty where the process ended without one.
        module: Where that class is defined.
        missing: For a module that was not found, its name.
    """

    text: str
    kind: str = ""
    module: str = ""
    missing: str | None = None


class Handler(msgspec.Struct):
    """A handler on the root logger, or behind it, that hands records to OpenTelemetry.

    Attributes:
        sdks_own: Whether it is the SDK's, or made from that.
        level: Its level.
    """

    sdks_own: bool
    level: int


class Start(msgspec.Struct):
    """What is there after a start.

    Attributes:
        problem: What ended it; None when OpenTelemetry is up.
        said: Warnings and errors that OpenTelemetry logged.
        provider: Whether there is a LoggerProvider of the SDK's.
        endpoints: Where the exporters of this package send.
        handlers: The handlers on the root logger and behind it.
        root_level: The root logger's level.
        exporters: `OTEL_*_EXPORTER` by signal, after a distro set what was not set.
        service: `service.name` of the provider's resource.
    """

    problem: Problem | None = None
    said: list[str] = []
    provider: bool = False
    endpoints: list[str] = []
    handlers: list[Handler] = []
    root_level: int = logging.WARNING
    exporters: dict[str, str] = {}
    service: str | None = None


class _Said(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def observe(how: How) -> Start:
    """Start OpenTelemetry in this process, and look around."""
    said = _Said()
    logging.getLogger("opentelemetry").addHandler(said)
    problem: Problem | None = None
    try:
        _start(how)
        configurator: Any = sys.modules.get("logwell_otel.configurator")
        if configurator is not None and configurator.LogwellConfigurator.problem is not None:
            raise configurator.LogwellConfigurator.problem
    except Exception as error:  # noqa: BLE001 - of any kind: it is what is reported
        kind, missing = type(error), getattr(error, "name", None)
        missing = missing if isinstance(error, ModuleNotFoundError) else None
        problem = Problem(str(error), kind.__name__, kind.__module__, missing)
    from opentelemetry._logs import get_logger_provider  # noqa: PLC0415 - as late as in programs

    from logwell_otel._install import installed_handlers  # noqa: PLC0415
    from logwell_otel._otel import LoggerProvider  # noqa: PLC0415
    from logwell_otel._writer import is_opentelemetry  # noqa: PLC0415
    from logwell_otel.exporter import exporters  # noqa: PLC0415

    provider = get_logger_provider()
    resource = provider.resource.attributes if isinstance(provider, LoggerProvider) else {}
    root = logging.getLogger()
    return Start(
        problem=problem,
        said=said.lines,
        provider=isinstance(provider, LoggerProvider),
        endpoints=[exporter._config.endpoint for exporter in exporters()],  # noqa: SLF001 - ours
        handlers=[
            Handler(_is_the_sdks(type(handler)), handler.level)
            for handler in [*root.handlers, *installed_handlers()]
            if is_opentelemetry(type(handler))
        ],
        root_level=int(root.getEffectiveLevel()),
        exporters={
            signal: os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "") for signal in _SIGNALS
        },
        service=None if (name := resource.get("service.name")) is None else str(name),
    )


def _start(how: How) -> None:
    _without_spool()
    if how == "configure":
        from logwell_otel import configure  # noqa: PLC0415 - not for a zero-code start

        configure()
    else:
        # What `opentelemetry-instrument` has the program's own start call.
        from opentelemetry.instrumentation.auto_instrumentation import (  # noqa: PLC0415
            initialize,
        )

        initialize(swallow_exceptions=False)


def _without_spool() -> None:
    """Have exporters pass over `spool_dir`, which a configuration file may name.

    Whoever runs the check may be another user than the application's, to whom alone a
    directory that is made here would belong.
    """
    from logwell_otel import exporter  # noqa: PLC0415 - see `observe`

    class WithoutSpool(exporter.LogwellLogExporter):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "spool_dir": None})

    exporter.LogwellLogExporter = WithoutSpool  # type: ignore[misc] # for who imports it next


def _is_the_sdks(kind: type[logging.Handler]) -> bool:
    return any(base.__module__.startswith("opentelemetry.sdk.") for base in kind.__mro__)


def refuse_network(event: str, _: tuple[Any, ...]) -> None:
    """An audit hook: every connection is refused, as if nothing listened anywhere."""
    if event in _NETWORK:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "logwell-otel check sends nothing here")


def main() -> None:
    """Write a `Start` as JSON to standard output, and end."""
    # What exporters and instrumentations print goes to standard error.
    report = os.dup(1)
    os.dup2(2, 1)
    sys.addaudithook(refuse_network)
    how: How = "configure" if sys.argv[1:] == ["configure"] else "zero-code"
    with open(report, "wb") as file:  # noqa: PTH123 - a file descriptor
        file.write(msgspec.json.encode(observe(how)))
    os._exit(0)


if __name__ == "__main__":
    main()
