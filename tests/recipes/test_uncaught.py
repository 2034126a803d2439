from __future__ import annotations

from typing import TYPE_CHECKING

from support.process import run

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer


def test_exceptions_nobody_caught(receiver: DevServer) -> None:
    done = run("python uncaught.py", receiver, status=1)
    on_thread, on_main = receiver.entries()
    assert (on_thread.level, on_thread.message, on_thread.service) == (
        "error",
        "Uncaught LookupError: no such shelf: A7",
        "shop",
    )
    assert on_thread.metadata["thread.name"] == "refill"
    assert (on_main.level, on_main.message, on_main.service) == (
        "fatal",
        "Uncaught RuntimeError: the shop burned down",
        "shop",
    )
    for entry in (on_thread, on_main):
        text = entry.message.removeprefix("Uncaught ")
        assert entry.metadata["exception.type"] == text.partition(":")[0]
        assert entry.metadata["exception.stacktrace"].endswith(f"\n{text}\n")
        # Printed as ever, too.
        assert done.stderr.count(text) == 1
