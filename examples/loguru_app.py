"""loguru: one sink, and bound values become metadata.

pip install logwell-otel loguru
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… LOGWELL_SERVICE=shop
python loguru_app.py
"""

import logging

from loguru import logger

import logwell_otel


class ToLogging(logging.Handler):
    """Hands loguru's records to the standard library, their `extra` as log context."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record over."""
        with logwell_otel.log_context(vars(record).pop("extra")):
            logging.getLogger(record.name).handle(record)


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
    # A function as the format: with a text, loguru would put the traceback into the message.
    logger.add(ToLogging(), format=lambda _: "{message}", level="INFO")
    with logger.contextualize(request_id="r-1"):
        place(7)
