from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("flask")
pytest.importorskip("opentelemetry.distro")
pytest.importorskip("opentelemetry.instrumentation.flask")

from support.process import EXAMPLES, location, run

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer


def test_the_demo_shows_what_arrived_and_ends(receiver: DevServer) -> None:
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for 1.39
    shown = run("python examples/demo.py", receiver, cwd=EXAMPLES.parent).stdout
    assert "opentelemetry-instrument python examples/shop.py" in shown
    assert "\n6 entries arrived, newest first:\n" in shown
    messages = re.findall(r"^  \S+Z (\w+) +shop '(.*)'$", shown, re.MULTILINE)
    assert messages == [
        ("warn", "order 404 does not exist"),
        ("info", "order 404 looked up"),
        ("error", "payment of order 13 failed"),
        ("info", "order 13 looked up"),
        ("info", "order 2 looked up"),
        ("info", "order 1 looked up"),
    ]
    _, line = location("shop.py", '"payment of order %d failed"')
    assert f"examples/shop.py:{line}\n" in shown
    assert "ValueError: card of order 13 was declined\n" in shown
    assert "\n6 of them carry the trace id of a span that the same run exported.\n" in shown
    assert shown.endswith("server | stopped: 6 entries stored\n")
    # The demo has a stand-in of its own.
    assert receiver.count() == 0
