"""The exporter's own metrics, by OpenTelemetry's conventions; off by default."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
)

from logwell_otel import __version__
from logwell_otel._delivery import metrics
from logwell_otel._delivery.metrics import ENABLED_BY
from support.bench import Bench
from support.records import records
from support.server import REFUSED, SERVER_ERROR, answer

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPORTED = "otel.sdk.exporter.log.exported"
INFLIGHT = "otel.sdk.exporter.log.inflight"
DURATION = "otel.sdk.exporter.operation.duration"


class Meters:
    """A meter provider and what is in it."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def metrics(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        return {
            metric.name: metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            if (scope.scope.name, scope.scope.version) == ("logwell_otel", __version__)
            for metric in scope.metrics  # the SDK has some of its own
        }

    def points(self, name: str) -> list[Any]:
        metric = self.metrics().get(name)
        return [] if metric is None else [*metric.data.data_points]

    def by_error(self, name: str) -> dict[str | None, float]:
        """Error type -> value, or number of measurements."""
        return {
            point.attributes.get("error.type"): (
                point.count if isinstance(point, HistogramDataPoint) else point.value
            )
            for point in self.points(name)
        }


@pytest.fixture
def meters(monkeypatch: pytest.MonkeyPatch) -> Iterator[Meters]:
    monkeypatch.setenv(ENABLED_BY, " True ")
    made = Meters()
    yield made
    made.provider.shutdown()


@pytest.mark.parametrize("value", [None, "", "false", "1"])
def test_off_by_default(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENABLED_BY, raising=False)
    if value is not None:
        monkeypatch.setenv(ENABLED_BY, value)
    meters = Meters()
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: meters.provider)
    bench = Bench()
    bench.exporter.export(records(3))
    bench.run()
    assert meters.metrics() == {}
    meters.provider.shutdown()


def test_a_meter_provider_that_is_given_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENABLED_BY, raising=False)
    meters = Meters()
    bench = Bench(meter_provider=meters.provider)
    bench.exporter.export(records(3))
    bench.run()
    assert "otel.sdk.exporter.log.exported" in meters.metrics()
    meters.provider.shutdown()


def test_names_units_and_attributes(meters: Meters) -> None:
    bench = Bench(meter_provider=meters.provider)
    bench.exporter.export(records(3))
    bench.run()
    metrics = meters.metrics()
    assert {name: metric.unit for name, metric in metrics.items()} == {
        EXPORTED: "{log_record}",
        INFLIGHT: "{log_record}",
        DURATION: "s",
    }
    assert metrics[EXPORTED].data.is_monotonic
    assert not metrics[INFLIGHT].data.is_monotonic
    (point,) = metrics[EXPORTED].data.data_points
    name = point.attributes["otel.component.name"]
    assert name.startswith("logwell_http_log_exporter/")
    assert dict(point.attributes) == {
        "otel.component.type": "logwell_http_log_exporter",
        "otel.component.name": name,
        "server.address": "localhost",
        "server.port": 1,
    }


@pytest.mark.parametrize(
    ("endpoint", "address", "port"),
    [
        ("https://logs.example.com/prefix", "logs.example.com", 443),
        ("http://[::1]", "::1", 80),
        ("http://127.0.0.1:3000", "127.0.0.1", 3000),
    ],
)
def test_the_server_is_named(endpoint: str, address: str, port: int, meters: Meters) -> None:
    from logwell_otel import LogwellLogExporter
    from support.config import KEY

    exporter = LogwellLogExporter(endpoint, KEY, meter_provider=meters.provider)
    (point,) = meters.points(INFLIGHT)
    assert point.attributes["server.address"] == address
    assert point.attributes["server.port"] == port
    assert exporter.health().held == 0


def test_two_exporters_are_told_apart(meters: Meters) -> None:
    benches = [Bench(meter_provider=meters.provider) for _ in range(2)]
    for number, bench in enumerate(benches, 1):
        bench.exporter.export(records(number))
        bench.run()
    points: list[NumberDataPoint] = meters.points(EXPORTED)
    assert sorted(point.value for point in points) == [1, 2]
    assert len({(point.attributes or {})["otel.component.name"] for point in points}) == 2


def test_each_record_counts_once_at_its_end(meters: Meters) -> None:
    bench = Bench(meter_provider=meters.provider)
    body = {"accepted": 3, "rejected": 1, "errors": ["Entry at index 1: level is required"]}
    bench.server.replies = [REFUSED, SERVER_ERROR, answer(200, body)]
    bench.exporter.export(records(4))
    assert meters.by_error(EXPORTED) == {None: 0}
    assert meters.by_error(INFLIGHT) == {None: 4}
    bench.run()
    assert meters.by_error(EXPORTED) == {None: 3, "rejected": 1}
    assert meters.by_error(INFLIGHT) == {None: 0}


def test_dropped_records_have_their_reason(meters: Meters) -> None:
    bench = Bench(meter_provider=meters.provider, level="error")
    bench.exporter.export(records(2))
    bench.exporter.shutdown()
    assert meters.by_error(EXPORTED) == {None: 0, "level": 2}


def test_requests_are_timed_with_their_outcome(meters: Meters) -> None:
    bench = Bench(meter_provider=meters.provider)
    partly = {"accepted": 0, "rejected": 1, "errors": ["Entry at index 0: no"]}
    bench.server.replies = [REFUSED, answer(503), None, answer(200, partly)]
    for first in range(2):
        bench.exporter.export(records(1, first))
        bench.run()
    points: list[HistogramDataPoint] = meters.points(DURATION)
    assert all(point.sum == pytest.approx(bench.server.latency * point.count) for point in points)
    assert meters.by_error(DURATION) == {
        None: 1,
        "NETWORK_ERROR": 1,
        "SERVER_ERROR": 1,
        "rejected": 1,
    }
    statuses = {
        point.attributes["error.type"]: point.attributes.get("http.response.status_code")
        for point in points
        if point.attributes and "error.type" in point.attributes
    }
    assert statuses == {"NETWORK_ERROR": None, "SERVER_ERROR": 503, "rejected": None}


def test_an_exporter_that_is_gone_reports_nothing(meters: Meters) -> None:
    bench = Bench(meter_provider=meters.provider)
    assert meters.points(INFLIGHT)
    bench.exporter.shutdown()
    del bench
    deadline = time.monotonic() + 10
    while meters.points(INFLIGHT) and time.monotonic() < deadline:
        gc.collect()
    assert meters.points(INFLIGHT) == []
    assert meters.points(EXPORTED) == []


def test_a_provider_that_raises_costs_the_metrics_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(MeterProvider):
        def get_meter(self, *_: Any, **__: Any) -> NoReturn:
            raise ValueError("no meters here")

    monkeypatch.setenv(ENABLED_BY, "true")
    bench = Bench(meter_provider=Broken([], shutdown_on_exit=False))
    bench.exporter.export(records(3))
    assert bench.exporter.force_flush()
    assert [record.getMessage() for record in caplog.records] == [
        "The meter provider raised ValueError: no meters here: there are no metrics."
    ]
