"""asyncio: each task has a context of its own, and flushing does not stop the event loop.

pip install logwell-otel
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… LOGWELL_SERVICE=shop
python asyncio_tasks.py
"""

import asyncio
import logging
import random

import logwell_otel

logger = logging.getLogger("shop.orders")


async def charge(order: int) -> None:
    await asyncio.sleep(random.random() / 100)
    logger.info("charged %d", order)


async def handle(order: int) -> None:
    with logwell_otel.log_context(order_id=order, user_id=f"u-{order % 7}"):
        logger.info("accepted %d", order)
        await charge(order)  # what is logged in there has the order's context, too


async def main() -> None:
    pipeline = logwell_otel.configure()
    await asyncio.gather(*(handle(order) for order in range(100)))
    await pipeline.aforce_flush()  # True: all of it is stored


if __name__ == "__main__":
    asyncio.run(main())
