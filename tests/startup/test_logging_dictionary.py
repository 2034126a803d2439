"""`LogwellHandler` in a `LOGGING` dictionary: programs of their own, as people write them."""

from __future__ import annotations

import logging.config
import os
import textwrap
from shlex import quote
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel import LogwellError, LogwellHandler
from support.config import KEY
from support.process import instrumented, run
from support.records import Recorder, attributes_of, body_of, provider_with

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from logwell_otel.devserver import DevServer

NAMED_ALONE = '{"class": "logwell_otel.LogwellHandler"}'
# Settings that are nowhere but in the dictionary.
WITH_OPTIONS = (
    '{"class": "logwell_otel.LogwellHandler", "endpoint": "%(endpoint)s", "api_key": "%(key)s",'
    ' "service": "shop", "levels": {"httpx": "warn"},'
    ' "redact_keys": ["patient_id"], "before_send": "ext://app.sent"}'
)
NO_VARIABLES: Any = {"LOGWELL_ENDPOINT": "", "LOGWELL_API_KEY": "", "LOGWELL_SERVICE": ""}
CONFIGURE = "import logwell_otel\nlogwell_otel.configure()"


def dictionary(handler: str = NAMED_ALONE, rest: str = '"root": {"handlers": ["logwell"]}') -> str:
    return f"""
logging.config.dictConfig({{
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {{"plain": {{"format": "%(levelname)s %(message)s"}}}},
    "handlers": {{"logwell": {handler}}},
    {rest},
}})
"""


def program(
    tmp_path: Path, receiver: DevServer, *steps: str, status: int = 0, **variables: str
) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "app.py"
    text = "\n".join(map(textwrap.dedent, steps))
    path.write_text(f"import logging, logging.config, logging.handlers, os\n{text}")
    return run(f"python -W error {quote(str(path))}", receiver, variables, status=status)


def messages(receiver: DevServer) -> list[str]:
    return sorted(entry.message for entry in receiver.entries())


def test_named_alone_it_takes_the_variables(receiver: DevServer, tmp_path: Path) -> None:
    log = """
    logging.getLogger("orders").warning("order %d placed", 17, extra={"user_id": "u-42"})
    logging.info("below the root logger's level, which the dictionary does not set")
    """
    done = program(tmp_path, receiver, dictionary(), log)
    (entry,) = receiver.entries()
    assert (entry.level, entry.message, entry.service) == ("warn", "order 17 placed", "shop")
    assert (entry.user_id, entry.metadata["otel.scope.name"]) == ("u-42", "orders")
    assert done.stderr == ""


def test_every_option_of_configure_in_the_dictionary(receiver: DevServer, tmp_path: Path) -> None:
    handler = WITH_OPTIONS % {"endpoint": receiver.url, "key": receiver.key}
    sent = """
    import sys
    sys.modules["app"] = sys.modules["__main__"]
    def sent(entry):
        entry.metadata["by"] = "before_send"
        return entry
    """
    log = """
    logging.getLogger("httpx").info("left out")
    logging.warning("seen", extra={"patient_id": "p-17"})
    """
    program(tmp_path, receiver, sent, dictionary(handler), log, **NO_VARIABLES)
    (entry,) = receiver.entries()
    assert (entry.message, entry.service) == ("seen", "shop")
    assert (entry.metadata["patient_id"], entry.metadata["by"]) == (
        "[redacted:patient_id]",
        "before_send",
    )


LOG = """
logging.getLogger("shop.orders").warning("first")
logging.error("second")
"""
TWO_LOGGERS = '"loggers": {"shop": {"handlers": ["logwell"]}}, "root": {"handlers": ["logwell"]}'
TWO_HANDLERS = """
logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {
        "one": {"class": "logwell_otel.LogwellHandler"},
        "other": {"class": "logwell_otel.LogwellHandler"},
    },
    "loggers": {"shop": {"handlers": ["one"]}},
    "root": {"handlers": ["one", "other"]},
})
"""
BY_FILE = '''
import io
logging.config.fileConfig(io.StringIO("""
[loggers]
keys=root
[handlers]
keys=logwell
[formatters]
keys=
[logger_root]
handlers=logwell
[handler_logwell]
class=logwell_otel.LogwellHandler
kwargs={"service": "shop"}
"""), disable_existing_loggers=False)
'''
QUEUED = """
import atexit, queue, logwell_otel
waiting = queue.Queue()
handler = logwell_otel.LogwellHandler()
logging.getLogger().handlers = [logging.handlers.QueueHandler(waiting)]
listener = logging.handlers.QueueListener(waiting, handler)
listener.start()
atexit.register(listener.stop)
"""
INSTRUMENTED = """
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry._logs import set_logger_provider
set_logger_provider(LoggerProvider())
LoggingInstrumentor().instrument()
"""
ONCE = {
    "before configure()": [dictionary(), CONFIGURE],
    "after configure()": [CONFIGURE, dictionary()],
    "on two loggers": [dictionary(rest=TWO_LOGGERS)],
    "two of them": [TWO_HANDLERS],
    "twice": [dictionary(), dictionary()],
    "fileConfig": [BY_FILE],
    "behind a queue": [QUEUED],
    "behind a queue, and configure()": [QUEUED, CONFIGURE],
    "beside OpenTelemetry's on the root logger": [
        INSTRUMENTED,
        dictionary(rest='"loggers": {"shop": {"handlers": ["logwell"]}}'),
        'logging.getLogger().addHandler(logging.getLogger("shop").handlers[0])',
    ],
    "in front of OpenTelemetry's": [
        dictionary(),
        INSTRUMENTED.replace("set_logger_provider(LoggerProvider())", ""),
    ],
}


