"""The server, what stands in front of it, and the ways between: all that can go wrong on them.

A `Trouble` is one thing that is wrong: for how long, with which entries or requests, and what
comes of it. The server is as CONTRACT describes it: a token bucket, entries refused one by one,
500 for a whole request with one entry that it cannot store.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from logwell_otel._http import Answer, NoAnswer
from simulation.machine import Killed

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from simulation.machine import Machine, Process

REFUSED = NoAnswer("ConnectError: [Errno 111] Connection refused")
RESET = NoAnswer(
    "ReadError: [Errno 104] Connection reset by peer"
)  # Said where the exporter tells a time-out from other failures.
_TIMED_OUT: dict[str, Any] = dict.fromkeys({"timed_out"}.intersection(NoAnswer._fields), True)
SILENT = NoAnswer("ReadTimeout: timed out; TimeoutError: not over in time", **_TIMED_OUT)


RETRY_AFTER = "60"
"""What every 429 of the server says, whatever the wait really is."""

_MOST_RANGES = 8


def html(status: int, text: str, **headers: str) -> Answer:
    """A page, as gateways and firewalls write them."""
    return Answer(status, {"content-type": "text/html", **headers}, f"<h1>{text}</h1>".encode())


def json(status: int, body: object, **headers: str) -> Answer:
    """JSON, as the server and some gateways write it."""
    return Answer(
        status, {"content-type": "application/json", **headers}, msgspec.json.encode(body)
    )


GATEWAY_ANSWERS: dict[str, Answer] = {
    "403 html": html(403, "Forbidden"),
    "403 json": json(403, {"error": "Forbidden", "message": "Blocked by policy"}),
    "404 html": html(404, "Not Found"),
    "405 html": html(405, "Not Allowed"),
    "408 html": html(408, "Request Timeout"),
    "413 html": html(413, "Request Entity Too Large"),
    "413 json": json(413, {"message": "Request size limit exceeded"}),
    "415 html": html(415, "Unsupported Media Type"),
    "415 json": json(415, {"error": "Unsupported", "message": "Unsupported Media Type"}),
    "421 html": html(421, "Misdirected Request"),
    "422 json": json(422, {"error": "Unprocessable", "message": "No"}),
    "500 html": html(500, "Internal Server Error"),
    "502 html": html(502, "Bad Gateway"),
    "503 html": html(503, "Service Unavailable", **{"retry-after": "5"}),
    "504 html": html(504, "Gateway Time-out"),
    "200 html": html(200, "Please log in"),
    "302": Answer(302, {"location": "https://login.example.com/"}, b""),
}
"""Of things that do not pass the request on."""

LOST_ANSWERS: dict[str, Answer] = {
    "200 empty": Answer(200, {"content-length": "0"}, b""),
    "204": Answer(204, {}, b""),
}
"""Of things that pass it on and keep the server's answer."""

GIVEN_UP = ("408 html", "500 html", "502 html", "504 html")
"""Of things that pass it on and do not wait for the server's answer, by name."""


class Record:
    """One record of an application, and all that became of it.

    Attributes:
        stored: How often the server has it.
        copies: How many more than one the world allows: a connection died after it was stored.
        lost: How often its answer was, by the process that sent it and by what lost it.
        unclear: Answers after it was stored that did not say so.
        refused: The server itself refused it, for good.
    """

    def __init__(self, number: int, app: str, level: str, words: frozenset[str], at: float) -> None:
        self.number = number
        self.app = app
        self.level = level
        self.words = words
        self.at = at
        self.size = 0
        self.stored = 0
        self.stored_at = math.inf
        self.copies = 0
        self.unclear = 0
        self.refused = False
        self.sent = 0
        self.lost: Counter[tuple[str, str]] = Counter()

    @property
    def settled(self) -> bool:
        return self.stored > 0 or self.refused

    def __repr__(self) -> str:
        return f"r{self.number}"


def number_of(message: str) -> int | None:
    """The record whose message that is; None for an entry of the exporter's own."""
    name = message.partition(" ")[0]
    return int(name[1:]) if name[:1] == "r" and name[1:].isdigit() else None


def ranges(records: Iterable[Record]) -> str:
    """`r1..r20 r25`: for people."""
    parts: list[list[int]] = []
    for number in sorted({record.number for record in records}):
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    shown = ["..".join(f"r{end}" for end in part) for part in parts[:_MOST_RANGES]]
    if len(parts) > _MOST_RANGES:
        shown.append(f"and more, to r{parts[-1][-1]}")
    return " ".join(shown) or "nothing"


