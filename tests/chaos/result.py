"""What a scenario found, and how it is judged."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from logwell_otel import Health, LogwellLogExporter

_T = TypeVar("_T")

HANG_SECONDS = 10.0
"""No call into the exporter takes longer, whatever the server does."""

_FLUSH_MILLIS = 5_000
_NAMED = 3
_OWN_REPORT = "logwell-otel dropped"


class HangError(Exception):
    """A call did not return."""


class Figures(NamedTuple):
    """The ledger of one process, as `exporter.health()` shows it."""

    handed_over: int
    recovered: int
    accepted: int
    refused: int
    dropped: Mapping[str, int]
    held: int

    @classmethod
    def of(cls, health: Health) -> Figures:
        return cls(
            health.handed_over,
            health.recovered,
            health.accepted,
            health.refused,
            dict(health.dropped),
            health.held,
        )

    @property
    def adds_up(self) -> bool:
        ended = self.accepted + self.refused + sum(self.dropped.values())
        return self.handed_over + self.recovered == ended + self.held


@dataclass(frozen=True)
class Result:
    """One row of the table.

    Attributes:
        sent: Records logged.
        arrived: Of these, how many the receiver has.
        duplicates: Copies beyond the first.
        seconds: Real time it took.
        problems: What is not as promised; empty when all is well.
        remark: What a reader of the table should know.
    """

    sent: int
    arrived: int
    duplicates: int
    seconds: float
    problems: tuple[str, ...] = ()
    remark: str = ""

    @property
    def passed(self) -> bool:
        return not self.problems


class Trial:
    """One run of a scenario: what was sent, what went wrong, and in the end the verdict."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._sent: set[str] = set()
        self.problems: list[str] = []

    def send(self, messages: Iterable[str]) -> None:
        """These were handed to the exporter, or logged; each message is unique."""
        self._sent.update(messages)

    def expect(self, fact: object, problem: str) -> None:
        if not fact:
            self.problems.append(problem)

    def ledger(self, health: Health | Figures, *, dropped: int = 0) -> None:
        """The sum holds, and no more was dropped than had to be."""
        figures = health if isinstance(health, Figures) else Figures.of(health)
        self.expect(figures.adds_up, f"the ledger does not add up: {figures}")
        lost = sum(figures.dropped.values())
        self.expect(lost == dropped, f"{lost} dropped {dict(figures.dropped)}, not {dropped}")

    def within(self, what: str, work: Callable[[], _T], seconds: float = HANG_SECONDS) -> _T:
        """Does `work` on a thread, so that one that hangs is noticed and not waited for."""
        results: list[_T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again below
                errors.append(error)

        thread = threading.Thread(target=run, name=what, daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            raise HangError(f"{what} did not return within {seconds:.0f} s")
        if errors:
            raise errors[0]
        return results[0]

    def deliver(self, exporter: LogwellLogExporter, seconds: float = 120.0) -> None:
        """Waits until all that was handed over is stored; every flush returns in time."""
        until = time.monotonic() + seconds
        while not self.within("force_flush", lambda: exporter.force_flush(_FLUSH_MILLIS)):
            if time.monotonic() > until:
                self.expect(False, f"not delivered after {seconds:.0f} s: {exporter!r}")
                return

    def judge(
        self,
        arrived: Iterable[str],
        *,
        lost: Collection[str] = (),
        maybe: Collection[str] = (),
        duplicates: int = 0,
        remark: str = "",
    ) -> Result:
        """The verdict.

        Args:
            arrived: Messages at the receiver, every copy.
            lost: What cannot arrive, and must not.
            maybe: What may or may not arrive.
            duplicates: How many copies beyond the first are unavoidable.
            remark: For the table.
        """
        copies = Counter(text for text in arrived if not text.startswith(_OWN_REPORT))
        missing = self._sent - copies.keys() - set(lost) - set(maybe)
        self._expect_none(missing, "did not arrive")
        self._expect_none(copies.keys() - self._sent, "arrived and were never sent")
        self._expect_none(copies.keys() & set(lost), "arrived though that was impossible")
        extra = copies.total() - len(copies)
        self.expect(extra <= duplicates, f"{extra} duplicates, at most {duplicates} expected")
        return Result(
            sent=len(self._sent),
            arrived=len(copies.keys() & self._sent),
            duplicates=extra,
            seconds=time.monotonic() - self._began,
            problems=tuple(self.problems),
            remark=remark,
        )

    def _expect_none(self, messages: Collection[str], what: str) -> None:
        named = ", ".join(sorted(messages)[:_NAMED])
        self.expect(not messages, f"{len(messages)} {what}: {named}")
