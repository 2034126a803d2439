"""What OpenTelemetry does at the application's start: tried in a process of its own."""

from __future__ import annotations

import logging
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

import msgspec

from logwell_otel._config.options import service_from_environment
from logwell_otel._config.settings import is_asked_for
from logwell_otel._delivery.response import quoted
from logwell_otel._diagnostics import hide_keys
from logwell_otel._version import __version__
from logwell_otel.cli.check import probe
from logwell_otel.cli.check.probe import Problem, Start
from logwell_otel.cli.check.report import Finding, failed, passed, skipped, warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from logwell_otel._config.options import Config
    from logwell_otel.cli.check.probe import How

TIMEOUT: Final = 30.0
"""Seconds a start may take. Instrumentations import what they instrument."""

_LOGGING: Final = "opentelemetry-instrumentation-logging"
_VERSIONS: Final = (
    "opentelemetry-sdk",
    "opentelemetry-instrumentation",
    _LOGGING,
    "opentelemetry-distro",
    "httpcore",
)
_ZERO_CODE: Final = "Run pip install 'logwell-otel[zero-code]'."
_INSTALL: Final = f"Run pip install '{_LOGGING}>=0.61b0' (it comes with logwell-otel[zero-code])."
_STOPS: Final = "which stops the whole SDK"
_UNKNOWN: Final = "unknown_service"

_CONFIGURATOR: Final = "OTEL_PYTHON_CONFIGURATOR"
_BETTER: Final = "makes log_context reach the OpenTelemetry API, and a flush mean stored"
_NOT_CHOSEN: Final = re.compile(r"Configuration of (.+) not loaded because .+ is set by .+")
_LATER: Final = re.compile(r"Configuration of (.+) not loaded, (.+) already loaded")
# Said at every start: by a second configurator, and with a configuration file.
_USUAL: Final = re.compile(r"Configuration of .+ not loaded|.+ ignoring configurator kwargs")
_MAX_SAID: Final = 3

_NO_EXPORTER: Final = re.compile(
    r"Requested component '(.*)' not found in entry point 'opentelemetry_(logs|traces|metrics)_"
)
_PACKAGES: Final = {
    "otlp_proto_grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "otlp_proto_http": "opentelemetry-exporter-otlp-proto-http",
    "otlp_json_http": "opentelemetry-exporter-otlp-json-http",
    "prometheus": "opentelemetry-exporter-prometheus",
}
# What an exception says -> what is wrong, and what to do. Parentheses stand for {}.
_CAUSES: Final = (
    (
        r"Unsupported OTLP protocol '(.*)' is configured",
        f"the protocol '{{}}' is none that OpenTelemetry has an exporter for, {_STOPS}",
        "Set OTEL_EXPORTER_OTLP_PROTOCOL to grpc or http/protobuf, or OTEL_*_EXPORTER to none.",
    ),
    (
        r"OTEL_CONFIG_FILE is set but opentelemetry-configuration is not installed",
        f"OTEL_CONFIG_FILE is set, but opentelemetry-configuration is not installed, {_STOPS}",
        "Run pip install opentelemetry-configuration.",
    ),
    (
        r"(?:\w+ \(\w+\): )?max_export_batch_size must be less than or equal to max_queue_size",
        f"a batch is larger than the queue that it is taken from, {_STOPS}",
        "Make OTEL_BLRP_MAX_QUEUE_SIZE larger than OTEL_BLRP_MAX_EXPORT_BATCH_SIZE, or unset both.",
    ),
    (
        (
            r"(?:\w+ \(\w+\): )?(max_queue_size|max_export_batch_size|schedule_delay_millis)"
            r" must be .*positive"
        ),
        f"{{}} is not above 0, {_STOPS}",
        "Correct the OTEL_BLRP_* or OTEL_BSP_* variable of that name, or unset it.",
    ),
    (
        r"(OTEL_PYTHON_CONFIGURATOR=logwell needs a newer opentelemetry-sdk \(.*?\))",
        f"{{}}, {_STOPS}",
        f"Upgrade opentelemetry-sdk, or unset {_CONFIGURATOR}.",
    ),
)

_SDK_HANDLER: Final = "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED"
_HANDLER: Final = "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION"
_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_NOWHERE: Final = "log records of the standard library go nowhere"


def start(how: How, environ: Mapping[str, str]) -> Start:
    """Start OpenTelemetry in a process of its own, which sends and stores nothing.

    Args:
        how: How the application starts it.
        environ: The application's environment.
    """
    variables = {**environ, "OTEL_METRIC_EXPORT_INTERVAL": "3600000"}
    variables.pop("LOGWELL_SPOOL_DIR", None)
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, with a module of ours
            [sys.executable, "-m", probe.__name__, how],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Start(Problem(f"it is not over after {TIMEOUT:g} s"))
    try:
        return msgspec.json.decode(done.stdout, type=Start)
    except msgspec.MsgspecError:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return Start(Problem(f"the process ended with status {done.returncode}: {last}"))


