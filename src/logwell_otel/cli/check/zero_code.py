"""What OpenTelemetry would load: for `opentelemetry-instrument`, and for `configure()`."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING, Final

from logwell_otel._version import __version__
from logwell_otel.cli.check import config_file, logging_handler
from logwell_otel.cli.check.batches import batches
from logwell_otel.cli.check.installed import SDK, WITH_HANDLER, older
from logwell_otel.cli.check.result import Finding, failed, passed, skipped, warning
from logwell_otel.cli.check.signals import (
    UnknownProtocolError,
    can_load,
    exporter_names,
    with_distro,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from logwell_otel.cli.check.installed import Installed

_VERSIONS: Final = (
    "opentelemetry-sdk",
    "opentelemetry-instrumentation",
    "opentelemetry-instrumentation-logging",
    "opentelemetry-distro",
    "httpcore",
)
_EXTRA: Final = "pip install 'logwell-otel[zero-code]'"
_NAME: Final = "logwell"
_OPENTELEMETRYS: Final = "configurator"
_WHAT_FOR: Final = "makes log_context reach the OpenTelemetry API, and a flush mean stored"
_UNKNOWN: Final = "unknown_service"


def opentelemetry(
    environ: Mapping[str, str],
    installed: Installed,
    service: str,
    *,
    source_location: bool = True,
) -> Iterator[tuple[str, Finding]]:
    """What would be loaded, thing by thing.

    Args:
        environ: The environment.
        installed: What is installed.
        service: The service that entries would have, `unknown_service` for none.
        source_location: The exporter's setting.
    """
    yield "Versions", _versions(installed)
    yield "SDK", _sdk(environ)
    after = with_distro(environ, installed)
    file = bool(environ.get("OTEL_CONFIG_FILE"))
    zero_code = file or _names_us(after)
    yield "Zero-code", _zero_code(environ, installed, zero_code=zero_code)
    if file:
        yield "Configuration file", config_file.look(environ["OTEL_CONFIG_FILE"], installed)
    elif zero_code:
        for signal in ("logs", "traces", "metrics"):
            step = f"{signal.capitalize()} exporter"
            yield step, can_load(signal, after, environ, installed)
    if zero_code:
        yield "Configurator", _configurator(environ, installed)
    yield "Batches", batches(environ, zero_code=zero_code, file=file)
    yield "Logging handler", logging_handler.handler(environ, installed, zero_code=zero_code)
    yield "Source location", logging_handler.code_attributes(wanted=source_location)
    if not file:
        yield "Service name", _service(service)


def _versions(installed: Installed) -> Finding:
    found = [(name, installed.version(name)) for name in _VERSIONS]
    listed = ", ".join(f"{name} {version}" for name, version in found if version is not None)
    return passed(
        f"Python {platform.python_version()} in {sys.prefix}, logwell-otel {__version__}, {listed}"
    )


def _sdk(environ: Mapping[str, str]) -> Finding:
    if environ.get("OTEL_SDK_DISABLED", "").lower().strip() == "true":
        return failed(
            "switched off by OTEL_SDK_DISABLED: no record goes anywhere",
            "Unset OTEL_SDK_DISABLED.",
        )
    return passed("not switched off")


def _names_us(environ: Mapping[str, str]) -> bool:
    try:
        return _NAME in exporter_names("logs", environ)
    except UnknownProtocolError:
        return _NAME in environ["OTEL_LOGS_EXPORTER"]


def _zero_code(environ: Mapping[str, str], installed: Installed, *, zero_code: bool) -> Finding:
    given = environ.get("OTEL_LOGS_EXPORTER", "").strip()
    if not zero_code:
        if given and given.lower() != "none":
            return warning(
                f"OTEL_LOGS_EXPORTER is {given}: opentelemetry-instrument sends no logs to Logwell",
                "Add logwell to it, or use logwell_otel.configure().",
            )
        return skipped(
            "not set up: OTEL_LOGS_EXPORTER does not name logwell",
            "Set OTEL_LOGS_EXPORTER=logwell for opentelemetry-instrument; with "
            "logwell_otel.configure() it is not needed.",
        )
    if installed.version("opentelemetry-instrumentation") is None:
        return failed("opentelemetry-instrument is not installed", f"Run {_EXTRA}.")
    return passed("set up, for programs run by opentelemetry-instrument")


def _configurator(environ: Mapping[str, str], installed: Installed) -> Finding:
    variable = "OTEL_PYTHON_CONFIGURATOR"
    names = [point.name for point in installed.entry_points("opentelemetry_configurator")]
    wanted = environ.get(variable)
    if not names:
        return failed("none is installed, so that nothing is set up", f"Run {_EXTRA}.")
    old = older(installed, SDK, WITH_HANDLER)
    if wanted == _NAME and old:
        return failed(
            f"{variable} is logwell, which needs opentelemetry-sdk 1.40 or later: start-up fails",
            f"Upgrade opentelemetry-sdk, or unset {variable}.",
        )
    hint = "" if old else f"; {variable}=logwell {_WHAT_FOR}"
    if wanted is None:
        foreign = [name for name in names if name not in (_NAME, _OPENTELEMETRYS)]
        if foreign and len(names) > 1:
            return warning(
                f"{', '.join(names)} are installed, and {variable} does not say which: the one "
                "that is found first is used",
                f"Set {variable} to the one you want.",
            )
        # Ours does what OpenTelemetry's does unless it is asked for by name.
        used = foreign[0] if foreign else "OpenTelemetry's own"
        return passed(f"{used}{hint}")
    if wanted not in names:
        return failed(
            f"{variable} is {wanted!r}, which is not installed: nothing is set up",
            f"Set {variable} to one of {', '.join(names)}.",
        )
    if wanted == _NAME:
        return passed(f"logwell, which {_WHAT_FOR}")
    return passed(f"{wanted}{hint}")


def _service(service: str) -> Finding:
    if service == _UNKNOWN:
        return warning(
            f"not set: entries are filed under {_UNKNOWN}",
            "Set OTEL_SERVICE_NAME, or give configure(service=...).",
        )
    return passed(service)
