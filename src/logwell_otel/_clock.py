"""Clocks that nobody stops: freezegun and time-machine replace those of `time` in a test's process.

A pipeline that is set up under a frozen clock must still send, and go on when the clock does.
Neither of the two replaces `clock_gettime` for these, and what was imported from `time` under
freezegun would go on asking it after it has ended. Windows has no `clock_gettime`.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_ON_THIS_SYSTEM: Final = hasattr(time, "clock_gettime") and hasattr(time, "CLOCK_MONOTONIC")

monotonic: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_MONOTONIC) if _ON_THIS_SYSTEM else time.monotonic
)
"""Seconds that only go forward."""

monotonic_ns: Callable[[], int] = (
    partial(time.clock_gettime_ns, time.CLOCK_MONOTONIC) if _ON_THIS_SYSTEM else time.monotonic_ns
)
"""The same in nanoseconds."""

wall_clock: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_REALTIME) if _ON_THIS_SYSTEM else time.time
)
"""Seconds since 1970. Only for what people read, and for what outlives the process."""
