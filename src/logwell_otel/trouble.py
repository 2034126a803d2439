"""How delivery is going: what health shows, and the warnings when trouble starts and ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from logwell_otel.outcome import Action, Outcome
from logwell_otel.words import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel.errors import LogwellError
    from logwell_otel.notices import Notices

_QUIET_FAILURES: Final = 2
"""Failures in a row that are not worth a warning yet: a deadlock, a restart of the server."""

_AT_ONCE: Final = frozenset({Action.HOLD, Action.PAUSE})


class Trouble:
    """Follows the answers. Written by the sender's thread, read by any.

    Attributes:
        consecutive_failures: Requests since the last accepted one that were not.
        last_error: The latest error, None if there was none yet.
        last_error_at: Wall clock seconds of it.
        last_success_at: Wall clock seconds of the last accepted request.
    """

    def __init__(
        self,
        notices: Notices,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._notices = notices
        self._clock = clock
        self._wall = wall
        self._began_at: float | None = None
        self._told = False
        self.consecutive_failures = 0
        self.last_error: LogwellError | None = None
        self.last_error_at: float | None = None
        self.last_success_at: float | None = None

    @property
    def lasts(self) -> bool:
        """True from the first failure to the next accepted request."""
        return self._began_at is not None

    def answered(self, outcome: Outcome) -> None:
        """An answer came, or did not."""
        if outcome.action is Action.DONE:
            self.last_success_at = self._wall()
            self._ended()
            return
        self.last_error, self.last_error_at = outcome.error, self._wall()
        if outcome.action in (Action.SPLIT, Action.INVALID):
            return  # about this request, not about the server
        self.consecutive_failures += 1
        if self._began_at is None:
            self._began_at = self._clock()
        if outcome.action in _AT_ONCE or self.consecutive_failures > _QUIET_FAILURES:
            assert outcome.error is not None  # noqa: S101 - only DONE has none
            self._told = True
            self._notices.say(outcome.error.message, about=f"trouble {outcome.error.code}")

    def _ended(self) -> None:
        if self._began_at is not None and self._told:
            seconds = self._clock() - self._began_at
            self._notices.say(
                f"The server accepts entries again, after {seconds:.0f} s and "
                f"{count(self.consecutive_failures, 'failed request')}."
            )
        self.consecutive_failures = 0
        self._began_at = None
        self._told = False
