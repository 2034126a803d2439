"""Requests, then SIGTERM at once, under the servers people use: each request's record arrives."""

from __future__ import annotations

import importlib.util
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from support.process import NEVER_BY_TIME, NO_THREADS_AT_EXIT, ask, listens, running, wait_until
from support.server import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

APP = """
import logging, os

if "CONFIGURE" in os.environ:
    import logwell_otel
    logwell_otel.configure()
logging.getLogger().setLevel(logging.INFO)
logger = logging.getLogger("shop")

def wsgi(environ, start_response):
    logger.info("request %s", environ["PATH_INFO"])
    start_response("200 OK", [])
    return [b"ok"]

async def asgi(scope, receive, send):
    while scope["type"] == "lifespan":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
    logger.info("request %s", scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})

def create_app():
    from flask import Flask
    app = Flask(__name__)
    app.wsgi_app = wsgi
    return app
"""

SERVERS = {
    "uvicorn": "uvicorn app:asgi --port {port}",
    "uvicorn_workers": "uvicorn app:asgi --port {port} --workers 2",
    "uvloop": "uvicorn app:asgi --port {port} --loop uvloop",
    "gunicorn": "gunicorn app:wsgi -b 127.0.0.1:{port} -w 2",
    "gunicorn_threads": "gunicorn app:wsgi -b 127.0.0.1:{port} -k gthread",
    "gunicorn_preload": "gunicorn app:wsgi -b 127.0.0.1:{port} -w 2 --preload",
    "uvicorn_worker": "gunicorn app:asgi -b 127.0.0.1:{port} -w 2 -k uvicorn_worker.UvicornWorker",
    "uvicorn_worker_preload": "gunicorn app:asgi -b 127.0.0.1:{port} -w 2 --preload "
    "-k uvicorn_worker.UvicornWorker",
    "gevent": "gunicorn app:wsgi -b 127.0.0.1:{port} -k gevent --graceful-timeout 5",
    "gevent_preload": "gunicorn app:wsgi -b 127.0.0.1:{port} -k gevent --graceful-timeout 5 "
    "--preload",
    "eventlet": "gunicorn app:wsgi -b 127.0.0.1:{port} -k eventlet",
    "hypercorn": "hypercorn app:asgi -b 127.0.0.1:{port}",
    "waitress": "waitress-serve --listen 127.0.0.1:{port} app:wsgi",
    "flask": "flask --app app:create_app run --port {port}",
}


def skip_unless_there(server: str) -> None:
    command = SERVERS[server]
    names = {"gevent", "uvicorn_worker", "uvloop", "hypercorn", "waitress", "flask", "gunicorn"}
    for name in names:
        if name in command and importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    if "gevent" in server and NO_THREADS_AT_EXIT:
        pytest.skip(
            "gevent looks up addresses on a thread, and this Python starts none at its exit"
        )
    if server == "eventlet" and importlib.util.find_spec("gunicorn.workers.geventlet") is None:
        pytest.skip("this gunicorn has no eventlet worker: it went with version 26")


@pytest.mark.parametrize("way", ["configure", "zero-code"])
@pytest.mark.parametrize("server", SERVERS)
def test_the_last_requests_before_sigterm(
    receiver: DevServer, tmp_path: Path, server: str, way: str
) -> None:
    skip_unless_there(server)
    command, variables = SERVERS[server], {"CONFIGURE": "yes"}
    if way == "zero-code":
        pytest.importorskip("opentelemetry.distro")
        pytest.importorskip("opentelemetry.instrumentation.logging.handler")
        command = f"opentelemetry-instrument {command}"
        variables = {"OTEL_LOGS_EXPORTER": "logwell"}
        variables |= {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    (tmp_path / "app.py").write_text(APP)
    port = free_port()
    with running(
        command.format(port=port),
        receiver,
        tmp_path / "out",
        {**NEVER_BY_TIME, **variables, "PYTHONWARNINGS": "ignore"},
        cwd=tmp_path,
    ) as program:
        wait_until(lambda: listens(port) or program.process.poll() is not None, program.said)
        for number in range(6):
            assert ask(port, f"/{number}") == 200, program.said()
        program.stop()
        said = program.said()
    arrived = Counter(e.message for e in receiver.entries() if e.message.startswith("request "))
    assert arrived == {f"request /{number}": 1 for number in range(6)}, said
