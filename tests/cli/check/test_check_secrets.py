"""Whatever goes wrong: no key, header value or proxy password is in any result."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from logwell_otel.cli.check import report
from logwell_otel.cli.check.run import Check, CheckDependencies
from logwell_otel.cli.terminal import printable
from support.check import JSON, KEY, Stub, results
from support.server import ConnectProxy

if TYPE_CHECKING:
    from logwell_otel.cli.check.report import Finding
    from support.check import Reply

HEADER = "header-hush"
PASSWORD = "proxy-hush"
ECHO = json.dumps({"error": "unauthorized", "message": f"no {KEY} {HEADER} {PASSWORD}"})
REFUSED = json.dumps({"accepted": 0, "rejected": 1, "errors": [f"{KEY} {HEADER}"]})


def check_silent(found: list[Finding]) -> None:
    for result in found:
        for text in (result.text, result.advice or "", repr(result)):
            for secret in (KEY, KEY[3:-4], HEADER, PASSWORD):
                assert secret not in text


@pytest.mark.parametrize(
    "reply",
    [
        (401, JSON, ECHO),
        (415, JSON, ECHO.replace("unauthorized", "invalid_json")),
        (301, {"Location": f"http://x/?{KEY}&{HEADER}"}, ""),
        (200, {"Content-Type": "text/html"}, ECHO),
        (500, JSON, ECHO),
    ],
)
def test_a_server_that_sends_secrets_back(
    stub: Stub, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTP_PROXY", f"ftp://somebody:{PASSWORD}@127.0.0.1:1")
    for place in ("health", "key", "entry"):
        usual = getattr(stub, place)
        setattr(stub, place, reply)
        check_silent(results(stub.url, headers={"X-Secret": HEADER}))
        setattr(stub, place, usual)
    stub.entry = (200, JSON, REFUSED)
    check_silent(results(stub.url, headers={"X-Secret": HEADER}))
    assert stub.requests[-1][2]["x-secret"] == HEADER


@pytest.mark.socket
@pytest.mark.parametrize("status", ["407 no proxy-hush", "500 x"])
def test_a_proxy_that_sends_its_password_back(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ConnectProxy(status) as proxy:
        url = f"http://somebody:{PASSWORD}@127.0.0.1:{proxy.port}"
        monkeypatch.setenv("HTTPS_PROXY", url)
        check_silent(results("https://logs.example.com", environ={"HTTPS_PROXY": url}))


def test_the_whole_report(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://somebody:{PASSWORD}@127.0.0.1:{stub.port}"
    monkeypatch.setenv("HTTP_PROXY", url)
    endpoint = "http://logs.example.com"
    arguments = {"endpoint": endpoint, "api_key": KEY, "headers": {"X-Secret": HEADER}}
    check = Check(arguments, dependencies=CheckDependencies(environ={"HTTP_PROXY": url}))
    found = list(check.results())
    text = "\n".join(
        report.text(check.settings, check.proxy, found, lambda _, part: printable(part))
    )
    for whole in (text, report.json(check.settings, check.proxy, found).decode()):
        assert "lw_***last" in whole
        assert f"http://***@127.0.0.1:{stub.port}" in whole
        for secret in (KEY, KEY[3:-4], HEADER, PASSWORD, "somebody"):
            assert secret not in whole


def test_a_wrong_setting() -> None:
    check_silent(results("https://user:proxy-hush@logs.example.com"))
    check_silent(results(KEY))
    check_silent(results("https://logs.example.com", KEY + "x"))


def test_what_a_terminal_would_act_on_is_written_out() -> None:
    assert printable("a\x1b[31mb\u202ec\n") == "a\\x1b[31mb\\u202ec\\n"
