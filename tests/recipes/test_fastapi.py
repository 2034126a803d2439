from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("opentelemetry.instrumentation.fastapi")


from support.process import (
    NEVER_BY_TIME,
    TRACE_ID,
    ask,
    listens,
    location,
    location_of,
    running,
    wait_until,
)
from support.server import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer


def test_fastapi_under_uvicorn(receiver: DevServer, tmp_path: Path) -> None:
    port = free_port()
    with running(
        f"uvicorn fastapi_app:app --port {port}",
        receiver,
        tmp_path / "out",
        NEVER_BY_TIME,
    ) as server:
        wait_until(lambda: listens(port), server.said)
        assert [ask(port, f"/orders/{order}") for order in (7, 13)] == [200, 500]
        server.stop()
        # uvicorn prints it as ever.
        assert server.said().count("ValueError: order 13 is cursed") == 1

    looked_up, answered, looked_up_too, failed = receiver.entries()
    source = location("fastapi_app.py", '"order looked up"')
    for entry, order in ((looked_up, 7), (looked_up_too, 13)):
        assert (entry.level, entry.message, entry.service) == ("info", "order looked up", "shop")
        assert location_of(entry) == source
        assert entry.metadata["order_id"] == order
    for entry in (answered, failed):
        assert entry.service == "shop"
        assert entry.ip_address == "127.0.0.1"
        assert entry.metadata["http.request.method"] == "GET"
        assert entry.metadata["http.route"] == "/orders/{order_id}"
        assert 0 < entry.metadata["http.server.request.duration"] < 60
    assert answered.level == "info"
    assert answered.message.startswith("GET /orders/{order_id} 200 ")
    assert answered.metadata["url.path"] == "/orders/7"

    assert failed.level == "error"
    assert failed.message.startswith("GET /orders/{order_id} 500 ")
    assert failed.metadata["url.path"] == "/orders/13"
    assert failed.metadata["http.response.status_code"] == 500
    assert failed.metadata["exception.type"] == "ValueError"
    stacktrace = failed.metadata["exception.stacktrace"]
    assert stacktrace.endswith("\nValueError: order 13 is cursed\n")
    assert stacktrace.count("is cursed") == 2  # the line that raised, and the exception
    assert sum("is cursed" in str(entry.metadata) for entry in receiver.entries()) == 1

    spans = [entry.metadata["span_id"] for entry in receiver.entries()]
    assert spans[0] == spans[1] != spans[2] == spans[3]
    assert {entry.metadata["trace_id"] for entry in receiver.entries()} == {TRACE_ID}
