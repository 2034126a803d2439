"""The exporter's own metrics, by OpenTelemetry's semantic conventions for SDKs.

https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/ . On when
`OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED` is `true`, as the SDK's own are.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from opentelemetry.metrics import (
    CallbackOptions,
    MeterProvider,
    NoOpMeterProvider,
    Observation,
    get_meter_provider,
)

from logwell_otel._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from logwell_otel.ledger import Ledger
    from logwell_otel.outcome import Outcome

ENABLED_BY: Final = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"
COMPONENT_TYPE: Final = "logwell_http_log_exporter"
_numbers: Final = itertools.count()


class Metrics:
    """Registers the instruments once; they read the ledger, so each entry counts once.

    Args:
        endpoint: The server, for `server.address` and `server.port`.
        read: Returns the ledger and the number of entries held, of one moment; None when
            the exporter is gone.
        meter_provider: Where to register; None takes the global one.
    """

    def __init__(
        self,
        endpoint: str,
        read: Callable[[], tuple[Ledger, int] | None],
        meter_provider: MeterProvider | None = None,
    ) -> None:
        parts = urlsplit(endpoint)
        self._read = read
        self._attributes: dict[str, Any] = {
            "otel.component.type": COMPONENT_TYPE,
            "otel.component.name": f"{COMPONENT_TYPE}/{next(_numbers)}",
            "server.address": parts.hostname,
            "server.port": parts.port or (443 if parts.scheme == "https" else 80),
        }
        if os.environ.get(ENABLED_BY, "").strip().lower() != "true":
            meter_provider = NoOpMeterProvider()
        meter = (meter_provider or get_meter_provider()).get_meter("logwell_otel", __version__)
        meter.create_observable_counter(
            "otel.sdk.exporter.log.exported",
            [self._exported],
            unit="{log_record}",
            description="Log records whose export has finished, well or badly.",
        )
        meter.create_observable_up_down_counter(
            "otel.sdk.exporter.log.inflight",
            [self._inflight],
            unit="{log_record}",
            description="Log records handed over whose export has not finished.",
        )
        self._duration = meter.create_histogram(
            "otel.sdk.exporter.operation.duration",
            unit="s",
            description="Duration of a request.",
        )

    def _exported(self, _: CallbackOptions) -> Iterable[Observation]:
        if (read := self._read()) is None:
            return
        ledger, _held = read
        yield Observation(ledger.accepted, self._attributes)
        if ledger.refused:
            yield Observation(ledger.refused, {**self._attributes, "error.type": "refused"})
        for reason, count in ledger.dropped.items():
            yield Observation(count, {**self._attributes, "error.type": reason})

    def _inflight(self, _: CallbackOptions) -> Iterable[Observation]:
        if (read := self._read()) is not None:
            yield Observation(read[1], self._attributes)

    def observe(self, outcome: Outcome, seconds: float) -> None:
        """A request ended with `outcome` after `seconds`."""
        attributes = self._attributes
        if outcome.error is not None:
            attributes = {**attributes, "error.type": outcome.error.code.value}
            if outcome.error.status_code is not None:
                attributes["http.response.status_code"] = outcome.error.status_code
        self._duration.record(seconds, attributes)
