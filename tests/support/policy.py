"""A stand-in policy server on a real socket, as docs/policies.md describes one."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from support.server import HttpServer

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler


POLICY: dict[str, Any] = {
    "global_rate": 1.0,
    "severity_rates": {"DEBUG": 0.1, "INFO": 0.3, "WARNING": 0.7, "ERROR": 1.0, "CRITICAL": 1.0},
    "pattern_rates": {},
    "anomaly_boost": 2.0,
    "reasoning": None,
    "generated_by": "default",
    "llm_model": None,
    "version": 0,
}
_REPORT = {"service_name", "team_id", "timestamp", "total_logs", "unique_patterns", "patterns"}
_PATTERN = {"signature", "count", "sampled_count", "first_seen", "last_seen"}


class PolicyStandIn(HttpServer):
    """Knows services by team, has one policy, collects reports; fails as it is told to.

    Attributes:
        policy: What is answered, as JSON or as these very bytes.
        services: (team, name) of each registration: names are not unique.
        reports: Bodies of the statistics that were accepted.
        requests: Method and path of every request.
        headers: Of every request, names in lower case.
        etag: Offered and honoured when set.
        status: Answered to everything when set.
        gate: Every answer waits for it.
        drip: Answers a byte at a time, until the client goes away.
        arrived: Set by every request.
    """

    def __init__(self, *, known: tuple[tuple[int, str], ...] = ((7, "shop"),)) -> None:
        super().__init__()
        self.policy: dict[str, Any] | bytes = dict(POLICY)
        self.services: list[tuple[int, str]] = list(known)
        self.reports: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.etag: str | None = None
        self.status: int | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.drip = False
        self.arrived = threading.Event()

    def __exit__(self, *error: object) -> None:
        self.gate.set()
        self.drip = False
        super().__exit__(*error)

    def respond(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        self.requests.append(f"{request.command} {request.path}")
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.arrived.set()
        assert self.gate.wait(10)
        status, answer = self._route(request, body)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        with contextlib.suppress(OSError):  # the client did not wait
            request.send_response(status)
            request.send_header("Content-Length", str(len(content)))
            if status == 307:
                request.send_header("Location", f"{self.url}{request.path}/")
            if self.etag is not None:
                request.send_header("ETag", self.etag)
            request.end_headers()
            while self.drip:
                request.wfile.write(b" ")
                threading.Event().wait(0.01)
            if status != 304:
                request.wfile.write(content)

    def _route(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(request.path)
        if self.status is not None:
            return self.status, {"detail": "as told"}
        if request.command == "GET" and parts.path.startswith("/api/v1/policies/"):
            team = parse_qs(parts.query).get("team_id")
            if team is None:
                return 422, {"detail": "team_id"}
            if (int(team[0]), unquote(parts.path.rpartition("/")[2])) not in self.services:
                return 404, {"detail": "Service not found"}
            if self.etag is not None and request.headers.get("If-None-Match") == self.etag:
                return 304, b""
            return 200, self.policy
        if request.command == "POST":
            return self._post(parts.path, json.loads(body))
        return 404, {"detail": "Not Found"}

    def _post(self, path: str, fields: dict[str, Any]) -> tuple[int, Any]:
        if path == "/api/v1/services":
            return 307, b""
        if path == "/api/v1/services/":
            if not (isinstance(fields.get("team_id"), int) and isinstance(fields.get("name"), str)):
                return 422, {"detail": "fields"}
            self.services.append((fields["team_id"], fields["name"]))
            known = len(self.services)
            return 201, {"id": known, **fields, "is_active": True}
        if path == "/api/v1/patterns/stats":
            if not set(fields) >= _REPORT or any(
                not set(pattern) >= _PATTERN for pattern in fields["patterns"]
            ):
                return 422, {"detail": "fields"}
            self.reports.append(fields)
            return 202, {"status": "accepted", "message": "x", "analysis_run_id": 1}
        return 404, {"detail": "Not Found"}
