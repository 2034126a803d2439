"""What hands the standard library's log records to OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from logwell_otel.cli.check.installed import SDK, WITH_HANDLER, older
from logwell_otel.cli.check.result import Finding, failed, passed, warning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logwell_otel.cli.check.installed import Installed

_PACKAGE: Final = "opentelemetry-instrumentation-logging"
_MODULE: Final = "opentelemetry.instrumentation.logging.handler"
_SDK_HANDLER: Final = "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED"
_HANDLER: Final = "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION"
_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_LEVEL: Final = "OTEL_PYTHON_LOG_HANDLER_LEVEL"
_INSTALL: Final = f"Run pip install '{_PACKAGE}>=0.61b0' (it comes with logwell-otel[zero-code])."


def handler(environ: Mapping[str, str], installed: Installed, *, zero_code: bool) -> Finding:
    """Whether there is a handler, and whether it would be put in place.

    Args:
        environ: The environment.
        installed: What is installed.
        zero_code: Whether OpenTelemetry puts it in place; else `configure()` does.
    """
    if zero_code and older(installed, SDK, WITH_HANDLER):
        if _is_true(environ, _SDK_HANDLER):
            return passed("the SDK's own, with this old OpenTelemetry")
        return failed(
            "log records of the standard library go nowhere",
            f"Upgrade OpenTelemetry to 1.40 or later, or set {_SDK_HANDLER}=true.",
        )
    if zero_code and _is_true(environ, _SDK_HANDLER):
        return warning(
            "the SDK's own, which is deprecated",
            f"Unset {_SDK_HANDLER} and install {_PACKAGE}.",
        )
    version = installed.version(_PACKAGE)
    if version is None:
        problem = f"{_PACKAGE} is not installed"
    elif not installed.module(_MODULE):
        problem = f"{_PACKAGE} {version} has none yet"
    else:
        return _placed(environ) if zero_code else passed(f"{_PACKAGE} has it, for configure()")
    if zero_code:
        return failed(f"{problem}: log records of the standard library go nowhere", _INSTALL)
    return warning(f"{problem}: configure() cannot put a handler in place", _INSTALL)


def code_attributes(*, wanted: bool) -> Finding:
    """Whether entries have a source file and line; `wanted` is the exporter's setting."""
    if wanted:
        return passed("the logging handler adds source file and line")
    return warning("switched off by LOGWELL_SOURCE_LOCATION", "Unset LOGWELL_SOURCE_LOCATION.")


def _placed(environ: Mapping[str, str]) -> Finding:
    disabled = {name.strip() for name in environ.get(_DISABLED, "").split(",")}
    if disabled & {"logging", "*"}:
        return failed(f"left out by {_DISABLED}", f"Take logging (or *) out of {_DISABLED}.")
    if not _is_true(environ, _HANDLER, default="true"):
        return failed(f"switched off by {_HANDLER}", f"Unset {_HANDLER}.")
    level = environ.get(_LEVEL, "").strip().upper()
    least = f" from {level} on ({_LEVEL})" if level else ""
    return passed(
        f"put on the root logger{least}; WARNING and above pass that unless the application sets "
        "its level"
    )


def _is_true(environ: Mapping[str, str], name: str, default: str = "false") -> bool:
    return environ.get(name, default).strip().lower() == "true"
