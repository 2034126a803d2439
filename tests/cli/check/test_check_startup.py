"""What OpenTelemetry is after a start: real starts, and what is made of what they find."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import msgspec
import pytest

from logwell_otel._config.options import Config
from logwell_otel.cli.check import startup
from logwell_otel.cli.check.probe import Handler, Problem, Start
from support.check import KEY, UP
from support.process import PATIENCE, only_logging

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from logwell_otel.cli.check.probe import How

LOGGING = "opentelemetry-instrumentation-logging"
INSTALL = f"Run pip install '{LOGGING}>=0.61b0' (it comes with logwell-otel[zero-code])."
BETTER = (
    "OTEL_PYTHON_CONFIGURATOR=logwell makes log_context reach the OpenTelemetry API, and a flush "
    "mean stored"
)
URL = "https://logs.example.com"
ZERO_CODE = {"OTEL_LOGS_EXPORTER": "logwell"}
NEITHER = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
REACHES = "pass on the root logger; {} and above reach it unless the application sets other levels"
needs_distro = pytest.mark.skipif(
    not entry_points(group="opentelemetry_distro"), reason="opentelemetry-distro is not installed"
)


@pytest.fixture(autouse=True)
def _a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "TIMEOUT", PATIENCE)


def findings(
    environ: Mapping[str, str], found: Start | None = None, **arguments: Any
) -> dict[str, str]:
    """Step -> line, after a start that finds `found`, or a real one."""
    config = Config.resolve({}, **{"endpoint": URL, "api_key": KEY, **arguments})
    start = startup.start if found is None else lambda *_: found
    return {
        step: f"{one.status} {one.text}" + (f" -> {one.advice}" if one.advice else "")
        for step, one in startup.opentelemetry(environ, config, start)
        if step != "Versions"
    }


def real(**variables: str) -> dict[str, str]:
    """What is found after a real start with these variables."""
    return findings({**process(), **variables})


def process() -> dict[str, str]:
    """As little environment as a process of this package needs."""
    return {
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "LOGWELL_ENDPOINT": URL,
        "LOGWELL_API_KEY": KEY,
        **only_logging(),
    }


# Real starts.


@needs_distro
def test_zero_code_as_it_should_be() -> None:
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for 1.39
    assert real(
        **ZERO_CODE,
        OTEL_TRACES_EXPORTER="console",
        OTEL_METRICS_EXPORTER="none",
        OTEL_PYTHON_CONFIGURATOR="logwell",
        OTEL_PYTHON_LOG_HANDLER_LEVEL="error",
        OTEL_SERVICE_NAME="shop",
    ) == {
        "Zero-code": "pass set up, for programs run by opentelemetry-instrument",
        "Start-up": f"pass sends logs to {URL}; traces by console; metrics nowhere",
        "Configurator": "pass logwell, which makes log_context reach the OpenTelemetry API, "
        "and a flush mean stored",
        "Logging handler": REACHES.format("ERROR"),
        "Service name": "pass shop",
    }


def test_configure_as_it_should_be() -> None:
    assert real(OTEL_RESOURCE_ATTRIBUTES="service.name=shop") == {
        "Zero-code": "skipped not set up: OTEL_LOGS_EXPORTER does not name logwell -> Set "
        "OTEL_LOGS_EXPORTER=logwell for opentelemetry-instrument; with logwell_otel.configure() "
        "it is not needed.",
        "Start-up": f"pass configure() sends logs to {URL}",
        "Logging handler": REACHES.format("INFO"),
        "Service name": "pass shop",
    }


@needs_distro
@pytest.mark.parametrize(
    ("variables", "line"),
    [
        (
            {"OTEL_TRACES_EXPORTER": "zipkin"},
            (
                "fail zipkin is not installed (OTEL_TRACES_EXPORTER), which stops the whole SDK "
                "-> Correct the name, or set OTEL_TRACES_EXPORTER to what you use, or to none."
            ),
        ),
        (
            {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            (
                "fail the protocol 'http/json' is none that OpenTelemetry has an exporter for, "
                "which stops the whole SDK -> Set OTEL_EXPORTER_OTLP_PROTOCOL to grpc or "
                "http/protobuf, or OTEL_*_EXPORTER to none."
            ),
        ),
        (
            {"OTEL_BLRP_MAX_QUEUE_SIZE": "100", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "200"},
            (
                "fail a batch is larger than the queue that it is taken from, which stops the "
                "whole SDK -> Make OTEL_BLRP_MAX_QUEUE_SIZE larger than "
                "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE, or unset both."
            ),
        ),
        (
            {"OTEL_BLRP_SCHEDULE_DELAY": "0"},
            (
                "fail schedule_delay_millis is not above 0, which stops the whole SDK -> Correct "
                "the OTEL_BLRP_* or OTEL_BSP_* variable of that name, or unset it."
            ),
        ),
        (
            {"OTEL_PYTHON_CONFIGURATOR": "logwel"},
            (
                "fail OTEL_PYTHON_CONFIGURATOR is 'logwel', which is not installed: nothing is set "
                "up -> Set OTEL_PYTHON_CONFIGURATOR to one of "
            ),
        ),
        (
            {"LOGWELL_TIMEOUT": "soon"},
            "fail timeout (LOGWELL_TIMEOUT): ",
        ),
    ],
)
def test_what_stops_a_start(variables: dict[str, str], line: str) -> None:
    found = real(**{**ZERO_CODE, **NEITHER, **variables})
    assert found["Start-up"].startswith(line)
    assert "Logging handler" not in found


@needs_distro
def test_exporters_that_nobody_asked_for() -> None:
    """Of the usual cause: a variable that is not set, which the distro sets."""
    if any(
        point.name == "otlp_proto_grpc"
        for point in entry_points(group="opentelemetry_traces_exporter")
    ):
        pytest.skip("OTLP over gRPC is installed")
    found = real(**ZERO_CODE)
    assert found["Start-up"] == (
        "fail otlp_proto_grpc is not installed (OTEL_TRACES_EXPORTER is not set, which means "
        "otlp), which stops the whole SDK -> Install it (pip install "
        "opentelemetry-exporter-otlp-proto-grpc), or set OTEL_TRACES_EXPORTER to what you use, or "
        "to none."
    )


@needs_distro
@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
            "flask, logging",
            (
                "fail left out by OTEL_PYTHON_DISABLED_INSTRUMENTATIONS -> Take logging (or *) out "
                "of OTEL_PYTHON_DISABLED_INSTRUMENTATIONS."
            ),
        ),
        (
            "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION",
            "false",
            (
                "fail switched off by OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION -> Unset "
                "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION."
            ),
        ),
        (
            "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED",
            "true",
            (
                "warning the SDK's own, which is deprecated -> Unset "
                "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED, and install "
                f"'{LOGGING}>=0.61b0'."
            ),
        ),
    ],
)
def test_logging_handlers_that_are_not_put_in_place(name: str, value: str, line: str) -> None:
    assert real(**ZERO_CODE, **NEITHER, **{name: value})["Logging handler"] == line


@needs_distro
def test_what_opentelemetry_says_is_passed_on() -> None:
    found = real(**ZERO_CODE, **NEITHER, OTEL_BLRP_MAX_QUEUE_SIZE="many")
    assert found["Start-up"].startswith("pass")
    assert found["Said at start-up"].startswith("warning ")
    assert "OTEL_BLRP_MAX_QUEUE_SIZE" in found["Said at start-up"]


OURS = """\
file_format: "1.0"
logger_provider:
  processors:
    - batch:
        exporter:
          logwell:
            endpoint: https://other.example.com
            api_key: ${{LOGWELL_API_KEY}}
            spool_dir: {spool}
