"""The forms of `endpoint`, and the warning about plain http."""

from __future__ import annotations

import traceback

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel._config.address import base_url
from logwell_otel._delivery.engine import Dependencies
from support.config import KEY, attempt, exporter_with, refused, resolve


@pytest.mark.parametrize(
    ("given_as", "base"),
    [
        ("https://logs.example.com", "https://logs.example.com"),
        ("https://logs.example.com/", "https://logs.example.com"),
        ("https://logs.example.com//", "https://logs.example.com"),
        (" https://logs.example.com\n", "https://logs.example.com"),
        ("https://logs.example.com/v1/ingest", "https://logs.example.com"),
        ("https://logs.example.com/v1/ingest/", "https://logs.example.com"),
        ("https://example.com/logwell", "https://example.com/logwell"),
        ("https://example.com/a/b/", "https://example.com/a/b"),
        ("https://example.com/logwell/v1/ingest", "https://example.com/logwell"),
        ("HTTPS://Logs.Example.COM:8443/Prefix", "https://logs.example.com:8443/Prefix"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1:3000/", "http://127.0.0.1:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[2001:DB8::1]", "http://[2001:db8::1]"),
        ("http://[fe80::1%25eth0]:3000", "http://[fe80::1%25eth0]:3000"),
        ("http://my_host:3000", "http://my_host:3000"),
        ("http://logs.example.com.", "http://logs.example.com."),
        ("http://host:", "http://host"),
        ("http://host/a%20b", "http://host/a%20b"),
        ("http://xn--bcher-kva.example", "http://xn--bcher-kva.example"),
    ],
)
def test_forms_of_a_base_url(given_as: str, base: str) -> None:
    config = resolve(endpoint=given_as)
    assert config.endpoint == base
    assert config.ingest_url == f"{base}/v1/ingest"
    assert resolve({"LOGWELL_ENDPOINT": given_as}).endpoint == base


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("logs.example.com", "does not begin with https:// or http://: 'logs.example.com'"),
        ("localhost:3000", "does not begin with https:// or http://: 'localhost:3000'"),
        ("//host", "does not begin with https:// or http://"),
        ("ftp://host", "does not begin with https:// or http://: 'ftp://host'"),
        ("https:/host", "without a valid host name or address"),
        ("https://", "without a valid host name or address"),
        ("https:///path", "without a valid host name or address"),
        ("https://:3000", "without a valid host name or address"),
        ("https://a..b", "without a valid host name or address"),
        ("https://-a.example", "without a valid host name or address"),
        ("https://256.1.1.1", "without a valid host name or address"),
        ("https://1.2.3", "without a valid host name or address"),
        ("https://" + "a" * 64 + ".example", "without a valid host name or address"),
        ("https://host\\path", "without a valid host name or address"),
        ("https://[::1", "a URL that cannot be read: 'https://[::1'"),
        ("https://[zz]", "a URL"),
        ("https://host:port", "a URL that cannot be read: 'https://host:port'"),
        ("https://host:70000", "a URL that cannot be read: 'https://host:70000'"),
        ("https://host:0", "a URL with port 0"),
        ("https://host?x=1", "a URL with a query or a fragment"),
        ("https://host/#top", "a URL with a query or a fragment: 'https://host/#top'"),
        ("https://host/?", "a URL with a query or a fragment"),
        ("https://ho st", "a URL with white space or characters outside ASCII"),
        ("https://host/a\tb", "a URL with white space or characters outside ASCII"),
        ("https://ho\nst", "a URL with white space or characters outside ASCII"),
        ("https://bücher.example", "a URL with white space or characters outside ASCII"),
        ("https://host/\udcff", "a URL with white space or characters outside ASCII"),
    ],
)
def test_what_is_no_base_url(value: str, found: str) -> None:
    for message in (refused(endpoint=value), refused({"LOGWELL_ENDPOINT": value})):
        assert message.startswith(
            "endpoint (LOGWELL_ENDPOINT): expected the base URL of a Logwell server such as "
            "https://logs.example.com, got "
        )
        assert found in message


@pytest.mark.parametrize(
    "value",
    [
        "https://user:s3cretpass@host",
        "https://s3cretpass@host",
        "https://user:s3cretpass/x@host",
        "https://user:12/s3cretpass@host",
        "https://user:s3cretpass#@host",
        "https://[s3cretpass@host",
        "user:s3cretpass@host",
        "https://user:s3cretpass\N{DOUBLE EXCLAMATION MARK}@ho\N{FULLWIDTH SOLIDUS}st",
        f"https://host/{KEY}",
        KEY,
        "X-Token=s3cretpass",
        "https://host?token=s3cretpass",
    ],
)
def test_credentials_in_it_are_refused_and_not_shown(value: str) -> None:
    error = attempt(endpoint=value)
    assert error is not None
    chain = "".join(traceback.format_exception(error))
    shown = f"{error!r} {error} {chain} {error.__context__!r}"
    assert "s3cret" not in shown
    assert KEY not in shown


@given(st.text(max_size=60) | st.from_regex(r"https?://[!-~]{0,40}", fullmatch=True))
def test_whatever_is_taken_is_a_fixed_point(value: str) -> None:
    if attempt(endpoint=value) is None:
        base = resolve(endpoint=value).endpoint
        assert base_url(base) == base
        assert not base.endswith("/")
        httpx.URL(base)  # which would refuse every request


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://logs.example.com",
        "http://localhost",
        "http://localhost.:3000",
        "http://logs.localhost:3000",
        "http://127.0.0.1:3000",
        "http://127.8.9.10",
        "http://[::1]:3000",
    ],
)
def test_no_warning_where_the_key_is_safe(endpoint: str) -> None:
    assert warnings_of(endpoint) == []


@pytest.mark.parametrize(
    "endpoint",
    ["http://logs.example.com", "http://10.0.0.7", "http://localhost.example", "http://[fd00::1]"],
)
def test_one_warning_where_it_travels_in_the_clear(endpoint: str) -> None:
    (said,) = warnings_of(endpoint)
    assert said == (
        f"The API key travels unencrypted to {endpoint}. Use https where the way to the server is "
        "not your own."
    )


def warnings_of(endpoint: str) -> list[str]:
    """What the construction of an exporter says."""
    said: list[str] = []
    exporter_with(Dependencies(say=said.append), endpoint)
    return said
