from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from support.otlp import OtlpSink
from support.process import location, location_of, own_metadata, run

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer

MESSAGES = [f"order {order} placed" for order in range(100)]


def test_both_get_everything(receiver: DevServer) -> None:
    with OtlpSink() as backend:
        run("python two_exporters.py", receiver, {"OTEL_EXPORTER_OTLP_ENDPOINT": backend.url})
    assert [record.body.string_value for record in backend.log_records] == MESSAGES
    entries = receiver.entries()
    assert [entry.message for entry in entries] == MESSAGES
    for order, (entry, record) in enumerate(zip(entries, backend.log_records, strict=True)):
        assert own_metadata(entry) == {"order_id": order}
        (there,) = [pair.value for pair in record.attributes if pair.key == "order_id"]
        assert there.int_value == order
    assert {location_of(entry) for entry in entries} == {location("two_exporters.py", "order %d")}


def test_logwell_down_does_not_stop_the_other(receiver: DevServer) -> None:
    receiver.stop()
    with OtlpSink() as backend:
        run("python two_exporters.py", receiver, {"OTEL_EXPORTER_OTLP_ENDPOINT": backend.url})
    assert [record.body.string_value for record in backend.log_records] == MESSAGES


def test_the_other_down_does_not_stop_logwell(receiver: DevServer) -> None:
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for 1.39
    with OtlpSink() as backend:
        nobody = backend.url
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": nobody, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    run("python two_exporters.py", receiver, variables)
    orders = [entry for entry in receiver.entries() if "order_id" in entry.metadata]
    assert [entry.message for entry in orders] == MESSAGES
    # Besides, what the other exporter says about it: a record like any other.
    for entry in receiver.entries()[100:]:
        assert entry.metadata["otel.scope.name"].startswith("opentelemetry.exporter.otlp")
