"""The page's routes. What a browser makes of what they give: test_page_browser.py."""

from __future__ import annotations

import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from logwell_otel.devserver import DevServer, FaultSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FILES = {"/": "text/html", "/page/page.css": "text/css", "/page/page.js": "text/javascript"}


def send(client: httpx.Client, *entries: dict[str, Any]) -> None:
    for start in range(0, len(entries), 100):
        client.post("/v1/ingest", json=entries[start : start + 100]).raise_for_status()


def entry(number: int = 0, **metadata: Any) -> dict[str, Any]:
    return {"level": "info", "message": f"m{number}", "metadata": metadata or None}


class Stream:
    """The events of `/page/stream`."""

    def __init__(self, client: httpx.Client, **request: Any) -> None:
        self._context = client.stream("GET", "/page/stream", **request)
        self._lines = self._context.__enter__().iter_lines()

    def event(self, name: str) -> tuple[Any, str | None]:
        """The next event of this name, and the place it stands for."""
        found, place = "", None
        for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "event":
                found, place = value, None
            elif field == "id":
                place = value
            elif field == "data" and found == name:
                return json.loads(value), place
        raise AssertionError("the stream has ended")

    def messages(self, count: int) -> list[str]:
        """The messages of the next entries."""
        found: list[str] = []
        while len(found) < count:
            rows, self.place = self.event("entries")
            found += [row["message"] for row in rows]
        return found

    def ends(self) -> bool:
        return not any(line.startswith("event: begin") for line in self._lines)

    def close(self) -> None:
        self._context.__exit__(None, None, None)


@pytest.fixture
def streams(client: httpx.Client) -> Iterator[Any]:
    opened: list[Stream] = []

    def open_(**request: Any) -> Stream:
        opened.append(Stream(client, **request))
        return opened[-1]

    yield open_
    for stream in opened:
        stream.close()


@pytest.mark.parametrize("path", FILES)
def test_three_files_that_ask_nobody_else_for_anything(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers=HTML)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(FILES[path])
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert not re.search(r"(?:src|href)=\"(?!/page/|data:)|@import|url\(", answer.text)
    if path == "/":
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)", answer.text)


def test_no_function_that_makes_html_of_text(client: httpx.Client) -> None:
    script = client.get("/page/page.js").text
    makers = r"innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|createContextual|eval\("
    assert not re.search(makers, script)


def test_history_then_what_comes_then_nothing_twice(client: httpx.Client, streams: Any) -> None:
    send(client, entry(1, order=17), entry(2))
    stream = streams()
    begin, _ = stream.event("begin")
    rows, place = stream.event("entries")
    assert [row["message"] for row in rows] == ["m1", "m2"]
    assert rows[0] == {
        "id": 1,
        "level": "info",
        "message": "m1",
        "timestamp": rows[0]["timestamp"],
        "metadata": {"order": 17},
    }
    assert (begin["after"], begin["skipped"], place) == (0, 0, f"{begin['run']}-2")
    send(client, entry(3))
    assert stream.messages(1) == ["m3"]
    send(client, entry(4), entry(5))
    assert streams(headers={"Last-Event-ID": place}).messages(3) == ["m3", "m4", "m5"]
    assert streams(params={"after": f"{begin['run']}-4"}).messages(1) == ["m5"]


def test_a_place_of_another_server_is_none(client: httpx.Client, streams: Any) -> None:
    send(client, entry(1))
    for place in ("AAAAAAAA-7", "nonsense", "-1", "AAAAAAAA-" + "9" * 40):
        assert streams(params={"after": place}).messages(1) == ["m1"]


@pytest.mark.socket
def test_who_was_away_for_too_long_gets_the_newest_and_is_told() -> None:
    with (
        DevServer(requests_per_minute=None) as server,
        httpx.Client(base_url=server.url, trust_env=False, verify=False) as client,
    ):
        client.headers["Authorization"] = f"Bearer {server.key}"
        send(client, *(entry(number) for number in range(5_300)))
        stream = Stream(client)
        begin, _ = stream.event("begin")
        assert (begin["after"], begin["skipped"]) == (300, 0)
        assert stream.messages(5_000)[0] == "m300"
        late = Stream(client, params={"after": f"{begin['run']}-100"})
        assert late.event("begin")[0] == {**begin, "skipped": 200}
        stream.close()
        late.close()


