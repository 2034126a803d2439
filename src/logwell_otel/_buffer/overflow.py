"""The way of chunks between an outbox's memory and its disk, when there is one."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from logwell_otel._buffer.outbox import UNACKNOWLEDGED_SECONDS
from logwell_otel._buffer.spool import Spool, SpoolCounters, SpooledChunk, SpoolWriteError
from logwell_otel._diagnostics import entries, was
from logwell_otel._encoding.chunk import Chunk
from logwell_otel.errors import LogwellError, LogwellErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel._buffer.account import Ledger
    from logwell_otel._buffer.outbox import Outbox
    from logwell_otel._diagnostics import Notices


# The outbox's place on disk: chunks go there when they cannot be delivered now.


_RETRY_SECONDS: Final = 10.0
"""Seconds before a disk that said no is asked again."""

_REASONS: Final = {
    "dropped_overflow": "spool_overflow",
    "dropped_age": "spool_expired",
    "set_aside": "spool_unreadable",
    "gone": "spool_gone",
}
"""What the spool counts as gone, and the ledger's word for it."""

_LOSSES: Final = {
    "dropped_overflow": "it is full. Raise spool_max_bytes (LOGWELL_SPOOL_MAX_BYTES)",
    "dropped_age": "they were older than spool_max_age (LOGWELL_SPOOL_MAX_AGE)",
}
"""The ones that are certainly losses: a line that cannot be read may be half of one that was
never acknowledged, and a file that is gone may be in another process' hands."""


