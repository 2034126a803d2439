"""How long a shutdown takes when the server does not take what is left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from chaos.pipeline import texts
from chaos.result import Figures, Trial
from logwell_otel import LogwellLogExporter
from logwell_otel.devserver import DevServer
from support.records import records

if TYPE_CHECKING:
    from chaos.result import Result

Server = Literal["refusing", "hanging", "rate limited", "refusing the key"]

_COUNT = 250
_REQUEST_TIMEOUT = 3.0
_KNOWN_AFTER = 1.0


def bounded(server: Server, most: float) -> Result:
    """The trouble is known, and the server's last request under way, when shutdown begins.

    Args:
        server: What it does.
        most: Seconds that the shutdown may take.
    """
    trial = Trial()
    with DevServer() as receiver:
        exporter = LogwellLogExporter(receiver.url, receiver.key, timeout=_REQUEST_TIMEOUT)
        if server == "refusing":
            receiver.stop()
        elif server == "hanging":
            receiver.faults.hang()
        else:
            receiver.faults.answer(429 if server == "rate limited" else 401)
        exporter.export(records(_COUNT))
        trial.send(texts(_COUNT, prefix="message"))
        time.sleep(_KNOWN_AFTER)
        before = len(receiver.requests)
        began = time.monotonic()
        trial.within("shutdown", exporter.shutdown)
        seconds = time.monotonic() - began
        trial.expect(seconds <= most, f"it took {seconds:.1f} s, not {most}")
        attempts = len(receiver.requests) - before
        trial.expect(attempts <= 1, f"{attempts} attempts")
        figures = Figures.of(exporter.health())
        trial.ledger(figures, dropped=_COUNT)
        trial.expect(set(figures.dropped) == {"shutdown"}, f"dropped: {figures.dropped}")
        return trial.judge(
            (entry.message for entry in receiver.entries()),
            lost=texts(_COUNT, prefix="message"),
            remark=f"{seconds:.2f} s, counted as dropped",
        )
