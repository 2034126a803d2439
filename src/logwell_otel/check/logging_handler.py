"""What hands the standard library's log records to OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from logwell_otel.check.result import Finding, failed, passed, warning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logwell_otel.check.installed import Installed

_PACKAGE: Final = "opentelemetry-instrumentation-logging"
_MODULE: Final = "opentelemetry.instrumentation.logging.handler"
_SDK_HANDLER: Final = "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED"
_HANDLER: Final = "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION"
_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_CODE: Final = "OTEL_PYTHON_LOG_CODE_ATTRIBUTES"
_LEVEL: Final = "OTEL_PYTHON_LOG_HANDLER_LEVEL"
_INSTALL: Final = f"Run pip install '{_PACKAGE}>=0.61b0' (it comes with logwell-otel[zero-code])."


def handler(environ: Mapping[str, str], installed: Installed, *, zero_code: bool) -> Finding:
    """Whether there is a handler, and whether it would be put in place.

    Args:
        environ: The environment.
        installed: What is installed.
        zero_code: Whether OpenTelemetry puts it in place; else `configure()` does.
    """
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


def code_attributes(environ: Mapping[str, str], *, zero_code: bool) -> Finding:
    """Whether entries have a source file and line."""
    if not zero_code:
        return passed("configure() adds source file and line itself")
    if _is_true(environ, _SDK_HANDLER):
        return passed("the SDK's own handler adds source file and line")
    if _is_true(environ, _CODE):
        return passed(f"entries have source file and line ({_CODE})")
    return warning("entries have no source file and line", f"Set {_CODE}=true.")


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
