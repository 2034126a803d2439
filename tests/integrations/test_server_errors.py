"""One exception of a request is one record with it, whatever the server's loggers do."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.process import NEVER_BY_TIME, ask, listens, running, wait_until
from support.server import free_port

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer, Entry

ZERO_CODE = {
    "OTEL_LOGS_EXPORTER": "logwell",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
}
ASGI = """
import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/fail")
def fail():
    raise ValueError("order 13 is cursed")
"""
WITH_REQUEST_LOG = """
import logwell_otel
from logwell_otel.integrations.asgi import RequestLogMiddleware

pipeline = logwell_otel.configure()
app.add_middleware(RequestLogMiddleware)
app.router.on_shutdown.append(pipeline.ashutdown)
"""
DJANGO = """
import logwell_otel
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path
from logwell_otel.integrations.wsgi import RequestLogMiddleware

own = {"handlers": ["console"], "level": "INFO", "propagate": False}
settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="x",
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"django": own, "django.request": own},
    },
)


def fail(request):
    raise ValueError("order 13 is cursed")


urlpatterns = [path("fail", fail)]
logwell_otel.configure()
app = RequestLogMiddleware(get_wsgi_application())
"""


FLASK = """
import logwell_otel
from flask import Flask
from logwell_otel.integrations.wsgi import RequestLogMiddleware

app = Flask("shop_app")


@app.get("/fail")
def fail():
    raise ValueError("order 13 is cursed")


logwell_otel.configure()
app.wsgi_app = RequestLogMiddleware(app.wsgi_app)
"""


def fails(
    receiver: DevServer, tmp_path: Path, text: str, command: str, variables: dict[str, str]
) -> list[Entry]:
    """The error entries of one request that fails, and what was printed."""
    (tmp_path / "shop_app.py").write_text(textwrap.dedent(text))
    port = free_port()
    with running(
        command.format(port=port),
        receiver,
        tmp_path / "out",
        {**NEVER_BY_TIME, **variables},
        cwd=tmp_path,
    ) as server:
        wait_until(lambda: listens(port), server.said)
        assert ask(port, "/fail") == 500
        server.stop()
        assert server.said().count("ValueError: order 13 is cursed") == 1, server.said()
    return [entry for entry in receiver.entries() if entry.level == "error"]


def with_the_exception(entries: list[Entry]) -> list[str]:
    """The first words of those that have it; each says by its place which line has raised."""
    found = [entry for entry in entries if "exception.stacktrace" in entry.metadata]
    for entry in found:
        raised = Path(entry.source_file or "").read_text().splitlines()
        assert "order 13 is cursed" in raised[(entry.line_number or 0) - 1]
        assert entry.metadata["code.function.name"] == "fail"
    return [entry.message.split()[0] for entry in found]


@pytest.mark.parametrize(
    ("without", "says"),
    [("", "Exception in ASGI application"), ("fastapi", "Unhandled exception in FastAPI request")],
)
def test_fastapi_without_code(receiver: DevServer, tmp_path: Path, without: str, says: str) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("opentelemetry.instrumentation.fastapi")
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")
    variables = {**ZERO_CODE, "OTEL_BLRP_SCHEDULE_DELAY": "100"}
    if without:
        pytest.importorskip("fastapi.telemetry")  # newer ones emit a record themselves
        variables["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"] = without
    command = "opentelemetry-instrument uvicorn shop_app:app --port {port}"
    ending = "app.router.on_shutdown.append(lambda: __import__('time').sleep(1))"
    entries = fails(receiver, tmp_path, f"{ASGI}\n{ending}", command, variables)
    assert [entry.message.strip() for entry in entries] == [says]
    assert with_the_exception(entries) == [says.split(maxsplit=1)[0]]


@pytest.mark.parametrize("log_config", ["", ", log_config=None"])
def test_fastapi_with_the_request_log(receiver: DevServer, tmp_path: Path, log_config: str) -> None:
    pytest.importorskip("fastapi")
    start = f"import sys; uvicorn.run(app, port=int(sys.argv[1]){log_config})"
    text = f"{ASGI}\n{WITH_REQUEST_LOG}\n{start}"
    entries = fails(receiver, tmp_path, text, "python shop_app.py {port}", {})
    assert with_the_exception(entries) == ["GET"]
    assert len(entries) == 1


def test_django_that_keeps_its_errors_to_itself(receiver: DevServer, tmp_path: Path) -> None:
    pytest.importorskip("django")
    pytest.importorskip("gunicorn")
    command = "gunicorn --bind 127.0.0.1:{port} shop_app:app"
    entries = fails(receiver, tmp_path, DJANGO, command, {})
    assert sorted(entry.message.split()[0] for entry in entries) == ["GET", "Internal"]
    assert with_the_exception(entries) == ["Internal"]


def test_flask(receiver: DevServer, tmp_path: Path) -> None:
    pytest.importorskip("flask")
    pytest.importorskip("gunicorn")
    command = "gunicorn --bind 127.0.0.1:{port} shop_app:app"
    entries = fails(receiver, tmp_path, FLASK, command, {})
    assert sorted(entry.message.split()[0] for entry in entries) == ["Exception", "GET"]
    assert with_the_exception(entries) == ["Exception"]
    assert len({entry.request_id for entry in entries}) == 1
