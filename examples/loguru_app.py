"""loguru: one sink, and bound values become metadata.

pip install logwell-otel loguru
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… LOGWELL_SERVICE=shop
python loguru_app.py
"""

from loguru import logger

import logwell_otel
from logwell_otel.integrations.loguru import LogwellSink


def place(order: int) -> None:
    log = logger.bind(order_id=order, user_id="u-42")
    log.info("order placed")
    log.success("order paid")
    try:
        raise ValueError("out of stock")
    except ValueError:
        log.exception("order cannot be sent")


if __name__ == "__main__":
    logwell_otel.configure()
    logger.add(LogwellSink(), level="INFO")
    with logger.contextualize(request_id="r-1"):
        place(7)
