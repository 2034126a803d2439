"""Pictures of the development server's page for docs/, light and dark: `scripts/screenshots`."""

from __future__ import annotations

import random
import shutil
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import sync_playwright

from logwell_otel.devserver import DevServer

REQUESTS = 150
MINUTES = 4
STACK = """\
Traceback (most recent call last):
  File "/srv/shop/shop/orders.py", line 88, in place
    receipt = payments.charge(order, card)
  File "/srv/shop/shop/payments.py", line 41, in charge
    return client.post("/charge", json=body, timeout=5)
  File "/srv/shop/lib/python3.12/site-packages/httpx/_client.py", line 1144, in post
    return self.request(
TimeoutError: no answer within 5 s"""


class Shop:
    """Some minutes of a small shop, the same ones each time."""

    def __init__(self) -> None:
        self._random = random.Random(7)
        self._begin = datetime.now(timezone.utc) - timedelta(minutes=MINUTES)
        self.entries: list[dict[str, Any]] = []

    def request(self, number: int) -> None:
        """One order, from its cart to the request log."""
        choose = self._random
        at = self._begin + timedelta(minutes=MINUTES) * (number + choose.random()) / REQUESTS
        took = choose.randint(20, 400)
        trace = f"{choose.getrandbits(128):032x}"
        inner, outer = (f"{choose.getrandbits(64):016x}" for _ in range(2))
        fate = choose.random()
        order = 1000 + number

        def log(milliseconds: float, level: str, message: str, place: str, **more: Any) -> None:
            module, line = place.split(":")
            service = "payments" if module == "payments" else "shop"
            self.entries.append(
                {
                    "level": level,
                    "message": message,
                    "timestamp": (at + timedelta(milliseconds=milliseconds)).isoformat(),
                    "service": service,
                    "sourceFile": f"/srv/shop/shop/{module}.py",
                    "lineNumber": int(line),
                    "metadata": {
                        **more,
                        "request_id": f"req-{number:04}",
                        "trace_id": trace,
                        "span_id": inner if service == "payments" else outer,
                        "otel.scope.name": f"shop.{module}",
                        "resource": {"host.name": "web-1", "deployment.environment.name": "dev"},
                    },
                }
            )

        log(1, "debug", "cart loaded from cache", "orders:31", items=choose.randint(1, 9))
        total = round(choose.random() * 200, 2)
        log(4, "info", f"order {order} placed", "orders:64", order=order, total=total)
        log(10, "info", "charging card", "payments:37", order=order, provider="acme")
        status = 201
        if fate < 0.06:
            status = 502
            failure = {"type": "TimeoutError", "message": "no answer within 5 s"}
            exception = {f"exception.{name}": value for name, value in failure.items()}
            exception |= {"exception.stacktrace": STACK, "code.function.name": "charge"}
            log(took, "error", "payment failed", "payments:44", order=order, **exception)
        elif fate < 0.2:
            log(took, "warn", "payment was slow", "payments:52", order=order, duration_ms=took)
        else:
            log(took, "info", "payment accepted", "payments:49", order=order, duration_ms=took)
        http = {
            "http.request.method": "POST",
            "http.route": "/orders",
            "http.response.status_code": status,
            "http.server.request.duration": (took + 6) / 1000,
        }
        level = "info" if status < 500 else "error"
        log(took + 6, level, f"POST /orders {status} {took + 6}ms", "app:12", **http)


def main(directory: Path) -> None:
    """Save the pictures."""
    shop = Shop()
    for number in range(REQUESTS):
        shop.request(number)
    with DevServer(requests_per_minute=None) as server, sync_playwright() as playwright:
        headers = {"Authorization": f"Bearer {server.key}"}
        for start in range(0, len(shop.entries), 100):
            batch = shop.entries[start : start + 100]
            httpx.post(f"{server.url}/v1/ingest", json=batch, headers=headers).raise_for_status()
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path)
        for scheme in ("light", "dark"):
            window = {"width": 1180, "height": 700}
            page = browser.new_page(viewport=window, color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(server.url)
            page.locator("#stored", has_text=str(len(shop.entries))).wait_for()
            page.wait_for_timeout(1000)  # the histogram follows
            for key in ("e", "E", "Enter"):  # the newest error but one, where it failed
                page.keyboard.press(key)
            page.locator("#detail .waterfall li").first.wait_for()
            page.screenshot(path=directory / f"devserver-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
