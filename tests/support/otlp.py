"""Another backend on loopback: takes OTLP over HTTP and keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.server import HttpServer

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler

    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.trace.v1.trace_pb2 import Span


class OtlpSink(HttpServer):
    """`spans` and `log_records` are what has arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Span] = []
        self.log_records: list[LogRecord] = []

    def respond(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        self.take(request.path, body)
        request.send_response(200)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def take(self, path: str, body: bytes) -> None:
        """Keep what a request holds."""
        if path == "/v1/traces":
            for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope_spans in resource_spans.scope_spans:
                    self.spans += scope_spans.spans
        else:
            assert path == "/v1/logs", path
            for resource_logs in ExportLogsServiceRequest.FromString(body).resource_logs:
                for scope_logs in resource_logs.scope_logs:
                    self.log_records += scope_logs.log_records
