"""Our logging handler in the place of OpenTelemetry's.

Under `opentelemetry-instrument` it is OpenTelemetry that puts a handler on the root logger,
one that raises into the application (see `handler`), knows no log context, and goes with
all others where Celery or a program of its own takes them off.
"""

from __future__ import annotations

import logging
import sys


def after_instrumentation() -> None:
    """Entry point `logwell` of the group `opentelemetry_post_instrument`.

    Runs in every program that starts by `opentelemetry-instrument`, and changes nothing in
    one that has no exporter of ours. Never raises: that would end OpenTelemetry's start.
    """
    if "logwell_otel.exporter" not in sys.modules:
        return
    try:
        take_over()
    except Exception as error:  # noqa: BLE001 - said; OpenTelemetry's handler stays as it is
        from logwell_otel._diagnostics import described, warn  # noqa: PLC0415 - only then

        warn(
            f"OpenTelemetry's logging handler could not be replaced ({described(error)}): a "
            "record with an attribute that cannot be had may raise in a logging call."
        )


def take_over() -> None:
    """Replace every handler of OpenTelemetry's on the root logger, and open the loggers up.

    By the settings of the exporters that there are: `levels` and `root_level`.
    """
    from logwell_otel._install import replace_opentelemetrys  # noqa: PLC0415 - only then
    from logwell_otel._otel import LoggerProvider, get_logger_provider  # noqa: PLC0415
    from logwell_otel._server_errors import RequestExceptions  # noqa: PLC0415
    from logwell_otel.exporter import exporters  # noqa: PLC0415
    from logwell_otel.handler import level_of, open_levels, open_up  # noqa: PLC0415

    levels: dict[str, str] = {}
    for exporter in exporters():
        levels.update(exporter.levels)
        if exporter.root_level is not None:
            open_up(logging.getLogger(), level_of(exporter.root_level))
    provider = get_logger_provider()
    if isinstance(provider, LoggerProvider):
        provider.add_log_record_processor(RequestExceptions())
    replace_opentelemetrys(None, levels)
    open_levels(levels)
