"""Each switch, over a real socket."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import msgspec
import pytest

from logwell_otel.devserver import DevServer, FaultOutcome, FaultSettings

GOOD = b'[{"level":"info","message":"good"},{"level":"error","message":"bad"}]'


def post(client: httpx.Client, **options: Any) -> httpx.Response:
    return client.post("/v1/ingest", content=GOOD, **options)


@pytest.mark.parametrize("status", [301, 401, 404, 408, 429, 500, 502, 503, 504, 599])
def test_any_answer_until_cleared(receiver: DevServer, client: httpx.Client, status: int) -> None:
    receiver.faults.answer(status)
    assert [post(client).status_code for _ in range(3)] == [status] * 3
    assert receiver.count() == 0
    receiver.faults.clear()
    assert post(client).status_code == 200
    assert receiver.count() == 2


def test_the_next_two_requests_only(receiver: DevServer, client: httpx.Client) -> None:
    receiver.faults.answer(503, times=2)
    assert [post(client).status_code for _ in range(4)] == [503, 503, 200, 200]
    assert receiver.faults.settings == FaultSettings()


@pytest.mark.parametrize(
    ("status", "kind", "content"),
    [
        (401, "application/json", '{"error":"unauthorized","message":"Invalid API key"}'),
        (415, "application/json", '{"error":"unsupported_media_type",'),
        (429, "application/json", '{"error":"rate_limited",'),
        (500, "application/json", '{"id":'),
        (502, "text/html; charset=utf-8", "<!doctype html>"),
        (200, "text/html; charset=utf-8", "<!doctype html>"),
    ],
)
def test_what_the_server_or_a_proxy_would_say(
    receiver: DevServer, client: httpx.Client, status: int, kind: str, content: str
) -> None:
    receiver.faults.answer(status)
    answer = post(client)
    assert answer.headers["content-type"] == kind
    assert answer.text.startswith(content)
    assert (answer.headers.get("retry-after") == "60") is (status == 429)


def test_413_and_204_have_no_body(receiver: DevServer, client: httpx.Client) -> None:
    receiver.faults.answer(413)
    answer = post(client)
    assert (answer.content, answer.headers["connection"]) == (b"", "close")
    receiver.faults.answer(204)
    assert post(client).content == b""


def test_body_and_headers_of_ones_own(receiver: DevServer, client: httpx.Client) -> None:
    receiver.faults.answer(
        307, body="elsewhere", headers={"Location": "https://proxy.example/", "Retry-After": "7"}
    )
    answer = post(client)
    assert (answer.status_code, answer.text) == (307, "elsewhere")
    assert answer.headers["location"] == "https://proxy.example/"
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    receiver.faults.answer(200, body='{"accepted":1}', headers={"content-type": "application/json"})
    answer = post(client)
    assert answer.json() == {"accepted": 1}
    assert answer.headers.get_list("content-type") == ["application/json"]


def test_an_answer_replaced_after_storing(receiver: DevServer, client: httpx.Client) -> None:
    receiver.faults.answer(504, stored=True)
    assert post(client).status_code == 504
    assert receiver.count() == 2
    assert receiver.requests[0].stored == 2


def test_only_requests_with_a_text(receiver: DevServer, client: httpx.Client) -> None:
    receiver.faults.answer(403, only="<script>", times=2)
    blocked = b'[{"level":"info","message":"<script>"}]'
    for _ in range(2):
        assert client.post("/v1/ingest", content=blocked).status_code == 403
        assert post(client).status_code == 200
    assert client.post("/v1/ingest", content=blocked).status_code == 200
    receiver.faults.close(only="<script>")
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/v1/ingest", content=blocked)
    assert post(client).status_code == 200


@pytest.mark.parametrize("stored", [False, True])
def test_a_cut_connection(receiver: DevServer, client: httpx.Client, stored: bool) -> None:
    receiver.faults.close(times=1, stored=stored)
    with pytest.raises(httpx.RemoteProtocolError):
        post(client)
    assert receiver.count() == (2 if stored else 0)
    assert post(client).status_code == 200
    cut, answered = receiver.requests
    assert (cut.outcome, cut.status, cut.stored) == ("closed", None, 2 if stored else 0)
    assert (answered.outcome, answered.connection) == ("answered", cut.connection + 1)


@pytest.mark.parametrize("stored", [False, True])
def test_a_request_never_answered(receiver: DevServer, client: httpx.Client, stored: bool) -> None:
    receiver.faults.hang(times=1, stored=stored)
    with pytest.raises(httpx.ReadTimeout):
        post(client, timeout=0.1)
    assert receiver.count() == (2 if stored else 0)
    assert post(client).status_code == 200
    assert receiver.requests[0].outcome in {"open", "hung"}  # Its end is noticed a little later.


def test_a_hanging_request_is_cut_when_the_switches_change(
    receiver: DevServer, client: httpx.Client
) -> None:
    receiver.faults.hang()
    errors: list[Exception] = []

    def send() -> None:
        try:
            post(client)
        except httpx.TransportError as error:
            errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    while not receiver.requests:
        time.sleep(0.002)
    # The receiver answers others meanwhile.
    assert httpx.get(f"{receiver.url}/api/health", trust_env=False, verify=False).status_code == 200
    receiver.faults.clear()
    thread.join(5)
    assert [type(error) for error in errors] == [httpx.RemoteProtocolError]
    assert [request.outcome for request in receiver.requests] == ["hung"]


def test_delay(receiver: DevServer, client: httpx.Client) -> None:
    receiver.faults.delay(60)
    before = time.monotonic()
    assert post(client).status_code == 200
    assert 0.06 <= time.monotonic() - before < 20
    receiver.faults.delay(0)
    assert receiver.faults.settings == FaultSettings()
    (request,) = receiver.requests
    assert request.finished is not None
    assert request.finished - request.time >= 0.06


def test_a_marked_entry_is_poison(receiver: DevServer, client: httpx.Client) -> None:
    receiver.faults.poison("POISON-7")
    body = GOOD.replace(b"good", b"POISON-7")
    assert client.post("/v1/ingest", content=body).status_code == 500
    assert receiver.count() == 0
    assert post(client).status_code == 200
    receiver.faults.poison(None)
    assert client.post("/v1/ingest", content=body).status_code == 200


def test_every_insert_fails_while_health_is_fine(receiver: DevServer, client: httpx.Client) -> None:
    receiver.faults.fail_inserts()
    assert post(client).status_code == 500
    # Nothing to insert, nothing to fail.
    assert client.post("/v1/ingest", content=b"[5]").json()["rejected"] == 1
    assert client.post("/v1/ingest", content=b"broken").status_code == 400
    assert client.get("/api/health").status_code == 200
    receiver.faults.fail_inserts(False)
    assert post(client).status_code == 200
    assert receiver.count() == 2


@pytest.mark.socket
def test_switches_stand_in_front_of_the_rate_limit() -> None:
    with DevServer(requests_per_minute=1) as receiver:
        headers = {"Authorization": f"Bearer {receiver.key}", "Content-Type": "application/json"}
        with httpx.Client(
            base_url=receiver.url, headers=headers, trust_env=False, verify=False
        ) as client:
            receiver.faults.answer(503, times=3)
            statuses = [post(client).status_code for _ in range(5)]
    assert statuses == [503, 503, 503, 200, 429]


def test_switches_work_together(receiver: DevServer, client: httpx.Client) -> None:
    receiver.faults.health("down")
    receiver.faults.answer(502)
    receiver.faults.delay(1)
    assert receiver.faults.settings == FaultSettings(
        outcome=FaultOutcome(kind="answer", status=502), delay_ms=1, health="down"
    )
    assert post(client).status_code == 502
    assert client.get("/api/health").status_code == 503


@pytest.mark.parametrize(
    "change",
    [
        lambda faults: faults.answer(199),
        lambda faults: faults.answer(600),
        lambda faults: faults.answer(500, times=0),
        lambda faults: faults.delay(-1),
        lambda faults: faults.delay(600_001),
        lambda faults: faults.poison(""),
        lambda faults: faults.answer(403, only=""),
    ],
)
def test_wrong_settings_change_nothing(receiver: DevServer, change: Any) -> None:
    with pytest.raises(ValueError, match="must"):
        change(receiver.faults)
    assert receiver.faults.settings == FaultSettings()


def test_settings_survive_json() -> None:
    settings = FaultSettings(
        outcome=FaultOutcome(kind="hang", times=3, stored=True), delay_ms=4.5, poison_marker="x"
    )
    assert msgspec.json.decode(msgspec.json.encode(settings), type=FaultSettings) == settings
