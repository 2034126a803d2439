"""`configure()` in processes of its own: it sets up what is global."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel import LogwellError, LogwellErrorCode, configure

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer


def run(receiver: DevServer, program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
            "PYTHONPATH": ":".join(filter(None, sys.path)),
            "LOGWELL_ENDPOINT": receiver.url,
            "LOGWELL_API_KEY": receiver.key,
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result


def seen(receiver: DevServer) -> list[tuple[str, str, str | None]]:
    return [(entry.level, entry.message, entry.service) for entry in receiver.entries()]


def test_settings_are_resolved_once(receiver: DevServer) -> None:
    """A key file that is rotated in between would give the exporter another key than ours."""
    result = run(
        receiver,
        """
        import logwell_otel
        from logwell_otel._config.options import Config
        resolve, resolved = Config.resolve, []
        def counted(**arguments):
            resolved.append(resolve(**arguments))
            return resolved[-1]
        Config.resolve = counted
        pipeline = logwell_otel.configure(service="shop")
        print(len(resolved), resolved[0].service, pipeline.exporter._config is resolved[0])
        """,
    )
    assert result.stdout == "1 shop True\n"


def test_one_call_and_the_program_ends_without_another(receiver: DevServer) -> None:
    result = run(
        receiver,
        """
        import logging, logwell_otel
        logwell_otel.configure(service="shop")
        logging.getLogger("orders").info("order %d placed", 7, extra={"user_id": "u-1"})
        logging.debug("not sent: below the level")
        """,
    )
    assert result.stderr == ""
    (entry,) = receiver.entries()
    assert (entry.level, entry.message, entry.service) == ("info", "order 7 placed", "shop")
    assert (entry.source_file, entry.line_number, entry.user_id) == ("<string>", 4, "u-1")


def test_called_twice_nothing_is_doubled(receiver: DevServer) -> None:
    run(
        receiver,
        """
        import logging, logwell_otel
        first = logwell_otel.configure()
        assert logwell_otel.configure() is first
        assert len(first.handlers) == 1
        logging.info("once")
        """,
    )
    assert [message for _, message, _ in seen(receiver)] == ["once"]


def test_called_for_another_logger_it_listens_to_that_too(receiver: DevServer) -> None:
    run(
        receiver,
        """
        import logging, logwell_otel
        first = logwell_otel.configure(logger="a")
        assert logwell_otel.configure(logger="b", level="WARNING") is first
        assert logwell_otel.configure(logger="b.c") is first
        logging.getLogger("a").info("from a")
        logging.getLogger("b").info("from b, below its level")
        logging.getLogger("b.c").warning("from b.c")
        logging.getLogger("other").error("not sent")
        assert len(first.handlers) == 2, first.handlers
        first.shutdown()
        assert logging.getLogger("a").handlers == logging.getLogger("b").handlers == []
        """,
    )
    assert [message for _, message, _ in seen(receiver)] == ["from a", "from b.c"]


@pytest.mark.parametrize(
    ("variable", "argument", "arrives"),
    [
        (None, "", ["info", "warn"]),
        ("debug", "", ["debug", "info", "warn"]),
        ("warning", "", ["warn"]),
        ("debug", "level='INFO'", ["info", "warn"]),
        (None, "level=logging.NOTSET", ["warn"]),
    ],
)
def test_the_level(
    receiver: DevServer, variable: str | None, argument: str, arrives: list[str]
) -> None:
    run(
        receiver,
        f"""
        import logging, logwell_otel
        logwell_otel.configure({argument})
        logging.debug("x"), logging.info("x"), logging.warning("x")
        """,
        **({"LOGWELL_LEVEL": variable} if variable else {}),
    )
    assert [level for level, _, _ in seen(receiver)] == arrives


def test_as_a_context_manager_it_delivers(receiver: DevServer) -> None:
    run(
        receiver,
        """
        import logging, os, logwell_otel
        with logwell_otel.configure() as pipeline:
            for number in range(1000):
                logging.info("message %d", number)
        assert pipeline.health().accepted == 1000, pipeline.health()
        os._exit(0)
        """,
    )
    assert receiver.count() == 1000


def test_the_end_of_the_block_does_not_wait_for_a_server_that_is_down(receiver: DevServer) -> None:
    receiver.stop()
    run(
        receiver,
        """
        import logging, os, time, logwell_otel
        logging.getLogger("logwell_otel").setLevel(logging.CRITICAL)
        began = time.monotonic()
        pipeline = logwell_otel.configure()
        with logwell_otel.configure():
            logging.info("held")
        assert time.monotonic() - began < 10, time.monotonic() - began
        assert pipeline.health().held == 1, pipeline.health()
        os._exit(0)
        """,
    )


def test_the_end_of_the_block_does_not_wait_for_a_server_that_hangs(receiver: DevServer) -> None:
    receiver.faults.hang()
    run(
        receiver,
        """
        import logging, os, time, logwell_otel
        began = time.monotonic()
        pipeline = logwell_otel.configure(timeout=180)
        with logwell_otel.configure():
            logging.info("held")
        assert time.monotonic() - began < 30, time.monotonic() - began
        assert pipeline.health().held == 1, pipeline.health()
        os._exit(0)
        """,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_while_another_thread_configures_does_not_hang(receiver: DevServer) -> None:
    run(
        receiver,
        """
        import os, signal, threading, warnings, logwell_otel, logwell_otel.setup
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        pipeline = logwell_otel.configure()
        began, forked = threading.Event(), threading.Event()

        def configuring():
            with logwell_otel.setup._lock.get():
                began.set()
                forked.wait()

        threading.Thread(target=configuring).start()
        began.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(5)
            pipeline.shutdown()
            os._exit(0)
        forked.set()
        assert os.waitpid(child, 0)[1] == 0
        """,
    )


def test_a_provider_that_is_there_is_used(receiver: DevServer) -> None:
    run(
        receiver,
        """
        import logging, logwell_otel
        from opentelemetry._logs import set_logger_provider, get_logger_provider
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk.resources import Resource
        provider = LoggerProvider(Resource({"service.name": "theirs", "team": "a"}))
        set_logger_provider(provider)
        pipeline = logwell_otel.configure()
        assert pipeline.provider is provider is get_logger_provider()
        with logwell_otel.log_context(request_id="r-9"):
            logging.warning("through their provider")
        """,
    )
    (entry,) = receiver.entries()
    assert (entry.service, entry.request_id) == ("theirs", "r-9")
    assert entry.metadata is not None
    assert entry.metadata["resource"] == {"team": "a"}


def test_context_reaches_records_of_the_otel_api(receiver: DevServer) -> None:
    run(
        receiver,
        """
        import logwell_otel
        from opentelemetry._logs import get_logger
        logwell_otel.set_global_context(environment="test")
        logwell_otel.configure()
        with logwell_otel.log_context(user_id="u-2"):
            get_logger("api").emit(body="event", attributes={"own": 1})
        """,
    )
    (entry,) = receiver.entries()
    assert entry.user_id == "u-2"
    assert entry.metadata is not None
    assert (entry.metadata["environment"], entry.metadata["own"]) == ("test", 1)


def test_asyncio_goes_on_while_it_flushes(receiver: DevServer) -> None:
    receiver.faults.delay(300)
    run(
        receiver,
        """
        import asyncio, logging, logwell_otel
        pipeline = logwell_otel.configure()

        async def main():
            logging.info("async")
            ticks = 0
            flush = asyncio.ensure_future(pipeline.aforce_flush())
            while not flush.done():
                await asyncio.sleep(0.01)
                ticks += 1
            assert flush.result() and ticks > 5, ticks
            await pipeline.ashutdown()

        asyncio.run(main())
        """,
    )
    assert receiver.count() == 1


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_deliver_before_they_leave(
    receiver: DevServer, method: str, tmp_path: object
) -> None:
    program = f"{tmp_path}/program.py"
    with open(program, "w") as file:  # noqa: PTH123 - spawn needs a real main module
        file.write(
            textwrap.dedent(
                f"""
                import logging, multiprocessing, logwell_otel

                def work(number):
                    logging.info("task %d", number)

                logwell_otel.configure()
                if __name__ == "__main__":
                    context = multiprocessing.get_context({method!r})
                    children = [context.Process(target=work, args=(n,)) for n in range(3)]
                    for child in children: child.start()
                    for child in children: child.join()
                    with context.Pool(2) as pool:
                        pool.map(work, range(3, 9))
                        pool.close()
                        pool.join()
                """
            )
        )
    run(
        receiver,
        f"""
        import runpy, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        sys.argv = [{program!r}]
        runpy.run_path({program!r}, run_name="__main__")
        """
        if method == "fork"
        else f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, {program!r}]))",
    )
    assert sorted(m for _, m, _ in seen(receiver)) == [f"task {number}" for number in range(9)]


def test_a_missing_setting_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOGWELL_ENDPOINT", raising=False)
    with pytest.raises(LogwellError) as raised:
        configure()
    assert raised.value.code is LogwellErrorCode.INVALID_CONFIG
    assert "LOGWELL_ENDPOINT" in raised.value.message


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(LogwellError, match="level: expected the name or number"):
        configure("http://localhost:1", "lw_" + "k" * 32, level="LOUD")


@pytest.mark.parametrize(
    "variable", ["OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT"]
)
@pytest.mark.parametrize("value", ["many", "-1"])
def test_a_wrong_variable_of_opentelemetrys_is_named(
    receiver: DevServer, variable: str, value: str
) -> None:
    result = run(receiver, REFUSED, **{variable: value})
    if result.stdout == "":  # 1.39 reads neither before the first record
        pytest.importorskip("opentelemetry.instrumentation.logging.handler")
    assert result.stdout.startswith(f"INVALID_CONFIG {variable} ")


def test_a_provider_that_opentelemetry_cannot_load_is_named(receiver: DevServer) -> None:
    result = run(receiver, REFUSED, OTEL_PYTHON_LOGGER_PROVIDER="nope")
    assert result.stdout.startswith("INVALID_CONFIG OTEL_PYTHON_LOGGER_PROVIDER: 'nope' ")


REFUSED = """
    import logwell_otel
    try:
        logwell_otel.configure()
    except logwell_otel.LogwellError as error:
        print(error.code.value, error)
"""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"level": 3.5}, "level: expected the name or number of a logging level, got 3.5."),
        ({"level": ["INFO"]}, "level: expected the name or number of a logging level, got ['"),
        ({"logger": 5}, "logger: expected a logger or its name, got int."),
        (
            {"logger": logging.LoggerAdapter(logging.getLogger("shop"), {})},
            "logger: expected a logger or its name, got LoggerAdapter.",
        ),
    ],
)
def test_an_argument_of_another_type_is_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(LogwellError) as caught:
        configure("http://127.0.0.1:9", "lw_" + "k" * 32, **arguments)
    assert caught.value.code is LogwellErrorCode.INVALID_CONFIG
    assert str(caught.value).startswith(text)
