"""Frameworks that set logging up again after `configure()`: every record arrives all the same."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from support.process import ask, listens, running, wait_until
from support.server import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

DJANGO = """
import logging, sys
import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path

if not settings.configured:
    settings.configure(
        DEBUG=True,
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="manage",
        SECRET_KEY="x",
        INSTALLED_APPS=["shop"],
        LOGGING={
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "root": {"handlers": ["console"], "level": "INFO"},
        },
    )


def order(request):
    logging.getLogger("shop.orders").info("order looked up")
    return HttpResponse("ok")


urlpatterns = [path("order", order)]
if __name__ == "__main__":
    sys.modules["manage"] = sys.modules["__main__"]
    execute_from_command_line(sys.argv)
"""
APP = """
from django.apps import AppConfig


class Shop(AppConfig):
    name = "shop"

    def ready(self):
        import logwell_otel

        logwell_otel.configure()
"""


@pytest.mark.parametrize("reload", ["", "--noreload"])
def test_djangos_development_server(receiver: DevServer, tmp_path: Path, reload: str) -> None:
    pytest.importorskip("django")
    (tmp_path / "manage.py").write_text(DJANGO)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "apps.py").write_text(textwrap.dedent(APP))
    port = free_port()
    command = f"python manage.py runserver --skip-checks {reload} 127.0.0.1:{port}"
    with running(command, receiver, tmp_path / "out", cwd=tmp_path) as server:
        wait_until(lambda: listens(port), server.said)
        assert ask(port, "/order") == 200
        wait_until(lambda: "order looked up" in messages(receiver), server.said)
        assert server.said().count("order looked up") == 1
    assert messages(receiver).count("order looked up") == 1


CELERY = """
import logging
import logwell_otel
from celery import Celery

logwell_otel.configure()  # at import: a worker takes all handlers off the root logger later
app = Celery("shop", broker="memory://")
app.conf.task_always_eager = False


@app.on_after_finalize.connect
def ready(sender, **_):
    logging.getLogger("shop.import").warning("when the worker begins")


from celery.signals import worker_ready


@worker_ready.connect
def begun(**_):
    logging.getLogger("shop.worker").info("the worker is ready")
"""


def test_a_celery_module_that_configures_when_it_is_imported(
    receiver: DevServer, tmp_path: Path
) -> None:
    pytest.importorskip("celery")
    (tmp_path / "tasks.py").write_text(CELERY)
    command = "celery --app tasks worker --pool solo --loglevel info --without-gossip"
    with running(command, receiver, tmp_path / "out", cwd=tmp_path) as worker:
        wait_until(lambda: "the worker is ready" in messages(receiver), worker.said)
        worker.stop()
    assert messages(receiver).count("the worker is ready") == 1


def messages(receiver: DevServer) -> list[str]:
    return [entry.message for entry in receiver.entries()]
