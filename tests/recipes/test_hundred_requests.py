"""A new user's first day: a hundred requests and a SIGTERM, and every record arrives once.

From the built wheel in an environment that holds nothing else but what the program needs, by
commands as the pages have them. Five programs, each with `configure()` and without code; some
requests raise, and the signal comes right behind the last.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from support.nightly import nightly
from support.process import NEVER_BY_TIME, PATIENCE, ask, listens, needs_threads_at_exit, wait_until
from support.server import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from logwell_otel.devserver import DevServer, Entry
    from support.terminal import Terminal

REQUESTS = 100
CONFIGURE, WITHOUT_CODE = "configure()", "without code"

PLACE = """
import logging

logger = logging.getLogger("shop.orders")


def place(number):
    logger.info("order %d placed", number)
    if number % 10 == 3:
        logger.warning("order %d was the last in stock", number)
    if number % 10 == 7:
        raise ValueError(f"order {number} is cursed")
    return {"order": number}
"""

SCRIPT = """
import logging, time
from orders import place
{configure}
for number in range(100):
    try:
        place(number)
    except ValueError:
        logging.exception("order %d failed", number)
print("all placed", flush=True)
time.sleep(600)
"""

FLASK = """
from flask import Flask
from orders import place
{configure}
app = Flask("shop")


@app.get("/orders/<int:number>")
def order(number):
    return place(number)

{middleware}
"""
FLASKS = """
from logwell_otel.integrations.wsgi import RequestLogMiddleware
app.wsgi_app = RequestLogMiddleware(app.wsgi_app)
"""

FASTAPI = """
from fastapi import FastAPI
from orders import place
{configure}
app = FastAPI()


@app.get("/orders/{{number}}")
def order(number: int):
    return place(number)

{middleware}
"""
FASTAPIS = """
from logwell_otel.integrations.asgi import RequestLogMiddleware
app.add_middleware(RequestLogMiddleware)
"""

# In a project that `django-admin startproject shop .` has made.
DJANGO = {
    "shop/urls.py": """
from django.http import JsonResponse
from django.urls import path
from orders import place

urlpatterns = [path("orders/<int:number>", lambda request, number: JsonResponse(place(number)))]
""",
    "shop/apps.py": """
from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "shop"

    def ready(self):
        import logwell_otel
        logwell_otel.configure()
""",
}
DJANGOS_SETTINGS = """
INSTALLED_APPS += ["shop.apps.ShopConfig"]
MIDDLEWARE.insert(0, "logwell_otel.integrations.django.request_log_details")
"""
DJANGOS_MIDDLEWARE = """
from logwell_otel.integrations.wsgi import RequestLogMiddleware
application = RequestLogMiddleware(application)
"""

CELERY = """
from celery import Celery
from orders import place
{configure}
app = Celery("shop", broker="filesystem://localhost")
app.conf.broker_transport_options = {{
    "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "queue",
    "polling_interval": 0.01,
}}


@app.task(name="place")
def task(number):
    place(number)


if __name__ == "__main__":
    for number in range(100):
        task.delay(number)
