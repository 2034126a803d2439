from __future__ import annotations

from typing import TYPE_CHECKING

from support.process import location, location_of, running, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer


def test_a_container_that_is_stopped_delivers_what_it_has_logged(
    receiver: DevServer, tmp_path: Path
) -> None:
    with running(
        "python container.py",
        receiver,
        tmp_path / "out",
        {"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "20"},
    ) as container:
        wait_until(lambda: receiver.count() >= 20, container.said)
        assert container.stop() == 0
        assert container.said() == ""
    *jobs, last = receiver.entries()
    assert len(jobs) > 20
    assert [entry.message for entry in jobs] == [
        f"job {number} done" for number in range(1, len(jobs) + 1)
    ]
    assert last.message == "stopped"
    assert {location_of(entry) for entry in jobs} == {location("container.py", '"job %d done"')}
    assert {entry.service for entry in (*jobs, last)} == {"shop"}
