"""Waiting for delivery as long as it gets on: what is held goes on being tried anyway."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel.health import Health

LONGEST_WAIT: Final = 30.0
"""Seconds that a server gets which accepts what it is sent."""

_LOOK: Final = 2.0
"""Seconds after which to look whether waiting is of any use."""

_LOOKS: Final = 2
"""Looks in a row that may see nothing accepted: a request may take its whole time-out."""


def flush_while_it_gets_on(flush: Callable[[int], bool], health: Callable[[], Health]) -> None:
    """Flush, up to 30 s for a server that accepts, 2 s for one that fails, 4 s for one that hangs.

    Args:
        flush: Flushes for that many milliseconds at most; True if nothing is held any more.
        health: How delivery is going.
    """
    until = time.monotonic() + LONGEST_WAIT
    accepted, idle = health().accepted, 0
    while idle < _LOOKS and (left := until - time.monotonic()) > 0:
        if flush(int(min(left, _LOOK) * 1000)):
            return
        now = health()
        if now.consecutive_failures:
            return
        idle = idle + 1 if now.accepted == accepted else 0
        accepted = now.accepted
