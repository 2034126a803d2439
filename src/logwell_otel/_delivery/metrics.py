"""The exporter's own metrics, by OpenTelemetry's semantic conventions for SDKs.

https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/ . On when a meter provider is
given, or when `OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED` is `true`, as the SDK's own are.
"""

from __future__ import annotations

import itertools
import os
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from opentelemetry.metrics import (
    CallbackOptions,
    Histogram,
    MeterProvider,
    Observation,
    get_meter_provider,
)

from logwell_otel._diagnostics import contained, described, warn
from logwell_otel._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from logwell_otel._buffer.account import Counters
    from logwell_otel._delivery.response import Outcome

ENABLED_BY: Final = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"
COMPONENT_TYPE: Final = "logwell_http_log_exporter"
# The conventions' word for what a server refuses entry by entry.
_REJECTED: Final = "rejected"
_numbers: Final = itertools.count()


def _no_metrics(error: Exception) -> None:
    warn(f"The meter provider raised {described(error)}: there are no metrics.")


class Metrics:
    """One exporter's figures. They are read from the ledger, so that each entry counts once.

    Args:
        endpoint: The server, for `server.address` and `server.port`.
        read: Returns the ledger and the number of entries held, of one moment; None when
            the exporter is gone.
        meter_provider: Where to register; None takes the global one, if the variable is set.
    """

    def __init__(
        self,
        endpoint: str,
        read: Callable[[], tuple[Counters, int] | None],
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
        self._duration: Histogram | None = None
        by_variable = os.environ.get(ENABLED_BY, "").strip().lower() == "true"
        if meter_provider is not None or by_variable:
            with contained(_no_metrics):  # logs are worth more than metrics
                self._duration = _instruments_of(meter_provider or get_meter_provider()).add(self)

    def exported(self) -> Iterable[Observation]:
        """Entries that have come to an end, by how it was."""
        if (read := self._read()) is None:
            return
        ledger, _held = read
        yield Observation(ledger.accepted, self._attributes)
        if ledger.refused:
            yield Observation(ledger.refused, {**self._attributes, "error.type": _REJECTED})
        for reason, count in ledger.dropped.items():
            yield Observation(count, {**self._attributes, "error.type": reason})

    def inflight(self) -> Iterable[Observation]:
        """Entries held."""
        if (read := self._read()) is not None:
            yield Observation(read[1], self._attributes)

    @property
    def observer(self) -> Callable[[Outcome, float], None] | None:
        """To be called with each request's outcome and seconds; None where metrics are off."""
        return None if self._duration is None else partial(self._observe, self._duration)

    def _observe(self, duration: Histogram, outcome: Outcome, seconds: float) -> None:
        attributes = self._attributes
        if outcome.error is not None:
            attributes = {**attributes, "error.type": outcome.error.code.value}
            if outcome.error.status_code is not None:
                attributes["http.response.status_code"] = outcome.error.status_code
        elif outcome.response is not None and outcome.response.rejected:
            # By the conventions only a full success is one.
            attributes = {**attributes, "error.type": _REJECTED}
        duration.record(seconds, attributes)


class _Instruments:
    """The instruments of one meter provider, for all exporters that report to it.

    An SDK takes an observable instrument once: of a second one of the same name it keeps
    no callback, so that a second exporter's figures would be missing.
    """

    def __init__(self, provider: MeterProvider) -> None:
        self._exporters: tuple[weakref.ref[Metrics], ...] = ()
        meter = provider.get_meter("logwell_otel", __version__)
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

    def add(self, metrics: Metrics) -> Histogram:
        """Report `metrics` too; returns where its requests are recorded."""
        # A new tuple: a reader may be going through the old one.
        self._exporters = (*(r for r in self._exporters if r() is not None), weakref.ref(metrics))
        return self._duration

    def _exported(self, _: CallbackOptions) -> Iterable[Observation]:
        for metrics in self._alive():
            yield from metrics.exported()

    def _inflight(self, _: CallbackOptions) -> Iterable[Observation]:
        for metrics in self._alive():
            yield from metrics.inflight()

    def _alive(self) -> Iterable[Metrics]:
        return [metrics for ref in self._exporters if (metrics := ref()) is not None]


_instruments: Final[weakref.WeakKeyDictionary[MeterProvider, _Instruments]] = (
    weakref.WeakKeyDictionary()
)


def _instruments_of(provider: MeterProvider) -> _Instruments:
    found = _instruments.get(provider)
    if found is None:
        found = _instruments.setdefault(provider, _Instruments(provider))
    return found
