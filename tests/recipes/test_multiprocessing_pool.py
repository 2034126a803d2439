from __future__ import annotations

from typing import TYPE_CHECKING

from support.process import NEVER_BY_TIME, location, location_of, own_metadata, run

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer


def test_a_pool_of_processes(receiver: DevServer) -> None:
    # No batch goes out by time: only leaving a process sends what it has logged.
    run("python multiprocessing_pool.py", receiver, NEVER_BY_TIME)
    *children, last = receiver.entries()
    assert (last.message, last.service) == ("200 images resized", "shop")
    assert sorted(entry.metadata["image"] for entry in children) == [*range(200)]
    for entry in children:
        assert own_metadata(entry) == {"image": entry.metadata["image"]}
        assert entry.message == f"image {entry.metadata['image']} resized"
        assert entry.service == "shop"
        assert location_of(entry) == location("multiprocessing_pool.py", '"image %d resized"')
    connections = {request.connection for request in receiver.requests}
    assert len(connections) > 2, "one process sent everything"
