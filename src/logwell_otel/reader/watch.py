"""Watching a project: reading what is new, rules, and what is done when one fires.

One thread, one process. What has been read, how far each rule is and what is still to be done
are one transaction of a SQLite file: a process that is killed goes on where it was, and no
row counts twice.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from logwell_otel._config.address import proxy_of, proxy_secrets
from logwell_otel._diagnostics import Once, Secrets
from logwell_otel._http import Answer, HttpClient, NoAnswer
from logwell_otel._writer import warn
from logwell_otel.errors import LogwellError, LogwellErrorCode, config_error
from logwell_otel.reader.client import PAGE
from logwell_otel.reader.filters import LEVELS
from logwell_otel.reader.rows import moment_of
from logwell_otel.reader.rules import (
    LATE,
    Command,
    Evaluation,
    Firing,
    Rule,
    RuleState,
    Webhook,
    moment_at,
    parse_rules,
    shown_duration,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from types import TracebackType

    from typing_extensions import Self

    from logwell_otel.reader.client import LogwellReader
    from logwell_otel.reader.rows import LogRow
    from logwell_otel.reader.rules import Action

MOST_TRIES: Final = 12
"""An action is tried so often, within about half an hour, and then given up."""

MOST_WAITING: Final = 1_000
"""So many actions wait at most; the oldest go first."""

LONGEST_CATCH_UP: Final = 86_400.0
"""A watch that was down for longer goes on so many seconds ago."""

_SLICE: Final = 300.0
_WHOLE_LOOK_SECONDS: Final = 60.0
_LONGEST_BACKOFF: Final = 600.0
_WEBHOOK_SECONDS: Final = 10.0
_COMMAND_SECONDS: Final = 60.0
_MOST_INCIDENTS: Final = 10_000
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS position (polled REAL, newest REAL);
CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, time REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rules (name TEXT PRIMARY KEY, fingerprint TEXT, state BLOB);
CREATE TABLE IF NOT EXISTS actions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    rule TEXT, action INTEGER, firing BLOB, tries INTEGER, due REAL
);
"""


def load_rules(path: str | os.PathLike[str]) -> list[Rule]:
    """The rules of a YAML file, all of it checked; JSON is YAML.

    Raises:
        LogwellError: `INVALID_CONFIG`: the file cannot be read, PyYAML is not installed
            (`pip install 'logwell-otel[reader]'`), or something in it is wrong.
    """
    problem = None
    try:
        import yaml  # noqa: PLC0415 - an extra, for this alone
    except ImportError:
        problem = "a rules file needs PyYAML: pip install 'logwell-otel[reader]'"
    else:
        try:
            document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            problem = f"cannot be read: {error.strerror or type(error).__name__}"
        except UnicodeDecodeError:
            problem = "is not text in UTF-8"
        except yaml.YAMLError as error:
            # Not the error's text: it quotes lines, and addresses of webhooks are secrets.
            mark = getattr(error, "problem_mark", None)
            where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
            problem = f"is not YAML{where}"
        else:
            try:
                return parse_rules(document)
            except LogwellError as error:
                problem = error.message
    raise config_error(f"{path}: {problem}")


class Position(NamedTuple):
    """How far a project has been read, in seconds since 1970."""

    polled: float
    """Until then, by our clock."""
    newest: float
    """The newest row's time, by its sender's clock."""


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
        self.seen = {} if seen is None else seen
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
            and `step`: the reader's errors that waiting cannot mend.
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
        if not every > 0:
            raise config_error(f"every: expected seconds over 0, got {every!r}.")
        self.rules = load_rules(rules) if isinstance(rules, (str, os.PathLike)) else [*rules]
        self._every = every
        self._say = say
        self._clock = _clock
        self._store = _Store(Path(state))
        self._doer = _Doer(self.rules, self._store, say, log, _rng or random.Random())  # noqa: S311 - jitter
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
        if now >= self._next_poll or self._next_poll - now > _LONGEST_BACKOFF:
            self._next_poll = now + self._every
            try:
                self._poll(now)
            except LogwellError as error:
                if not error.retryable:
                    raise
                self._trouble.failed(f"failed: {error.message.rstrip('.')}")
                self._next_poll = now + max(self._every, min(60.0, error.retry_after or 0.0))
            else:
                self._trouble.worked("works")
        while (due := self._doer.do_next(self._clock())) is None:
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
                f"The watch was down for {shown_duration(now - begin)}; what came before the last "
                f"{shown_duration(LONGEST_CATCH_UP)} is not looked at."
            )
            begin = now - LONGEST_CATCH_UP
            newest = max(newest, begin)
        if not self._evaluations:
            self._evaluations = self._store.evaluations(self.rules, begin)
        whole = now >= self._next_whole
        since = min(begin, newest) - LATE
        while True:
            # After a time away it is read bit by bit: rows come newest first, and are held.
            end = min(begin + _SLICE, now)
            rows = self._new.read(since, None if end == now else end, whole=whole or end < now)
            firings = evaluate(self._evaluations, rows, self._new, end)
            newest = max(newest, min(self._new.newest or newest, end))
            self._keep(Position(end, newest), firings)
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
        # A watch that was away for long tells once that something was missing, not each time.
        last = {firing.rule: firing for firing in firings if firing.condition == "absence"}
        kept = [one for one in firings if last.get(one.rule, one) is one]
        old = self._new.forget(min(position) - LATE - 1)
        dropped = self._store.keep(
            position, self._new.seen, old, self._evaluations, self._doer.orders(kept)
        )
        if dropped:
            self._say(f"{dropped} actions were dropped: over {MOST_WAITING:,} waited.")

    def close(self) -> None:
        """Close the state, so that another watch may go on with it."""
        self.stop()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LogwellWatch of {len(self.rules)} rules>"


