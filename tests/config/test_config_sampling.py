"""`sampling_policy` and what belongs to it: what is taken, what is refused, what is shown."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from logwell_otel import LogwellError, LogwellLogExporter
from logwell_otel._config.secrets import BearerToken
from logwell_otel._config.settings import variable_of
from logwell_otel.sampling import Sampler
from logwell_otel.sampling.rules import rates_of
from support.config import ENDPOINT, KEY, refused, resolve

URL = "https://policies.example"
TOKEN = "hush-hush-t0ken"
TEAM = f"{URL}?team_id=7"
SERVER: dict[str, Any] = {"sampling_policy": TEAM}


def test_a_path_of_a_file_that_need_not_be_there() -> None:
    for given in ("/etc/shop/sampling.json", Path("/etc/shop/sampling.json")):
        config = resolve(sampling_policy=given)
        assert (config.sampling_policy, config.sampling) == (Path("/etc/shop/sampling.json"), True)
    assert resolve(sampling_policy="~/x.json").sampling_policy == Path.home() / "x.json"


@pytest.mark.parametrize(
    "given",
    [
        TEAM,
        f"{URL}/?team_id=7",
        "HTTPS://Policies.example?team_id=7",
        " https://policies.example?team_id=7 ",
    ],
)
def test_a_url_of_a_server(given: str) -> None:
    for config in (
        resolve(sampling_policy=given),
        resolve({"LOGWELL_SAMPLING_POLICY": given}),
    ):
        assert config.sampling_policy == TEAM
        assert (config.sampling, config.sampling_token) == (True, None)


@pytest.mark.parametrize("off", ["off", "false", "0"])
def test_off_wins(off: str) -> None:
    for config in (resolve(**SERVER, sampling=False), resolve({"LOGWELL_SAMPLING": off}, **SERVER)):
        assert config.sampling is False
        assert config.sampling_policy == TEAM


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("ftp://policies.example", "a URL that does not begin with https:// or http://"),
        ("file:///etc/x.json", "a URL that does not begin with https:// or http://"),
        ("https://policies.example?team=7", "a URL with a query or a fragment"),
        (
            f"{TEAM}&x=1",
            "a URL without the number that the team has there: 'https://policies.example'",
        ),
        ("http://", "a URL without a valid host name or address"),
        ("https://me:hush@policies.example", "a URL with '@', where a user name and a password"),
        (f"{URL}/{KEY}?team_id=7", "what looks like an API key: 60 characters, not shown"),
        (KEY, "a path, got 35 characters, not shown"),
        (7, "int"),
    ],
)
def test_what_is_neither(value: object, problem: str) -> None:
    text = refused(sampling_policy=value)
    assert text.startswith("sampling_policy (LOGWELL_SAMPLING_POLICY): expected ")
    assert problem in text
    assert "hush" not in text


@pytest.mark.parametrize("team", ["", "?team_id=", "?team_id=0", "?team_id=-1", "?team_id=seven"])
def test_a_server_needs_a_team(team: str) -> None:
    text = refused(sampling_policy=f"{URL}{team}")
    assert text.startswith(
        "sampling_policy (LOGWELL_SAMPLING_POLICY): expected the path of a JSON "
    )
    assert "with the team's number, such as https://policies.example?team_id=7, got " in text
    assert "a URL without the number that the team has there" in text


@pytest.mark.parametrize("name", ["sampling_policy", "sample_rates"])
def test_a_sampler_of_ones_own_and_what_it_would_be_told(name: str) -> None:
    value = "/x.json" if name == "sampling_policy" else "info=0.5"
    for text in (
        refused(sampling=Sampler(), **{name: value}),
        refused({variable_of(name): value}, sampling=Sampler()),
    ):
        assert text.startswith("A Sampler given as sampling does not go together with ")
        assert f"{name} ({variable_of(name)})" in text
    assert isinstance(resolve(sampling=Sampler()).sampling, Sampler)
    assert "sampling (LOGWELL_SAMPLING): expected true or false" in refused(sampling=object())


@pytest.mark.parametrize("given", [{"info": 2}, {"loud": 0.5}, "info=2"])
def test_rates_that_no_sampler_takes(given: Any) -> None:
    with pytest.raises(LogwellError, match=r"^sample_rates \(LOGWELL_SAMPLE_RATES\): "):
        LogwellLogExporter(ENDPOINT, KEY, sampling=True, sample_rates=given)


def test_rates_as_text() -> None:
    text = " info=0.2, Warning = 1 ,critical=1,Trace=0,"
    rates = {"info": 0.2, "warn": 1.0, "fatal": 1.0, "debug": 0.0}
    assert resolve({"LOGWELL_SAMPLE_RATES": text}).sample_rates == rates
    assert resolve(sample_rates=text).sample_rates == rates
    assert resolve().sample_rates == {}
    assert resolve(sample_rates={"Info": 0.2}).sample_rates == {"Info": 0.2}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("info=0.2,info=0.9", "info twice"),
        ("debug=0.2,warn=1,WARNING=0", "warn twice"),
        ("info=0.2,info", "no number after info in part 2"),
        ("info=", "no number after info in part 1"),
        ("info=half", "no number after info in part 1"),
        ("info=nan", "no number after info in part 1"),
        ("loud=1", "no level of debug, info, warn, error, fatal in part 1"),
        ("password=hunter2", "no level of debug, info, warn, error, fatal in part 1"),
    ],
)
def test_rates_that_are_none(text: str, problem: str) -> None:
    """The same by argument, by variable, and on the command line; no text is quoted."""
    expected = f"sample_rates (LOGWELL_SAMPLE_RATES): expected level=rate,level=rate, got {problem}"
    variable = {"LOGWELL_SAMPLE_RATES": text}
    assert refused(sample_rates=text) == f"{expected} from the argument."
    assert refused(variable) == f"{expected} from the variable LOGWELL_SAMPLE_RATES."
    with pytest.raises(LogwellError, match=f"sampling rates .*{problem}") as caught:
        rates_of(text)
    assert caught.value.__context__ is None


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
