from __future__ import annotations

from typing import TYPE_CHECKING

from support.process import location, location_of, own_metadata, run

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer


def test_a_plain_script(receiver: DevServer) -> None:
    done = run("python script.py", receiver)
    *imported, stock = receiver.entries()
    assert [entry.message for entry in imported] == [
        f"order {number} imported" for number in range(1000)
    ]
    for number, entry in enumerate(imported):
        assert own_metadata(entry) == {"order_id": number, "request_id": "import-1"}
        assert (entry.level, entry.service, entry.request_id) == ("info", "shop", "import-1")
    source = location("script.py", "imported")
    assert {location_of(entry) for entry in imported} == {source}
    assert (stock.level, stock.message, stock.request_id) == ("warn", "stock is low", None)
    assert own_metadata(stock) == {"items": ["pen", "ink"]}
    # The console has them as well, and nothing else.
    assert len(done.stderr.splitlines()) == 1001
