"""The same logs to two places: Logwell and an OpenTelemetry Collector, say while you move.

pip install logwell-otel opentelemetry-exporter-otlp-proto-http
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… OTEL_SERVICE_NAME=shop
OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 python two_exporters.py
"""

import logging

from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

import logwell_otel

logger = logging.getLogger("shop.orders")


def main() -> None:
    provider = LoggerProvider()
    # The context before both, so that both have it.
    provider.add_log_record_processor(logwell_otel.ContextLogRecordProcessor())
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    set_logger_provider(provider)
    logwell_otel.configure()  # finds the provider and adds itself
    for order in range(100):
        with logwell_otel.log_context(order_id=order):
            logger.info("order %d placed", order)


if __name__ == "__main__":
    main()