class _Order(NamedTuple):
    """An action that is to be done."""

    number: int
    rule: str
    action: int
    firing: bytes
    tries: int


class _Store:
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
            db.execute("ROLLBACK")
            raise
        self._kept = set(seen)
        return dropped

    def due(self, now: float) -> _Order | float:
        """The next action that is due, or the seconds until one is."""
        row = self._db.execute(
            "SELECT number, rule, action, firing, tries, due FROM actions "
            "ORDER BY due, number LIMIT 1"
        ).fetchone()
        if row is None:
            return _LONGEST_BACKOFF
        *order, due = row
        # A clock that was set back must not hold an action for longer than any wait is.
        return float(due - now) if 0 < due - now <= _LONGEST_BACKOFF else _Order(*order)

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


class _Doer:
    """Does actions, again where they failed, and says so."""

    def __init__(
        self,
        rules: Iterable[Rule],
        store: _Store,
        say: Callable[[str], object],
        log: Callable[[str], object],
        rng: random.Random,
    ) -> None:
        self._actions = {rule.name: rule.actions for rule in rules}
        self._store = store
        self._say = say
        self._log = log
        self._rng = rng

    def orders(self, firings: Iterable[Firing]) -> list[tuple[str, int, bytes, float]]:
        """The actions of firings, as they are kept."""
        return [
            (firing.rule, index, msgspec.json.encode(firing), 0.0)
            for firing in firings
            for index in range(len(self._actions[firing.rule]))
        ]

    def do_next(self, now: float) -> float | None:
        """Do what is due; None if there was something, else the seconds until there is."""
        order = self._store.due(now)
        if not isinstance(order, _Order):
            return order
        actions = self._actions.get(order.rule, ())
        firing = None
        with suppress(msgspec.MsgspecError):
            firing = msgspec.json.decode(order.firing, type=Firing)
        if firing is None or order.action >= len(actions):
            self._store.done(order.number)
            self._say(
                f"An action of the rule {order.rule!r} is dropped: it was kept by another "
                "version, or the rule has none such any more."
            )
            return None
        action = actions[order.action]
        problem, wait = self._do(action, firing)
        tries = order.tries + 1
        what = f"The {action} of the rule {order.rule!r}"
        if problem is None:
            self._store.done(order.number)
            if order.tries:
                self._say(f"{what} worked at try {tries}.")
        elif tries >= MOST_TRIES:
            self._store.done(order.number)
            self._say(f"{what} failed {tries} times and is given up: {problem}. {firing.text}")
        else:
            longest = min(_LONGEST_BACKOFF, 2.0**tries)
            wait = max(self._rng.uniform(longest / 2, longest), min(wait, _LONGEST_BACKOFF))
            self._store.later(order.number, now + wait)
            if tries == 1:
                self._say(f"{what} failed: {problem}. It is tried again for about half an hour.")
        return None

    def _do(self, action: Action, firing: Firing) -> tuple[str | None, float]:
        """What went wrong, None if nothing did; and the seconds that somebody asked to wait."""
        if isinstance(action, Webhook):
            return _post(action, firing)
        if isinstance(action, Command):
            return _start(action, firing), 0.0
        self._log(f"{firing.time} {firing.text}")
        return None, 0.0


def _post(webhook: Webhook, firing: Firing) -> tuple[str | None, float]:
    url = webhook.url.reveal()
    body: dict[str, Any] = {"text": firing.slack_text} if webhook.slack else firing.payload()
    proxy = proxy_of(url)
    client = HttpClient(
        proxy=None if proxy is None else proxy.reveal,
        mask=Secrets((*proxy_secrets(), *webhook.url.secrets(), *webhook.headers.secrets())).mask,
        keep_alive=False,  # minutes lie between two
    )
    headers = {"Content-Type": "application/json", **webhook.headers}
    content = msgspec.json.encode(body)
    answer: Answer | NoAnswer = client.request("POST", url, headers, content, _WEBHOOK_SECONDS)
    if isinstance(answer, NoAnswer):
        return f"no answer ({answer.reason})", 0.0
    if 200 <= answer.status < 300:
        return None, 0.0
    after = answer.headers.get("retry-after", "")
    return f"it answered HTTP {answer.status}", float(after) if after.isdecimal() else 0.0


def _start(command: Command, firing: Firing) -> str | None:
    try:
        status = subprocess.run(  # noqa: S603 - the user's own command, and no shell
            command.arguments,
            input=msgspec.json.encode(firing.payload()),
            stdout=subprocess.DEVNULL,  # what it has to say goes to our standard error
            timeout=_COMMAND_SECONDS,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return f"it took over {_COMMAND_SECONDS:.0f} s"
    except OSError as error:
        return f"it cannot be started: {error.strerror or type(error).__name__}"
    return None if status == 0 else f"exit status {status}"
