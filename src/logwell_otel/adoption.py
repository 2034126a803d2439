"""`configure()` in a program that zero-code start-up has already set up.

`OTEL_LOGS_EXPORTER=logwell` or a configuration file made the exporter and put it behind the
global LoggerProvider before the program began. A second exporter would send everything
twice, so that `configure()` takes that one.
"""

from __future__ import annotations

import os
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

from logwell_otel.credentials import config_error
from logwell_otel.patience import flush_while_it_gets_on

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logwell_otel.exporter import LogwellLogExporter
    from logwell_otel.otel import LoggerProvider

_SET_UP_BY_FILE: Final = ("OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE")
_PRIVACY: Final = ("redact", "redact_keys", "before_send")

_exporters: Final[weakref.WeakSet[LogwellLogExporter]] = weakref.WeakSet()


def remember(exporter: LogwellLogExporter) -> None:
    """`exporter` was made: zero-code start-up may have made it."""
    _exporters.add(exporter)


def exporters() -> list[LogwellLogExporter]:
    """All that there are in this process."""
    return list(_exporters)


def zero_code_exporter(identity: tuple[str, int]) -> LogwellLogExporter | None:
    """The exporter that zero-code start-up made for this server and key, if it did."""
    names = {name.strip() for name in os.environ.get("OTEL_LOGS_EXPORTER", "").split(",")}
    by_file = any(os.environ.get(name) for name in _SET_UP_BY_FILE)
    if "logwell" not in names and not by_file:
        return None
    for exporter in exporters():
        if exporter.identity == identity and not exporter.closed:
            return exporter
    return None


def ignored_arguments(arguments: Mapping[str, Any]) -> str | None:
    """A warning about arguments that an exporter made before does not get; None without any.

    Raises:
        LogwellError: `INVALID_CONFIG` where the exporter would send what the program wants
            kept back.
    """
    given = [name for name, value in arguments.items() if value is not None]
    if not given:
        return None
    text = (
        "The exporter that OTEL_LOGS_EXPORTER or the configuration file set up sends to this "
        f"server already, without the {', '.join(given)} given to configure(). "
        "Set them there or by their LOGWELL_* variables, or leave logwell out of "
        "OTEL_LOGS_EXPORTER."
    )
    if any(name in given for name in _PRIVACY):
        raise config_error(text)
    return text


class ZeroCodeProcessor:
    """In the place of the batch processor, which start-up made and nobody can reach.

    Args:
        provider: The global LoggerProvider.
        exporter: The exporter behind it.
    """

    def __init__(self, provider: LoggerProvider, exporter: LogwellLogExporter) -> None:
        self._provider = provider
        self._exporter = exporter

    def force_flush(self, timeout_millis: int) -> bool:
        """Everything logged before is stored at the server."""
        began = time.monotonic()
        handed_over = self._provider.force_flush(timeout_millis)
        spent = int((time.monotonic() - began) * 1000)
        return self._exporter.force_flush(max(0, timeout_millis - spent)) and handed_over

    def shutdown(self) -> None:
        """Flush only: the provider is not ours to end, and ends with the program."""
        flush_while_it_gets_on(self.force_flush, self._exporter.health)
