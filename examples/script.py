"""A plain script: what the standard library's logging logs goes to Logwell, and the console.

pip install logwell-otel
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… LOGWELL_SERVICE=shop
python script.py
"""

import logging

import logwell_otel

logger = logging.getLogger("shop.import")


def import_orders(numbers: range) -> None:
    for number in numbers:
        logger.info("order %d imported", number, extra={"order_id": number})


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)  # the console, as ever
    logwell_otel.configure()
    with logwell_otel.log_context(request_id="import-1"):
        import_orders(range(1000))
    logger.warning("stock is low", extra={"items": ["pen", "ink"]})
    # Nothing to close: what is still on its way is delivered when the program ends.
