"""How a pace comes back after a 429: a cubic curve, as CUBIC's for TCP.

https://www.rfc-editor.org/rfc/rfc9438#section-4.2
"""

from __future__ import annotations


class RecoveryCurve:
    """The way back after a 429: fast at first, flat near the last known share, then faster.

    Args:
        start: Requests a minute at second 0.
        plateau: Requests a minute where the curve is flat; not below `start`.
        steepness: Requests a minute gained in the first minute from the plateau.
    """

    def __init__(self, *, start: float, plateau: float, steepness: float) -> None:
        self.plateau = plateau
        self._steepness = steepness
        self._minutes_to_plateau: float = ((plateau - start) / steepness) ** (1 / 3)

    def rate_at(self, seconds: float) -> float:
        """Requests a minute at that second."""
        minutes: float = seconds / 60 - self._minutes_to_plateau
        return self.plateau + self._steepness * minutes**3

    def is_back(self, seconds: float) -> bool:
        """Whether the plateau was reached by that second."""
        return seconds / 60 >= self._minutes_to_plateau
