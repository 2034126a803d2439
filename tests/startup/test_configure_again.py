"""`configure()` called again: what counts then, and what a pipeline's end ends."""

from __future__ import annotations

import functools
import textwrap
from shlex import quote
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel._config.again import differing, is_same
from logwell_otel.redaction import Redactor
from logwell_otel.sampling import PolicyFile, Sampler
from support.config import resolve
from support.process import run

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from logwell_otel.devserver import DevServer

IMPORTS = """
import logging, os, logwell_otel
from opentelemetry._logs import SeverityNumber, get_logger
from logwell_otel import configure
from logwell_otel.redaction import Redactor
from logwell_otel.sampling import Sampler
log = logging.getLogger("shop")
"""


def program(
    tmp_path: Path, receiver: DevServer, text: str, *, status: int = 0, **variables: str
) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "app.py"
    path.write_text(IMPORTS + textwrap.dedent(text))
    return run(f"python -W error {quote(str(path))}", receiver, variables, status=status)


def messages(receiver: DevServer) -> list[str]:
    return sorted(entry.message for entry in receiver.entries())


CELL = """
def before_send(entry):
    entry.message = entry.message.upper()
    return entry

def sent(count):
    def inner(entries):
        return count + entries
    return inner

pipeline = configure(
    service="notebook",
    timeout=5,
    headers={"X-Team": "a"},
    levels={"httpx": "warn"},
    redact=Redactor(extra_keys=["patient_id"], allow=["a@example.com"]),
    sampling=Sampler({"info": 1.0}),
    before_send=before_send,
    on_error=lambda error: None,
    on_flush=sent(1),
    spool_dir=os.environ["SPOOL"],
)
log.info("cell")
"""


def test_a_cell_of_a_notebook_that_is_run_again(receiver: DevServer, tmp_path: Path) -> None:
    text = f"cell = {CELL!r}\nfor lines in range(3):\n    exec(chr(10) * lines + cell)\n"
    done = program(tmp_path, receiver, text, SPOOL=str(tmp_path / "spool"))
    assert (messages(receiver), done.stderr) == (["CELL"] * 3, "")


def test_asked_for_without_arguments(receiver: DevServer, tmp_path: Path) -> None:
    text = """
    first = configure(redact=True, timeout=5, service="shop")
    assert configure() is first
    assert logwell_otel.LogwellHandler().pipeline is first
    log.info("hunter2", extra={"password": "hunter2"})
    """
    done = program(tmp_path, receiver, text)
    (entry,) = receiver.entries()
    assert entry.metadata["password"] == "[redacted:password]"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ("", "redact=True", "redact"),
        ("redact=True", "redact=False", "redact"),
        ("redact=True", "redact_keys=['patient_id']", "redact_keys"),
        ("redact=Redactor()", "redact=Redactor(extra_keys=['a'])", "redact"),
        ("", "before_send=lambda entry: None", "before_send"),
        ("before_send=lambda entry: entry", "before_send=lambda entry: None", "before_send"),
        ("", "sampling=Sampler()", "sampling"),
        ("sampling=Sampler()", "sampling=Sampler({'info': 0.1})", "sampling"),
        ("", "timeout=3, redact=True", "timeout, redact"),
    ],
)
def test_what_would_be_kept_back_is_an_error(
    receiver: DevServer, tmp_path: Path, first: str, second: str, named: str
) -> None:
    text = f"pipeline = configure({first})\nlogwell_otel.LogwellHandler({second})"
    if "=" in first:
        text = text.replace("logwell_otel.LogwellHandler", "configure")
    done = program(tmp_path, receiver, text, status=1)
    assert done.stderr.splitlines()[-1] == (
        "logwell_otel.errors.LogwellError: An earlier configure() or LogwellHandler has set up "
        f"what sends to this server with this key. What is given now differs from it in {named}. "
        "Give them to the first call, or end what it made before: pipeline.shutdown(). Nothing was "
        "changed."
    )


