"""Traces to one backend over OTLP, logs to Logwell, each entry with its trace and span id.

pip install logwell-otel opentelemetry-exporter-otlp-proto-http
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… OTEL_SERVICE_NAME=shop
OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 python beside_traces.py
"""

import logging

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import logwell_otel

logger = logging.getLogger("shop.orders")
tracer = trace.get_tracer("shop")


def place(order: int) -> None:
    with tracer.start_as_current_span("place order"):
        logger.info("order %d placed", order)
        with tracer.start_as_current_span("charge"):
            logger.info("order %d charged", order)


if __name__ == "__main__":
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    logwell_otel.configure()
    for number in range(3):
        place(number)
    logger.info("outside every span")
