"""What of a watch outlives its process, in a SQLite file.

What has been read, how far each rule is, and what is still to be done change in one
transaction: a process that is killed goes on where it was, and no row counts twice.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from logwell_otel.errors import config_error
from logwell_otel.reader.rules import Evaluation, Rule, RuleState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MOST_WAITING: Final = 1_000
"""So many actions wait at most; the oldest go first."""

LONGEST_BACKOFF: Final = 600.0
"""Seconds: the longest that an action waits between two tries."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS position (polled REAL, newest REAL);
CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, time REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rules (name TEXT PRIMARY KEY, fingerprint TEXT, state BLOB);
CREATE TABLE IF NOT EXISTS actions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    rule TEXT, action INTEGER, firing BLOB, tries INTEGER, due REAL
);
"""


class Position(NamedTuple):
    """How far a project has been read, in seconds since 1970."""

    polled: float
    """Until then, by our clock."""
    newest: float
    """The newest row's time, by its sender's clock."""


class Order(NamedTuple):
    """An action that is to be done."""

    number: int
    rule: str
    action: int
    firing: bytes
    tries: int


class WatchState:
    """What outlives the process. Locked while it is open: two watches would both fire.

    Args:
        path: A SQLite file, 0600.
    """

    def __init__(self, path: Path) -> None:
        self._kept: set[str] = set()
        problem = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Made before SQLite would, which asks the umask; its journal gets the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            path.chmod(0o600)
            # Used by one thread at a time, though not always by the one that made it.
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=0.0
            )
            try:
                self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._db.execute("BEGIN EXCLUSIVE")
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    self._db.execute(statement)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.close()
                raise
        except OSError as error:
            problem = error.strerror or type(error).__name__
        except sqlite3.OperationalError as error:
            locked = "locked" in str(error)
            problem = "another watch uses it; one process is enough" if locked else str(error)
        except sqlite3.DatabaseError:
            problem = "it is no state of a watch; remove it, or name another"
        if problem is not None:
            raise config_error(f"state: cannot use {path}: {problem}.")

    def position(self) -> Position | None:
        """How far it was read; None at the first start."""
        row = self._db.execute("SELECT polled, newest FROM position").fetchone()
        return None if row is None else Position(*row)

    def seen(self) -> dict[str, float]:
        """Ids and times of rows that were read."""
        seen = dict(self._db.execute("SELECT id, time FROM seen"))
        self._kept = set(seen)
        return seen

    def evaluations(self, rules: Iterable[Rule], begin: float) -> list[Evaluation]:
        """The rules as far as they were; one that is new or asks another question begins."""
        states = {}
        for name, fingerprint, state in self._db.execute("SELECT * FROM rules"):
            with suppress(msgspec.MsgspecError):  # of another version: it begins anew
                states[name, fingerprint] = msgspec.json.decode(state, type=RuleState)
        return [
            Evaluation(rule, states.get((rule.name, rule.fingerprint)) or RuleState.begin(begin))
            for rule in rules
        ]

    def keep(
        self,
        position: Position,
        seen: dict[str, float],
        forgotten: Iterable[str],
        evaluations: Iterable[Evaluation],
        orders: Iterable[tuple[str, int, bytes, float]],
    ) -> int:
        """Keep it all or nothing; how many actions had to be dropped."""
        db = self._db
        states = [
            (one.rule.name, one.rule.fingerprint, msgspec.json.encode(one.state))
            for one in evaluations
        ]
        new = [(id_, time_) for id_, time_ in seen.items() if id_ not in self._kept]
        old = [(id_,) for id_ in forgotten]
        db.execute("BEGIN")
        try:
            db.execute("DELETE FROM position")
            db.execute("INSERT INTO position VALUES (?, ?)", position)
            db.executemany("INSERT INTO seen VALUES (?, ?)", new)
            db.executemany("DELETE FROM seen WHERE id = ?", old)
            db.execute("DELETE FROM rules")
            db.executemany("INSERT INTO rules VALUES (?, ?, ?)", states)
            db.executemany(
                "INSERT INTO actions (rule, action, firing, tries, due) VALUES (?, ?, ?, 0, ?)",
                orders,
            )
            dropped = db.execute(
                "DELETE FROM actions WHERE number <= (SELECT number FROM actions "
                "ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (MOST_WAITING,),
            ).rowcount
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # Ctrl-C may come after the commit
                db.execute("ROLLBACK")
            raise
        self._kept = set(seen)
        return dropped

    def due(self, now: float) -> Order | float:
        """The next action that is due, or the seconds until one is."""
        row = self._db.execute(
            "SELECT number, rule, action, firing, tries, due FROM actions "
            "ORDER BY due, number LIMIT 1"
        ).fetchone()
        if row is None:
            return LONGEST_BACKOFF
        *order, due = row
        # A clock that was set back must not hold an action for longer than any wait is.
        return float(due - now) if 0 < due - now <= LONGEST_BACKOFF else Order(*order)

    def done(self, number: int) -> None:
        """An action is done, or given up."""
        self._db.execute("DELETE FROM actions WHERE number = ?", (number,))

    def later(self, number: int, due: float) -> None:
        """An action failed and is tried again."""
        self._db.execute(
            "UPDATE actions SET tries = tries + 1, due = ? WHERE number = ?", (due, number)
        )

    def close(self) -> None:
        """Close the file, and unlock it."""
        self._db.close()