def test_anything_else_is_said(receiver: DevServer, tmp_path: Path) -> None:
    text = """
    first = configure(service="shop", on_error=print)
    assert configure(service="another", on_error=lambda error: None, timeout=10) is first
    log.info("once")
    first.shutdown()
    configure(service="another")
    log.info("twice")
    """
    done = program(tmp_path, receiver, text, LOGWELL_SERVICE="")
    assert done.stderr == (
        "logwell_otel: An earlier configure() or LogwellHandler has set up what sends to this "
        "server with this key. What is given now differs from it in service, on_error. "
        "Give them to the first call, or end what it made before: pipeline.shutdown(). Until then "
        "what was given first counts.\n"
    )
    assert [(entry.message, entry.service) for entry in receiver.entries()] == [
        ("once", "shop"),
        ("twice", "another"),
    ]


def test_levels_of_the_first_call_count(receiver: DevServer, tmp_path: Path) -> None:
    """The second call neither opens a logger up nor lets more through."""
    done = program(
        tmp_path,
        receiver,
        """
        configure(levels={"shop": "debug"})
        configure(levels={"shop": "info", "pay": "debug"})
        log.debug("in the cart")
        assert not logging.getLogger("pay").isEnabledFor(logging.DEBUG)
        """,
    )
    assert "What is given now differs from it in levels." in done.stderr
    assert messages(receiver) == ["in the cart"]


def made(text: str) -> Any:
    """A function out of a cell of its own."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(text, names)
    (function,) = (value for value in names.values() if isinstance(value, FunctionType))
    return function


def around(value: object) -> Any:
    return lambda: value


class Strange:
    def __eq__(self, other: object) -> bool:
        raise TypeError("not comparable")

    __hash__ = None  # type: ignore[assignment]


SENT = "def sent(entry, more=[1]):\n    return [part for part in (entry, more)]"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (made(SENT), made(f"\n\n# a comment\n{SENT}"), True),
        (made(SENT), made(SENT.replace("more)]", "2)]")), False),
        (made(SENT), made(SENT.replace("[1]", "[2]")), False),
        (made(SENT), made(SENT.replace("sent", "send")), False),
        (around(1), around(1), True),
        (around(1), around(2), False),
        (around(around(1)), around(around(1)), True),
        (print, print, True),
        (print, repr, False),
        (functools.partial(print), functools.partial(print), False),
        (True, 1, False),
        ({"a": (1, 2)}, {"a": (1, 2)}, True),
        ({"a": 1}, {"b": 1}, False),
        ([1], [1, 2], False),
        (Strange(), Strange(), False),
        (Redactor(extra_keys=iter("ab")), Redactor(extra_keys=["a", "b"]), True),
        (Redactor(also=["ip"]), Redactor(), False),
        (Sampler(limit_per_second=5), Sampler(limit_per_second=5), True),
        (Sampler(limit_per_second=5), Sampler(), False),
    ],
)
def test_which_values_do_the_same(one: object, other: object, same: bool) -> None:
    assert is_same(one, other) is same
    assert is_same(one, one)


def test_a_sampler_that_follows_something_is_like_no_other(tmp_path: Path) -> None:
    one, other = Sampler(), Sampler()
    one.follow(PolicyFile(tmp_path / "x.json"))
    other.follow(PolicyFile(tmp_path / "x.json"))
    assert not is_same(one, other)
    one.shutdown()
    other.shutdown()


def test_secrets_are_compared_by_what_they_are() -> None:
    policy: dict[str, Any] = {"sampling_policy": "https://policies.example?team_id=7"}
    one, same, other = (resolve(**policy, sampling_token=token) for token in ("a", "a", "b"))
    assert differing(["sampling_token", "headers"], same, one) == []
    assert differing(["sampling_token", "headers"], other, one) == ["sampling_token"]


# One meaning of a level.

BOTH = """
for level in ("debug", "info", "warn", "error"):
    number = SeverityNumber[level.upper()]
    get_logger("api").emit(body=f"{level} by the API", severity_number=number)