def opentelemetry(
    environ: Mapping[str, str],
    config: Config | None,
    start: Callable[[How, Mapping[str, str]], Start],
) -> Iterator[tuple[str, Finding]]:
    """What OpenTelemetry is after a start, thing by thing.

    Args:
        environ: The application's environment.
        config: The settings, None where they are not complete or wrong.
        start: Tries it.
    """
    yield "Versions", _versions()
    # The distro sets what is not set, in the process that is started here as well.
    distro = environ.get("OTEL_PYTHON_DISTRO", "").strip() == "logwell"
    if distro:
        environ = {"OTEL_LOGS_EXPORTER": "logwell", _CONFIGURATOR: "logwell", **environ}
    zero_code = distro or is_asked_for(environ) or bool(environ.get("OTEL_CONFIG_FILE"))
    yield "Zero-code", _zero_code(environ, zero_code=zero_code)
    started: Start | None = None
    if zero_code or config is not None:
        started = start("zero-code" if zero_code else "configure", environ)
        mask = hide_keys if config is None else config.secrets.mask
        yield "Start-up", _came_up(started, environ, mask, zero_code=zero_code)
        if started.problem is None and started.provider:
            if zero_code:
                yield "Configurator", _configurator(started, environ)
            yield "Logging handler", _handler(started, environ)
        unusual = [line for line in started.said if not _USUAL.match(line)]
        if unusual and started.problem is None:
            yield "Said at start-up", _said(unusual, mask)
    else:
        yield "Start-up", skipped("not run: Settings failed")
    named_here = None if config is None else config.service
    found = None if started is None else started.service
    yield "Service name", _service(named_here or found or service_from_environment())


def _versions() -> Finding:
    found = [(name, installed) for name in _VERSIONS if (installed := _version(name)) is not None]
    listed = ", ".join(f"{name} {installed}" for name, installed in found)
    return passed(
        f"Python {platform.python_version()} in {sys.prefix}, logwell-otel {__version__}, {listed}"
    )


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _zero_code(environ: Mapping[str, str], *, zero_code: bool) -> Finding:
    given = environ.get("OTEL_LOGS_EXPORTER", "").strip()
    if zero_code:
        return passed("set up, for programs run by opentelemetry-instrument")
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


def _came_up(
    started: Start, environ: Mapping[str, str], mask: Callable[[str], str], *, zero_code: bool
) -> Finding:
    """Whether it is up, and sends to Logwell."""
    file = environ.get("OTEL_CONFIG_FILE")
    if started.problem is not None:
        problem = msgspec.structs.replace(started.problem, text=quoted(started.problem.text, mask))
        return _explained(problem, environ, zero_code=zero_code)
    if not started.provider:
        return _nothing_set_up(started, environ)
    where = ", ".join(started.endpoints)
    if file:
        if not started.endpoints:
            return warning(
                f"{file} sends no logs to Logwell",
                "Add to it: logger_provider: processors: - batch: exporter: logwell:",
            )
        return passed(
            f"{file} sends logs to {where}; OTEL_*_EXPORTER variables do not count, and settings "
            "in the file come before LOGWELL_* variables"
        )
    if not started.endpoints:
        return failed(
            "OpenTelemetry is up, but without an exporter to Logwell",
            "See what the distro or the configurator that is installed makes of "
            "OTEL_LOGS_EXPORTER; OTEL_PYTHON_DISTRO=distro chooses OpenTelemetry's own.",
        )
    if not zero_code:
        return passed(f"configure() sends logs to {where}")
    others = "; ".join(
        f"{signal} {'nowhere' if not names or names.lower() == 'none' else f'by {names}'}"
        for signal, names in started.exporters.items()
        if signal != "logs"
    )
    return passed(f"sends logs to {where}; {others}")


def _nothing_set_up(started: Start, environ: Mapping[str, str]) -> Finding:
    wanted = environ.get(_CONFIGURATOR)
    names = [match[1] for line in started.said if (match := _NOT_CHOSEN.match(line))]
    if wanted is not None and names:
        return failed(
            f"{_CONFIGURATOR} is {wanted!r}, which is not installed: nothing is set up",
            f"Set {_CONFIGURATOR} to one of {', '.join(names)}.",
        )
    if file := environ.get("OTEL_CONFIG_FILE"):
        return failed(
            f"{file} sets up no logs", "See that it has a logger_provider, and no disabled: true."
        )
    return failed("no configurator is installed, so that nothing is set up", _ZERO_CODE)


