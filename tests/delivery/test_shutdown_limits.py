"""What bounds a shutdown, and that it tells once what became of the rest."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from kit import KEY, REFUSED, Bench, records
from logwell_otel import LogwellLogExporter
from logwell_otel.engine import Seams

if TYPE_CHECKING:
    from pathlib import Path


def test_a_request_that_ends_without_an_answer_buys_no_more_time() -> None:
    """One that timed out in the middle of a shutdown once let it take 4.5 s more."""
    bench = Bench()
    bench.exporter.export(records(1))
    bench.run(1)
    answered_at = bench.engine.delivery.last_answer_at
    bench.server.always = lambda _: REFUSED
    bench.exporter.export(records(1))
    bench.run(5)
    assert bench.engine.delivery.last_answer_at == answered_at
    bench.server.always = lambda _: None
    bench.run()
    assert bench.engine.delivery.last_answer_at > answered_at


def test_what_is_left_in_the_spool_is_said_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    said: list[str] = []
    exporter = LogwellLogExporter(
        f"http://127.0.0.1:{port}", KEY, spool_dir=tmp_path / "spool", _seams=Seams(say=said.append)
    )
    exporter.export(records(10))
    exporter.shutdown()
    assert [text for text in said if "left in the spool" in text] == [
        "10 entries are left in the spool at shutdown, for the next process."
    ]
