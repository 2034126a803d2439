"""`sampling_policy` and what belongs to it: what is taken, what is refused, what is shown."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from logwell_otel import LogwellLogExporter
from logwell_otel._config.secrets import BearerToken
from logwell_otel._config.settings import variable_of
from logwell_otel.sampling import Sampler
from support.config import KEY, refused, resolve

URL = "https://policies.example"
TOKEN = "hush-hush-t0ken"
SERVER: dict[str, Any] = {"sampling_policy": URL, "sampling_team_id": 7}


def test_a_path_of_a_file_that_need_not_be_there() -> None:
    for given in ("/etc/shop/sampling.json", Path("/etc/shop/sampling.json")):
        config = resolve(sampling_policy=given)
        assert (config.sampling_policy, config.sampling) == (Path("/etc/shop/sampling.json"), True)
    assert resolve(sampling_policy="~/x.json").sampling_policy == Path.home() / "x.json"


@pytest.mark.parametrize(
    "given", [URL, f"{URL}/", "HTTPS://Policies.example", " https://policies.example "]
)
def test_a_url_of_a_server(given: str) -> None:
    variables = {"LOGWELL_SAMPLING_POLICY": given, "LOGWELL_SAMPLING_TEAM_ID": "7"}
    for config in (resolve(sampling_policy=given, sampling_team_id=7), resolve(variables)):
        assert (config.sampling_policy, config.sampling_team_id) == (URL, 7)
        assert (config.sampling, config.sampling_token) == (True, None)


@pytest.mark.parametrize("off", ["off", "false", "0"])
def test_off_wins(off: str) -> None:
    for config in (resolve(**SERVER, sampling=False), resolve({"LOGWELL_SAMPLING": off}, **SERVER)):
        assert config.sampling is False
        assert config.sampling_policy == URL


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("ftp://policies.example", "a URL that does not begin with https:// or http://"),
        ("file:///etc/x.json", "a URL that does not begin with https:// or http://"),
        ("https://policies.example?team=7", "a URL with a query or a fragment"),
        ("http://", "a URL without a valid host name or address"),
        ("https://me:hush@policies.example", "a URL with '@', where a user name and a password"),
        (f"https://policies.example/{KEY}", "what looks like an API key: 60 characters, not shown"),
        (KEY, "a path, got 35 characters, not shown"),
        (7, "int"),
    ],
)
def test_what_is_neither(value: object, problem: str) -> None:
    text = refused(sampling_policy=value, sampling_team_id=7)
    assert text.startswith("sampling_policy (LOGWELL_SAMPLING_POLICY): expected ")
    assert problem in text
    assert "hush" not in text


def test_a_server_needs_a_team() -> None:
    text = refused(sampling_policy=URL)
    assert text.startswith("sampling_team_id (LOGWELL_SAMPLING_TEAM_ID) is not set: a policy ")
    for wrong in (0, -1, 1.5, 2**31, "seven", True):
        text = refused(sampling_policy=URL, sampling_team_id=wrong)
        assert "sampling_team_id" in text
        assert "expected a whole number from 1 to 2,147,483,647" in text


def test_a_sampler_of_ones_own_and_a_policy() -> None:
    for environ, arguments in (
        ({}, {"sampling_policy": "/x.json"}),
        ({"LOGWELL_SAMPLING_POLICY": "/x.json"}, {}),
    ):
        text = refused(environ, sampler=Sampler(), **arguments)
        assert text.startswith("sampler and sampling_policy (LOGWELL_SAMPLING_POLICY) do not go")


def token_of(environ: dict[str, str] | None = None, **arguments: Any) -> str | None:
    token = resolve(environ or {}, **SERVER, **arguments).sampling_token
    return None if token is None else token.reveal()


def test_a_token_as_text_or_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"\ufeff{TOKEN}\n")
    variable, file_variable = variable_of("sampling_token"), variable_of("sampling_token_file")
    assert token_of() is None
    assert token_of({variable: "other"}) == "other"
    assert token_of({file_variable: str(path)}) == TOKEN
    assert token_of({variable: "other", file_variable: str(path)}) == "other"
    assert token_of({variable: "other"}, sampling_token_file=path) == TOKEN
    assert token_of({file_variable: str(path)}, sampling_token="other") == "other"


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("two words", "9 characters with white space or some outside ASCII"),
        ("pässword", "8 characters with white space or some outside ASCII"),
        ("x" * 4096, "4,096 characters or more"),
    ],
)
def test_what_is_no_token(token: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(token, encoding="utf-8")
    for text in (
        refused(**SERVER, sampling_token=token),
        refused(**SERVER, sampling_token_file=path),
    ):
        assert problem in text
        assert "sampling_token" in text
        assert token not in text
        assert "two" not in text


def test_a_token_file_that_holds_none(tmp_path: Path) -> None:
    empty = tmp_path / "token"
    empty.touch()
    assert "got a file with nothing" in refused(**SERVER, sampling_token_file=empty)
    missing = refused(**SERVER, sampling_token_file=tmp_path / "missing")
    assert "a file that can be read" in missing


def test_the_token_is_shown_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    ways: list[dict[str, Any]] = [{"sampling_token": TOKEN}, {"sampling_token_file": path}]
    for given in ways:
        config = resolve(**SERVER, **given)
        assert isinstance(config.sampling_token, BearerToken)
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(config.sampling_token)
        exporter = LogwellLogExporter(
            "https://logs.example.com",
            KEY,
            **SERVER,
            **given,
        )
        source = exporter._stages._end_sampler.__self__._source  # type: ignore[union-attr]  # noqa: SLF001
        for shown in (
            config,
            config.sampling_token,
            exporter,
            source,
            vars(config),
            vars(exporter),
        ):
            assert TOKEN not in f"{shown!r} {shown}"
        assert repr(source) == f"<PolicyServer {URL}, 'unknown_service' of team 7>"
    assert repr(config.sampling_token) == "<BearerToken from file>"
