"""Signing in: where the account comes from, the session that is kept, and what is said."""

from __future__ import annotations

import asyncio
import pickle
import random
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel import LogwellError, LogwellErrorCode
from logwell_otel._http import Answer
from logwell_otel.reader import AsyncLogwellReader, LogwellReader
from logwell_otel.reader.session import Account, SessionFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from logwell_otel.devserver import DevServer

pytestmark = pytest.mark.socket


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "byte order mark"])
def test_the_account_comes_from_variables(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mark: str
) -> None:
    password = tmp_path / "password"
    password.write_text(f"{mark}{server.password}\n", encoding="utf-8")
    monkeypatch.setenv("LOGWELL_ENDPOINT", server.url)
    monkeypatch.setenv("LOGWELL_USERNAME", server.username)
    monkeypatch.setenv("LOGWELL_PASSWORD_FILE", str(password))
    with LogwellReader() as reader:
        assert [project.name for project in reader.projects()] == ["development"]


def test_a_kept_session_needs_no_account(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "logwell" / "session.json"
    account = (server.url, server.username, server.password)
    with LogwellReader(*account, session_file=file, keep_session=True) as reader:
        reader.login()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert server.password not in file.read_text()
    with LogwellReader(server.url, session_file=file) as reader:
        assert list(reader.search()) == []
        reader.logout()
    assert not file.exists()
    with pytest.raises(LogwellError, match="Run `logwell-otel login`"):
        LogwellReader(server.url, session_file=file)


def test_another_users_session_is_not_used(server: DevServer, tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    SessionFile(file).save(server.url, "ann", "a=b")
    assert SessionFile(file).load(server.url, "ann") == "a=b"
    assert SessionFile(file).load(server.url, "bob") is None
    assert SessionFile(file).load("http://127.0.0.1:1", "ann") is None


def test_a_session_that_others_can_read_is_not_used(server: DevServer, tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    SessionFile(file).save(server.url, "ann", "a=b")
    file.chmod(0o644)
    with pytest.raises(LogwellError, match="can be read by others"):
        LogwellReader(server.url, session_file=file)


def test_a_session_that_is_over_is_renewed(server: DevServer) -> None:
    with LogwellReader(server.url, server.username, server.password) as reader:
        assert list(reader.search()) == []
        reader._cookie = "__Secure-better-auth.session_token=over.forged"  # noqa: SLF001
        assert list(reader.search()) == []


@pytest.mark.parametrize(
    ("password", "code", "said"),
    [("wrong", LogwellErrorCode.UNAUTHORIZED, "does not take this user name and password")],
)
def test_a_wrong_password(
    server: DevServer, password: str, code: LogwellErrorCode, said: str
) -> None:
    with LogwellReader(server.url, server.username, password) as reader:
        with pytest.raises(LogwellError, match=said) as caught:
            list(reader.search())
        assert (caught.value.code, caught.value.status_code) == (code, 401)
        for _ in range(2):
            with pytest.raises(LogwellError):
                list(reader.search())
        with pytest.raises(LogwellError, match="no more sign-ins for 10 s") as caught:
            list(reader.search())
        assert (caught.value.code, caught.value.retry_after) == (
            LogwellErrorCode.RATE_LIMITED,
            10.0,
        )


def test_a_session_without_an_account_that_is_over_says_so(
    server: DevServer, tmp_path: Path
) -> None:
    SessionFile().save(server.url, "ann", "__Secure-better-auth.session_token=over.forged")
    with (
        LogwellReader(server.url) as reader,
        pytest.raises(LogwellError, match="Sign in again") as caught,
    ):
        list(reader.search())
    assert caught.value.code == LogwellErrorCode.UNAUTHORIZED


def test_the_project_must_be_one_of_the_users(server: DevServer) -> None:
    with (
        LogwellReader(server.url, server.username, server.password, project="shop") as reader,
        pytest.raises(LogwellError, match="'development'\\), got 'shop'"),
    ):
        list(reader.search())


def test_answers_of_500_that_pass_are_asked_again(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    reader = LogwellReader(
        server.url, server.username, server.password, _sleep=waits.append, _rng=random.Random(1)
    )
    reader.projects()
    failing = [5, 6]
    ask = reader._client.request  # noqa: SLF001 - fails as overlapping requests do

    def request(*arguments: Any) -> Any:
        if failing[0]:
            failing[0] -= 1
            return Answer(500, {}, b'{"id":"x","message":"Internal server error"}')
        return ask(*arguments)

    monkeypatch.setattr(reader._client, "request", request)  # noqa: SLF001
    assert [project.name for project in reader.projects()] == ["development"]
    assert len(waits) == 5
    assert all(0.05 <= wait <= 0.3 for wait in waits)
    failing[0] = 6
    with pytest.raises(LogwellError, match="HTTP 500: Internal server error") as caught:
        reader.projects()
    assert caught.value.code == LogwellErrorCode.SERVER_ERROR
    reader.close()


def test_no_server() -> None:
    with (
        LogwellReader("http://127.0.0.1:9", "admin", "secret-password") as reader,
        pytest.raises(LogwellError, match="No answer from http://127") as caught,
    ):
        list(reader.search())
    assert caught.value.code == LogwellErrorCode.NETWORK_ERROR
    assert "secret-password" not in str(caught.value)


def test_the_password_shows_nowhere(server: DevServer) -> None:
    account = Account("ann", "secret-password")
    reader = LogwellReader(server.url, "ann", "secret-password")
    assert "secret" not in f"{account!r} {reader!r} {vars(reader)!r}"
    with pytest.raises(TypeError):
        pickle.dumps(account)
    reader.close()


@pytest.mark.parametrize("kind", [LogwellReader, AsyncLogwellReader])
def test_what_shows_the_locals_of_frames_shows_no_secret(
    kind: type[LogwellReader | AsyncLogwellReader], server: DevServer
) -> None:
    """As `pytest -l`, rich and error trackers do."""

    def use(endpoint: str | None, method: str, *arguments: Any) -> LogwellError:
        try:
            reader = kind(endpoint, "ann", "secret-password")
            core = reader if isinstance(reader, LogwellReader) else reader._reader  # noqa: SLF001
            opened.append(core)
            core._cookie = cookie  # noqa: SLF001
            found = getattr(reader, method)(*arguments)
            if isinstance(reader, LogwellReader):
                list(found)
            else:
                asyncio.run(first(found) if hasattr(found, "__anext__") else found)
        except LogwellError as error:
            return error
        finally:
            for one in opened:
                one.close()
            opened.clear()
        raise AssertionError("it raises")

    async def first(rows: Any) -> object:
        return await anext(rows)

    opened: list[LogwellReader] = []
    cookie: str | None = None
    errors = [use(None, "search"), use(server.url, "login"), use(server.url, "search")]
    cookie = "secret-cookie"
    errors += [use("http://127.0.0.1:9", "search"), use("http://127.0.0.1:9", "tail")]
    errors += [use("http://127.0.0.1:9", "logout"), use("http://127.0.0.1:9", "incident", "x")]
    for error in errors:
        for frame in _traceback(error):
            if frame.tb_frame.f_code.co_filename != __file__:
                shown = [f"{name}={value!r}" for name, value in frame.tb_frame.f_locals.items()]
                assert [one for one in shown if "secret-" in one] == []
        assert "Account ann" not in f"{error!r}"


def _traceback(error: BaseException) -> Iterator[TracebackType]:
    one = error.__traceback__
    while one is not None:
        yield one
        one = one.tb_next


def test_a_gateway_that_takes_no_more_requests_is_waited_for(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    reader = LogwellReader(server.url, server.username, server.password, _sleep=waits.append)
    reader.projects()
    ask = reader._client.request  # noqa: SLF001 - a gateway stands in front
    answers = [Answer(429, {"retry-after": "7"}, b""), Answer(429, {}, b"")]

    def request(*arguments: Any) -> Any:
        return answers.pop(0) if answers else ask(*arguments)

    monkeypatch.setattr(reader._client, "request", request)  # noqa: SLF001
    assert [project.name for project in reader.projects()] == ["development"]
    assert [int(wait) for wait in waits] == [7, 1]
    answers.append(Answer(429, {"retry-after": "3600"}, b'{"message":"slow down"}'))
    with pytest.raises(LogwellError, match=r"HTTP 429: slow down\..*after 3600 s") as caught:
        reader.projects()
    assert (caught.value.code, caught.value.retryable, caught.value.retry_after) == (
        LogwellErrorCode.RATE_LIMITED,
        True,
        3600.0,
    )
    reader.close()


def test_logout_forgets_the_session_whatever_the_server_says(
    server: DevServer, tmp_path: Path
) -> None:
    file = tmp_path / "session.json"
    SessionFile(file).save("http://127.0.0.1:9", "ann", "a=b")
    with (
        LogwellReader("http://127.0.0.1:9", session_file=file) as reader,
        pytest.raises(LogwellError, match="No answer"),
    ):
        reader.logout()
    assert not file.exists()


def test_the_asynchronous_reader(server: DevServer, ingest: Callable[..., None]) -> None:
    ingest("one", {"level": "error", "message": "two"})

    async def use() -> None:
        async with AsyncLogwellReader(server.url, server.username, server.password) as reader:
            await reader.login()
            assert reader.endpoint == server.url
            assert [project.name for project in await reader.projects()] == ["development"]
            assert sorted([row.message async for row in reader.search()]) == ["one", "two"]
            assert [row.message async for row in reader.search(level="error")] == ["two"]
            with pytest.raises(LogwellError, match="level: expected one of"):
                reader.search(level="loud")
            (incident,) = await reader.incidents()
            assert (await reader.incident(incident.id)).title == "two"
            assert (await reader.stats()).total_logs == 2
            tailed = []
            async for row in reader.tail(history=1):
                tailed.append(row.message)
                if len(tailed) == 2:
                    break
                await asyncio.to_thread(ingest, "three")
            assert tailed[1:] == ["three"]
            await reader.logout()

    asyncio.run(use())


def test_what_is_cancelled_ends_at_once(server: DevServer, ingest: Callable[..., None]) -> None:
    """A tail that waits for entries, and one that waits for a server that is away."""
    ingest("one")

    async def use(seconds: float, *, away: bool) -> list[str]:
        seen = []
        async with AsyncLogwellReader(server.url, server.username, server.password) as reader:

            async def follow() -> None:
                async for row in reader.tail(history=1):
                    seen.append(row.message)
                    if away:
                        server.stop()

            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(follow(), seconds)
        return seen

    before = threading.active_count()
    assert asyncio.run(use(0.5, away=False)) == ["one"]
    # The third pause is one of a second or more, which nobody waits for.
    assert asyncio.run(use(2.0, away=True)) == ["one"]
    assert threading.active_count() <= before
