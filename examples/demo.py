"""What `scripts/demo` runs: the development server, the shop with variables alone, the result."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
VARIABLES = {
    "OTEL_SERVICE_NAME": "shop",
    "OTEL_LOGS_EXPORTER": "logwell",
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_METRICS_EXPORTER": "none",
}


def main() -> int:
    server = subprocess.Popen(
        [sys.executable, "-m", "logwell_otel.cli", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None  # noqa: S101 - a pipe was asked for
    try:
        endpoint = key = ""
        for line in server.stdout:
            print(f"server | {line}", end="")
            if line.startswith("ready:"):
                _, endpoint, key = line.split()
                break
        variables = {**VARIABLES, "LOGWELL_ENDPOINT": endpoint, "LOGWELL_API_KEY": key}
        command = ["opentelemetry-instrument", "python", "examples/shop.py"]
        print("\n$", " ".join(f"{name}={value}" for name, value in variables.items()), "\\")
        print("  ", " ".join(command), "\n")
        shop = subprocess.run(  # noqa: S603 - our own command
            command,
            env={**os.environ, **variables},
            cwd=HERE.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if shop.returncode:
            print(shop.stdout, shop.stderr, sep="\n")
            return 1
        return show(endpoint, shop.stdout)
    finally:
        server.terminate()
        for line in server.stdout:
            print(f"server | {line}", end="")
        server.wait(timeout=10)


def show(endpoint: str, spans: str) -> int:
    with urllib.request.urlopen(f"{endpoint}/api/logs?limit=100") as response:  # noqa: S310 - ours
        page = json.load(response)
    print(f"{page['total']} entries arrived, newest first:\n")
    traced = 0
    for log in page["logs"]:
        metadata = log["metadata"] or {}
        trace_id = metadata.get("trace_id", "")
        traced += bool(trace_id) and f"0x{trace_id}" in spans
        print(
            f"  {log['timestamp']} {log['level']:<5} {log['serviceName']} {log['message']!r}\n"
            f"      {log['sourceFile']}:{log['lineNumber']}\n"
            f"      trace {trace_id or '-'} span {metadata.get('span_id', '-')}"
        )
        if "exception.type" in metadata:
            print(f"      {metadata['exception.type']}: {metadata['exception.message']}")
    print(f"\n{traced} of them carry the trace id of a span that the same run exported.\n")
    return 0 if traced else 1


if __name__ == "__main__":
    sys.exit(main())
