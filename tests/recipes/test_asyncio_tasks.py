from __future__ import annotations

from typing import TYPE_CHECKING

from support.process import location, location_of, own_metadata, run

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer


def test_tasks_keep_their_context_apart(receiver: DevServer) -> None:
    run("python asyncio_tasks.py", receiver)
    entries = receiver.entries()
    assert sorted(entry.message for entry in entries) == sorted(
        f"{what} {order}" for order in range(100) for what in ("accepted", "charged")
    )
    for entry in entries:
        order = int(entry.message.split()[1])
        assert own_metadata(entry) == {"order_id": order, "user_id": f"u-{order % 7}"}
        assert (entry.user_id, entry.service) == (f"u-{order % 7}", "shop")
    assert {location_of(entry) for entry in entries} == {
        location("asyncio_tasks.py", '"charged %d"'),
        location("asyncio_tasks.py", '"accepted %d"'),
    }
