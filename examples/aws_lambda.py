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


@pipeline.flush_after
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    with logwell_otel.log_context(request_id=context.aws_request_id):
        try:
            logger.info("webhook for order %s", event["order"])
        except Exception:
            logger.exception("webhook failed")
            raise
        return {"statusCode": 200}
