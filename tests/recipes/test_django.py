from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("django")
pytest.importorskip("gunicorn")
pytest.importorskip("opentelemetry.instrumentation.django")


from support.process import (
    EXAMPLES,
    NEVER_BY_TIME,
    TRACE_ID,
    ask,
    listens,
    location,
    location_of,
    run,
    running,
    wait_until,
)
from support.server import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

PROJECT = EXAMPLES / "django_project"


def test_django_under_gunicorn(receiver: DevServer, tmp_path: Path) -> None:
    port = free_port()
    with running(
        f"gunicorn --bind 127.0.0.1:{port} orders.wsgi",
        receiver,
        tmp_path / "out",
        NEVER_BY_TIME,
        cwd=PROJECT,
    ) as server:
        wait_until(lambda: listens(port), server.said)
        assert [ask(port, path) for path in ("/orders/7", "/orders/13", "/x")] == [200, 500, 404]
        assert server.stop() == 0

    entries = receiver.entries()
    # Errors of a batch come in an order of their own: looked up by what they say.
    by_message = {entry.message.rpartition(" ")[0]: entry for entry in entries}
    assert sorted((entry.level, entry.message.rpartition(" ")[0]) for entry in entries) == [
        ("error", "GET /orders/<int:order_id> 500"),
        ("error", "Internal Server Error:"),
        ("info", "GET /orders/<int:order_id> 200"),
        ("info", "order looked"),
        ("info", "order looked"),
        ("warn", "GET /x 404"),
        ("warn", "Not Found:"),
    ]
    # Django notes a 404 when the span has ended; the request's own record has the trace.
    not_found = by_message.pop("Not Found:")
    assert "trace_id" not in not_found.metadata
    assert {entry.metadata["trace_id"] for entry in by_message.values()} == {TRACE_ID}
    assert {entry.service for entry in entries} == {"shop"}
    looked_up = [entry for entry in entries if entry.message == "order looked up"]
    assert [entry.metadata["order_id"] for entry in looked_up] == [7, 13]
    source = location("django_project/orders/urls.py", '"order looked up"')
    assert {location_of(entry) for entry in looked_up} == {source}
    # Django logs the exception itself, so the request's record need not repeat it.
    logged = by_message["Internal Server Error:"]
    request = by_message["GET /orders/<int:order_id> 500"]
    assert logged.metadata["exception.stacktrace"].endswith("ValueError: order 13 is cursed\n")
    assert sum("exception.stacktrace" in entry.metadata for entry in entries) == 1
    assert logged.metadata["span_id"] == request.metadata["span_id"]
    assert request.metadata["http.route"] == "/orders/<int:order_id>"
    assert request.metadata["url.path"] == "/orders/13"


def test_its_commands_log_too(receiver: DevServer) -> None:
    code = "import logging; logging.getLogger('orders.import').warning('by hand')"
    done = run(f'python manage.py shell -v0 -c "{code}"', receiver, cwd=PROJECT)
    assert (done.stdout, done.stderr) == ("", "by hand\n")  # as without us
    (entry,) = receiver.entries()
    assert (entry.level, entry.message, entry.service) == ("warn", "by hand", "shop")