def _explained(problem: Problem, environ: Mapping[str, str], *, zero_code: bool) -> Finding:
    """What stopped the start, and what to do about it."""
    if match := _NO_EXPORTER.match(problem.text):
        return _no_exporter(match[1], f"OTEL_{match[2].upper()}_EXPORTER", environ)
    for pattern, text, advice in _CAUSES:
        if match := re.match(pattern, problem.text):
            return failed(text.format(*match.groups()), advice)
    if zero_code and (problem.missing or "").startswith("opentelemetry.instrumentation"):
        return failed("opentelemetry-instrument is not installed", _ZERO_CODE)
    said = f"{problem.kind}: {problem.text}" if problem.kind else problem.text
    if problem.missing is not None:
        return failed(f"{said}, {_STOPS}", "Install it, or leave out what needs it.")
    if problem.module == "logwell_otel.errors":
        return failed(f"{problem.text.rstrip('.')}, {_STOPS}", "Correct the setting.")
    if problem.module.startswith("opentelemetry.configuration"):
        return failed(
            f"{environ.get('OTEL_CONFIG_FILE')} stops the whole SDK: {problem.text}",
            "Correct the file; for its form see https://opentelemetry.io/docs/specs/otel/"
            "configuration/.",
        )
    command = "opentelemetry-instrument python -c pass" if zero_code else "the application"
    return failed(f"{said}, {_STOPS}", f"Run {command} to see the whole traceback.")


def _no_exporter(name: str, variable: str, environ: Mapping[str, str]) -> Finding:
    source = variable if variable in environ else f"{variable} is not set, which means otlp"
    package = _PACKAGES.get(name)
    install = f"Install it (pip install {package})" if package else "Correct the name"
    return failed(
        f"{name} is not installed ({source}), {_STOPS}",
        f"{install}, or set {variable} to what you use, or to none.",
    )


def _configurator(started: Start, environ: Mapping[str, str]) -> Finding:
    wanted = environ.get(_CONFIGURATOR)
    if wanted == "logwell":
        return passed(f"logwell, which {_BETTER}")
    later = [match.groups() for line in started.said if (match := _LATER.match(line))]
    names = sorted({name for pair in later for name in pair})
    # Ours does what the other does unless it is asked for by name.
    foreign = [name for name in names if name not in ("logwell", "configurator")]
    if foreign and wanted is None:
        return warning(
            f"{', '.join(names)} are installed, and {_CONFIGURATOR} does not say which: the one "
            "that is found first is used",
            f"Set {_CONFIGURATOR} to the one you want.",
        )
    used = wanted or (foreign[0] if foreign else "OpenTelemetry's own")
    return passed(f"{used}; {_CONFIGURATOR}=logwell {_BETTER}")


def _handler(started: Start, environ: Mapping[str, str]) -> Finding:
    """What hands the standard library's records to OpenTelemetry."""
    if started.handlers:
        first = started.handlers[0]
        # Ours takes its place, unless this is a start without our exporter.
        asked_for = environ.get(_SDK_HANDLER, "").strip().lower() == "true"
        if first.sdks_own or asked_for:
            return warning(
                "the SDK's own, which is deprecated",
                f"Unset {_SDK_HANDLER}, and install '{_LOGGING}>=0.61b0'.",
            )
        least = logging.getLevelName(max(first.level, started.root_level))
        return passed(
            f"on the root logger; {least} and above reach it unless the application sets other "
            "levels"
        )
    disabled = {name.strip() for name in environ.get(_DISABLED, "").split(",")}
    if disabled & {"logging", "*"}:
        return failed(f"left out by {_DISABLED}", f"Take logging (or *) out of {_DISABLED}.")
    if environ.get(_HANDLER, "true").strip().lower() != "true":
        return failed(f"switched off by {_HANDLER}", f"Unset {_HANDLER}.")
    installed = _version(_LOGGING)
    if installed is None:
        return failed(f"{_LOGGING} is not installed: {_NOWHERE}", _INSTALL)
    return failed(
        f"{_LOGGING} {installed} put none in place: {_NOWHERE}",
        f"Upgrade it to 0.61b0 or later and opentelemetry-sdk to 1.40 or later; with older ones, "
        f"set {_SDK_HANDLER}=true.",
    )


def _said(lines: list[str], mask: Callable[[str], str]) -> Finding:
    shown = "; ".join(quoted(line, mask) for line in lines[:_MAX_SAID])
    more = f"; and {len(lines) - _MAX_SAID} more" if len(lines) > _MAX_SAID else ""
    return warning(f"{shown}{more}", "OpenTelemetry logs this at every start: see what it means.")


def _service(service: str) -> Finding:
    if service.startswith(_UNKNOWN):
        return warning(
            f"not set: entries are filed under {service}",
            "Set OTEL_SERVICE_NAME, or give configure(service=...).",
        )
    return passed(service)
