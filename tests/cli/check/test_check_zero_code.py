"""What OpenTelemetry would load: one table for each step, and a start that is real."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel.cli.check.installed import Installed
from logwell_otel.cli.check.zero_code import opentelemetry
from support.check import Environment, Point

if TYPE_CHECKING:
    from collections.abc import Mapping

ZERO_CODE = {"OTEL_LOGS_EXPORTER": "logwell"}
LOGGING = "opentelemetry-instrumentation-logging"
HANDLER = "opentelemetry.instrumentation.logging.handler"
INSTALL = (
    "Run pip install 'opentelemetry-instrumentation-logging>=0.61b0' (it comes with "
    "logwell-otel[zero-code])."
)
BETTER = (
    "OTEL_PYTHON_CONFIGURATOR=logwell makes log_context reach the OpenTelemetry API, and a flush "
    "mean stored"
)
SIZES = (
    "OTEL_BLRP_MAX_QUEUE_SIZE",
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BLRP_SCHEDULE_DELAY",
)


def everything(**changes: Any) -> Environment:
    """An environment as `pip install 'logwell-otel[zero-code]'` makes it, with changes."""
    parts: dict[str, Any] = {
        "versions": {"opentelemetry-instrumentation": "0.66b1", LOGGING: "0.66b1"},
        "points": {
            "opentelemetry_distro": [Point("distro")],
            "opentelemetry_configurator": [Point("logwell")],
            "opentelemetry_logs_exporter": [Point("logwell"), Point("console")],
            "opentelemetry_traces_exporter": [Point("console")],
            "opentelemetry_metrics_exporter": [
                Point("otlp_proto_http"),
                Point("broken", ImportError("No module named 'grpc'")),
            ],
        },
        "modules": {HANDLER},
        **changes,
    }
    return Environment(**parts)


def look(
    environ: Mapping[str, str], installed: Installed | None = None, service: str = "shop"
) -> dict[str, str]:
    found = opentelemetry(environ, installed or everything(), service)
    return {
        step: f"{one.status} {one.text}" + (f" -> {one.advice}" if one.advice else "")
        for step, one in found
        if step != "Versions"
    }


def test_zero_code_as_it_should_be() -> None:
    assert look(
        {
            **ZERO_CODE,
            "OTEL_TRACES_EXPORTER": "console",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_PYTHON_CONFIGURATOR": "logwell",
        }
    ) == {
        "SDK": "pass not switched off",
        "Zero-code": "pass set up, for programs run by opentelemetry-instrument",
        "Logs exporter": "pass logwell (OTEL_LOGS_EXPORTER)",
        "Traces exporter": "pass console (OTEL_TRACES_EXPORTER)",
        "Metrics exporter": "pass none (OTEL_METRICS_EXPORTER is none)",
        "Configurator": "pass logwell, which makes log_context reach the OpenTelemetry API, "
        "and a flush mean stored",
        "Batches": "pass a queue of 2048 records, batches of 512",
        "Logging handler": "pass put on the root logger; WARNING and above pass that unless the "
        "application sets its level",
        "Source location": "pass the logging handler adds source file and line",
        "Service name": "pass shop",
    }


def test_configure_as_it_should_be() -> None:
    assert look({}) == {
        "SDK": "pass not switched off",
        "Zero-code": "skipped not set up: OTEL_LOGS_EXPORTER does not name logwell -> Set "
        "OTEL_LOGS_EXPORTER=logwell for opentelemetry-instrument; with logwell_otel.configure() "
        "it is not needed.",
        "Batches": "pass a queue of 20480 records, batches of 500",
        "Logging handler": f"pass {LOGGING} has it, for configure()",
        "Source location": "pass the logging handler adds source file and line",
        "Service name": "pass shop",
    }


def test_the_versions_of_this_environment() -> None:
    _, finding = next(opentelemetry({}, Installed(), "shop"))
    assert f"Python {sys.version.split()[0]} in {sys.prefix}, logwell-otel" in finding.text
    assert "opentelemetry-sdk " in finding.text


@pytest.mark.parametrize("value", ["true", " TRUE "])
def test_the_sdk_switched_off(value: str) -> None:
    assert look({"OTEL_SDK_DISABLED": value})["SDK"] == (
        "fail switched off by OTEL_SDK_DISABLED: no record goes anywhere -> Unset "
        "OTEL_SDK_DISABLED."
    )


def test_the_service_name() -> None:
    assert look({}, service="unknown_service")["Service name"] == (
        "warning not set: entries are filed under unknown_service -> Set OTEL_SERVICE_NAME, or "
        "give configure(service=...)."
    )


@pytest.mark.parametrize(
    ("environ", "installed", "line"),
    [
        (
            {"OTEL_LOGS_EXPORTER": "otlp"},
            everything(),
            (
                "warning OTEL_LOGS_EXPORTER is otlp: opentelemetry-instrument sends no logs to "
                "Logwell -> Add logwell to it, or use logwell_otel.configure()."
            ),
        ),
        (
            {"OTEL_LOGS_EXPORTER": "none"},
            everything(),
            (
                "skipped not set up: OTEL_LOGS_EXPORTER does not name logwell -> Set "
                "OTEL_LOGS_EXPORTER=logwell for opentelemetry-instrument; with "
                "logwell_otel.configure() it is not needed."
            ),
        ),
        (
            ZERO_CODE,
            everything(versions={LOGGING: "0.66b1"}),
            (
                "fail opentelemetry-instrument is not installed -> Run pip install "
                "'logwell-otel[zero-code]'."
            ),
        ),
        (
            {"OTEL_LOGS_EXPORTER": "console, logwell"},
            everything(),
            "pass set up, for programs run by opentelemetry-instrument",
        ),
        (
            {"OTEL_LOGS_EXPORTER": "otlp,logwell", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            everything(),
            "pass set up, for programs run by opentelemetry-instrument",
        ),
    ],
)
def test_whether_zero_code_is_set_up(
    environ: dict[str, str], installed: Environment, line: str
) -> None:
    assert look(environ, installed)["Zero-code"] == line


@pytest.mark.parametrize(
    ("changes", "step", "line"),
    [
        (
            {},
            "Traces exporter",
            (
                "fail otlp_proto_grpc is not installed (OTEL_TRACES_EXPORTER is not set, which "
                "means otlp), which stops the whole SDK -> Install it (pip install "
                "opentelemetry-exporter-otlp-proto-grpc), or set OTEL_TRACES_EXPORTER to what you "
                "use, or to none."
            ),
        ),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "Metrics exporter",
            "pass otlp_proto_http (OTEL_METRICS_EXPORTER is not set, which means otlp)",
        ),
        (
            {"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/json"},
            "Metrics exporter",
            (
                "fail the protocol 'http/json' stops the whole SDK -> Set "
                "OTEL_EXPORTER_OTLP_PROTOCOL to grpc or http/protobuf, or "
                "OTEL_METRICS_EXPORTER=none."
            ),
        ),
        (
            {"OTEL_METRICS_EXPORTER": "broken"},
            "Metrics exporter",
            (
                "fail broken cannot be imported (ImportError: No module named 'grpc'), which stops "
                "the whole SDK -> Install what it needs, or leave it out."
            ),
        ),
        (
            {"OTEL_METRICS_EXPORTER": ""},
            "Metrics exporter",
            "pass none (OTEL_METRICS_EXPORTER is not set)",
        ),
        (
            {"OTEL_LOGS_EXPORTER": "logwell,Logwell"},
            "Logs exporter",
            (
                "fail Logwell is not installed (OTEL_LOGS_EXPORTER), which stops the whole SDK -> "
                "Correct the name, or set OTEL_LOGS_EXPORTER to what you use, or to none."
            ),
        ),
    ],
)
def test_exporters(changes: dict[str, str], step: str, line: str) -> None:
    assert look({**ZERO_CODE, **changes})[step] == line


@pytest.mark.parametrize(
    ("points", "wanted", "line"),
    [
        (
            [],
            None,
            (
                "fail none is installed, so that nothing is set up -> Run pip install "
                "'logwell-otel[zero-code]'."
            ),
        ),
        (["logwell", "configurator"], None, f"pass OpenTelemetry's own; {BETTER}"),
        (["logwell"], None, f"pass OpenTelemetry's own; {BETTER}"),
        (["vendor"], None, f"pass vendor; {BETTER}"),
        (["logwell", "configurator"], "configurator", f"pass configurator; {BETTER}"),
        (
            ["logwell", "vendor"],
            None,
            (
                "warning logwell, vendor are installed, and OTEL_PYTHON_CONFIGURATOR does not say "
                "which: the one that is found first is used -> Set OTEL_PYTHON_CONFIGURATOR to the "
                "one you want."
            ),
        ),
        (
            ["logwell", "configurator"],
            "logwel",
            (
                "fail OTEL_PYTHON_CONFIGURATOR is 'logwel', which is not installed: nothing is set "
                "up -> Set OTEL_PYTHON_CONFIGURATOR to one of logwell, configurator."
            ),
        ),
    ],
)
def test_the_configurator(points: list[str], wanted: str | None, line: str) -> None:
    installed = everything(
        points={
            "opentelemetry_configurator": [Point(name) for name in points],
            "opentelemetry_logs_exporter": [Point("logwell")],
        }
    )
    environ = {**ZERO_CODE, **({"OTEL_PYTHON_CONFIGURATOR": wanted} if wanted else {})}
    assert look(environ, installed)["Configurator"] == line


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        (("4096", "100", "500"), "pass a queue of 4096 records, batches of 100, every 500 ms"),
        (
            ("many", "100", ""),
            (
                "warning a queue of 2048 records, batches of 100; "
                "OTEL_BLRP_MAX_QUEUE_SIZE='many', OTEL_BLRP_SCHEDULE_DELAY='' is no number and is "
                "passed over -> Correct or unset it."
            ),
        ),
        (
            ("0", "100", "500"),
            (
                "fail a size or a delay is not above 0, which OpenTelemetry refuses at start -> "
                "Correct OTEL_BLRP_MAX_QUEUE_SIZE, OTEL_BLRP_MAX_EXPORT_BATCH_SIZE and "
                "OTEL_BLRP_SCHEDULE_DELAY, or unset them."
            ),
        ),
        (
            ("100", "512", "500"),
            (
                "fail batches of 512 do not fit a queue of 100, which OpenTelemetry refuses at "
                "start -> Make OTEL_BLRP_MAX_QUEUE_SIZE larger than "
                "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE, or unset both."
            ),
        ),
    ],
)
def test_batches(sizes: tuple[str, str, str], line: str) -> None:
    environ = {**ZERO_CODE, **dict(zip(SIZES, sizes, strict=True))}
    assert look(environ)["Batches"] == line


def test_empty_sizes_with_configure() -> None:
    assert look(dict.fromkeys(SIZES, ""))["Batches"] == (
        "pass a queue of 20480 records, batches of 500"
    )


@pytest.mark.parametrize(
    ("environ", "changes", "line"),
    [
        (
            ZERO_CODE,
            {"versions": {}},
            (
                f"fail {LOGGING} is not installed: log records of the standard library go nowhere "
                f"-> {INSTALL}"
            ),
        ),
        (
            ZERO_CODE,
            {"versions": {LOGGING: "0.60b0"}, "modules": set()},
            (
                f"fail {LOGGING} 0.60b0 has none yet: log records of the standard library go "
                f"nowhere -> {INSTALL}"
            ),
        ),
        (
            {},
            {"versions": {}},
            (
                f"warning {LOGGING} is not installed: configure() cannot put a handler in place "
                f"-> {INSTALL}"
            ),
        ),
        (
            {**ZERO_CODE, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask, logging"},
            {},
            (
                "fail left out by OTEL_PYTHON_DISABLED_INSTRUMENTATIONS -> Take logging (or *) out "
                "of OTEL_PYTHON_DISABLED_INSTRUMENTATIONS."
            ),
        ),
        (
            {**ZERO_CODE, "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION": "false"},
            {},
            (
                "fail switched off by OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION -> Unset "
                "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION."
            ),
        ),
        (
            {**ZERO_CODE, "OTEL_PYTHON_LOG_HANDLER_LEVEL": "error"},
            {},
            (
                "pass put on the root logger from ERROR on (OTEL_PYTHON_LOG_HANDLER_LEVEL); "
                "WARNING and above pass that unless the application sets its level"
            ),
        ),
        (
            {**ZERO_CODE, "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true"},
            {"versions": {}},
            (
                "warning the SDK's own, which is deprecated -> Unset "
                "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED and install "
                "opentelemetry-instrumentation-logging."
            ),
        ),
    ],
)
def test_the_logging_handler(environ: dict[str, str], changes: dict[str, Any], line: str) -> None:
    assert look(environ, everything(**changes))["Logging handler"] == line


def test_source_locations() -> None:
    found = dict(opentelemetry({}, everything(), "shop", source_location=False))
    finding = found["Source location"]
    assert (finding.status, finding.text, finding.advice) == (
        "warning",
        "switched off by LOGWELL_SOURCE_LOCATION",
        "Unset LOGWELL_SOURCE_LOCATION.",
    )
    assert look({})["Source location"] == "pass the logging handler adds source file and line"


@pytest.mark.parametrize("traces", ["none", None])
def test_it_says_what_a_real_start_does(traces: str | None) -> None:
    """Whether OpenTelemetry comes up with these variables, and what the check says of them."""
    pytest.importorskip("opentelemetry.distro")
    environ = {
        **ZERO_CODE,
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_PYTHON_CONFIGURATOR": "configurator",
        "LOGWELL_ENDPOINT": "http://127.0.0.1:1",
        "LOGWELL_API_KEY": "lw_" + "k" * 32,
        **({} if traces is None else {"OTEL_TRACES_EXPORTER": traces}),
    }
    program = (
        "from opentelemetry.instrumentation.auto_instrumentation import initialize\n"
        "initialize(swallow_exceptions=False)"
    )
    started = subprocess.run(
        [sys.executable, "-c", program],
        env={**environ, "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        timeout=60,
        check=False,
    )
    says = look(environ, Installed())
    if Installed().version("opentelemetry-exporter-otlp-proto-grpc") is None:
        assert says["Traces exporter"].startswith("fail" if traces is None else "pass")
    assert any(line.startswith("fail") for line in says.values()) is (started.returncode != 0)


OLD = {"opentelemetry-sdk": "1.39.0", LOGGING: "0.60b0", "opentelemetry-instrumentation": "0.60b0"}
SDK_HANDLER = "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED"


@pytest.mark.parametrize(
    ("environ", "configurator", "handler"),
    [
        (
            {},
            "pass OpenTelemetry's own",
            (
                "fail log records of the standard library go nowhere -> Upgrade OpenTelemetry to "
                f"1.40 or later, or set {SDK_HANDLER}=true."
            ),
        ),
        (
            {SDK_HANDLER: "true", "OTEL_PYTHON_CONFIGURATOR": "logwell"},
            (
                "fail OTEL_PYTHON_CONFIGURATOR is logwell, which needs opentelemetry-sdk 1.40 or "
                "later: start-up fails -> Upgrade opentelemetry-sdk, or unset "
                "OTEL_PYTHON_CONFIGURATOR."
            ),
            "pass the SDK's own, with this old OpenTelemetry",
        ),
    ],
)
def test_with_the_oldest_opentelemetry(
    environ: dict[str, str], configurator: str, handler: str
) -> None:
    says = look({**ZERO_CODE, **environ}, everything(versions=OLD, modules=set()))
    assert (says["Configurator"], says["Logging handler"]) == (configurator, handler)