class Trouble(NamedTuple):
    """One thing that is wrong, between two instants.

    Attributes:
        kind: What comes of it; `Network` has one branch for each.
        begin: Simulated seconds.
        end: Likewise; infinite for something that never passes.
        answer: What answers, by name.
        word: It is only about entries with this word in them.
        levels: It is only about entries of these levels.
        over: It is only about requests of more bytes than that.
        share: So many of the requests.
        storing: It is only about requests with entries in them.
    """

    kind: str
    begin: float = 0.0
    end: float = math.inf
    answer: str = ""
    word: str = ""
    levels: frozenset[str] = frozenset()
    over: int = 0
    share: float = 1.0
    storing: bool = False

    def lasts(self, now: float) -> bool:
        return self.begin <= now < self.end

    def stops(self, record: Record) -> bool:
        """True if it keeps that record, sent alone, from being stored."""
        return (
            (not self.word or self.word in record.words)
            and (not self.levels or record.level in self.levels)
            and (not self.over or record.size + 2 > self.over)
        )

    @property
    def partial(self) -> bool:
        """True if it is about some entries only."""
        return bool(self.word or self.levels or self.over)

    def __str__(self) -> str:
        about = f" {self.answer}" if self.answer else ""
        if self.word:
            about += f" for {self.word!r}"
        if self.levels:
            about += f" for {'/'.join(sorted(self.levels))}"
        if self.over:
            about += f" over {self.over:,} bytes"
        if self.storing:
            about += " for requests with entries"
        if self.share < 1:
            about += f" {self.share:.0%} of the time"
        until = "for ever" if self.end == math.inf else f"to {self.end:.0f} s"
        return f"{self.kind}{about}, from {self.begin:.0f} s {until}"


FRONT = ("refused", "silent", "gateway", "reset")
AFTER = ("lost", "slow", "unclear", "given up", "swallowed")
_LOSES = ("lost", "given up", "swallowed")
SERVER = ("down", "fails", "rejects", "unauthorized")