def test_the_state_counts_what_was_stored_what_was_not_and_why(
    receiver: DevServer, client: httpx.Client, streams: Any
) -> None:
    stream = streams()
    state, _ = stream.event("state")
    assert state == {
        "stored": 0,
        "byStatus": {},
        "unanswered": 0,
        "refused": {},
        "limit": 600,
        "left": 600,
        "kept": 0,
        "switchable": True,
        "faults": state["faults"],
    }
    good, bad = entry(), {"level": "loud", "message": "x"}
    client.post("/v1/ingest", json=[good, bad, {**bad, "level": "LOUD"}, {"level": "info"}])
    receiver.faults.answer(429, times=1)
    client.post("/v1/ingest", json=[good, good])
    receiver.faults.close(times=1)
    with pytest.raises(httpx.TransportError):
        client.post("/v1/ingest", json=[good])
    receiver.faults.close(times=1, stored=True)
    with pytest.raises(httpx.TransportError):
        client.post("/v1/ingest", json=[good, bad])
    for _ in range(5):
        state, _ = stream.event("state")
        if state["unanswered"] == 2:
            break
    assert state["stored"] == state["kept"] == 2
    assert state["byStatus"] == {"200": 1, "429": 1}
    assert state["refused"] == {
        "invalid level": 3,
        "missing required field 'message'": 1,
        "429": 2,
        "unanswered": 1,
    }
    # Everything that was sent is counted once.
    counts = receiver.counts
    assert counts.entries == state["stored"] + sum(state["refused"].values()) == 9


def test_a_whole_trace_or_request_is_found(client: httpx.Client) -> None:
    trace, other = "ab" * 16, "cd" * 16
    send(
        client,
        {**entry(2, trace_id=trace, request_id="r1"), "timestamp": "2026-11-26T10:00:02Z"},
        {**entry(1, trace_id=trace), "timestamp": "2026-11-26T10:00:01Z"},
        {**entry(3, trace_id=other, body={"trace_id": trace}), "timestamp": "2026-11-26T10:00:03Z"},
        entry(4),
    )

    def found(**query: str) -> list[str]:
        return [row["message"] for row in client.get("/page/entries", params=query).json()]

    assert found(trace=trace) == ["m1", "m2"]
    assert found(request="r1") == ["m2"]
    assert found(trace="%") == found(trace="") == found(request="") == []
    assert client.get("/page/entries").status_code == 400
    assert client.get("/page/entries", params={"trace": "a", "request": "b"}).status_code == 400


def test_faults_are_switched(receiver: DevServer, client: httpx.Client) -> None:
    assert client.put("/page/faults", json={"delay_ms": 3}).json()["delay_ms"] == 3
    assert receiver.faults.settings == FaultSettings(delay_ms=3)
    assert client.get("/page/faults").json()["delay_ms"] == 3
    assert client.put("/page/faults", json={"delay_ms": -3}).status_code == 400
    assert client.delete("/page/faults").json()["delay_ms"] == 0
    assert receiver.faults.settings == FaultSettings()


@pytest.mark.socket
@pytest.mark.parametrize(
    ("host", "control", "status"),
    [("127.0.0.1", False, 200), ("0.0.0.0", True, 200), ("0.0.0.0", False, 404)],
)
def test_other_machines_switch_nothing_unless_they_may(
    host: str, control: bool, status: int
) -> None:
    with DevServer(host=host, control=control) as server:
        url = f"http://127.0.0.1:{server.port}"
        with httpx.Client(base_url=url, trust_env=False, verify=False) as client:
            assert client.get("/page/faults").status_code == status
            stream = Stream(client)
            assert stream.event("state")[0]["switchable"] is (status == 200)
            stream.close()


def test_an_open_page_does_not_hold_the_server_up(receiver: DevServer, streams: Any) -> None:
    stream = streams()
    stream.event("state")
    ended = threading.Thread(target=stream.ends)
    ended.start()
    before = time.monotonic()
    receiver.stop()
    ended.join(5)
    assert time.monotonic() - before < 4.5  # requests in progress get 5 s
    assert not ended.is_alive()
