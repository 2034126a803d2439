"""Watching a project: what is new is read, given to rules, and acted on.

One thread, one process. It asks from time to time instead of following a stream: an answer
says that nothing was missed until then, which rules about absence depend on.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from logwell_otel._diagnostics import Once, count, was
from logwell_otel._wire import LEVELS
from logwell_otel._writer import warn
from logwell_otel.errors import LogwellError, LogwellErrorCode, config_error
from logwell_otel.reader import watch_state
from logwell_otel.reader.actions import Actions
from logwell_otel.reader.client import PAGE
from logwell_otel.reader.rows import moment_of
from logwell_otel.reader.rules import (
    LATE,
    Evaluation,
    Firing,
    Rule,
    RuleState,
    moment_at,
    shown_duration,
)
from logwell_otel.reader.rules_file import load_rules
from logwell_otel.reader.watch_state import (
    LONGEST_BACKOFF,
    Position,
    WatchState,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from typing_extensions import Self

    from logwell_otel.reader.client import LogwellReader
    from logwell_otel.reader.rows import LogRow

LONGEST_CATCH_UP: Final = 86_400.0
"""A watch that was down for longer goes on so many seconds ago."""

_SLICE: Final = 300.0
_WHOLE_LOOK_SECONDS: Final = 60.0
_FINAL: Final = {LogwellErrorCode.UNAUTHORIZED, LogwellErrorCode.INVALID_CONFIG}
_MOST_INCIDENTS: Final = 10_000


class NewRows:
    """The rows of a project that have not been read yet.

    Args:
        reader: Reads them.
        rules: What is looked for: the server is asked for their levels alone, and rows of
            no rule are not kept.
        seen: Ids and times of rows that have been read.

    Attributes:
        newest: The time of the newest row that was read, None before the first.
    """

    def __init__(
        self, reader: LogwellReader, rules: Sequence[Rule], seen: dict[str, float] | None = None
    ) -> None:
        self.seen: dict[str, float] = {} if seen is None else seen
        self.newest: float | None = None
        self._reader = reader
        self._rules = rules
        asked = {level for rule in rules for level in rule.filter.levels or LEVELS}
        self._level = None if len(asked) == len(LEVELS) else ",".join(sorted(asked))
        self._wants_incidents = any(rule.condition.kind == "new_incident" for rule in rules)
        self._first_seen: dict[str, float] = {}

    def begin(self, now: float) -> None:
        """What is there has been read, as far as it might be taken for new."""
        row = next(self._reader.search(level=self._level, limit=1), None)
        if row is not None:
            self.read(min(row.time.timestamp(), now) - LATE, None)

    def read(self, since: float, until: float | None, *, whole: bool = True) -> list[LogRow]:
        """New rows of that time that a rule may count, in order of time.

        Args:
            since: The oldest.
            until: The newest; None for all, so that senders whose clocks run ahead are heard.
            whole: Look at all of it; else a page of known rows ends it.
        """
        kept, new, known = [], {}, 0
        end = None if until is None else moment_at(until)
        for row in self._reader.search(level=self._level, since=moment_at(since), until=end):
            if row.id in self.seen or row.id in new:
                known += 1
                if known >= PAGE and not whole:
                    break
                continue
            known = 0
            new[row.id] = row.time.timestamp()
            if any(rule.filter.matches_all(row) for rule in self._rules):
                kept.append(row)
        if self._wants_incidents:
            self._ask_for_incidents(kept)
        self.seen.update(new)  # only now that nothing more can fail
        if new:
            self.newest = max(self.newest or 0.0, *new.values())
        return sorted(kept, key=lambda row: row.timestamp)

    def first_seen(self, row: LogRow) -> float | None:
        """When the incident of a row was first seen; None where nobody has to know."""
        return None if row.incident_id is None else self._first_seen.get(row.incident_id)

    def forget(self, before: float) -> list[str]:
        """Forget the rows before a time; their ids."""
        old = [id_ for id_, time_ in self.seen.items() if time_ < before]
        for id_ in old:
            del self.seen[id_]
        return old

    def _ask_for_incidents(self, rows: Iterable[LogRow]) -> None:
        if len(self._first_seen) > _MOST_INCIDENTS:
            self._first_seen.clear()
        for id_ in {row.incident_id for row in rows} - {None, *self._first_seen}:
            assert id_ is not None  # noqa: S101 - for mypy
            try:
                incident = self._reader.incident(id_)
            except LogwellError as error:
                if error.retryable:
                    raise
                continue  # it is gone already: the row's own time counts
            self._first_seen[id_] = moment_of(incident.first_seen).timestamp()


def evaluate(
    evaluations: Sequence[Evaluation], rows: Iterable[LogRow], new: NewRows, until: float
) -> list[Firing]:
    """What fires for these rows, and for the time that has passed until `until`."""
    firings = []
    for row in rows:
        at = min(row.time.timestamp(), until)  # a sender's clock may run ahead
        for one in evaluations:
            firings += one.see(row, at, new.first_seen(row))
    for one in evaluations:
        firings += one.advance(until)
    return sorted(firings, key=lambda firing: firing.at)


def would_have_fired(
    reader: LogwellReader, rules: Sequence[Rule], since: datetime, until: datetime
) -> Iterator[Firing]:
    """What the rules would have done in a time of the past, in order. Nothing is done.

    Args:
        reader: Reads the project.
        rules: What to try.
        since: The begin. Rows and incidents before it do not count.
        until: The end.

    Raises:
        LogwellError: The reader's.
    """
    begin, end = since.timestamp(), until.timestamp()
    evaluations = [Evaluation(rule, RuleState.begin(begin)) for rule in rules]
    new = NewRows(reader, rules)
    while begin < end:
        until_ = min(begin + _SLICE, end)
        yield from evaluate(evaluations, new.read(begin, until_), new, until_)
        new.forget(until_ - 1)
        begin = until_


class LogwellWatch:
    """Watches a project by rules, in one thread, in one process.

    Rows count from its first start on; after that it goes on where it was, however it ended.
    A firing is kept before its actions are tried: each is done once, unless the process dies
    between doing it and noting it down; then it is done again, with the same id.

    Args:
        reader: Reads the project. It stays open.
        rules: Rules, or the path of a YAML file.
        state: A SQLite file for this watch alone. It is made for you alone to read.
        every: Seconds between two looks at the server.
        say: Writes a warning for people: a server that is away, an action that failed.
        log: Writes a line: what the action `log` does. By default to standard error, and
            never as a record, which would be watched in turn.

    Raises:
        LogwellError: `INVALID_CONFIG`: a rule is wrong, or the state cannot be used. Of `run`
            and `step`: `UNAUTHORIZED` (the session is over and no password is given),
            `INVALID_CONFIG` (no such project), `INTERNAL_ERROR` (the state cannot be kept),
            and before the first look has succeeded all that waiting cannot mend.
    """

    def __init__(
        self,
        reader: LogwellReader,
        rules: Sequence[Rule] | str | os.PathLike[str],
        *,
        state: str | os.PathLike[str],
        every: float = 10.0,
        say: Callable[[str], object] = warn,
        log: Callable[[str], object] = warn,
        _clock: Callable[[], float] = time.time,
        _rng: random.Random | None = None,
    ) -> None:
        if not 0 < every <= LONGEST_BACKOFF:
            most = f"{LONGEST_BACKOFF:.0f}"
            raise config_error(f"every: expected seconds over 0, at most {most}, got {every!r}.")
        self.rules: list[Rule] = (
            load_rules(rules) if isinstance(rules, (str, os.PathLike)) else [*rules]
        )
        self._every = every
        self._say = say
        self._clock = _clock
        self._store = WatchState(Path(state))
        self._actions = Actions(self.rules, self._store, say, log, _rng or random.Random())  # noqa: S311 - jitter
        self._new = NewRows(reader, self.rules, self._store.seen())
        self._position = self._store.position()
        self._evaluations: list[Evaluation] = []
        self._trouble = Once("Reading", "Rules wait until the server answers.", say)
        self._next_poll = 0.0
        self._next_whole = 0.0
        self._stopped = threading.Event()

    def run(self) -> None:
        """Watch until `stop`."""
        while not self._stopped.is_set():
            self._stopped.wait(self.step())

    def stop(self) -> None:
        """End `run`, from any thread or a signal handler."""
        self._stopped.set()

    def step(self) -> float:
        """Look at the server if it is time, do what is due; seconds until the next step."""
        problem = None
        try:
            return self._step()
        except sqlite3.Error as error:
            problem = str(error)
        # What was not kept would be told twice or never: going on would be a guess.
        raise LogwellError(
            f"The state of the watch cannot be kept ({problem}). Once the disk takes it, start "
            "again: it goes on where it was.",
            LogwellErrorCode.INTERNAL_ERROR,
        )

    def _step(self) -> float:
        now = self._clock()
        if now >= self._next_poll or self._next_poll - now > LONGEST_BACKOFF:
            self._next_poll = now + self._every
            try:
                self._poll(now)
            except LogwellError as error:
                # Once it has worked, a gateway's 403 of a minute must not end it.
                begun = self._position is not None and error.code not in _FINAL
                if not error.retryable and not begun:
                    raise
                self._trouble.failed(f"failed: {error.message.rstrip('.')}")
                self._next_poll = now + max(self._every, min(60.0, error.retry_after or 0.0))
            else:
                self._trouble.worked("works")
        while (due := self._actions.do_next(self._clock())) is None:
            if self._clock() >= self._next_poll or self._stopped.is_set():
                return 0.0  # reading does not wait for an action that hangs
        return max(0.0, min(self._every, self._next_poll - self._clock(), due))

    def _poll(self, now: float) -> None:
        if self._position is None:
            self._begin(now)
            return
        begin, newest = min(self._position.polled, now), self._position.newest
        if now - begin > LONGEST_CATCH_UP:
            self._say(
                f"Nothing was read for {shown_duration(now - begin)}; what came before the last "
                f"{shown_duration(LONGEST_CATCH_UP)} is not looked at."
            )
            begin = now - LONGEST_CATCH_UP
            newest = max(newest, begin)
        if not self._evaluations:
            self._evaluations = self._store.evaluations(self.rules, begin)
        if self._position.polled > now:
            for one in self._evaluations:
                one.set_back(now)
        whole = now >= self._next_whole
        told: set[str] = set()
        since = min(begin, newest) - LATE
        while True:
            # After a time away it is read bit by bit: rows come newest first, and are held.
            end = min(begin + _SLICE, now)
            rows = self._new.read(since, None if end == now else end, whole=whole or end < now)
            firings = evaluate(self._evaluations, rows, self._new, end)
            newest = max(newest, min(self._new.newest or newest, end))
            # A watch that was away for long tells once that something was missing, not each time.
            kept = []
            for firing in firings:
                if firing.condition != "absence" or firing.rule not in told:
                    kept.append(firing)
                told.add(firing.rule)
            self._keep(Position(end, newest), kept)
            if end == now:
                break
            begin = since = end
        if whole:
            self._next_whole = now + _WHOLE_LOOK_SECONDS

    def _begin(self, now: float) -> None:
        """The first start: what is there has been seen, and counts for nothing."""
        self._new.begin(now)
        newest = min(self._new.newest or now, now)
        self._evaluations = [Evaluation(rule, RuleState.begin(now)) for rule in self.rules]
        self._keep(Position(now, newest), [])

    def _keep(self, position: Position, firings: Sequence[Firing]) -> None:
        self._position = position
        old = self._new.forget(min(position) - LATE - 1)
        dropped = self._store.keep(
            position, self._new.seen, old, self._evaluations, self._actions.orders(firings)
        )
        if dropped:
            most = watch_state.MOST_WAITING
            self._say(f"{count(dropped, 'action')} {was(dropped)} dropped: over {most:,} waited.")

    def close(self) -> None:
        """Close the state, so that another watch may go on with it."""
        self.stop()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LogwellWatch of {len(self.rules)} rules>"
