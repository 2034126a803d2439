"""Every recorded request of the session API against the development server."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from logwell_otel.devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.socket

RECORDED = json.loads((Path(__file__).parents[1] / "contract" / "read_vectors.json").read_text())
VECTORS: list[dict[str, Any]] = RECORDED["vectors"]
STREAMS = [vector for vector in VECTORS if vector["group"] == "stream"]
PLAIN = [vector for vector in VECTORS if vector["group"] != "stream"]
OF_THEIR_OWN = {"sign-in", "session"}
"""These change sessions, or count tries: each gets a server of its own."""

FOREIGN_ORIGIN = re.compile("foreign Origin")
"""The stand-in refuses those on every path, see docs/devserver.md."""
FOREIGN_ANSWER = "Requests from 'http://evil.example' are forbidden\n"

PLACEHOLDER = re.compile(r"\{([a-z_]+)(?:([:+-])([^{}]*(?:\{[^{}]*\}[^{}]*)*))?([0-9]*)\}")


class Recorded:
    """A server that holds a row set, and what the placeholders of its vectors stand for."""

    def __init__(self, rows: str, stream_speed: float = 10.0) -> None:
        self.server = DevServer(requests_per_minute=None, stream_speed=stream_speed).start()
        self.client = httpx.Client(base_url=self.server.url, trust_env=False, verify=False)
        self.now = datetime.now(timezone.utc)
        self.values = {
            "origin": self.server.url,
            "user": self.server.username,
            "password": self.server.password,
            "key": self.server.key,
            "cookie": self.sign_in(),
        }
        (project,) = self.get("/api/projects")["projects"]
        self.path = f"/api/projects/{project['id']}"
        session = self.get("/api/auth/get-session")["user"]
        self.values |= {
            "project": project["id"],
            "project_name": project["name"],
            "project_created": project["createdAt"],
            "userid": session["id"],
            "email": session["email"],
            "user_created": session["createdAt"],
            "date": f"{self.now:%Y-%m-%d}",
        }
        self._store(RECORDED["row_sets"][rows])

    def sign_in(self) -> str:
        account = {"username": self.server.username, "password": self.server.password}
        answer = self.client.post("/api/auth/sign-in/username", json=account)
        self.client.cookies.clear()
        return answer.headers["set-cookie"].partition(";")[0]

    def get(self, path: str) -> Any:
        headers = {"Cookie": self.values["cookie"], "Accept": "application/json"}
        return self.client.get(path, headers=headers).json()

    def ingest(self, rows: list[dict[str, Any]]) -> None:
        key = {"Authorization": f"Bearer {self.server.key}"}
        sent = json.loads(self.fill(json.dumps(rows)))
        assert self.client.post("/v1/ingest", json=sent, headers=key).status_code == 200

    def _store(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        self.ingest(rows)
        by_message = {row["message"]: row for row in self.get(f"{self.path}/logs")["logs"]}
        seen: dict[str, None] = {}
        for number, row in enumerate(rows, 1):
            stored = by_message[row["message"]]
            self.values[f"id{number}"] = stored["id"]
            if stored["incidentId"]:
                seen[stored["incidentId"]] = None
        for number, incident in enumerate(seen, 1):
            self.values[f"incident{number}"] = incident

    def fill(self, text: str) -> str:
        """`text` with every placeholder that is known in its place."""

        def one(match: re.Match[str]) -> str:
            name, _, rest, number = match.groups()
            if name == "now":
                moment = self.now - timedelta(seconds=int(rest))
                return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            if name == "cursor":
                inner = self.fill(rest)
                return base64.urlsafe_b64encode(inner.encode()).decode().rstrip("=")
            return self.values.get(name + (number or ""), match[0])

        return PLACEHOLDER.sub(one, text)

    def close(self) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Recorded]]:
    made: dict[str, Recorded] = {}
    yield made
    for recorded in made.values():
        recorded.close()


def matches(expected: Any, actual: Any) -> bool:
    """Whether `actual` is as recorded; what is left of placeholders stands for any text."""
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and list(expected) == list(actual)
            and all(matches(value, actual[name]) for name, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(expected) == len(actual)
            and all(map(matches, expected, actual))
        )
    if isinstance(expected, str) and isinstance(actual, str):
        parts = re.split(r"\{(?:any|token|signed|ms|sid[0-9]+)\}", expected)
        return re.fullmatch("[^;]+".join(map(re.escape, parts)), actual, re.DOTALL) is not None
    return bool(expected == actual) and isinstance(actual, bool) == isinstance(expected, bool)


def with_starts(expected: Any, actual: Any) -> Any:
    """`{start+N}` replaced by what follows from the first bucket's time."""
    if not (isinstance(actual, dict) and actual.get("buckets")):
        return expected
    start = datetime.fromisoformat(actual["buckets"][0]["timestamp"].replace("Z", "+00:00"))

    def one(match: re.Match[str]) -> str:
        moment = start + timedelta(seconds=int(match[1]))
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    return json.loads(re.sub(r"\{start\+([0-9]+)\}", one, json.dumps(expected)))


def test_there_are_202() -> None:
    assert len(VECTORS) == 202


