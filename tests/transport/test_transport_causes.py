"""Why there is no answer is said as what it is: the network's, this process's, or a defect."""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import httpcore
import pytest

import logwell_otel
from logwell_otel import LogwellError, LogwellLogExporter
from logwell_otel._config.options import Config
from logwell_otel._delivery import engine
from logwell_otel._http import Answer, HttpTransport, NoAnswer, requests_problem
from logwell_otel._process import stands_in_the_way
from support.config import KEY
from support.server import SocketServer, answer_all, response

if TYPE_CHECKING:
    from logwell_otel._http import Cause

BODY = b'[{"level":"info","message":"hello"}]'
COUNTS = b'{"accepted":1}'


def transport_to(url: str) -> HttpTransport:
    return engine.transport_to(Config.resolve({}, endpoint=url, api_key=KEY))


@pytest.mark.socket
@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (httpcore.ConnectError("refused"), "network"),
        (httpcore.RemoteProtocolError("no HTTP"), "network"),
        (httpcore.ProxyError("407"), "network"),
        (OSError(errno.ECONNRESET, "reset"), "network"),
        (OSError(errno.EMFILE, "Too many open files"), "process"),
        (OSError(errno.EBADF, "Bad file descriptor"), "process"),
        (MemoryError(), "process"),
        (ImportError("no module"), "process"),
        (httpcore.PoolTimeout("no connection"), "defect"),
        (httpcore.LocalProtocolError("header"), "defect"),
        (TypeError("'NoneType' object is not callable"), "defect"),
        (RecursionError(), "defect"),
    ],
    ids=repr,
)
def test_whose_failure_it_is_and_the_next_request_has_a_connection_of_its_own(
    error: Exception, cause: Cause, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SocketServer(answer_all()) as server:
        transport = transport_to(server.url)
        assert isinstance(transport.post(BODY, 10), Answer)
        with monkeypatch.context() as patch:

            def fail(*_: object) -> None:
                raise error

            patch.setattr(httpcore.HTTPConnection, "handle_request", fail)
            reply = transport.post(BODY, 10)
        assert isinstance(reply, NoAnswer)
        assert reply.cause == cause
        assert isinstance(transport.post(BODY, 10), Answer)
        assert server.connections == 2
        transport.close()


def test_too_many_open_files_are_this_processs_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("socket.getaddrinfo", full)
    reply = transport_to("http://logs.example.com").post(BODY, 10)
    assert reply == NoAnswer("ConnectError: [Errno 24] Too many open files", "process")


def test_a_package_that_is_gone_by_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `os.chroot`."""
    transport = transport_to("http://logs.example.com")
    monkeypatch.setitem(sys.modules, "httpcore", None)
    reply = transport.post(BODY, 10)
    assert isinstance(reply, NoAnswer)
    assert reply.cause == "process"
    assert reply.reason.startswith("ModuleNotFoundError: import of httpcore halted")


def test_a_package_that_is_not_installed_is_refused_at_construction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("logwell_otel._http.find_spec", lambda _: None)
    with pytest.raises(LogwellError) as caught:
        LogwellLogExporter("http://logs.example.com", KEY)
    assert caught.value.message == (
        "Nothing could be sent from here: the package httpcore is not installed: "
        "pip install logwell-otel installs it."
    )


def run(folder: Path, program: str, **variables: str) -> str:
    """What a program in that folder prints."""
    path = folder / "main.py"
    path.write_text(program)
    done = subprocess.run(
        [sys.executable, str(path)],
        env={
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith("LOGWELL") and not name.lower().endswith("_proxy")
            },
            "PYTHONPATH": str(Path(logwell_otel.__file__).parents[1]),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CONSTRUCT = f"""
import logwell_otel
try:
    logwell_otel.LogwellLogExporter("http://127.0.0.1:9", "{KEY}")
except logwell_otel.LogwellError as error:
    print(error.code, error)
"""


@pytest.mark.process
def test_a_file_in_the_place_of_a_package_is_named_at_construction(tmp_path: Path) -> None:
    (tmp_path / "httpcore.py").write_text("")
    assert run(tmp_path, CONSTRUCT) == (
        f"INVALID_CONFIG Nothing could be sent from here: {tmp_path}/httpcore.py stands in the "
        "place of the package httpcore: rename it."
    )


@pytest.mark.process
def test_a_file_in_the_place_of_pythons_http_is_named_where_a_proxy_needs_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "http.py").write_text("")
    assert run(tmp_path, CONSTRUCT, HTTP_PROXY="http://127.0.0.1:9") == (
        f"INVALID_CONFIG The proxy's settings cannot be read: {tmp_path}/http.py stands in the "
        "place of the module http: rename it."
    )
    assert run(tmp_path, CONSTRUCT) == ""  # nobody needs it there


@pytest.mark.process
def test_a_broken_package_is_named_by_the_first_request(tmp_path: Path) -> None:
    package = tmp_path / "h11"
    package.mkdir()
    (package / "__init__.py").write_text("")
    program = f"""
from logwell_otel._config.options import Config
from logwell_otel._delivery.engine import transport_to
config = Config.resolve({{}}, endpoint="http://127.0.0.1:9", api_key="{KEY}")
answer = transport_to(config).post(b"[]", 5)
print(answer.cause, answer.reason)
"""
    said = run(tmp_path, program)
    assert said.startswith("process AttributeError: module 'h11' has no attribute ")
    assert said.endswith(f"; {package} stands in the place of the module h11: rename it")


def test_nothing_stands_in_the_way_of_the_tests() -> None:
    assert stands_in_the_way() is None
    assert requests_problem() is None


@pytest.mark.socket
@pytest.mark.parametrize(
    ("encoding", "body", "understood"),
    [
        ("gzip", gzip.compress(COUNTS, mtime=0), COUNTS),
        ("x-gzip", gzip.compress(COUNTS, mtime=0), COUNTS),
        ("deflate", zlib.compress(COUNTS), COUNTS),
        (" GZip ", gzip.compress(COUNTS, mtime=0), COUNTS),
        ("identity", COUNTS, COUNTS),
        ("br", COUNTS, b""),
        ("gzip, gzip", gzip.compress(COUNTS, mtime=0), b""),
        ("gzip", b"no gzip", b""),
        ("gzip", gzip.compress(COUNTS, mtime=0)[:-9], COUNTS),
        ("gzip", gzip.compress(b"x" * 50_000_000, mtime=0), b"x" * 256 * 1024),
    ],
)
def test_a_compressed_answer_is_decoded_and_bounded(
    encoding: str, body: bytes, understood: bytes
) -> None:
    answer = response(body, "200 OK", f"Content-Encoding: {encoding}")
    with SocketServer(answer_all(answer)) as server:
        transport = transport_to(server.url)
        reply = transport.post(BODY, 10)
        transport.close()
    assert isinstance(reply, Answer)
    assert reply.body == understood
