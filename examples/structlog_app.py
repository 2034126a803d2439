"""structlog: events and bound values go to Logwell as message and metadata.

pip install logwell-otel structlog
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… LOGWELL_SERVICE=shop
python structlog_app.py
"""

import logging

import structlog

import logwell_otel

RESERVED = {*vars(logging.makeLogRecord({})), "message", "asctime"} - {"exc_info", "stack_info"}


def rename_reserved(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """`name` -> `name_`: logging raises on attributes that have the names of its own."""
    return {f"{key}_" if key in RESERVED else key: value for key, value in event.items()}


structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.contextvars.merge_contextvars,
        rename_reserved,
        structlog.stdlib.render_to_log_kwargs,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
logger = structlog.get_logger("shop.orders")


def place(order: int) -> None:
    log = logger.bind(order_id=order)
    log.info("order placed", items=["pen", "ink"], name="Ann")
    try:
        raise ValueError("card was declined")
    except ValueError:
        log.exception("payment failed")


if __name__ == "__main__":
    logwell_otel.configure()
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        place(7)
    with logwell_otel.log_context(request_id="r-2"):  # works here, too
        place(8)
