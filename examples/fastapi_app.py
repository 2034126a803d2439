"""FastAPI: one record a request, with route, duration, trace and exception, beside your own.

pip install logwell-otel fastapi uvicorn opentelemetry-instrumentation-fastapi
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… LOGWELL_SERVICE=shop
uvicorn fastapi_app:app
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider

import logwell_otel
from logwell_otel.integrations.asgi import RequestLogMiddleware

pipeline = logwell_otel.configure()
trace.set_tracer_provider(TracerProvider())  # add the processor of your tracing backend
logger = logging.getLogger("shop.orders")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    # Here, and not at exit: uvicorn ends by the signal that stopped it, without atexit.
    await pipeline.ashutdown()


app = FastAPI(lifespan=lifespan)


@app.get("/orders/{order_id}")
async def order(order_id: int) -> dict[str, int]:
    with logwell_otel.log_context(order_id=order_id):
        logger.info("order looked up")
        if order_id == 13:
            raise ValueError(f"order {order_id} is cursed")
        return {"order": order_id}


app.add_middleware(RequestLogMiddleware)
FastAPIInstrumentor.instrument_app(app)
