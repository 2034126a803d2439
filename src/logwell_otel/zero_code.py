"""Our logging handler in the place of OpenTelemetry's, and the end behind its own processor.

Under `opentelemetry-instrument` it is OpenTelemetry that puts a handler on the root logger,
one that raises into the application (see `_translation`), knows no log context, and goes with
all others where Celery or a program of its own takes them off.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from logwell_otel.processor import UnreachableProcessor

_opentelemetrys: Final[list[UnreachableProcessor]] = []


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
    deliver_all_at_the_end()


def deliver_all_at_the_end() -> None:
    """Have signals and the end of children deliver what OpenTelemetry's own processor holds."""
    from opentelemetry._logs import get_logger_provider  # noqa: PLC0415 - only with an exporter

    from logwell_otel._otel import LoggerProvider  # noqa: PLC0415
    from logwell_otel._process import at_exit_of_children  # noqa: PLC0415
    from logwell_otel._sigterm import deliver_on_sigterm  # noqa: PLC0415
    from logwell_otel.exporter import exporters  # noqa: PLC0415
    from logwell_otel.processor import UnreachableProcessor  # noqa: PLC0415

    provider = get_logger_provider()
    if not isinstance(provider, LoggerProvider):
        return
    for exporter in exporters():
        if exporter._followed:  # noqa: SLF001 - our own class
            continue  # by a processor of ours, which sees to it
        made = UnreachableProcessor(provider, exporter)
        _opentelemetrys.append(made)
        at_exit_of_children(made.shutdown)
        if exporter._delivers_on_sigterm:  # noqa: SLF001 - our own class
            deliver_on_sigterm(made)


def take_over() -> None:
    """Replace every handler of OpenTelemetry's on the root logger, and open the loggers up.

    By the settings of the exporters that there are: `levels` and `root_level`.
    """
    from logwell_otel._install import (  # noqa: PLC0415 - only then
        open_levels,
        open_up,
        replace_opentelemetrys,
    )
    from logwell_otel._otel import LoggerProvider, get_logger_provider  # noqa: PLC0415
    from logwell_otel._server_errors import RequestExceptions  # noqa: PLC0415
    from logwell_otel._translation import level_of  # noqa: PLC0415
    from logwell_otel.exporter import exporters  # noqa: PLC0415

    levels: dict[str, str] = {}
    for exporter in exporters():
        config = exporter._config  # noqa: SLF001 - our own class
        levels.update(config.levels)
        if config.root_level is not None:
            open_up(logging.getLogger(), level_of(config.root_level))
    provider = get_logger_provider()
    if isinstance(provider, LoggerProvider):
        provider.add_log_record_processor(RequestExceptions())
    replace_opentelemetrys(None, levels)
    open_levels(levels)
