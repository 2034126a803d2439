"""The service that OpenTelemetry's resource variables name."""

from __future__ import annotations

import os
from urllib.parse import unquote


def service_from_environment() -> str:
    """Whose entries these are, for what must know before the first record brings a resource."""
    if name := os.environ.get("OTEL_SERVICE_NAME", "").strip():
        return name
    for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, _, value = pair.partition("=")
        if key.strip() == "service.name" and value.strip():
            return unquote(value.strip())
    return "unknown_service"