"""

SET_UP = "import logwell_otel\nlogwell_otel.configure()\n"


class Program(NamedTuple):
    """How people start it."""

    needs: str
    command: str
    file: str = ""
    middleware: str = ""
    instrumentation: str = ""

    @property
    def serves(self) -> bool:
        return "{port}" in self.command


PROGRAMS = {
    "script": Program("", "python app.py", SCRIPT),
    "Flask": Program(
        "flask gunicorn",
        "gunicorn --workers 2 --bind 127.0.0.1:{port} app:app",
        FLASK,
        FLASKS,
        "opentelemetry-instrumentation-flask",
    ),
    "FastAPI": Program(
        "fastapi uvicorn",
        "uvicorn app:app --port {port}",
        FASTAPI,
        FASTAPIS,
        "opentelemetry-instrumentation-fastapi",
    ),
    "Django": Program(
        "django gunicorn",
        "gunicorn --workers 2 --bind 127.0.0.1:{port} shop.wsgi",
        "",
        "",
        "opentelemetry-instrumentation-django",
    ),
    "Celery": Program("celery", "celery --app app worker --loglevel INFO --concurrency 2", CELERY),
}

FAILED: Final[dict[str, Callable[[int, str], str]]] = {
    "script": lambda number, way: f"order {number} failed",
    "Flask": lambda number, way: f"Exception on /orders/{number} [GET]",
    # The request's own record has the exception; without one, uvicorn's.
    "FastAPI": lambda number, way: (
        "GET /orders/{number} 500 …ms" if way == CONFIGURE else "Exception in ASGI application"
    ),
    "Django": lambda number, way: f"Internal Server Error: /orders/{number}",
    "Celery": lambda number, way: (
        f"Task place[…] raised unexpected: ValueError('order {number} is cursed')"
    ),
}
ROUTES = {
    "Flask": "/orders/<int:number>",
    "FastAPI": "/orders/{number}",
    "Django": "/orders/<int:number>",
}


def expected(program: str, way: str) -> Counter[tuple[str, str]]:
    """All that is to be stored, by level and message."""
    wanted: Counter[tuple[str, str]] = Counter()
    for number in range(REQUESTS):
        fails = number % 10 == 7
        wanted["info", f"order {number} placed"] += 1
        if number % 10 == 3:
            wanted["warn", f"order {number} was the last in stock"] += 1
        if fails:
            wanted["error", FAILED[program](number, way)] += 1
        if program == "Celery":
            wanted["info", "Task place[…] received"] += 1
            wanted["info", "Task place[…] succeeded in …s: None"] += not fails
        # The request log's, but for FastAPI's failures: those are above.
        if way == CONFIGURE and program in ROUTES and not (fails and program == "FastAPI"):
            level, status = ("error", 500) if fails else ("info", 200)
            wanted[level, f"GET {ROUTES[program]} {status} …ms"] += 1
    return +wanted


def name_of(entry: Entry) -> tuple[str, str]:
    """Level and message, without what differs from run to run."""
    message = re.sub(r"(?<=place\[)[\w-]{36}(?=\])", "…", entry.message)
    message = re.sub(r"(?<=succeeded in )[\d.e-]+(?=s)|(?<= )\d+(?=ms$)", "…", message)
    # FastAPI emits the exception itself in some versions, and uvicorn's is left out then.
    if message == "http.server.request.exception":
        message = "Exception in ASGI application"
    return entry.level, message.strip()


def trace_of(number: int) -> str:
    return f"{number + 1:032x}"


@contextmanager
def started(
    terminal: Terminal, command: str, variables: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], Callable[[], str]]]:
    """The command, for the time of the block; and what it has said."""
    output = terminal.directory / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            env={**terminal.environ, **variables},
            cwd=terminal.directory,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield process, output.read_text
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(PATIENCE)


def write(terminal: Terminal, program: str, way: str) -> None:
    """Write the program as its author would."""
    text, middleware = PROGRAMS[program].file, PROGRAMS[program].middleware
    files = {"orders.py": PLACE}
    if program == "Django":
        terminal.run("django-admin startproject shop .")
        files |= DJANGO
        if way == CONFIGURE:
            for name, more in (
                ("shop/settings.py", DJANGOS_SETTINGS),
                ("shop/wsgi.py", DJANGOS_MIDDLEWARE),
            ):
                files[name] = (terminal.directory / name).read_text() + more
    elif way == CONFIGURE:
        files["app.py"] = text.format(configure=SET_UP, middleware=middleware)
    else:
        files["app.py"] = text.format(configure="", middleware="")
    if program == "Celery":
        (terminal.directory / "queue").mkdir()
    for name, content in files.items():
        (terminal.directory / name).write_text(content)


def drive(program: str, port: int, process: subprocess.Popen[str], said: Callable[[], str]) -> None:
    """A hundred requests, tasks or rounds, to the end of the last."""
    if program == "script":
        wait_until(lambda: "all placed" in said(), said)
    elif program == "Celery":
        wait_until(lambda: said().count("] succeeded in ") == REQUESTS * 9 // 10, said)
        wait_until(lambda: said().count("] raised unexpected") == REQUESTS // 10, said)
    else:
        wait_until(lambda: listens(port) or process.poll() is not None, said)
        for number in range(REQUESTS):
            trace = trace_of(number)
            headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "X-Request-ID": trace}
            status = ask(port, f"/orders/{number}", headers)
            assert status == (500 if number % 10 == 7 else 200), said()


def of_the_worker_itself(name: tuple[str, str]) -> bool:
    return name[1].startswith(("Connected to ", "celery@", "mingle:"))


def check_places(entries: list[Entry]) -> None:
    """Each of the program's own entries says where it was logged."""
    line = PLACE.splitlines().index('    logger.info("order %d placed", number)') + 1
    for entry in entries:
        if entry.message.endswith(" placed"):
            assert str(entry.source_file).endswith("orders.py"), entry
            assert entry.line_number == line


