"""A pool of processes: what the children log arrives, whatever way they are started.

pip install logwell-otel
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… LOGWELL_SERVICE=shop
python multiprocessing_pool.py
"""

import logging
import time
from multiprocessing import Pool

import logwell_otel

logger = logging.getLogger("shop.images")


def resize(image: int) -> int:
    time.sleep(0.005)  # the work
    logger.info("image %d resized", image, extra={"image": image})
    return image


if __name__ == "__main__":
    logwell_otel.configure()
    # Forked children have it from here; the initializer is for those started anew.
    with Pool(4, initializer=logwell_otel.configure) as pool:
        resized = pool.map(resize, range(200), chunksize=10)
        # The end of the block kills the children with what they still hold: let them end.
        pool.close()
        pool.join()
    logger.info("%d images resized", len(resized))