log.debug("debug"), log.info("info"), log.warning("warn"), log.error("error")
"""


@pytest.mark.parametrize(
    ("configured", "least", "variables"),
    [
        ("configure()", "info", {}),
        ("configure(level='ERROR')", "error", {}),
        ("configure(level='DEBUG')", "debug", {}),
        ("configure(level=35)", "warn", {}),
        ("configure(level='INFO')", "info", {"LOGWELL_LEVEL": "error"}),
        ("configure()", "error", {"LOGWELL_LEVEL": "error"}),
        ("configure(level='ERROR'); configure(level='INFO')", "info", {}),
        ("configure(level='INFO'); configure(level='ERROR')", "info", {}),
    ],
)
def test_a_level_is_that_of_logging_and_of_the_api(
    receiver: DevServer, tmp_path: Path, configured: str, least: str, variables: Any
) -> None:
    program(tmp_path, receiver, configured + BOTH, **variables)
    expected = ["debug", "info", "warn", "error"]
    expected = expected[expected.index(least) :]
    if configured.endswith("35)"):  # between two of Logwell's: logging knows it exactly
        assert messages(receiver) == ["error", "error by the API", "warn by the API"]
    else:
        by_api = [f"{level} by the API" for level in expected]
        assert messages(receiver) == sorted([*expected, *by_api])


def test_enabled_says_what_the_level_does(receiver: DevServer, tmp_path: Path) -> None:
    text = """
    configure(level="ERROR")
    logger = get_logger("api")
    asked = getattr(logger, "enabled", None)
    if asked is not None:  # not in the oldest SDK
        assert not asked(severity_number=SeverityNumber.INFO)
        configure(level="INFO")
        assert asked(severity_number=SeverityNumber.INFO)
    """
    program(tmp_path, receiver, text)


# What the end of a block ends.


def test_the_end_of_the_block_ends_what_it_began(receiver: DevServer, tmp_path: Path) -> None:
    text = """
    with configure() as pipeline:
        log.info("inside")
    assert pipeline.exporter.closed
    assert pipeline.handlers == []
    assert pipeline.health().accepted == 1
    log.info("afterwards, to nobody")
    """
    done = program(tmp_path, receiver, text)
    assert (messages(receiver), done.stderr) == (["inside"], "")


@pytest.mark.parametrize(
    "outside",
    ["configure()", "logwell_otel.LogwellHandler()", "outer = configure(); outer.__enter__()"],
)
def test_it_does_not_end_what_others_use(receiver: DevServer, tmp_path: Path, outside: str) -> None:
    text = f"""
    {outside}
    with configure() as pipeline:
        log.info("inside")
    assert pipeline.health().accepted == 1
    assert not pipeline.exporter.closed
    log.info("afterwards")
    """
    program(tmp_path, receiver, text)
    assert messages(receiver) == ["afterwards", "inside"]


def test_block_after_block(receiver: DevServer, tmp_path: Path) -> None:
    """Each makes a pipeline of its own, in one place of the provider; nothing goes to old ones."""
    text = """
    from opentelemetry._logs import get_logger_provider
    ended = []
    for number in range(20):
        with configure() as pipeline:
            log.info("by logging %d", number)
            get_logger("api").emit(body=f"by the API {number}")
        ended.append(pipeline)
    assert [pipeline.health().dropped for pipeline in ended] == [{}] * 20
    assert [pipeline.health().accepted for pipeline in ended] == [2] * 20
    configure()
    get_logger("api").emit(body="at the end")
    """
    done = program(tmp_path, receiver, text)
    expected = [f"by {api} {number}" for api in ("logging", "the API") for number in range(20)]
    assert messages(receiver) == sorted(["at the end", *expected])
    assert done.stderr == ""


@pytest.mark.parametrize("end", ["shutdown", "ashutdown"])
def test_shutdown_takes_a_time(receiver: DevServer, tmp_path: Path, end: str) -> None:
    receiver.faults.hang()
    text = f"""
    import asyncio, inspect
    pipeline = configure(timeout=180)
    log.info("held")
    done = pipeline.{end}(timeout_millis=100)
    if inspect.isawaitable(done):
        async def wait():
            return await done
        done = asyncio.run(wait())
    assert done is None
    assert pipeline.health().dropped == {{"shutdown": 1}}, pipeline.health()
    assert pipeline.{end}.__defaults__ == (30_000,)
    os._exit(0)
    """
    program(tmp_path, receiver, text)
