"""AWS Lambda and the like: a function is frozen when it returns, so it flushes before it does.

pip install --target package logwell-otel && cp aws_lambda.py package/
(cd package && zip -r ../function.zip .)
# variables: LOGWELL_ENDPOINT, LOGWELL_API_KEY, LOGWELL_SERVICE; handler: aws_lambda.handler
"""

import logging
from typing import Any

import logwell_otel

pipeline = logwell_otel.configure()  # once for each instance of the function
logger = logging.getLogger("shop.webhook")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    try:
        with logwell_otel.log_context(request_id=context.aws_request_id):
            logger.info("webhook for order %s", event["order"])
            return {"statusCode": 200}
    except Exception:
        logger.exception("webhook failed", extra={"request_id": context.aws_request_id})
        raise
    finally:
        # At most two seconds: a log server that is down must not use up the function's time.
        # What was not delivered by then goes with the next call.
        pipeline.force_flush(timeout_millis=2_000)
