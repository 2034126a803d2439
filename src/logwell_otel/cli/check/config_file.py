"""OpenTelemetry's configuration file: can it be read, and does it send logs to Logwell."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._delivery.response import quoted
from logwell_otel._diagnostics import hide_keys
from logwell_otel.cli.check.result import Finding, failed, passed, warning

if TYPE_CHECKING:
    from logwell_otel.cli.check.installed import Installed

_PACKAGE: Final = "opentelemetry-configuration"
_EXAMPLE: Final = "logger_provider: processors: - batch: exporter: logwell:"


def look(path: str, installed: Installed) -> Finding:
    """Read the file that OTEL_CONFIG_FILE names, as OpenTelemetry would.

    Args:
        path: The file.
        installed: What is installed.
    """
    if not installed.module("opentelemetry.configuration"):
        return failed(
            f"OTEL_CONFIG_FILE is set, but {_PACKAGE} is not installed, which stops the whole SDK",
            f"Run pip install {_PACKAGE}.",
        )
    from opentelemetry.configuration import load_config_file  # noqa: PLC0415 - optional

    # It logs what it raises; here that is said once, in the finding.
    logger, quiet = logging.getLogger("opentelemetry.configuration"), logging.NullHandler()
    logger.addHandler(quiet)
    try:
        model = load_config_file(path)
    except Exception as error:  # noqa: BLE001 - of several kinds, all of which stop the SDK
        return failed(
            f"{path} stops the whole SDK: {quoted(str(error), hide_keys)}",
            "Correct the file; for its form see https://opentelemetry.io/docs/specs/otel/"
            "configuration/.",
        )
    finally:
        logger.removeHandler(quiet)
    if not any(_is_ours(processor) for processor in _processors(model)):
        return warning(f"{path} sends no logs to Logwell", f"Add to it: {_EXAMPLE}")
    return passed(
        f"{path} sends logs to Logwell; OTEL_*_EXPORTER variables do not count, and settings in "
        "the file come before LOGWELL_* variables"
    )


def _processors(model: Any) -> list[Any]:
    return list(getattr(model.logger_provider, "processors", None) or [])


def _is_ours(processor: Any) -> bool:
    for kind in ("batch", "simple"):
        exporter = getattr(getattr(processor, kind, None), "exporter", None)
        # An exporter that the schema does not know is an additional property.
        if "logwell" in (getattr(exporter, "additional_properties", None) or {}):
            return True
    return False
