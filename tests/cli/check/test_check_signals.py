"""The exporters' names are those that OpenTelemetry's own configuration asks for."""

from __future__ import annotations

import itertools

import pytest

from logwell_otel.cli.check.signals import UnknownProtocolError, exporter_names, with_distro
from support.check import Environment, Point

VALUES = [None, "", "none", " NONE ", "otlp", "logwell", " otlp , console", "otlp_proto_http"]
PROTOCOLS = [None, "", "grpc", "http/protobuf", " grpc ", "http/json", "x"]


# OpenTelemetry 1.39 uses what it has itself deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("signal", ["logs", "traces", "metrics"])
def test_names_are_opentelemetrys(signal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk._configuration import _get_exporter_names

    for names, every, own in itertools.product(VALUES, PROTOCOLS, PROTOCOLS):
        environ = {
            f"OTEL_{signal.upper()}_EXPORTER": names,
            "OTEL_EXPORTER_OTLP_PROTOCOL": every,
            f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL": own,
        }
        given = {name: value for name, value in environ.items() if value is not None}
        for name, value in environ.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        try:
            theirs: list[str] | None = _get_exporter_names(signal)  # type: ignore[arg-type]
        except RuntimeError:
            theirs = None
        try:
            ours: list[str] | None = exporter_names(signal, given)
        except UnknownProtocolError:
            ours = None
        assert ours == theirs, given


def test_the_distro_sets_what_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    distro = pytest.importorskip("opentelemetry.distro")
    given = {"OTEL_LOGS_EXPORTER": "logwell", "OTEL_TRACES_EXPORTER": ""}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    names = [f"OTEL_{signal}_EXPORTER" for signal in ("LOGS", "TRACES", "METRICS")]
    names.append("OTEL_EXPORTER_OTLP_PROTOCOL")
    for name in names:  # so that they are put back
        if name not in given:
            monkeypatch.setenv(name, "x")
            monkeypatch.delenv(name)
    distro.OpenTelemetryDistro()._configure()  # noqa: SLF001 - what opentelemetry-instrument calls
    import os

    theirs = {name: os.environ[name] for name in names}
    installed = Environment(points={"opentelemetry_distro": [Point("distro")]})
    assert with_distro(given, installed) == theirs


@pytest.mark.parametrize(
    ("points", "wanted", "sets"),
    [
        (["distro"], None, True),
        (["other", "distro"], None, False),
        (["other", "distro"], "distro", True),
        (["distro"], "other", False),
        ([], None, False),
    ],
)
def test_which_distro(points: list[str], wanted: str | None, sets: bool) -> None:
    installed = Environment(points={"opentelemetry_distro": [Point(name) for name in points]})
    environ = {} if wanted is None else {"OTEL_PYTHON_DISTRO": wanted}
    assert ("OTEL_TRACES_EXPORTER" in with_distro(environ, installed)) is sets
