"""What the sampler knows of each pattern: when one is due, and how many of it went this second."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_EVERY: Final = 60.0
"""Seconds in which at least one record of a pattern is kept."""


class Pattern:
    """One pattern of one level.

    Attributes:
        due: When the next record is kept whatever its rate is, in seconds of the clock.
        second: The second that `passed` counts in.
        passed: Records that the rate let through in that second.
        to_hold: Records over the limit that are held back before one is kept; negative
            until there was one.
    """

    __slots__ = ("due", "passed", "second", "to_hold")

    def __init__(self, due: float) -> None:
        self.due = due
        self.second = 0
        self.passed = 0
        self.to_hold = -1

    def is_due(self, now: float) -> bool:
        """Tell whether this is the first record of its minute. Asked once per record."""
        if now < self.due:
            return False
        self.due = now + KEPT_EVERY
        return True

    def records_for(
        self, now: float, limit: int, keep_every: int, draw: Callable[[], float]
    ) -> int:
        """Return how many records that the rate let through this one stands for; 0 drops it.

        The first `limit` of a second stand for themselves; over that, every `keep_every`-th
        stands for as many. The count goes on from second to second and begins at a random
        place: that makes it right on average however long a flood is.
        """
        second = int(now)
        if second != self.second:
            self.second = second
            self.passed = 0
        self.passed += 1
        if self.passed <= limit:
            return 1
        if self.to_hold < 0:
            self.to_hold = int(draw() * keep_every)
        if self.to_hold:
            self.to_hold -= 1
            return 0
        self.to_hold = keep_every - 1
        return keep_every


class Patterns:
    """The patterns seen last, at most `size` of them. Not locked: the sampler's lock is.

    Args:
        size: How many patterns are known at a time.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._patterns: OrderedDict[tuple[str, str], Pattern] = OrderedDict()
        self._crowded_until = float("-inf")

    def __len__(self) -> int:
        return len(self._patterns)

    def get(self, level: str, signature: str, now: float) -> Pattern:
        """Return a pattern, which becomes the one seen last."""
        key = (level, signature)
        pattern = self._patterns.get(key)
        if pattern is not None:
            self._patterns.move_to_end(key)
            return pattern
        if len(self._patterns) >= self._size:
            _, oldest = self._patterns.popitem(last=False)
            if oldest.due > now:
                # More patterns a minute than are known at a time: most likely messages
                # with something in them that no rule recognises as a value. One a minute
                # of each would be all of them.
                self._crowded_until = now + KEPT_EVERY
        pattern = Pattern(now + KEPT_EVERY if now < self._crowded_until else now)
        self._patterns[key] = pattern
        return pattern
