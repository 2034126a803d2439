"""Start-up without code with few variables: `OTEL_PYTHON_DISTRO=logwell`.

Sets what `opentelemetry-instrument` needs and the environment does not say, so that the
server's address, the key and the service's name are all that is left to say.
"""

from __future__ import annotations

import logging
import os
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined] # has no types

from logwell_otel._otel import AUTO_INSTRUMENTATION

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "opentelemetry_distro"
CHOSEN_BY: Final = "OTEL_PYTHON_DISTRO"

DEFAULTS: Final = {
    "OTEL_LOGS_EXPORTER": "logwell",
    "OTEL_PYTHON_CONFIGURATOR": "logwell",
    "OTEL_PYTHON_LOG_CODE_ATTRIBUTES": "true",
    # Ten bursts' worth of OpenTelemetry's 2,048, as with `configure()`.
    "OTEL_BLRP_MAX_QUEUE_SIZE": "20480",
}
"""Set where it is not set, or empty."""

_SIGNALS: Final = ("traces", "metrics")
_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
# The protocol by the name of its exporter's entry point, OpenTelemetry's default first.
_PROTOCOLS: Final = {"otlp_proto_grpc": "grpc", "otlp_proto_http": "http/protobuf"}


class LogwellDistro(BaseDistro):  # type: ignore[misc]
    """Entry point `logwell` of the group `opentelemetry_distro`."""

    _other: Any = None

    def _configure(self, **kwargs: Any) -> None:
        if os.environ.get(CHOSEN_BY, "").strip() != "logwell":
            # Without the variable, OpenTelemetry takes the distro that happens to be listed
            # first. Installing a package must not change which one that is.
            others = (point for point in entry_points(group=GROUP) if point.name != "logwell")
            if (other := next(others, None)) is not None:
                self._other = other.load()()
                self._other.configure(**kwargs)
            return
        for name, value in DEFAULTS.items():
            _set_default(name, value)
        for signal in _SIGNALS:
            _set_default(f"OTEL_{signal.upper()}_EXPORTER", _exporter_of(signal))
        logging.getLogger(AUTO_INSTRUMENTATION).addFilter(_is_news)

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        """Load an instrumentation, as the distro that counts does."""
        if self._other is not None:
            self._other.load_instrumentor(entry_point, **kwargs)
        else:
            super().load_instrumentor(entry_point, **kwargs)


def _exporter_of(signal: str) -> str:
    """`otlp` where an exporter of that signal is installed for the protocol, else `none`."""
    installed = {point.name for point in entry_points(group=f"opentelemetry_{signal}_exporter")}
    protocol = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL") or os.environ.get(
        _PROTOCOL
    )
    for name, its_protocol in _PROTOCOLS.items():
        if name in installed and protocol in {None, "", its_protocol}:
            _set_default(_PROTOCOL, its_protocol)
            return "otlp"
    return "none"


def _set_default(name: str, value: str) -> None:
    if not os.environ.get(name, "").strip():
        os.environ[name] = value


def _is_news(record: logging.LogRecord) -> bool:
    """False for "Configuration of … not loaded" since ours is: as it should be."""
    loaded = record.args[1:2] if isinstance(record.args, tuple) else ()
    return not ("not loaded" in str(record.msg) and loaded == ("logwell",))
