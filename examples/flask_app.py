"""Flask under gunicorn: set up once in the master, each worker has a sender of its own.

pip install logwell-otel flask gunicorn opentelemetry-instrumentation-flask
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… LOGWELL_SERVICE=shop
gunicorn --preload --workers 2 flask_app:app
"""

import logging

from flask import Flask
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import TracerProvider

import logwell_otel
from logwell_otel.integrations.wsgi import RequestLogMiddleware

logwell_otel.configure()
trace.set_tracer_provider(TracerProvider())  # add the processor of your tracing backend
logger = logging.getLogger("shop.orders")

app = Flask("shop")


@app.get("/orders/<int:order_id>")
def order(order_id: int) -> dict[str, int]:
    with logwell_otel.log_context(order_id=order_id):
        logger.info("order looked up")
        if order_id == 13:
            raise ValueError(f"order {order_id} is cursed")
        return {"order": order_id}


FlaskInstrumentor().instrument_app(app)
app.wsgi_app = RequestLogMiddleware(app.wsgi_app)  # type: ignore[method-assign]
