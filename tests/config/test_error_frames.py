"""What shows the locals of frames (rich, `pytest -l`, error trackers) shows no secret of ours."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel import LogwellError, LogwellHandler, LogwellLogExporter, configure
from logwell_otel._config.options import Config
from logwell_otel.devserver import DevServer
from logwell_otel.devserver.store import StoreError
from logwell_otel.reader import AsyncLogwellReader, LogwellReader
from logwell_otel.sampling import PolicyServer
from support.config import KEY

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "hunter2-and-more"
URL = "https://logs.example.com"

WRONG: list[dict[str, Any]] = [
    {"timeout": "soon"},
    {"level": "loud"},
    {"api_key": f"{KEY}x"},
    {"api_key": SECRET},
    {"endpoint": f"https://u:{SECRET}@logs.example.com"},
    {"headers": {"X-Token": f"{SECRET}\n{SECRET}"}},
    {"headers": f"X-Token {SECRET}"},
    {"headers": {"X-Token": SECRET, "x-token": SECRET}},
    {"headers": {"X-Token": SECRET}, "timeout": "soon"},
    {"headers": {"X-Token": SECRET}, "no_such_option": 1},
    {"sampling_policy": f"{URL}?team_id=7", "sampling_token": f"{SECRET} x"},
    {"sampling_policy": URL, "sampling_token": SECRET},
    {"certificate_file": "/does/not/exist", "headers": {"X-Token": SECRET}},
    {"sampling": True, "sample_rates": f"info={SECRET}"},
    {"redact_also": f"x={SECRET}"},
]


def locals_shown(error: BaseException) -> str:
    """The locals of all frames but the test's own, as a traceback shows them and in depth."""
    shown: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        shown += traceback.TracebackException.from_exception(seen, capture_locals=True).format()
        frame = seen.__traceback__
        while frame is not None:
            if frame.tb_frame.f_code.co_filename != __file__:
                for value in frame.tb_frame.f_locals.values():
                    shown.append(repr(value))
            frame = frame.tb_next
        seen = seen.__cause__ or seen.__context__
    # The test's own frames are the program's, which has the secret where it wrote it.
    return "".join(line for line in shown if __file__ not in line)


def raised(call: Callable[[], object]) -> BaseException:
    with pytest.raises((LogwellError, StoreError, TypeError, ValueError)) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("wrong", WRONG, ids=", ".join)
@pytest.mark.parametrize("make", [LogwellLogExporter, LogwellHandler, configure, Config.resolve])
def test_a_configuration_error_shows_no_secret(make: Any, wrong: dict[str, Any]) -> None:
    arguments = {"endpoint": URL, "api_key": KEY, **wrong}
    shown = locals_shown(raised(lambda: make(**arguments)))
    assert KEY not in shown
    assert SECRET not in shown


def test_neither_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGWELL_ENDPOINT", URL)
    monkeypatch.setenv("LOGWELL_HEADERS", f"X-Token={SECRET}")
    for key in (KEY, SECRET):
        monkeypatch.setenv("LOGWELL_API_KEY", key)
        shown = locals_shown(raised(lambda: LogwellLogExporter(timeout=-1)))
        assert key not in shown
        assert SECRET not in shown


@pytest.mark.parametrize(
    "wrong",
    [
        {"bearer": f"{SECRET} x"},
        {"url": f"https://u:{SECRET}@policies.example"},
        {"team_id": "7", "bearer": SECRET},
        {"service": "", "bearer": SECRET},
        {"timeout": -1, "bearer": SECRET},
    ],
)
def test_a_policy_server_shows_none(wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"url": URL, "service": "shop", "team_id": 7, **wrong}
    assert SECRET not in locals_shown(raised(lambda: PolicyServer(**arguments)))


@pytest.mark.parametrize("make", [LogwellReader, AsyncLogwellReader])
@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"endpoint": "nowhere"},
        {"endpoint": URL, "certificate_file": "/does/not/exist"},
        {"endpoint": URL, "no_such_option": 1},
        {"endpoint": f"https://u:{SECRET}@logs.example.com"},
    ],
    ids=repr,
)
def test_a_reader_shows_none(make: Any, wrong: dict[str, Any]) -> None:
    arguments = {"username": "bob", "password": SECRET, **wrong}
    assert SECRET not in locals_shown(raised(lambda: make(**arguments)))


def test_a_sign_in_that_nobody_answers_shows_none() -> None:
    reader = LogwellReader("http://127.0.0.1:1", "bob", SECRET)
    assert SECRET not in locals_shown(raised(reader.login))


def test_the_stand_in_shows_none() -> None:
    for wrong in (
        {"api_key": SECRET},
        {"api_key": KEY, "requests_per_minute": 0},
        {"api_key": KEY, "password": SECRET, "requests_per_minute": 0},
        {"password": SECRET, "username": "x"},
        {"api_key": KEY, "password": SECRET, "db": "/does/not/exist/logs.db"},
    ):
        shown = locals_shown(raised(lambda wrong=wrong: DevServer(**wrong)))  # type: ignore[misc]
        assert SECRET not in shown
        assert KEY not in shown


@pytest.mark.parametrize(
    "kind", [LogwellLogExporter, PolicyServer, DevServer, LogwellReader, AsyncLogwellReader]
)
def test_what_is_half_built_has_a_repr(kind: type[object]) -> None:
    assert repr(kind.__new__(kind)).startswith(f"<{kind.__name__}")
