"""OpenTelemetry's own logging handler, made as safe as ours where it stands.

Under `opentelemetry-instrument` it is OpenTelemetry that puts a handler on the root logger,
one that raises into the application (see `handler`) and knows no log context. It stays the
one that is there, as `logging.config` is patched to keep it: what it does becomes ours.
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
        make_root_safe()
    except Exception as error:  # noqa: BLE001 - said; OpenTelemetry's handler stays as it is
        from logwell_otel._diagnostics import described, warn  # noqa: PLC0415 - only then

        warn(
            f"OpenTelemetry's logging handler could not be made safe ({described(error)}): a "
            "record with an attribute that cannot be had may raise in a logging call."
        )


def make_root_safe() -> None:
    """Make every handler of OpenTelemetry's on the root logger safe, and open the loggers up.

    By the settings of the exporters that there are: `levels` and `root_level`.
    """
    from logwell_otel._writer import is_opentelemetry  # noqa: PLC0415 - only then
    from logwell_otel.exporter import exporters  # noqa: PLC0415
    from logwell_otel.handler import level_of, make_safe, open_levels, open_up  # noqa: PLC0415

    root = logging.getLogger()
    levels: dict[str, str] = {}
    for exporter in exporters():
        levels.update(exporter.levels)
        if exporter.root_level is not None:
            open_up(root, level_of(exporter.root_level))
    for handler in root.handlers:
        if is_opentelemetry(handler):
            make_safe(handler, levels=levels)
    open_levels(levels)
