from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("flask")
pytest.importorskip("gunicorn")
pytest.importorskip("opentelemetry.instrumentation.flask")


from support.process import (
    NEVER_BY_TIME,
    PATIENCE,
    TRACE_ID,
    TRACE_PARENT,
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

REQUESTS = 40


def test_flask_under_gunicorn_with_preload(receiver: DevServer, tmp_path: Path) -> None:
    port = free_port()
    with running(
        f"gunicorn --preload --workers 2 --bind 127.0.0.1:{port} flask_app:app",
        receiver,
        tmp_path / "out",
        NEVER_BY_TIME,
    ) as server:
        wait_until(lambda: listens(port), server.said)
        # One worker waits for the end of this request, so the other answers the next.
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as half_a_request:
            half_a_request.sendall(b"GET /orders/100 HTTP/1.0\r\n")
            assert ask(port, "/orders/101") == 200
            half_a_request.sendall(f"traceparent: {TRACE_PARENT}\r\n\r\n".encode())
            assert half_a_request.makefile("rb").read().startswith(b"HTTP/1.0 200 OK")
        assert {ask(port, f"/orders/{order}") for order in range(102, 100 + REQUESTS)} == {200}
        assert ask(port, "/orders/13") == 500
        assert server.stop() == 0

    entries = receiver.entries()
    assert len({request.connection for request in receiver.requests}) == 2  # one a worker
    kinds = Counter(entry.message.rpartition(" ")[0] for entry in entries)
    assert kinds == {
        "order looked": REQUESTS + 1,
        "GET /orders/<int:order_id> 200": REQUESTS,
        "GET /orders/<int:order_id> 500": 1,
        "Exception on /orders/13": 1,
    }
    looked_up = [entry for entry in entries if entry.message == "order looked up"]
    assert sorted(entry.metadata["order_id"] for entry in looked_up) == [
        13,
        *range(100, 100 + REQUESTS),
    ]
    source = location("flask_app.py", '"order looked up"')
    assert {location_of(entry) for entry in looked_up} == {source}
    assert {entry.metadata["trace_id"] for entry in entries} == {TRACE_ID}
    assert {entry.service for entry in entries} == {"shop"}

    # Flask logs the exception itself, so the request's record need not repeat it.
    (logged,) = [entry for entry in entries if entry.message.startswith("Exception on")]
    (request,) = [entry for entry in entries if " 500 " in entry.message]
    assert logged.metadata["exception.stacktrace"].endswith("ValueError: order 13 is cursed\n")
    assert sum("exception.stacktrace" in entry.metadata for entry in entries) == 1
    assert (logged.level, request.level) == ("error", "error")
    assert logged.metadata["span_id"] == request.metadata["span_id"]
    assert request.metadata["url.path"] == "/orders/13"
