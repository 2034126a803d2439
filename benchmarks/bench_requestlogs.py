"""What the request log costs a request: the same application with and without it, in one run.

    python benchmarks/bench_requestlogs.py [requests]

Measured in process, without a server, against an application that does nothing, with a
batch processor whose exporter throws away: all that is measured is ours and the SDK's.
Rounds with and without alternate. Printed are the median and the best round; the limit is
held against the best, because what makes a round slower is other processes' work
(https://docs.python.org/3/library/timeit.html#timeit.Timer.repeat).
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
)

from logwell_otel.integrations.asgi import RequestLogMiddleware as ASGIRequestLogMiddleware
from logwell_otel.integrations.wsgi import RequestLogMiddleware as WSGIRequestLogMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LIMIT_MS = 0.1
ROUNDS = 15
HEADERS = [
    (b"host", b"shop.example:8443"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"),
    (b"accept", b"text/html,application/xhtml+xml"),
    (b"accept-language", b"en"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"cookie", b"session=0123456789abcdef"),
    (b"x-request-id", b"0b9f5c1e-3a52-4c86-9f43-0d4c5f2c8f11"),
]


class Discarding(LogRecordExporter):
    """Exports nowhere."""

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:  # noqa: ARG002
        """Throw away."""
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Nothing is held."""
        return True

    def shutdown(self) -> None:
        """Nothing to end."""


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:  # noqa: ARG001
    start_response("200 OK", [])
    return [b"hello"]


def asgi_round(app: Any, requests: int) -> float:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None: ...

    async def main() -> float:
        started = time.perf_counter()
        for _ in range(requests):
            scope = {
                "type": "http",
                "method": "GET",
                "path": "/orders/7",
                "query_string": b"",
                "headers": HEADERS,
                "http_version": "1.1",
                "scheme": "http",
                "client": ("192.0.2.7", 50_000),
            }
            await app(scope, receive, send)
        return time.perf_counter() - started

    return asyncio.run(main())


def wsgi_round(app: Any, requests: int) -> float:
    def start_response(*_: Any) -> Callable[[bytes], None]:
        return lambda _: None

    started = time.perf_counter()
    for _ in range(requests):
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/orders/7",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.7",
            **{
                f"HTTP_{name.decode().upper().replace('-', '_')}": value.decode()
                for name, value in HEADERS
            },
        }
        body = app(environ, start_response)
        for _chunk in body:
            pass
        if hasattr(body, "close"):
            body.close()
    return time.perf_counter() - started


def compare(measure: Callable[[Any, int], float], plain: Any, logged: Any, requests: int) -> float:
    """Print milliseconds a request with and without; return the best rounds' difference."""
    without, with_ = [], []
    measure(plain, requests // 10)
    measure(logged, requests // 10)
    for _ in range(ROUNDS):
        without.append(measure(plain, requests) / requests * 1000)
        with_.append(measure(logged, requests) / requests * 1000)
    for name, pick in (("median", statistics.median), ("best", min)):
        print(
            f"{measure.__name__[:4]}, {name} round: without {pick(without):.4f} ms, "
            f"with {pick(with_):.4f} ms, difference {pick(with_) - pick(without):.4f} ms a request"
        )
    return min(with_) - min(without)


def main() -> int:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(Discarding(), max_queue_size=100_000))
    asgi = ASGIRequestLogMiddleware(asgi_app, logger_provider=provider)
    wsgi = WSGIRequestLogMiddleware(wsgi_app, logger_provider=provider)
    differences = [
        compare(asgi_round, asgi_app, asgi, requests),
        compare(wsgi_round, wsgi_app, wsgi, requests),
    ]
    provider.shutdown()
    within = max(differences) <= LIMIT_MS and asgi.failures == wsgi.failures == 0
    print(f"limit {LIMIT_MS} ms: {'kept' if within else 'NOT kept'}")
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
