"""What other people's pages in a browser can do with the stand-in: nothing."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import httpx
import pytest

from logwell_otel.devserver import DevServer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.socket

ROUTES = [
    ("GET", "/"),
    ("POST", "/v1/ingest"),
    ("GET", "/api/health"),
    ("GET", "/api/logs"),
    ("PUT", "/_control/faults"),
    ("GET", "/_control/requests"),
    ("GET", "/page/page.js"),
    ("GET", "/page/entries?trace=1"),
    ("PUT", "/page/faults"),
    ("DELETE", "/page/faults"),
    ("POST", "/api/auth/sign-in/username"),
    ("POST", "/api/auth/sign-out"),
    ("GET", "/api/auth/get-session"),
    ("GET", "/api/projects"),
    ("GET", "/api/projects/devserver-project-001/logs"),
    ("POST", "/api/projects/devserver-project-001/logs/stream"),
    ("GET", "/no/such/path"),
]
STREAM = ("GET", "/page/stream")  # which does not end by itself
ENTRY = b'{"level":"info","message":"hello"}'


def ask(server: DevServer, method: str, path: str, **headers: str) -> httpx.Response:
    given = {
        "Authorization": f"Bearer {server.key}",
        "Content-Type": "application/json",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    body = ENTRY if method == "POST" else b"{}" if method == "PUT" else None
    return httpx.request(
        method, f"{server.url}{path}", content=body, headers=given, trust_env=False, verify=False
    )


@pytest.mark.parametrize(("method", "path"), [*ROUTES, STREAM])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example.com"}, 421),
        ({"Host": "evil.example.com:3000"}, 421),
        ({"Host": "127.0.0.1.evil.example.com"}, 421),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Host": "user:pw@localhost"}, 421),
        ({"Host": "localhost:1@evil.example.com"}, 421),
        ({"Host": "[::1].evil.example.com"}, 421),
        ({"Host": "[::1]evil.example.com:80"}, 421),
        ({"Host": "evil.example.com."}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, 403),
    ],
)
def test_a_foreign_page_is_answered_nothing_on_every_route(
    method: str, path: str, headers: dict[str, str], status: int, receiver: DevServer
) -> None:
    answer = ask(receiver, method, path, **headers)
    assert answer.status_code == status
    assert receiver.count() == 0
    assert receiver.key not in answer.text


def test_nor_with_its_own_origin_before_a_foreign_one(receiver: DevServer) -> None:
    origins = [("Origin", receiver.url), ("Origin", "https://evil.example.com")]
    answer = httpx.get(f"{receiver.url}/api/logs", headers=origins, trust_env=False)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b'{"username":"admin","password":"\\ud800"}',
        b'{"username":"adm\\ud800in","password":"x"}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_sign_in_of_any_text_is_refused_and_no_more(body: bytes, receiver: DevServer) -> None:
    """An error in the server would be told with the frames that have the password."""
    answer = httpx.post(
        f"{receiver.url}/api/auth/sign-in/username",
        content=body,
        headers={"Content-Type": "application/json"},
        trust_env=False,
    )
    assert answer.status_code in (400, 401, 422)


@pytest.mark.parametrize(
    "host",
    ["localhost:{}", "localhost.:{}", "localhost:", "LOCALHOST:{}", "127.0.0.1:{}",
     "[::1]:{}", "logwell:{}", "app.localhost",
     "host.docker.internal:{}", "192.168.1.7:{}"],
)  # fmt: skip
def test_its_own_names_are_answered(host: str, receiver: DevServer) -> None:
    name = host.format(receiver.port)
    assert ask(receiver, "GET", "/api/logs", Host=name).status_code == 200
    assert ask(receiver, "GET", "/api/logs", Host=name, Origin=f"http://{name}").status_code == 200
    assert ask(receiver, "POST", "/v1/ingest", Host=name).json() == {"accepted": 1}
    navigated = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert ask(receiver, "GET", "/", Host=name, **navigated).status_code == 200


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_answer_says_what_a_browser_may_make_of_it(
    method: str, path: str, receiver: DevServer
) -> None:
    for headers in ({}, {"Origin": "null"}):
        answer = ask(receiver, method, path, **headers)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers


def test_the_name_that_it_was_told_to_listen_on_is_its_own() -> None:
    with DevServer(host="localhost") as server:
        assert ask(server, "GET", "/api/logs").status_code == 200


@pytest.mark.parametrize("there", [False, True])
def test_the_database_is_for_its_owner_only(there: bool, tmp_path: Path) -> None:
    path = tmp_path / "logs.db"
    if there:
        with DevServer(db=path):
            pass
        path.chmod(0o644)
    with DevServer(db=path) as server:
        ask(server, "POST", "/v1/ingest")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes


def test_another_programs_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    path.chmod(0o644)
    with pytest.raises(Exception, match="cannot use"):
        DevServer(db=path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
