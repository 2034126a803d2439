"""What happens when Django has started."""

from django.apps import AppConfig
from opentelemetry import trace
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.sdk.trace import TracerProvider

import logwell_otel


class OrdersConfig(AppConfig):
    """The orders of a shop."""

    name = "orders"

    def ready(self) -> None:
        """Called by the server and by every `manage.py` command, after LOGGING is applied."""
        logwell_otel.configure()
        trace.set_tracer_provider(TracerProvider())  # add the processor of your tracing backend
        DjangoInstrumentor().instrument()