"""


def with_file(path: Path, text: str) -> str:
    pytest.importorskip("opentelemetry.configuration")
    pytest.importorskip("opentelemetry.distro")
    path.write_text(text)
    return real(OTEL_CONFIG_FILE=str(path))["Start-up"]


def test_a_configuration_file(tmp_path: Path) -> None:
    path, spool = tmp_path / "otel.yaml", tmp_path / "spool"
    assert with_file(path, OURS.format(spool=spool)) == (
        f"pass {path} sends logs to https://other.example.com; OTEL_*_EXPORTER variables do not "
        "count, and settings in the file come before LOGWELL_* variables"
    )
    assert not spool.exists()


def test_a_configuration_file_without_our_exporter(tmp_path: Path) -> None:
    path = tmp_path / "otel.yaml"
    text = OURS.format(spool="x").partition("          logwell:")[0]
    assert with_file(path, f"{text}          console:\n") == (
        f"warning {path} sends no logs to Logwell -> Add to it: "
        "logger_provider: processors: - batch: exporter: logwell:"
    )
    assert with_file(path, 'file_format: "1.0"\n') == (
        f"fail {path} sets up no logs -> See that it has a logger_provider, and no disabled: true."
    )


def test_a_configuration_file_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "otel.yaml"
    said = with_file(path, f"file_format: [{KEY}")
    assert said.startswith(f"fail {path} stops the whole SDK: ")
    assert "Correct the file" in said
    assert KEY not in said
    path.unlink()
    found = real(OTEL_CONFIG_FILE=str(path))
    assert "otel.yaml stops the whole SDK: Configuration file not found" in found["Start-up"]


@needs_distro
@pytest.mark.parametrize("traces", ["none", "zipkin"])
def test_it_says_what_opentelemetry_instrument_does(traces: str) -> None:
    environ = {**process(), **ZERO_CODE, **NEITHER, "OTEL_TRACES_EXPORTER": traces}
    program = (
        "from opentelemetry._logs import get_logger_provider\n"
        "print(type(get_logger_provider()).__module__, flush=True)\n"
        "import os; os._exit(0)"
    )
    run = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", run, sys.executable, "-c", program],
        env={**environ, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    is_up = done.stdout.startswith("opentelemetry.sdk.")
    assert is_up is (traces == "none"), done.stderr
    assert findings(environ)["Start-up"].startswith("pass" if is_up else "fail")


def test_a_start_sends_and_keeps_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        # A program's own start-up, which Python runs before everything else.
        (tmp_path / "sitecustomize.py").write_text(
            "import atexit, logging\n"
            "atexit.register(lambda: open('at-exit', 'w').close())\n"
            "print('printed')\n"
        )
        environ = {
            **process(),
            "LOGWELL_ENDPOINT": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "LOGWELL_SPOOL_DIR": str(tmp_path / "spool"),
            "OTEL_BLRP_SCHEDULE_DELAY": "1",
        }
        environ["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{environ['PYTHONPATH']}"
        found = startup.start("configure", environ)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert found.problem is None
    assert {path.name for path in tmp_path.iterdir()} <= {"sitecustomize.py", "__pycache__"}


def test_no_socket_of_a_start_connects() -> None:
    program = (
        "import socket, sys\nfrom logwell_otel.cli.check import probe\n"
        "sys.addaudithook(probe.refuse_network)\n"
        "socket.create_connection(('127.0.0.1', 9))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=process(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "ConnectionRefusedError: " in done.stderr
    assert "logwell-otel check sends nothing here" in done.stderr


def test_a_start_that_ends_the_process_or_does_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        "if 'HANG' in os.environ: time.sleep(60)\n"
        "sys.stderr.write('first\\nlicence expired\\n'); os._exit(3)\n"
    )
    environ = {**process(), "PYTHONPATH": str(tmp_path)}
    assert findings({**environ, **ZERO_CODE})["Start-up"] == (
        "fail the process ended with status 3: licence expired, which stops the whole SDK -> Run "
        "opentelemetry-instrument python -c pass to see the whole traceback."
    )
    monkeypatch.setattr(startup, "TIMEOUT", 0.2)
    found = findings({**environ, "HANG": "1"})["Start-up"]
    assert found.startswith("fail it is not over after 0.2 s")


# What is made of what a start finds.


def changed(**changes: Any) -> Start:
    return msgspec.structs.replace(UP, **changes)


@pytest.mark.parametrize(
    ("environ", "problem", "line"),
    [
        (
            ZERO_CODE,
            Problem(
                "No module named 'opentelemetry.instrumentation'",
                "ModuleNotFoundError",
                "builtins",
                "opentelemetry.instrumentation",
            ),
            (
                "fail opentelemetry-instrument is not installed -> Run pip install "
                "'logwell-otel[zero-code]'."
            ),
        ),
        (
            ZERO_CODE,
            Problem("No module named 'grpc'", "ModuleNotFoundError", "builtins", "grpc"),
            (
                "fail ModuleNotFoundError: No module named 'grpc', which stops the whole SDK -> "
                "Install it, or leave out what needs it."
            ),
        ),
        (
            {"OTEL_CONFIG_FILE": "otel.yaml"},
            Problem(
                "OTEL_CONFIG_FILE is set but opentelemetry-configuration is not installed. Install "
                "it with: pip install opentelemetry-configuration",
                "RuntimeError",
                "builtins",
            ),
            (
                "fail OTEL_CONFIG_FILE is set, but opentelemetry-configuration is not installed, "
                "which stops the whole SDK -> Run pip install opentelemetry-configuration."
            ),
        ),
        (
            ZERO_CODE,
            Problem(
                "OTEL_PYTHON_CONFIGURATOR=logwell needs a newer opentelemetry-sdk (1.40 or later): "
                "upgrade it, or unset the variable",
                "RuntimeError",
                "builtins",
            ),
            (
                "fail OTEL_PYTHON_CONFIGURATOR=logwell needs a newer opentelemetry-sdk (1.40 or "
                "later), which stops the whole SDK -> Upgrade opentelemetry-sdk, or unset "
                "OTEL_PYTHON_CONFIGURATOR."
            ),
        ),
        (
            {},
            Problem(f"no such thing as {KEY}", "OddError", "some.module"),
            (
                "fail OddError: no such thing as ***, which stops the whole SDK -> Run "
                "the application to see the whole traceback."
            ),
        ),
    ],
)
def test_known_causes(environ: dict[str, str], problem: Problem, line: str) -> None:
    assert findings(environ, Start(problem))["Start-up"] == line


def test_no_configurator() -> None:
    assert findings(ZERO_CODE, Start())["Start-up"] == (
        "fail no configurator is installed, so that nothing is set up -> Run pip install "
        "'logwell-otel[zero-code]'."
    )


def test_a_start_that_leaves_our_exporter_out() -> None:
    assert findings(ZERO_CODE, changed(endpoints=[]))["Start-up"].startswith(
        "fail OpenTelemetry is up, but without an exporter to Logwell -> See what the distro"
    )


LATER = "Configuration of {} not loaded, {} already loaded"


@pytest.mark.parametrize(
    ("wanted", "said", "line"),
    [
        (None, [], f"pass OpenTelemetry's own; {BETTER}"),
        (None, [LATER.format("configurator", "logwell")], f"pass OpenTelemetry's own; {BETTER}"),
        ("vendor", [], f"pass vendor; {BETTER}"),
        (
            None,
            [LATER.format("vendor", "logwell")],
            (
                "warning logwell, vendor are installed, and OTEL_PYTHON_CONFIGURATOR does not say "
                "which: the one that is found first is used -> Set OTEL_PYTHON_CONFIGURATOR to the "
                "one you want."
            ),
        ),
    ],
)
def test_the_configurator(wanted: str | None, said: list[str], line: str) -> None:
    environ = {**ZERO_CODE, **({"OTEL_PYTHON_CONFIGURATOR": wanted} if wanted else {})}
    found = findings(environ, changed(said=said))
    assert found["Configurator"] == line
    assert "Said at start-up" not in found


@pytest.mark.parametrize(
    ("installed", "line"),
    [
        (
            None,
            (
                f"fail {LOGGING} is not installed: log records of the standard library go nowhere "
                f"-> {INSTALL}"
            ),
        ),
        (
            "0.60b0",
            (
                f"fail {LOGGING} 0.60b0 put none in place: log records of the standard library go "
                "nowhere -> Upgrade it to 0.61b0 or later and opentelemetry-sdk to 1.40 or later; "
                "with older ones, set OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED=true."
            ),
        ),
    ],
)
def test_no_logging_handler(
    installed: str | None, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "_version", lambda _: installed)
    assert findings(ZERO_CODE, changed(handlers=[]))["Logging handler"] == line


def test_many_things_said() -> None:
    said = [f"strange {number}" for number in range(5)]
    assert findings(ZERO_CODE, changed(said=said))["Said at start-up"] == (
        "warning strange 0; strange 1; strange 2; and 2 more -> OpenTelemetry logs this at every "
        "start: see what it means."
    )


def test_which_start_is_tried() -> None:
    tried: list[str] = []

    def start(how: How, _: Mapping[str, str]) -> Start:
        tried.append(how)
        return changed(handlers=[Handler(sdks_own=True, level=0)])

    config = Config.resolve({}, endpoint=URL, api_key=KEY)
    for environ in (ZERO_CODE, {"OTEL_CONFIG_FILE": "x"}, {"OTEL_LOGS_EXPORTER": "otlp"}, {}):
        list(startup.opentelemetry(environ, config, start))
    assert tried == ["zero-code", "zero-code", "configure", "configure"]
    # Without settings there is nothing that configure() could start with.
    found = dict(startup.opentelemetry({}, None, start))
    assert found["Start-up"].text == "not run: Settings failed"
    assert len(tried) == 4


def test_the_versions_of_this_environment() -> None:
    _, finding = next(startup.opentelemetry({}, None, startup.start))
    assert f"Python {sys.version.split()[0]} in {sys.prefix}, logwell-otel" in finding.text
    assert "opentelemetry-sdk " in finding.text


def test_the_service_name() -> None:
    assert findings({}, changed(service="unknown_service:python"))["Service name"] == (
        "warning not set: entries are filed under unknown_service:python -> Set "
        "OTEL_SERVICE_NAME, or give configure(service=...)."
    )
    assert findings({}, changed(service="file"))["Service name"] == "pass file"
    assert findings({}, changed(service="file"), service="shop")["Service name"] == "pass shop"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            "otlp",
            (
                "warning OTEL_LOGS_EXPORTER is otlp: opentelemetry-instrument sends no logs to "
                "Logwell -> Add logwell to it, or use logwell_otel.configure()."
            ),
        ),
        (
            "none",
            (
                "skipped not set up: OTEL_LOGS_EXPORTER does not name logwell -> Set "
                "OTEL_LOGS_EXPORTER=logwell for opentelemetry-instrument; with "
                "logwell_otel.configure() it is not needed."
            ),
        ),
        ("console, logwell", "pass set up, for programs run by opentelemetry-instrument"),
    ],
)
def test_whether_zero_code_is_set_up(given: str, line: str) -> None:
    assert findings({"OTEL_LOGS_EXPORTER": given}, UP)["Zero-code"] == line
