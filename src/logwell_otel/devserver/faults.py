"""Switches that make the server misbehave, for tests of what a client makes of it.

In the same process they are `DevServer.faults`, from another one `/_control/faults`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from .journal import JournalPage

if TYPE_CHECKING:
    from starlette.requests import Request

    from .journal import Journal


class FaultOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What happens to ingest requests instead of the right answer.

    Attributes:
        kind: `answer` with the fields below, `hang` (never answer) or `close` (cut the
            connection without an answer).
        times: For that many requests, at least 1; None until cleared.
        stored: Whether the request is worked on first, its entries stored and only the
            answer lost or replaced. Without, the server never sees the request: no token of
            the rate limit is taken, nothing is checked.
        status: The answer's HTTP status, 200 to 599.
        body: The answer's body; None for what Logwell (401, 413, 415, 429, 500) or a proxy
            (any other status) would write.
        headers: Additional headers. `Content-Type` is text/html unless given here.
        only: Requests whose body has this text, as a firewall that dislikes it; None for all.

    Raises:
        ValueError: `status` or `times` is out of range, or `only` is empty.
    """

    kind: Literal["answer", "hang", "close"]
    times: int | None = None
    stored: bool = False
    status: int = 503
    body: str | None = None
    headers: dict[str, str] = {}
    only: str | None = None

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise ValueError(f"status must be 200 to 599, got {self.status}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times must be at least 1, got {self.times}")
        if self.only == "":
            raise ValueError("only must not be empty: it would be in every request")


class FaultSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All switches at one moment; as JSON the body of `PUT /_control/faults`.

    Attributes:
        outcome: What happens to ingest requests instead of the right answer; None for the
            right answer.
        delay_ms: Milliseconds between an ingest request's work and its answer, 0 to 600,000.
        poison_marker: A batch whose text contains this is answered 500, nothing stored; None
            for no such text.
        inserts_fail: Every batch with something to store is answered 500, as with a full
            disk, while the health answer stays what it is.
        health: What `/api/health` says: `up`, `down` (503) or `hang` (no answer).

    Raises:
        ValueError: `delay_ms` is out of range, or `poison_marker` is empty.
    """

    outcome: FaultOutcome | None = None
    delay_ms: float = 0.0
    poison_marker: str | None = None
    inserts_fail: bool = False
    health: Literal["up", "down", "hang"] = "up"

    def __post_init__(self) -> None:
        if not 0 <= self.delay_ms <= 600_000:
            raise ValueError(f"delay_ms must be 0 to 600,000, got {self.delay_ms}")
        if self.poison_marker == "":
            raise ValueError("poison_marker must not be empty: it would be in every batch")


class Faults:
    """The fault switches of a server, all off at first. Safe to use from any thread.

    A change holds for requests that arrive afterwards. Requests left hanging are cut off when
    the switches change again. Of `answer`, `hang` and `close` the last one called holds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings = FaultSettings()
        self._generation = 0

    @property
    def settings(self) -> FaultSettings:
        """The switches as they are; `outcome.times` counts down."""
        return self._settings

    @property
    def generation(self) -> int:
        """Goes up whenever somebody changes a switch."""
        return self._generation

    def apply(self, settings: FaultSettings) -> None:
        """Sets all switches at once."""
        with self._lock:
            self._settings = settings
            self._generation += 1

    def clear(self) -> None:
        """Everything works again; what hangs is cut off."""
        self.apply(FaultSettings())

    def answer(
        self,
        status: int,
        *,
        body: str | None = None,
        headers: dict[str, str] | None = None,
        times: int | None = None,
        stored: bool = False,
        only: str | None = None,
    ) -> None:
        """Gives ingest requests this answer instead of the right one.

        Args:
            status: HTTP status, 200 to 599.
            body: The answer's body; None for what Logwell or a proxy would write.
            headers: Additional headers.
            times: For that many requests; None until cleared.
            stored: Whether the entries are stored first.
            only: Only to requests whose body has this text.

        Raises:
            ValueError: `status` or `times` is out of range, or `only` is empty.
        """
        self._set_outcome(
            FaultOutcome(
                kind="answer",
                status=status,
                body=body,
                headers=headers or {},
                times=times,
                stored=stored,
                only=only,
            )
        )

    def hang(
        self, *, times: int | None = None, stored: bool = False, only: str | None = None
    ) -> None:
        """Takes ingest requests and never answers."""
        self._set_outcome(FaultOutcome(kind="hang", times=times, stored=stored, only=only))

    def close(
        self, *, times: int | None = None, stored: bool = False, only: str | None = None
    ) -> None:
        """Cuts the connection of ingest requests; with `stored`, after storing."""
        self._set_outcome(FaultOutcome(kind="close", times=times, stored=stored, only=only))

    def delay(self, milliseconds: float) -> None:
        """Delays every ingest answer by 0 to 600,000 milliseconds; 0 stops that."""
        self._change(delay_ms=milliseconds)

    def poison(self, marker: str | None) -> None:
        """Answers 500 to batches whose text contains the marker; None stops that."""
        self._change(poison_marker=marker)

    def fail_inserts(self, failing: bool = True) -> None:
        """Answers 500 to every batch while the health answer stays as it is."""
        self._change(inserts_fail=failing)

    def health(self, state: Literal["up", "down", "hang"]) -> None:
        """Sets the health answer, whatever ingest does."""
        self._change(health=state)

    def take_outcome(self, body: bytes) -> FaultOutcome | None:
        """The outcome for one more request, of this body; counts `times` down."""
        with self._lock:
            outcome = self._settings.outcome
            if outcome is not None and (outcome.only or "").encode() not in body:
                return None
            if outcome is not None and outcome.times is not None:
                left = (
                    msgspec.structs.replace(outcome, times=outcome.times - 1)
                    if outcome.times > 1
                    else None
                )
                self._settings = msgspec.structs.replace(self._settings, outcome=left)
        return outcome

    def _set_outcome(self, outcome: FaultOutcome) -> None:
        self._change(outcome=outcome)

    def _change(self, **fields: object) -> None:
        with self._lock:
            self._settings = msgspec.structs.replace(self._settings, **fields)
            self._generation += 1


def faults_routes(path: str, faults: Faults) -> list[Route]:
    """The fault switches: to be read, set and cleared."""

    async def get_faults(_: Request) -> Response:
        return _json(faults.settings)

    async def put_faults(request: Request) -> Response:
        try:
            settings = msgspec.json.decode(await request.body(), type=FaultSettings)
        except msgspec.DecodeError as error:
            return _json({"error": "validation_error", "message": str(error)}, 400)
        faults.apply(settings)
        return _json(settings)

    async def delete_faults(_: Request) -> Response:
        faults.clear()
        return _json(faults.settings)

    return [
        Route(path, get_faults, methods=["GET"]),
        Route(path, put_faults, methods=["PUT"]),
        Route(path, delete_faults, methods=["DELETE"]),
    ]


def control_routes(faults: Faults, journal: Journal) -> list[Route]:
    """`/_control`: the fault switches and the journal, for tests in another process."""

    async def get_requests(_: Request) -> Response:
        return _json(JournalPage(journal.counts(), journal.requests()))

    async def delete_requests(_: Request) -> Response:
        journal.clear()
        return Response(status_code=204)

    return [
        *faults_routes("/_control/faults", faults),
        Route("/_control/requests", get_requests, methods=["GET"]),
        Route("/_control/requests", delete_requests, methods=["DELETE"]),
    ]


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
