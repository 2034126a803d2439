from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("loguru")


from support.process import location, location_of, own_metadata, run

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer

EXAMPLE = "loguru_app.py"


def test_loguru(receiver: DevServer) -> None:
    done = run(f"python {EXAMPLE}", receiver)
    placed, paid, failed = receiver.entries()
    bound = {"order_id": 7, "user_id": "u-42", "request_id": "r-1"}
    for entry in (placed, paid, failed):
        assert (entry.service, entry.user_id, entry.request_id) == ("shop", "u-42", "r-1")
        assert location_of(entry) == location(EXAMPLE, f'"{entry.message}"')
    assert (placed.level, placed.message) == ("info", "order placed")
    assert own_metadata(placed) == bound
    # loguru's own levels have no counterpart: their name stays in the metadata.
    assert (paid.level, paid.message) == ("info", "order paid")
    assert own_metadata(paid) == {**bound, "severity_text": "SUCCESS", "severity_number": 12}
    assert (failed.level, failed.message) == ("error", "order cannot be sent")
    metadata = own_metadata(failed)
    assert metadata.pop("exception.stacktrace").endswith("\nValueError: out of stock\n")
    assert metadata == {
        **bound,
        "exception.type": "ValueError",
        "exception.message": "out of stock",
    }
    assert "order placed" in done.stderr  # loguru's own sink is still there
