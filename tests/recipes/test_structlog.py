from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("structlog")


from support.process import location, location_of, own_metadata, run

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer

EXAMPLE = "structlog_app.py"


def test_structlog(receiver: DevServer) -> None:
    run(f"python {EXAMPLE}", receiver)
    entries = receiver.entries()
    seen = [(entry.level, entry.message, entry.request_id, entry.service) for entry in entries]
    assert seen == [
        ("info", "order placed", "r-1", "shop"),
        ("error", "payment failed", "r-1", "shop"),
        ("info", "order placed", "r-2", "shop"),
        ("error", "payment failed", "r-2", "shop"),
    ]
    placed, failed = entries[:2]
    assert own_metadata(placed) == {
        "order_id": 7,
        "items": ["pen", "ink"],
        "name_": "Ann",
        "request_id": "r-1",
    }
    metadata = own_metadata(failed)
    stacktrace = metadata.pop("exception.stacktrace")
    assert metadata == {
        "order_id": 7,
        "request_id": "r-1",
        "exception.type": "ValueError",
        "exception.message": "card was declined",
    }
    assert stacktrace.endswith("\nValueError: card was declined\n")
    assert location_of(placed) == location(EXAMPLE, '"order placed"')
    assert location_of(failed) == location(EXAMPLE, '"payment failed"')
