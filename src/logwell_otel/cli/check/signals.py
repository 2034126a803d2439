"""Which exporters OpenTelemetry would load at a zero-code start, and whether it can.

The rules are those of `opentelemetry.sdk._configuration` and of the distro, which sets
what is not set: `tests/check/test_check_signals.py` compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from logwell_otel.cli.check.result import Finding, failed, passed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logwell_otel.cli.check.installed import Installed

EXPORTER_VARIABLES: Final = {
    "logs": "OTEL_LOGS_EXPORTER",
    "traces": "OTEL_TRACES_EXPORTER",
    "metrics": "OTEL_METRICS_EXPORTER",
}
_OTLP: Final = "otlp"
_OTLP_BY_PROTOCOL: Final = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
_PACKAGES: Final = {
    "otlp_proto_grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "otlp_proto_http": "opentelemetry-exporter-otlp-proto-http",
    "otlp_json_http": "opentelemetry-exporter-otlp-json-http",
    "prometheus": "opentelemetry-exporter-prometheus",
    "logwell": "logwell-otel",
}


class UnknownProtocolError(ValueError):
    """A protocol that OpenTelemetry has no OTLP exporter for; it raises for it at start."""


def with_distro(environ: Mapping[str, str], installed: Installed) -> dict[str, str]:
    """`environ` as it is once the distro has set what is not set."""
    wanted = environ.get("OTEL_PYTHON_DISTRO")
    names = [point.name for point in installed.entry_points("opentelemetry_distro")]
    loaded = next((name for name in names if wanted in (None, name)), None)
    if loaded != "distro":  # OpenTelemetry's own; what others set is theirs to say
        return dict(environ)
    defaults = dict.fromkeys(EXPORTER_VARIABLES.values(), _OTLP)
    return {**defaults, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", **environ}


def exporter_names(signal: str, environ: Mapping[str, str]) -> list[str]:
    """Entry points that OpenTelemetry looks for.

    Args:
        signal: `logs`, `traces` or `metrics`.
        environ: The environment, after the distro.

    Raises:
        UnknownProtocolError: It would raise.
    """
    names = environ.get(EXPORTER_VARIABLES[signal], "")
    if not names or names.lower().strip() == "none":
        return []
    return [_entry_point(name.strip(), signal, environ) for name in names.split(",")]


def _entry_point(name: str, signal: str, environ: Mapping[str, str]) -> str:
    if name != _OTLP:
        return name
    variable = f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL"
    protocol = (environ.get(variable) or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "").strip()
    if not protocol:
        return _OTLP_BY_PROTOCOL["grpc"]
    if protocol not in _OTLP_BY_PROTOCOL:
        raise UnknownProtocolError(protocol)
    return _OTLP_BY_PROTOCOL[protocol]


def can_load(
    signal: str, environ: Mapping[str, str], given: Mapping[str, str], installed: Installed
) -> Finding:
    """Whether the exporters of one signal can be loaded.

    One that cannot stops the whole SDK: neither logs nor traces nor metrics are set up.

    Args:
        signal: `logs`, `traces` or `metrics`.
        environ: The environment, after the distro.
        given: The environment as it was before.
        installed: What is installed.
    """
    variable = EXPORTER_VARIABLES[signal]
    unset = variable not in given
    try:
        names = exporter_names(signal, environ)
    except UnknownProtocolError as error:
        return failed(
            f"the protocol {str(error)!r} stops the whole SDK",
            f"Set OTEL_EXPORTER_OTLP_PROTOCOL to grpc or http/protobuf, or {variable}=none.",
        )
    if not names:
        return passed(f"none ({variable} is {given.get(variable) or 'not set'})")
    points = {
        point.name: point for point in installed.entry_points(f"opentelemetry_{signal}_exporter")
    }
    source = f"{variable} is not set, which means otlp" if unset else variable
    for name in names:
        if name not in points:
            package = _PACKAGES.get(name)
            install = f"Install it (pip install {package})" if package else "Correct the name"
            return failed(
                f"{name} is not installed ({source}), which stops the whole SDK",
                f"{install}, or set {variable} to what you use, or to none.",
            )
        try:
            points[name].load()
        except Exception as error:  # noqa: BLE001 - whatever the import of a foreign module raises
            return failed(
                f"{name} cannot be imported ({type(error).__name__}: {error}), which stops the "
                "whole SDK",
                "Install what it needs, or leave it out.",
            )
    return passed(f"{', '.join(names)} ({source})")