class Reserve:
    """The spool, in terms of chunks and of the outbox's ledger.

    Not thread-safe: the outbox makes its calls one after the other, `look_after` excepted.
    What they did to the spool is counted by `count_into`, together with what the outbox
    holds, so that the ledger and what is held never disagree.

    Args:
        spool: Where entries go.
        notices: Told when the disk refuses, when it takes entries again, and of losses.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        notices: Notices,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._notices = notices
        self._clock = clock
        self._refused_at: float | None = None
        self._known = SpoolCounters()
        self._in_hand = 0
        self.own = 0
        """Entries held that this process stored, not found."""
        self.oldest_generation = 0
        """No entry of ours that is held belongs to an older generation."""

    @property
    def entries(self) -> int:
        """Entries held, those in hand included."""
        return self._known.entries_held

    @property
    def bytes_held(self) -> int:
        """Bytes on disk."""
        return self._known.bytes_used

    @property
    def share(self) -> float:
        """Share of the size cap in use."""
        return self._known.bytes_used / self._spool.max_bytes

    @property
    def waiting(self) -> bool:
        """True if `take` has something to give."""
        return self._known.entries_held > self._in_hand

    def store(self, chunk: Chunk) -> bool:
        """Put a chunk on disk; False if the disk does not take it now."""
        if not self._try(lambda: self._spool.store(chunk.entries())):
            return False
        self._stored(chunk)
        return True

    def keep(self, chunk: Chunk) -> SpooledChunk | None:
        """Put a chunk in hand on disk as well; None if the disk does not take it now.

        Returns:
            What `chunk.spooled` is to be, once what the spool counts is counted: till then
            the chunk is one in memory.
        """
        kept: list[SpooledChunk] = []
        if not self._try(lambda: kept.append(self._spool.keep(chunk.entries()))):
            return None
        self._in_hand += chunk.count
        self._stored(chunk)
        return kept[0]

    def _stored(self, chunk: Chunk) -> None:
        if self.own == 0:
            self.oldest_generation = chunk.generation
        self.own += chunk.count

    def _try(self, write: Callable[[], None]) -> bool:
        now = self._clock()
        if self._refused_at is not None and now - self._refused_at < _RETRY_SECONDS:
            return False
        try:
            write()
        except SpoolWriteError as error:
            if self._refused_at is None:
                self._notices.say(f"{error} Entries are held in memory instead.")
            self._refused_at = now
            return False
        if self._refused_at is not None:
            self._refused_at = None
            self._notices.say("The spool takes entries again.")
        return True

    def ask_again(self) -> None:
        """Try the disk with the next write, however lately it said no: there is no later."""
        if self._refused_at is not None:
            self._refused_at = float("-inf")

    def take(self) -> Chunk | None:
        """The oldest chunk that is not in hand, in hand from now on."""
        spooled = self._spool.take()
        if spooled is None:
            return None
        chunk = Chunk.of_entries(spooled.entries, entered=self._clock())
        chunk.spooled = spooled
        self._in_hand += chunk.count
        return chunk

    def done(self, chunk: Chunk) -> None:
        """A chunk in hand was settled."""
        spooled = self._release(chunk)
        self._spool.done(spooled)
        if not spooled.recovered:
            self.own -= spooled.count

    def give_back(self, chunk: Chunk) -> None:
        """A chunk in hand waits again."""
        self._spool.give_back(self._release(chunk))

    def _release(self, chunk: Chunk) -> SpooledChunk:
        spooled = chunk.spooled
        assert spooled is not None  # noqa: S101 - asked for only with one
        self._in_hand -= spooled.count
        return spooled

    def look_after(self) -> None:
        """Take over what dead processes left and drop what is too old: every few seconds.

        From any thread, beside all other calls.
        """
        self._spool.adopt()
        self._spool.expire()

    def look(self) -> SpoolCounters:
        """What the spool has done by now. May have to wait for its disk."""
        return self._spool.counters

    def count_into(self, ledger: Ledger, now: SpoolCounters) -> int:
        """Bring the ledger up to date with what `look` saw; returns entries the spool lost."""
        ledger.recovered += now.adopted - self._known.adopted
        lost = 0
        for name, reason in _REASONS.items():
            if new := getattr(now, name) - getattr(self._known, name):
                ledger.dropped[reason] += new
                lost += new
                self._tell(name, new)
        self._known = now
        self._in_hand = min(self._in_hand, now.entries_held)
        # Which ones were lost is not known: ours cannot be more than there are.
        self.own = max(0, min(self.own, now.entries_held))
        return lost

    def _tell(self, name: str, count: int) -> None:
        if (why := _LOSSES.get(name)) is None:
            return
        message = f"{entries(count)} {was(count)} dropped from the spool: {why}."
        self._notices.error(LogwellError(message, LogwellErrorCode.QUEUE_OVERFLOW))
        self._notices.say(message, about=f"spool {name}")

    def close(self) -> None:
        """Leave everything to the next process."""
        self._spool.close()


# The thread that looks after the disk while the sender waits for an answer.
#
# Only with a spool. A request may hang for its whole time-out; what is unacknowledged must
# be on disk after a second all the same.


THREAD_NAME: Final = "LogwellKeeper"
_TICK: Final = 0.2
_IDLE_TICK: Final = 5.0


class Keeper:
    """Spills what waits too long, and takes over what dead processes left.

    Args:
        outbox: What to look after.
        found: Called when there is something to send that was not there before.
        failed: Called with what a look raised. The next look is taken all the same.
        threads: False never starts the thread.
    """

    def __init__(
        self,
        outbox: Outbox,
        found: Callable[[], object],
        failed: Callable[[Exception], object],
        *,
        threads: bool = True,
    ) -> None:
        self._threads = threads
        self._outbox = outbox
        self._found = found
        self._failed = failed
        self._stop = threading.Event()
        self._busy = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> bool:
        """Something was handed over. Starts the thread if there is none; False if it cannot."""
        self._busy.set()
        if self._thread is not None and self._thread.is_alive():
            return True
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return True
            if self._stop.is_set() or not self._threads:
                return False
            thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False  # the interpreter is at its end, or the system has no more
            self._thread = thread
            return True

    def _run(self) -> None:
        while True:
            # Cleared before looking, so that nothing is slept through: neither what is
            # handed over meanwhile nor the end.
            self._busy.clear()
            if self._stop.is_set():
                return
            self.tick()
            if self._outbox.in_memory:
                self._stop.wait(_TICK)
            else:
                self._busy.wait(_IDLE_TICK)

    def tick(self) -> None:
        """Look once. Never raises for an `Exception`."""
        try:
            # A tick earlier than promised, so that it is kept between two ticks as well.
            self._outbox.spill_if_due(UNACKNOWLEDGED_SECONDS - 1.5 * _TICK)
            self._outbox.look_after_disk()
            if self._outbox.waiting:
                self._found()
        except Exception as error:  # noqa: BLE001 - without this thread nothing is kept in time
            self._failed(error)

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._stop.set()
        self._busy.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)