@pytest.mark.parametrize("vector", [pytest.param(v, id=v["name"]) for v in PLAIN])
def test_vector(servers: dict[str, Recorded], vector: dict[str, Any]) -> None:
    own = vector["group"] in OF_THEIR_OWN
    recorded = Recorded(vector["rows"]) if own else servers.get(vector["rows"])
    if recorded is None:
        recorded = servers[vector["rows"]] = Recorded(vector["rows"])
    try:
        check(recorded, vector)
    finally:
        if own:
            recorded.close()


def check(recorded: Recorded, vector: dict[str, Any]) -> None:
    asked, expected = vector["request"], vector["answer"]
    if FOREIGN_ORIGIN.search(vector["name"]):
        expected = {"status": 403, "headers": {}, "text": FOREIGN_ANSWER}
    headers = {name: recorded.fill(value) for name, value in asked["headers"].items()}
    if vector["group"] == "sign-in":
        headers["X-Forwarded-For"] = "203.0.113.7"  # its tries are counted by themselves
    elif vector.get("own_session") == "signed out":
        origin = {"Origin": recorded.values["origin"], "Cookie": recorded.values["cookie"]}
        recorded.client.post("/api/auth/sign-out", headers=origin, json={})
    query = recorded.fill(asked["query"])
    statuses = []
    for _ in range(vector.get("repeat", 1)):
        request = recorded.client.build_request(
            asked["method"],
            recorded.fill(asked["path"]) + (f"?{query}" if query else ""),
            content=recorded.fill(asked.get("body", "")),
        )
        request.headers.pop("accept")
        request.headers.pop("user-agent")
        request.headers.update(headers)
        answer = recorded.client.send(request)
        recorded.client.cookies.clear()
        statuses.append(answer.status_code)
    assert statuses == expected.get("statuses", [expected["status"]])
    for name, value in expected["headers"].items():
        sent = "\n".join(answer.headers.get_list(name))
        assert matches(recorded.fill(value), sent), (name, value, sent)
    if "text" in expected:
        page = expected["text"] == "{html page}"
        # An id that begins with a minus gets a quote in front in CSV, as any text does; the
        # vectors leave it out.
        wanted = re.sub("^-", "'-", recorded.fill(expected["text"]), flags=re.MULTILINE)
        assert "<html" in answer.text if page else answer.text == wanted
        return
    actual = answer.json()
    wanted = json.loads(recorded.fill(json.dumps(with_starts(expected["json"], actual))))
    if "ids" in expected:
        assert [row["id"] for row in actual.pop("logs")] == [
            recorded.fill(name) for name in expected["ids"]
        ]
    assert matches(wanted, actual), (wanted, actual)


@pytest.mark.parametrize("vector", [pytest.param(v, id=v["name"]) for v in STREAMS])
def test_stream(vector: dict[str, Any]) -> None:
    recorded = Recorded("none", 5 if vector["name"].endswith("every 5 s") else 20)
    try:
        check_stream(recorded, vector)
    finally:
        recorded.close()


def check_stream(recorded: Recorded, vector: dict[str, Any]) -> None:
    asked, expected = vector["request"], vector["answer"]
    query = f"?{asked['query']}" if asked["query"] else ""
    lines = [f"POST {recorded.fill(asked['path'])}{query} HTTP/1.1", "Content-Length: 0"]
    headers = {"Host": f"127.0.0.1:{recorded.server.port}", **asked["headers"]}
    lines += [f"{name}: {recorded.fill(value)}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", recorded.server.port), timeout=20) as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        received = sock.recv(65_536)
        assert received.decode() == expected["head_before_the_first_event"]
        steps = vector["then_ingest"]
        every_5_s = vector["name"].endswith("every 5 s")
        for step in steps:
            recorded.ingest(step)
            if every_5_s:
                before = len(events_in(received))
                while len(events_in(received)) == before:
                    received += sock.recv(65_536)
                sock.settimeout(0.7)  # what is left of 5 s at the speed of this server
                with contextlib.suppress(TimeoutError):
                    received += sock.recv(65_536)
                sock.settimeout(20)
        wanted = expected["events"]
        closed = expected["end"] == "closed by the server"
        while closed or len(events_in(received)) < len(wanted):
            more = sock.recv(65_536)
            received += more
            if not more:
                assert closed
                break
    head, _, _ = received.decode().partition("\r\n\r\n")
    assert matches(expected["head"].rstrip(), head.rstrip())
    events = events_in(received)
    if every_5_s:  # Where among them the heartbeat comes is a matter of the machine's load.
        assert "heartbeat" in [kind for kind, _ in events]
    logs = [(kind, len(items)) for kind, items in events if kind != "heartbeat"]
    assert logs == [(kind, count) for kind, count in expected["events"] if kind != "heartbeat"]
    if expected.get("raw"):
        text = "".join(f"event: {kind}\ndata: {compact(items)}\n\n" for kind, items in events)
        assert matches(recorded.fill(expected["raw"]), text), (expected["raw"], text)


def compact(items: Any) -> str:
    return json.dumps(items, separators=(",", ":"), ensure_ascii=False)


def events_in(received: bytes) -> list[tuple[str, Any]]:
    """The events of a chunked answer whose last chunk may be missing."""
    _, _, rest = received.partition(b"\r\n\r\n")
    body = b""
    while b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        if len(rest) < int(size, 16) + 2:
            break
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    events = []
    for block in body.decode().split("\n\n")[:-1]:
        kind, _, data = block.partition("\n")
        events.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events