@pytest.mark.parametrize("steps", ONCE.values(), ids=ONCE)
def test_every_record_arrives_once(receiver: DevServer, tmp_path: Path, steps: list[str]) -> None:
    if any("opentelemetry.instrumentation" in step for step in steps):
        pytest.importorskip("opentelemetry.instrumentation.logging.handler")
    program(tmp_path, receiver, *steps, LOG, LOG)
    assert messages(receiver) == ["first", "first", "second", "second"]


@pytest.mark.parametrize("steps", [[dictionary()], [CONFIGURE, dictionary()]])
@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_LOGS_EXPORTER": "logwell"},
        {"OTEL_PYTHON_DISTRO": "logwell"},
        # An exporter of somebody else's: the dictionary's comes beside it.
        {"OTEL_LOGS_EXPORTER": "console"},
    ],
)
def test_in_a_program_that_starts_without_code(
    receiver: DevServer, tmp_path: Path, steps: list[str], variables: dict[str, str]
) -> None:
    path = tmp_path / "app.py"
    path.write_text("\n".join(["import logging, logging.config", *steps, LOG]))
    done = instrumented(
        path,
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        LOGWELL_ENDPOINT=receiver.url,
        LOGWELL_API_KEY=receiver.key,
        **variables,
    )
    assert done.returncode == 0, done.stderr
    assert messages(receiver) == ["first", "second"]


def test_the_level_and_the_formatter_of_the_dictionary(receiver: DevServer, tmp_path: Path) -> None:
    handler = (
        '{"class": "logwell_otel.LogwellHandler", "level": "ERROR", "formatter": "plain",'
        ' "levels": {"shop": "info"}}'
    )
    log = """
    logging.warning("below")
    logging.error("above")
    logging.getLogger("shop").debug("below its own")
    logging.getLogger("shop").info("above its own")
    """
    program(tmp_path, receiver, dictionary(handler), log)
    assert messages(receiver) == ["ERROR above", "INFO above its own"]


def test_configured_again_nothing_is_lost(receiver: DevServer, tmp_path: Path) -> None:
    """`dictConfig` closes the handlers that there are, with what they have not sent yet."""
    again = """
    first = logging.getLogger().handlers[0]
    for number in range(50):
        logging.warning("message %d", number)
        if number % 10 == 0:
    """ + textwrap.indent(dictionary(), " " * 12)
    same = """
    assert logging.getLogger().handlers[0] is not first
    assert logging.getLogger().handlers[0].pipeline is first.pipeline
    first.close()
    first.handle(logging.makeLogRecord({"msg": "by the one that was closed", "levelno": 30}))
    """
    program(tmp_path, receiver, dictionary(), again, same, OTEL_BLRP_SCHEDULE_DELAY="60000")
    expected = [f"message {number}" for number in range(50)]
    assert messages(receiver) == sorted(["by the one that was closed", *expected])


def test_the_pipeline_is_that_of_configure(receiver: DevServer, tmp_path: Path) -> None:
    same = """
    import logwell_otel
    pipeline = logging.getLogger().handlers[0].pipeline
    assert logwell_otel.configure() is pipeline
    logging.warning("stored at once")
    assert pipeline.force_flush()
    assert pipeline.health().accepted == 1
    """
    program(tmp_path, receiver, dictionary(), same)


def test_switched_off(receiver: DevServer, tmp_path: Path) -> None:
    done = program(tmp_path, receiver, dictionary(), LOG, LOGWELL_DISABLED="true")
    assert (messages(receiver), done.stderr) == ([], "")


