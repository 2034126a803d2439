"""Logwell's level of a record, from what OpenTelemetry or `logging` call it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logwell_otel.wire import Level

_BY_NAME: dict[str, Level] = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "notice": "info",
    "warn": "warn",
    "warning": "warn",
    "error": "error",
    "critical": "fatal",
    "fatal": "fatal",
}


def level_of_name(name: str) -> Level | None:
    """Return the level a name means, in any case (`WARNING` is warn); None if it is none."""
    return _BY_NAME.get(name.strip().lower())


def level_of_severity(number: int | None, text: str | None) -> Level:
    """Return the level of an OpenTelemetry record.

    Args:
        number: Severity number: 1–8 debug, 9–12 info, 13–16 warn, 17–20 error, 21–24 fatal.
        text: Severity text, which counts where the number is unset; info if that is too.
    """
    if not number or not 1 <= number <= 24:
        return level_of_name(text or "") or "info"
    if number <= 8:
        return "debug"
    if number <= 12:
        return "info"
    if number <= 16:
        return "warn"
    return "error" if number <= 20 else "fatal"


def level_of_logging(number: int) -> Level:
    """Return the level of a standard-library record; numbers in between count downwards."""
    if number < logging.INFO:
        return "debug"
    if number < logging.WARNING:
        return "info"
    if number < logging.ERROR:
        return "warn"
    return "error" if number < logging.CRITICAL else "fatal"