def check_requests(entries: list[Entry], key: str) -> None:
    """Whatever an entry is about, it has the id of its request."""
    for entry in entries:
        if name_of(entry)[1] == "Exception in ASGI application":
            continue  # uvicorn logs it when the request's span has ended
        texts = (entry.message, entry.metadata.get("url.path"))
        number = re.search(r"(?:order |/orders/)(\d+)", " ".join(map(str, texts)))
        assert number is not None, entry
        assert entry.metadata.get(key) == trace_of(int(number[1])), entry


WAYS = (CONFIGURE, WITHOUT_CODE)
EACH_TIME = {("script", CONFIGURE), ("Flask", CONFIGURE), ("FastAPI", WITHOUT_CODE)}
CASES = [(program, way) for program in PROGRAMS for way in WAYS]


@needs_threads_at_exit
@pytest.mark.parametrize(
    ("program", "way"),
    [
        *(case for case in CASES if case in EACH_TIME),
        *nightly(*(case for case in CASES if case not in EACH_TIME)),
    ],
)
def test_every_record_once(
    receiver: DevServer,
    open_terminal: Callable[[str], Terminal],
    program: str,
    way: str,
) -> None:
    made = PROGRAMS[program]
    terminal, port = open_terminal("first"), free_port()
    package, command = "logwell-otel", made.command.format(port=port)
    variables = {
        **NEVER_BY_TIME,
        "LOGWELL_ENDPOINT": receiver.url,
        "LOGWELL_API_KEY": receiver.key,
        "LOGWELL_SERVICE": "shop",
    }
    if way == WITHOUT_CODE:
        package = f"'logwell-otel[zero-code]' {made.instrumentation}"
        command = f"opentelemetry-instrument {command}"
        variables |= {"OTEL_PYTHON_DISTRO": "logwell", "LOGWELL_ROOT_LEVEL": "info"}
        if program == "Django":
            variables["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    terminal.run(terminal.install(f"pip install {package} {made.needs}"))
    write(terminal, program, way)
    if program == "Celery":
        sending = [f"export {name}={value}" for name, value in variables.items()]
        terminal.run(*sending, "python app.py")

    with started(terminal, command, variables) as (process, said):
        drive(program, port, process, said)
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        output = said()

    entries = receiver.entries()
    found = Counter(map(name_of, entries))
    assert all(number == 1 for name, number in found.items() if of_the_worker_itself(name))
    found = Counter({name: found[name] for name in found if not of_the_worker_itself(name)})
    assert found == expected(program, way), output
    failures = [entry for entry in entries if "exception.stacktrace" in entry.metadata]
    assert sorted(entry.metadata["exception.message"] for entry in failures) == sorted(
        f"order {number} is cursed" for number in range(7, REQUESTS, 10)
    )
    assert {entry.metadata["exception.type"] for entry in failures} == {"ValueError"}
    assert {entry.service for entry in entries} == {"shop"}
    check_places(entries)
    if made.serves:
        check_requests(entries, "request_id" if way == CONFIGURE else "trace_id")
