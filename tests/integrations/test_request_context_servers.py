"""The id of a request on what it logs, in real servers, with requests at the same time."""

from __future__ import annotations

import textwrap
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from support.process import NEVER_BY_TIME, PATIENCE, Running, listens, running, wait_until
from support.server import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer, Entry

FASTAPI = """
import asyncio, logging, time
import logwell_otel
from fastapi import BackgroundTasks, Depends, FastAPI
from fastapi.responses import StreamingResponse
from logwell_otel.context import add_to_request
from logwell_otel.integrations.asgi import RequestLogMiddleware

pipeline = logwell_otel.configure()
log = logging.getLogger("shop")
app = FastAPI()
app.add_middleware(
    RequestLogMiddleware, context=("request_id", "method", "route", "user"), echo_request_id=True
)


def user(name: str):
    add_to_request(user_id=f"user of {name}")


@app.get("/plain")
async def plain(name: str):
    log.info("first %s", name)
    await asyncio.sleep(0.01)
    log.info("second %s", name)


@app.get("/thread", dependencies=[Depends(user)])
def thread(name: str, tasks: BackgroundTasks):
    log.info("first %s", name)
    time.sleep(0.01)
    tasks.add_task(log.info, "second %s", name)


@app.get("/stream")
def stream(name: str):
    def lines():
        log.info("first %s", name)
        yield "one"
        time.sleep(0.01)
        log.info("second %s", name)
        yield "two"

    return StreamingResponse(lines())


@app.get("/fail")
async def fail(name: str):
    log.info("first %s", name)
    log.info("second %s", name)
    raise ValueError(name)
"""
FLASK = """
import logging, time
import logwell_otel
from flask import Flask, Response, request
from logwell_otel.context import add_to_request
from logwell_otel.integrations.wsgi import RequestLogMiddleware

pipeline = logwell_otel.configure()
log = logging.getLogger("shop")
app = Flask("shop_app")
app.wsgi_app = RequestLogMiddleware(
    app.wsgi_app, context=("request_id", "method", "route", "user"), echo_request_id=True
)


@app.get("/plain")
def plain():
    log.info("first %s", request.args["name"])
    time.sleep(0.01)
    log.info("second %s", request.args["name"])
    return "ok"


@app.get("/thread")
def thread():
    name = request.args["name"]
    add_to_request(user_id=f"user of {name}")
    return plain()


@app.get("/stream")
def stream():
    name = request.args["name"]

    def lines():
        log.info("first %s", name)
        yield "one"
        time.sleep(0.01)
        log.info("second %s", name)
        yield "two"

    return Response(lines())


@app.get("/fail")
def fail():
    log.info("first %s", request.args["name"])
    log.info("second %s", request.args["name"])
    raise ValueError(request.args["name"])
"""
DJANGO = """
import logging, time
import logwell_otel
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from logwell_otel.context import add_to_request
from logwell_otel.integrations import asgi, wsgi

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="x",
    MIDDLEWARE=["logwell_otel.integrations.django.request_log_details"],
)
log = logging.getLogger("shop")


def plain(request):
    log.info("first %s", request.GET["name"])
    time.sleep(0.01)
    log.info("second %s", request.GET["name"])
    return HttpResponse("ok")


def thread(request):
    add_to_request(user_id=f"user of {request.GET['name']}")
    return plain(request)


def stream(request):
    def lines():
        log.info("first %s", request.GET["name"])
        yield b"one"
        log.info("second %s", request.GET["name"])
        yield b"two"

    return StreamingHttpResponse(lines())


def fail(request):
    log.info("first %s", request.GET["name"])
    log.info("second %s", request.GET["name"])
    raise ValueError(request.GET["name"])


urlpatterns = [path(view.__name__, view) for view in (plain, thread, stream, fail)]
pipeline = logwell_otel.configure()
options = {"context": ("request_id", "method", "route", "user"), "echo_request_id": True}
app = wsgi.RequestLogMiddleware(get_wsgi_application(), **options)
asgi_app = asgi.RequestLogMiddleware(get_asgi_application(), **options)
"""
KINDS = ("plain", "thread", "stream", "fail")
CLIENTS = 6


def client(port: int, number: int) -> None:
    """Some requests over one connection; each is told its id, and tells it."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for kind in KINDS:
        name = f"{kind}-{number}"
        connection.request("GET", f"/{kind}?name={name}", headers={"X-Request-ID": name})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == (500 if kind == "fail" else 200)
        # What answers in the place of a framework that raised knows nothing of the id.
        assert answer.getheader("X-Request-ID", name) == name
        assert kind == "fail" or answer.getheader("X-Request-ID") == name
    connection.close()  # as uvicorn does itself after an exception
    connection.request("GET", "/nowhere")
    answer = connection.getresponse()
    answer.read()
    assert len(answer.getheader("X-Request-ID", "")) == 32
    connection.close()


def served(
    receiver: DevServer, tmp_path: Path, text: str, command: str
) -> tuple[list[Entry], Running]:
    (tmp_path / "shop_app.py").write_text(textwrap.dedent(text))
    port = free_port()
    with running(
        command.format(port=port), receiver, tmp_path / "out", NEVER_BY_TIME, cwd=tmp_path
    ) as server:
        wait_until(lambda: listens(port), server.said)
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(client, [port] * CLIENTS, range(CLIENTS)))
        server.stop()
    return receiver.entries(), server


GUNICORN = "gunicorn --bind 127.0.0.1:{port} --threads 4 --access-logfile - shop_app:app"
UVICORN = "uvicorn --port {port} shop_app:"


@pytest.mark.parametrize(
    ("package", "text", "command"),
    [
        ("fastapi", FASTAPI, UVICORN + "app"),
        ("flask", FLASK, GUNICORN),
        ("django", DJANGO, GUNICORN),
        ("django", DJANGO, UVICORN + "asgi_app"),
    ],
    ids=["fastapi-uvicorn", "flask-gunicorn", "django-gunicorn", "django-uvicorn"],
)
def test_requests_at_the_same_time(
    package: str, text: str, command: str, receiver: DevServer, tmp_path: Path
) -> None:
    pytest.importorskip(package)
    pytest.importorskip(command.split(maxsplit=1)[0])
    entries, server = served(receiver, tmp_path, text, command)
    for number in range(CLIENTS):
        for kind in KINDS:
            name = f"{kind}-{number}"
            mine = [entry for entry in entries if entry.request_id == name]
            said = [entry.message for entry in mine]
            assert {"first " + name, "second " + name} <= set(said), server.said()
            (own,) = [entry for entry in mine if entry.message.startswith("GET ")]
            assert own.metadata["url.path"] == f"/{kind}"
            # The framework's own about an exception, and nobody else's.
            assert len(mine) == 3 + (kind == "fail" and package != "fastapi"), said
            assert sum("exception.stacktrace" in entry.metadata for entry in mine) == (
                kind == "fail"
            )
            for entry in mine:
                assert entry.metadata["http.request.method"] == "GET"
                assert entry.metadata["http.route"] == f"/{kind}"
                assert entry.user_id == (f"user of {name}" if kind == "thread" else None)
    strangers = [entry for entry in entries if entry.message.endswith(("-", "ms"))]
    made = {entry.request_id for entry in strangers if entry.metadata.get("url.path") == "/nowhere"}
    assert len(made) == CLIENTS
    assert all(one and len(one) == 32 for one in made)