class Network:
    """Carries requests to the server and back.

    Args:
        machine: Its clock.
        rng: Latency, and what fails by chance.
        troubles: What is wrong.
        records: By number.
        per_minute: The server's rate limit.
        usual: The time-out that the applications set, in seconds.
        note: Called with a line of the world's history.
    """

    def __init__(
        self,
        machine: Machine,
        rng: random.Random,
        troubles: list[Trouble],
        records: dict[int, Record],
        *,
        per_minute: float,
        usual: float,
        note: Callable[[str], object],
    ) -> None:
        self.machine = machine
        self.troubles = troubles
        self.records = records
        self.requests = 0
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.repeated: list[Record] = []
        self.limited_at = -math.inf
        self.died_at = -math.inf
        self._rng = rng
        self._note = note
        self._per_minute = per_minute
        self._usual = usual
        self._tokens = per_minute
        self._filled_at = 0.0

    def lasting(self, *kinds: str) -> list[Trouble]:
        """What is wrong now, of these kinds and in their order."""
        found = [one for one in self.troubles if one.kind in kinds and one.lasts(self.machine.now)]
        found.sort(key=lambda one: kinds.index(one.kind))
        return [one for one in found if one.share >= 1 or self._rng.random() < one.share]

    def post(self, process: Process, body: bytes, timeout: float) -> Answer | NoAnswer:
        """One request of a process."""
        entries = msgspec.json.decode(body)
        numbers = [number_of(entry["message"]) for entry in entries]
        sent = [self.records[number] for number in numbers if number is not None]
        for record in sent:
            record.sent += 1
        self.requests += 1
        what = f"{process.name} POST {ranges(sent)} ({len(entries)} entries, {len(body):,} bytes)"
        began = self.machine.now
        try:
            answer, why = self._exchange(process, entries, sent, body, timeout)
        except Killed:
            self._note(f"{what} -> cut off")
            raise
        took = self.machine.now - began
        said = f"{answer.status}" if isinstance(answer, Answer) else answer.reason.split(";")[0]
        self._note(f"{what} -> {said}{why}, {took * 1000:.0f} ms")
        return answer

    def _exchange(
        self,
        process: Process,
        entries: list[dict[str, Any]],
        sent: list[Record],
        body: bytes,
        timeout: float,
    ) -> tuple[Answer | NoAnswer, str]:
        sleep = self.machine.sleep
        there, back = (self._rng.uniform(0.005, 0.02) for _ in range(2))
        for trouble in self.lasting(*FRONT):
            if not self._is_about(trouble, entries, body):
                continue
            if trouble.kind == "silent":
                sleep(timeout)
                return SILENT, ""
            sleep(there)
            if trouble.kind == "gateway":
                return GATEWAY_ANSWERS[trouble.answer], f" ({trouble.answer} of a gateway)"
            return (REFUSED if trouble.kind == "refused" else RESET), ""
        troubles = [one for one in self.lasting(*AFTER) if entries or not one.storing]
        after = next(iter(troubles), None)
        slow = self._rng.uniform(0.5, 2.5) * self._usual if after and after.kind == "slow" else 0.0
        arrived = False
        try:
            sleep(min(there + slow, timeout))
            arrived = True
            answer, stored = self._serve(process, entries)
            if after is not None and (there + slow >= timeout or after.kind in _LOSES):
                self._lost_by(after, process, stored)
                sleep(timeout - there if after.kind == "swallowed" else 0.0 if slow else back)
                why = f" (after {ranges(stored)} was stored)"
                if after.kind == "given up":
                    return GATEWAY_ANSWERS[after.answer], f" {after.answer}{why}"
                return (RESET if after.kind == "lost" else SILENT), why
            if after is not None and after.kind == "unclear" and stored:
                for record in stored:
                    record.unclear += 1
                # Those that it refused are among what is taken as stored.
                self.accepted[process.name] += len(entries) - len(stored)
                sleep(back)
                return LOST_ANSWERS[after.answer], f" ({after.answer}: the answer was lost)"
            sleep(back)
        except Killed:
            # What is on its way arrives or does not; the answer finds nobody.
            if not arrived and self._rng.random() < 0.5:
                _, stored = self._serve(process, entries)
                arrived = True
            if arrived:
                self._died_after(sent)
            raise
        return answer, ""

    def _lost_by(self, trouble: Trouble, process: Process, stored: list[Record]) -> None:
        """What loses every answer justifies one copy of an entry, or two where it does not lose
        those to questions: then single entries find out whether it still does. Beside something
        that stops some entries, or that loses answers too, it is searched in halves."""
        others = [one for one in self.troubles if one is not trouble]
        each = trouble.share < 1 or any(one.partial or one.kind in AFTER for one in others)
        for record in stored:
            key = process.name, str(trouble)
            record.lost[key] += 1
            if each or record.lost[key] <= 1 + trouble.storing:
                record.copies += 1

    def _died_after(self, stored: list[Record]) -> None:
        self.died_at = self.machine.now
        for record in stored:
            record.copies += 1

    def _is_about(self, trouble: Trouble, entries: list[dict[str, Any]], body: bytes) -> bool:
        return (
            (not trouble.word or trouble.word.encode() in body)
            and (not trouble.levels or any(one["level"] in trouble.levels for one in entries))
            and (not trouble.over or len(body) > trouble.over)
        )

    def _serve(
        self, process: Process, entries: list[dict[str, Any]]
    ) -> tuple[Answer, list[Record]]:
        """What the server answers, and what it stored."""
        now = self.machine.now
        wrong = self.lasting(*SERVER)
        if any(one.kind == "unauthorized" for one in wrong):
            return json(401, {"error": "unauthorized", "message": "Invalid API key"}), []
        gained = (now - self._filled_at) * self._per_minute / 60
        self._tokens, self._filled_at = min(self._per_minute, self._tokens + gained), now
        if self._tokens < 1:
            self.limited_at = now
            body = {"error": "rate_limited", "message": "Too many requests"}
            return json(429, body, **{"retry-after": RETRY_AFTER}), []
        self._tokens -= 1
        if not entries:
            body = {"error": "validation_error", "message": "Invalid log format"}
            return json(400, body), []
        if len(entries) > 100:
            return json(400, {"error": "batch_too_large", "message": "At most 100"}), []
        if any(
            one.kind == "down" or (one.kind == "fails" and self._is_about_any(one, entries))
            for one in wrong
        ):
            return json(500, {"message": "Internal server error"}), []
        stored, errors = [], []
        for index, entry in enumerate(entries):
            number = number_of(entry["message"])
            record = None if number is None else self.records[number]
            if record and any(one.kind == "rejects" and one.word in record.words for one in wrong):
                record.refused = True
                errors.append(f"Entry at index {index}: message must not be blank")
            elif record is not None:
                record.stored += 1
                if record.stored > 1:
                    self.repeated.append(record)
                record.stored_at = min(record.stored_at, now)
                stored.append(record)
        self.accepted[process.name] += len(entries) - len(errors)
        self.rejected[process.name] += len(errors)
        answer: dict[str, Any] = {"accepted": len(entries) - len(errors)}
        if errors:
            answer |= {"rejected": len(errors), "errors": errors}
        return json(200, answer), stored

    def _is_about_any(self, trouble: Trouble, entries: list[dict[str, Any]]) -> bool:
        return any(
            trouble.word in entry["message"]
            and (not trouble.levels or entry["level"] in trouble.levels)
            for entry in entries
        )

    def healthy(self, timeout: float) -> bool | None:
        """What `/api/health` says, to whoever gets through."""
        for trouble in self.lasting(*FRONT):
            if trouble.partial:
                continue
            self.machine.sleep(timeout if trouble.kind == "silent" else 0.01)
            if trouble.kind != "gateway":
                return None
            return {200: True, 503: False}.get(GATEWAY_ANSWERS[trouble.answer].status)
        self.machine.sleep(0.02)
        return not any(one.kind == "down" for one in self.lasting("down"))


class Wire:
    """A process's transport."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network = network
        self._process = process
        self.closed = False

    def post(self, body: bytes, timeout: float) -> Answer | NoAnswer:
        return self._network.post(self._process, body, timeout)

    def healthy(self, timeout: float) -> bool | None:
        return self._network.healthy(timeout)

    def close(self) -> None:
        self.closed = True
