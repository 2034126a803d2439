from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from support.otlp import OtlpSink
from support.process import location, location_of, run

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer


def test_logs_here_and_traces_elsewhere_with_the_same_ids(receiver: DevServer) -> None:
    with OtlpSink() as backend:
        run("python beside_traces.py", receiver, {"OTEL_EXPORTER_OTLP_ENDPOINT": backend.url})
    *inside, outside = receiver.entries()
    # Our own requests made no spans.
    assert [span.name for span in backend.spans] == ["charge", "place order"] * 3
    assert backend.log_records == []
    ids = [(span.trace_id.hex(), span.span_id.hex()) for span in backend.spans]
    expected = [
        (f"order {order} {what}", *ids[2 * order + offset])
        for order in range(3)
        for what, offset in (("placed", 1), ("charged", 0))
    ]
    assert expected == [
        (entry.message, entry.metadata["trace_id"], entry.metadata["span_id"]) for entry in inside
    ]
    assert len({trace_id for _, trace_id, _ in expected}) == 3
    assert outside.message == "outside every span"
    assert "trace_id" not in outside.metadata
    assert location_of(outside) == location("beside_traces.py", "outside every span")
    assert {entry.service for entry in (*inside, outside)} == {"shop"}
