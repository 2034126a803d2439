"""A service in a container: SIGTERM ends Python without its exit handlers, two lines help.

pip install logwell-otel
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… LOGWELL_SERVICE=shop
exec python container.py
"""

import itertools
import logging
import signal
import sys
import time

import logwell_otel

logger = logging.getLogger("shop.queue")


def main() -> None:
    logwell_otel.configure()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for job in itertools.count(1):
            logger.info("job %d done", job)
            time.sleep(0.02)
    finally:
        logger.info("stopped")


if __name__ == "__main__":
    main()
