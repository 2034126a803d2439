"""Which proxy the environment names, and what of it must not be shown."""

from __future__ import annotations

import pickle

import pytest

from logwell_otel._config.address import Proxy, proxy_of, proxy_secrets
from support.config import resolve

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("environ", "endpoint", "proxy"),
    [
        ({}, "https://logs.example.com", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://logs.example.com", "http://p:1"),
        ({"https_proxy": "http://p:1"}, "https://logs.example.com", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://logs.example.com", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://logs.example.com", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://logs.example.com", "http://p:1"),
        # A CGI server's HTTP_PROXY is a header that a visitor sent.
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "http://logs.example.com", None),
        ({"ALL_PROXY": "socks5://p:1"}, "https://logs.example.com", "socks5://p:1"),
        ({"ALL_PROXY": "a:1", "HTTPS_PROXY": "b:2"}, "https://logs.example.com", "http://b:2"),
        ({"HTTPS_PROXY": ""}, "https://logs.example.com", None),
    ],
)
def test_the_usual_variables(
    environ: dict[str, str], endpoint: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = resolve(endpoint=endpoint).proxy
    assert (found and found.reveal()) == proxy


@pytest.mark.parametrize(
    ("no_proxy", "endpoint"),
    [
        ("*", "https://logs.example.com"),
        ("example.com", "https://logs.example.com"),
        (".example.com", "https://LOGS.example.com"),
        ("other, logs.example.com", "https://logs.example.com:8443"),
        ("logs.example.com:8443", "https://logs.example.com:8443/prefix"),
        ("2001:db8::1", "https://[2001:db8::1]:3000"),
        ("[2001:db8::1]", "https://[2001:db8::1]:3000"),
        ("2001:db8::1", "https://[2001:db8::1]"),
    ],
)
def test_no_proxy(no_proxy: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    base = resolve(endpoint=endpoint).endpoint
    assert proxy_of(base) is not None
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_of(base) is None


def test_the_url_is_shown_nowhere() -> None:
    proxy = Proxy("http://user:s3cret@p:1")
    assert repr(proxy) == "<Proxy>"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(proxy)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("http://user:pass@p:1", {"user:pass", "user", "pass", "dXNlcjpwYXNz"}),
        ("user:pass@p:1", {"user:pass", "user", "pass", "dXNlcjpwYXNz"}),
        (
            "http://u%40corp:p%2Fw@p:1",
            {"u%40corp:p%2Fw", "u%40corp", "p%2Fw", "u@corp:p/w", "u@corp", "p/w"}
            | {"dUBjb3JwOnAvdw=="},
        ),
        # URLs that urlsplit refuses, or reads otherwise than they were meant.
        ("http://user:pa/ss@p:1", {"user:pa/ss", "user", "pa/ss", "dXNlcjpwYS9zcw=="}),
        ("http://user:pass@[::1", {"user:pass", "user", "pass", "dXNlcjpwYXNz"}),
        ("http://token@p:1", {"token", "dG9rZW4="}),
        ("http://p:1", set()),
        ("http://[::1", set()),
    ],
)
def test_what_is_secret_of_it(url: str, secrets: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    assert set(proxy_secrets()) == secrets
    # And no URL, however wrong, keeps an exporter from being made.
    resolve(endpoint="https://logs.example.com")
