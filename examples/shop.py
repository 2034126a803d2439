"""A small web shop that knows nothing of Logwell: it logs through the standard library.

Run under `opentelemetry-instrument`, it serves a few requests to itself and ends.
"""

import logging
import threading
import urllib.error
import urllib.request

from flask import Flask
from werkzeug.serving import make_server

logger = logging.getLogger("shop.orders")
app = Flask("shop")


@app.get("/orders/<int:number>")
def order(number: int) -> tuple[str, int]:
    logger.info("order %d looked up", number, extra={"order_id": number, "user_id": "u-42"})
    if number > 100:
        logger.warning("order %d does not exist", number, extra={"order_id": number})
        return "no such order", 404
    if number == 13:
        try:
            charge(number)
        except ValueError:
            logger.exception("payment of order %d failed", number, extra={"order_id": number})
            return "payment failed", 502
    return "here it is", 200


def charge(number: int) -> None:
    raise ValueError(f"card of order {number} was declined")


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server("127.0.0.1", 0, app)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for number in (1, 2, 13, 404):
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{server.server_port}/orders/{number}"
            ) as response:
                response.read()
        except urllib.error.HTTPError as error:
            error.close()
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