def test_loggers_that_the_dictionary_switches_off_still_warn(
    receiver: DevServer, tmp_path: Path
) -> None:
    """Without `disable_existing_loggers: False` ours is one of those."""
    existing = dictionary().replace('"disable_existing_loggers": False,', "")
    receiver.faults.answer(401)
    done = program(
        tmp_path,
        receiver,
        CONFIGURE,
        existing,
        'logging.warning("kept back")\nlogging.getLogger().handlers[0].pipeline.force_flush(2000)',
    )
    assert "API key" in done.stderr


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        ('{"class": "logwell_otel.LogwellHandler", "sevice": "shop"}', "did you mean 'service'?"),
        ('{"class": "logwell_otel.LogwellHandler", "timeout": -1}', "timeout (LOGWELL_TIMEOUT)"),
        ('{"class": "logwell_otel.LogwellHandler", "levels": {"a": "loud"}}', "levels (LOGWELL_"),
        ('{"class": "logwell_otel.LogwellHandler", "api_key": "' + KEY[:-1] + '"}', "api_key (LOG"),
    ],
)
def test_a_wrong_option_is_read_out_of_the_traceback(
    receiver: DevServer, tmp_path: Path, handler: str, says: str
) -> None:
    done = program(tmp_path, receiver, dictionary(handler), status=1)
    assert says in done.stderr
    assert done.stderr.splitlines()[-1] == "ValueError: Unable to configure handler 'logwell'"
    assert KEY[:-1] not in done.stderr.replace(handler, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_children_that_are_forked_afterwards(receiver: DevServer, tmp_path: Path) -> None:
    """As the workers of `gunicorn --preload`."""
    fork = """
    logging.warning("parent")
    child = os.fork()
    logging.warning("child" if child == 0 else "parent again")
    if child:
        assert os.waitpid(child, 0)[1] == 0
    """
    program(
        tmp_path,
        receiver,
        "import warnings; warnings.simplefilter('ignore', DeprecationWarning)",
        dictionary(),
        fork,
    )
    assert messages(receiver) == ["child", "parent", "parent again"]


def test_beside_a_thread_that_calls_configure(receiver: DevServer, tmp_path: Path) -> None:
    """`dictConfig` holds logging's lock, which whatever is imported or logged waits for."""
    factory = """
    import threading, time, logwell_otel, logwell_otel.setup
    from opentelemetry._logs import get_logger_provider
    def handler():
        # Whatever this waits for, it has got as far as it comes.
        other.start()
        time.sleep(1)
        return logwell_otel.LogwellHandler()
    other = threading.Thread(target=logwell_otel.configure)
    """
    after = """
    other.join(60)
    assert not other.is_alive()
    """
    steps = [factory, dictionary('{"()": handler}'), after, LOG]
    program(tmp_path, receiver, *steps)
    assert messages(receiver) == ["first", "second"]


def test_a_resource_is_had_while_logging_is_locked(receiver: DevServer, tmp_path: Path) -> None:
    """OpenTelemetry reads it on another thread, which logs where a variable is wrong."""
    program(
        tmp_path,
        receiver,
        dictionary(),
        LOG,
        OTEL_RESOURCE_ATTRIBUTES="broken,team=a,service.name=shop",
        LOGWELL_SERVICE="",
    )
    assert {entry.service for entry in receiver.entries()} == {"shop"}


DJANGO = """
import django
from django.conf import settings
settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="x",
    ROOT_URLCONF="app",
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "console": {"class": "logging.StreamHandler"},
            "logwell": {"class": "logwell_otel.LogwellHandler", "service": "orders"},
        },
        "root": {"level": "INFO", "handlers": ["console", "logwell"]},
    },
)

from django.http import HttpResponse
from django.urls import path

def order(request):
    logging.getLogger("orders").info("order placed")
    return HttpResponse("placed")

def fail(request):
    raise RuntimeError("no such order")

urlpatterns = [path("order/", order), path("fail/", fail)]

if __name__ == "__main__":
    import sys
    sys.modules["app"] = sys.modules["__main__"]
    django.setup()
    from django.test import Client
    client = Client(raise_request_exception=False)
    assert client.get("/order/").status_code == 200
    assert client.get("/fail/").status_code == 500
"""


@pytest.mark.parametrize("configure", ["", CONFIGURE])
def test_djangos_settings(receiver: DevServer, tmp_path: Path, configure: str) -> None:
    pytest.importorskip("django")
    done = program(tmp_path, receiver, configure, DJANGO)
    assert [(entry.level, entry.message, entry.service) for entry in receiver.entries()] == [
        ("info", "order placed", "orders" if not configure else "shop"),
        ("error", "Internal Server Error: /fail/", "orders" if not configure else "shop"),
    ]
    assert "order placed" in done.stderr


def test_with_a_provider_it_hands_over_to_that(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGWELL_ENDPOINT", "LOGWELL_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    recorder = Recorder()
    handler = LogwellHandler(logger_provider=provider_with(recorder), levels={"noisy": "off"})
    handler.handle(logging.makeLogRecord({"name": "noisy", "msg": "left out", "levelno": 50}))
    handler.handle(logging.makeLogRecord({"name": "shop", "msg": "kept", "levelno": 20, "n": 1}))
    assert (body_of(recorder.only), attributes_of(recorder.only)["n"]) == ("kept", 1)
    assert handler.pipeline is None


def test_options_of_an_exporter_that_a_provider_has_already() -> None:
    with pytest.raises(LogwellError) as raised:
        LogwellHandler(
            logger_provider=provider_with(), endpoint="http://localhost:9", service="shop"
        )
    assert raised.value.message == (
        "logger_provider does not go together with endpoint, service: give them to the exporter "
        "of that provider, or leave logger_provider out."
    )
