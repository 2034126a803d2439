"""Says when something begins to fail, and when it works again: not each time in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from logwell_otel._diagnostics import hide_keys

if TYPE_CHECKING:
    from collections.abc import Callable


class SaidOnce:
    """Follows one thing that can fail.

    Args:
        subject: What, as a sentence begins.
        say: Writes a warning for people. What it raises is counted.
    """

    def __init__(self, subject: str, say: Callable[[str], None]) -> None:
        self._subject = subject
        self._say = say
        self.failures = 0
        """Since it worked last."""
        self.unsaid = 0
        """Warnings that a logging handler of the application raised for."""

    def failed(self, what: str) -> None:
        """It failed; said the first time only."""
        self.failures += 1
        if self.failures == 1:
            self._write(f"{self._subject} {what}. The sampling rates in use stay.")

    def ended(self, what: str) -> None:
        """It worked; said if it had failed."""
        if self.failures:
            self.failures = 0
            self._write(f"{self._subject} {what} again.")

    def _write(self, text: str) -> None:
        try:
            self._say(hide_keys(text))
        except Exception:  # noqa: BLE001 - a handler of the application's: nobody is left to tell
            self.unsaid += 1
