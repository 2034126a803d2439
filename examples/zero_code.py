"""Zero-code: the program sets nothing up, `opentelemetry-instrument` does.

pip install 'logwell-otel[zero-code]'
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… OTEL_SERVICE_NAME=shop
export OTEL_LOGS_EXPORTER=logwell OTEL_TRACES_EXPORTER=none OTEL_METRICS_EXPORTER=none
export OTEL_PYTHON_CONFIGURATOR=logwell
opentelemetry-instrument python zero_code.py

The last variable is for `log_context`; a program without it needs none of this package.
"""

import logging

from logwell_otel import log_context

logger = logging.getLogger("shop.orders")


def main(orders: int = 1000) -> None:
    logging.getLogger().setLevel(logging.INFO)
    for order in range(orders):
        with log_context(order_id=order, request_id=f"r-{order}"):
            logger.info("order placed")
            logger.warning("stock is low")


if __name__ == "__main__":
    main()
