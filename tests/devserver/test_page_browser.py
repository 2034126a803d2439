"""The page in a real browser: Chromium from the system's packages, driven by Playwright.

Skipped where there is none. `PAGE_SECONDS=30` makes the live tail's test longer.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from datetime import datetime, timedelta, timezone
from importlib import resources
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from logwell_otel.devserver import DevServer, FaultOutcome, FaultSettings
from logwell_otel.testing import LogwellTestServer
from support.nightly import nightly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = [pytest.mark.process, pytest.mark.socket, pytest.mark.slow]

SECONDS = float(os.environ.get("PAGE_SECONDS", "3"))
PATIENCE = 30.0  # seconds: several browsers may share a core
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
STACK = """\
Traceback (most recent call last):
  File "/srv/shop/orders.py", line 88, in place
    receipt = charge(order)
  File "/srv/site-packages/http.py", line 5, in post
    raise TimeoutError("no answer")
TimeoutError: no answer"""
EVIL = "<img src=x onerror=\"document.title='run'\"> <b>bold</b> \u202egnp.exe \x1b[31m"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install it")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("needs a Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def server() -> Iterator[DevServer]:
    with DevServer(requests_per_minute=None) as running:
        yield running


@pytest.fixture
def open_page(browser: Browser, server: DevServer) -> Iterator[Callable[..., Page]]:
    """Opens the page; any error, foreign request or refusal by the policy fails the test."""
    contexts: list[BrowserContext] = []
    troubles: list[str] = []
    asked: list[str] = []

    def open_(query: str = "", **options: Any) -> Page:
        permissions = ["clipboard-read", "clipboard-write"]
        context = browser.new_context(permissions=permissions, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda said: troubles.append(said.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{server.url}/{query}")
        page.get_by_text("live", exact=True).wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert troubles == []
    assert [url for url in asked if not url.startswith((f"{server.url}/", "data:"))] == []


def send(server: DevServer, *entries: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {server.key}"}
    with httpx.Client(
        base_url=server.url, trust_env=False, verify=False, headers=headers
    ) as client:
        for start in range(0, len(entries), 100):
            client.post("/v1/ingest", json=entries[start : start + 100]).raise_for_status()


def entry(message: str, level: str = "info", service: str = "shop", **metadata: Any) -> Any:
    return {"level": level, "message": message, "service": service, "metadata": metadata}


SHOP = [
    entry("cart loaded", "debug", items=2),
    entry("order placed", order=17, request_id="r1", trace_id=TRACE, span_id="a" * 16),
    entry("card refused", "warn", "payments", order=17, trace_id=TRACE, span_id="b" * 16),
    {
        **entry("payment failed", "error", "payments", order=17, trace_id=TRACE, request_id="r1"),
        "sourceFile": "/srv/shop/my pay.py",
        "lineNumber": 44,
    },
    entry("order placed", order=18, request_id="r2", **{"user.id": "u 1"}),
    entry("worker out of memory", "fatal", "worker"),
]
SHOP[3]["metadata"] |= {
    "exception.type": "TimeoutError",
    "exception.message": "no answer",
    "exception.stacktrace": STACK,
    "resource": {"host.name": "web-1"},
}


def shown(page: Page) -> list[str]:
    """The messages in the list, in order."""
    until(page, "!drawn")
    return page.evaluate("items().map((item) => (item.title || item).message)")  # type: ignore[no-any-return]


def until(page: Page, expression: str, seconds: float = PATIENCE) -> None:
    """Waits until JavaScript is true. Playwright's own way needs `eval`, which the page forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"not within {seconds} s: {expression}"
        page.wait_for_timeout(20)


def wait_for(page: Page, messages: list[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while (found := shown(page)) != messages:
        assert time.monotonic() < deadline, found
        page.wait_for_timeout(20)


ALL = [one["message"] for one in SHOP]


def test_a_live_tail(server: DevServer, open_page: Callable[..., Page]) -> None:
    page = open_page()
    assert page.locator("#empty h2").inner_text() == "Nothing logged yet"
    send(server, *SHOP)
    wait_for(page, ALL)
    assert page.locator("#empty").is_hidden()
    rows = page.locator(".row:visible")
    assert rows.count() == len(SHOP)
    assert rows.nth(3).locator(".level").inner_text() == "error"
    assert rows.nth(3).locator(".where").inner_text() == "shop/my pay.py:44"
    assert "order=17" in rows.nth(1).inner_text()
    assert page.locator("#stored").inner_text() == "6"


def test_500_entries_a_second(server: DevServer, open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.evaluate("""() => {
        window.gaps = [];
        let before = performance.now();
        const frame = (now) => {
            gaps.push(now - before);
            before = now;
            requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
    }""")
    total = int(SECONDS * 500)
    headers = {"Authorization": f"Bearer {server.key}"}

    def log() -> None:
        began = time.monotonic()
        with httpx.Client(
            base_url=server.url, trust_env=False, verify=False, headers=headers
        ) as client:
            for start in range(0, total, 50):
                batch = [
                    entry(f"m{n}", "error" if n % 50 == 0 else "info", n=n)
                    for n in range(start, min(start + 50, total))
                ]
                client.post("/v1/ingest", json=batch).raise_for_status()
                time.sleep(max(0.0, began + (start + 50) / 500 - time.monotonic()))

    thread = threading.Thread(target=log)
    thread.start()
    page.locator("#text").fill("m1")  # It answers meanwhile.
    until(page, "filter.text === 'm1'")
    page.locator("#text").fill("")
    while thread.is_alive():
        page.wait_for_timeout(100)
    thread.join()
    until(page, f"last === {total} && !drawn")
    kept = min(total, 21_000)
    assert total >= page.evaluate("rows.length") >= min(total, 20_000)
    assert page.evaluate("rows.length") <= kept
    newest = page.evaluate("rows.slice(-1000).map((row) => row.message)")
    assert newest == [f"m{n}" for n in range(max(0, total - 1000), total)]
    assert page.locator("#list *").count() < 1_000  # however many entries there are
    assert page.locator(".row:visible", has_text=f"m{total - 1}").count() == 1  # it follows
    gaps = sorted(page.evaluate("gaps"))
    assert gaps[len(gaps) // 2] < 100, f"milliseconds between frames, longest {gaps[-1]:.0f}"


def test_filters_that_sit_in_the_url(server: DevServer, open_page: Callable[..., Page]) -> None:
    send(server, *SHOP)
    page = open_page()
    wait_for(page, ALL)
    page.get_by_role("button", name="error").click()
    page.get_by_role("button", name="fatal").click()
    wait_for(page, ["payment failed", "worker out of memory"])
    page.locator("#service").select_option("payments")
    wait_for(page, ["payment failed"])
    assert page.url == f"{server.url}/?level=error%2Cfatal&service=payments"
    page.go_back()
    wait_for(page, ["payment failed", "worker out of memory"])
    send(server, entry("again", "fatal"), entry("not this"))  # what comes is filtered as well
    wait_for(page, ["payment failed", "worker out of memory", "again"])

    for query, messages in {
        "?q=order%20-placed": ["card refused", "payment failed"],
        "?q=%22order%20placed%22%20order%3D18": ["order placed"],
        "?where=order%3D17&level=info": ["order placed"],
        "?where=user.id%3Du%201": ["order placed"],
        "?where=resource.host.name%3Dweb-1": ["payment failed"],
        "?where=order%3D1": [],
        "?to=2020-01-01T00:00:00Z": [],
        "?level=loud&from=nonsense": [*ALL, "again", "not this"],
    }.items():
        page.goto(f"{server.url}/{query}")
        until(page, "last === 8")
        assert shown(page) == messages, query


def test_typing_a_filter(server: DevServer, open_page: Callable[..., Page]) -> None:
    send(server, *SHOP)
    page = open_page()
    wait_for(page, ALL)
    page.keyboard.press("/")
    page.keyboard.type("placed order=17")
    page.keyboard.press("Enter")
    wait_for(page, ["order placed"])
    assert page.url == f"{server.url}/?q=placed&where=order%3D17"
    page.keyboard.press("Escape")
    wait_for(page, ALL)
    assert page.url == f"{server.url}/"


def test_keys_and_the_detail(server: DevServer, open_page: Callable[..., Page]) -> None:
    send(server, *SHOP)
    page = open_page()
    wait_for(page, ALL)

    def marked() -> str:
        until(page, "!drawn")
        return page.locator(".row[aria-selected=true] .what").inner_text().split("  ")[0]

    page.keyboard.press("e")
    assert marked() == "worker out of memory"
    page.keyboard.press("E")
    assert marked().startswith("payment failed")
    page.keyboard.press("k")
    page.keyboard.press("k")
    page.keyboard.press("j")
    assert marked().startswith("card refused")
    page.keyboard.press("e")
    page.keyboard.press("Enter")
    detail = page.locator("#detail")
    assert detail.locator(".message").inner_text() == "payment failed"
    source = detail.locator(".source a")
    assert source.get_attribute("href") == "vscode://file/srv/shop/my%20pay.py:44"
    frames = detail.locator(".frames li")
    assert [frame.split("\n")[0] for frame in frames.all_inner_texts()] == [
        "/srv/shop/orders.py:88 in place",
        "/srv/site-packages/http.py:5 in post",
    ]
    assert detail.locator(".exception").inner_text() == "TimeoutError: no answer"
    detail.locator(".waterfall li").first.wait_for()
    texts = detail.locator(".waterfall .text").all_inner_texts()
    assert [text.split("order ")[-1].split("card ")[-1] for text in texts[:2]] == [
        "placed",
        "refused",
    ]
    page.keyboard.press("Escape")
    assert detail.is_hidden()
    page.keyboard.press("5")
    wait_for(page, ["worker out of memory"])
    page.keyboard.press("5")
    wait_for(page, ALL)
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#help").is_hidden()


def test_a_click_on_a_value_filters_by_it(
    server: DevServer, open_page: Callable[..., Page]
) -> None:
    send(server, *SHOP)
    page = open_page()
    wait_for(page, ALL)
    page.locator(".row", has_text="card refused").click()
    page.locator("#detail .value", has_text="17").click()
    wait_for(page, ["order placed", "card refused", "payment failed"])
    page.get_by_role("button", name="Take away the filter order = 17").click()
    wait_for(page, ALL)
    page.locator("#detail .value", has_text="payments").click()
    wait_for(page, ["card refused", "payment failed"])


def test_requests_are_groups(server: DevServer, open_page: Callable[..., Page]) -> None:
    send(server, *SHOP)
    page = open_page("?by=request")
    until(page, "rows.length === 6")
    groups = page.evaluate("items().map((one) => [one.name, one.rows.length, one.level])")
    assert groups == [["r1", 2, "error"], [TRACE, 1, "warn"], ["r2", 1, "info"]]
    page.keyboard.press("g")
    page.keyboard.press("Enter")
    page.locator("#detail .waterfall li").nth(1).wait_for()
    assert page.locator("#detail .waterfall li").count() == 2


def test_pause_and_clear(server: DevServer, open_page: Callable[..., Page]) -> None:
    send(server, entry("one"))
    page = open_page()
    wait_for(page, ["one"])
    page.keyboard.press("p")
    send(server, entry("two"), entry("three"))
    page.get_by_text("paused, 2 new").wait_for()
    assert shown(page) == ["one"]
    page.keyboard.press("p")
    wait_for(page, ["one", "two", "three"])
    page.keyboard.press("c")
    wait_for(page, [])
    send(server, entry("four"))
    wait_for(page, ["four"])
    page.reload()
    wait_for(page, ["four"])


def test_copies(server: DevServer, open_page: Callable[..., Page]) -> None:
    odd = entry('say "hi"\n\u202e', "error", a_b=[True, None, {"x": 1.5}], **{"x-y": "é"})
    names = {"class": "A", "n": 1e300, "level": "x", "a__b": 1, "big": 2**60, "d": {"e.f": [-1]}}
    odder = {**entry("\\ '\t\x7f 😀", "warn"), "metadata": names}
    send(server, *SHOP, odd, odder)
    page = open_page()
    until(page, "last === 8")

    def copied(key: str) -> str:
        page.evaluate("navigator.clipboard.writeText('')")
        page.keyboard.press(key)
        until(page, "navigator.clipboard.readText().then((text) => text !== '')")
        return page.evaluate("navigator.clipboard.readText()")  # type: ignore[no-any-return]

    # Pasted into a test, each of them holds where the same was logged, and fails elsewhere.
    with LogwellTestServer(timeout=0) as logwell:
        texts = []
        for number in range(8):
            page.keyboard.press("j" if number else "g")
            texts.append(copied("a"))
            with pytest.raises(AssertionError, match="nothing was logged"):
                exec(texts[-1], {"logwell": logwell})
        send(logwell.server, *SHOP, odd, odder)
        for text in texts:
            exec(text, {"logwell": logwell})

    page.keyboard.press("k")
    assert copied("a") == (
        'logwell.assert_logged("say \\"hi\\"\\n\\u202e", level="error", '
        'a_b=[True, None, {"x": 1.5}], **{"x-y": "é"})'
    )
    page.keyboard.press("g")
    page.keyboard.press("j")
    assert copied("a") == 'logwell.assert_logged("order placed", order=17, request_id="r1")'
    found = json.loads(copied("y"))
    assert found.pop("timestamp").endswith("Z")
    assert found == SHOP[1]
    for _ in range(3):
        page.keyboard.press("j")
    assert copied("a") == (
        'logwell.assert_logged("order placed", order=18, request_id="r2", user__id="u 1")'
    )


def test_text_is_never_html(server: DevServer, open_page: Callable[..., Page]) -> None:
    evil = entry(EVIL, "error", EVIL, trace_id=EVIL, request_id=EVIL, resource={EVIL: EVIL})
    evil["metadata"] |= {EVIL: EVIL, "exception.type": EVIL, "exception.stacktrace": EVIL}
    send(server, {**evil, "sourceFile": f"/{EVIL}"}, {**evil, "sourceFile": "javascript:alert(1)"})
    page = open_page()
    until(page, "last === 2")
    for key in ("k", "k"):
        page.keyboard.press(key)
        page.keyboard.press("Enter")
        page.locator("#detail .waterfall li").nth(1).wait_for()
        assert page.locator("#main img, #main b b, #main [onerror]").count() == 0
        links = page.locator("#detail a").evaluate_all("(all) => all.map((one) => one.protocol)")
        assert set(links) <= {"vscode:"}
        text = page.locator("#detail .message").inner_text()
        assert text.startswith("<img src=x onerror=")
        assert "\\u202egnp.exe \u241b[31m" in text
    page.keyboard.press("r")
    page.locator("#detail .value").first.click()
    assert page.title() == "Logwell development server"


def test_faults_are_switched_and_seen(server: DevServer, open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.keyboard.press("s")
    page.get_by_label("Rate limit: 429").check()
    page.locator("#fault-counter").wait_for()
    assert server.faults.settings.outcome == FaultOutcome(kind="answer", status=429)
    page.get_by_label("Outage").check()
    page.get_by_label("Slow").fill("20")
    page.get_by_label("Poison").fill("MARK")
    page.get_by_label("Database fails").check()
    wanted = FaultSettings(FaultOutcome(kind="close"), 20, "MARK", True, "down")
    deadline = time.monotonic() + PATIENCE
    while server.faults.settings != wanted and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    assert server.faults.settings == wanted
    page.get_by_role("button", name="All off").click()
    page.locator("#fault-counter").wait_for(state="hidden")
    assert server.faults.settings == FaultSettings()
    server.faults.answer(418)  # by a program: the page shows that, too
    page.get_by_text("A program has set another fault.").wait_for()
    server.faults.clear()

    server.faults.answer(429, times=1)
    with pytest.raises(httpx.HTTPStatusError):
        send(server, entry("refused"))
    page.locator("#refusals dt", has_text="429 rate limit").wait_for()
    assert page.locator("#refused").inner_text() == "1"


def test_a_stretch_of_the_histogram(server: DevServer, open_page: Callable[..., Page]) -> None:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    for minutes in range(8, 0, -1):
        time_ = (now - timedelta(minutes=minutes)).isoformat()
        send(server, {**entry(f"{minutes} minutes ago", "warn"), "timestamp": time_})
    page = open_page()
    until(page, "buckets !== null && rows.length === 8 && buckets.size > 20")
    label = page.locator("#histogram").get_attribute("aria-label")
    assert label is not None
    assert "8 entries" in label
    box = page.locator("#histogram").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, middle)
    page.mouse.up()
    until(page, "filter.from !== null")
    wait_for(page, [f"{minutes} minutes ago" for minutes in (4, 3, 2, 1)])
    assert "from=" in page.url
    assert "to=" in page.url
    page.reload()
    wait_for(page, [f"{minutes} minutes ago" for minutes in (4, 3, 2, 1)])
    page.keyboard.press("Escape")
    until(page, "shown.length === 8")


def test_theme_and_editor_are_remembered(server: DevServer, open_page: Callable[..., Page]) -> None:
    send(server, *SHOP)
    page = open_page(color_scheme="dark")
    wait_for(page, ALL)
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "dark"
    page.keyboard.press("d")
    assert page.evaluate(theme) == "light"
    page.keyboard.press("s")
    page.get_by_label("Editor").select_option("pycharm")
    page.reload()
    wait_for(page, ALL)
    assert page.evaluate(theme) == "light"
    page.locator(".row", has_text="payment failed").click()
    link = page.locator("#detail .source a").get_attribute("href")
    assert link == "pycharm://open?file=%2Fsrv%2Fshop%2Fmy%20pay.py&line=44"


def test_a_server_that_was_away(server: DevServer, open_page: Callable[..., Page]) -> None:
    send(server, entry("one"))
    page = open_page()
    wait_for(page, ["one"])
    server.stop()
    page.get_by_text("no server").wait_for()
    server.start()
    send(server, entry("two"))
    wait_for(page, ["one", "two"])
    assert page.locator("#connection").inner_text() == "live"


@pytest.mark.parametrize(("scheme", "width"), [("dark", 360), *nightly(("light", 1280))])
def test_light_and_dark_wide_and_narrow(
    server: DevServer, open_page: Callable[..., Page], scheme: str, width: int
) -> None:
    """Without serious findings of axe, and nothing beside the window's edge."""
    send(server, *SHOP)
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 740})
    wait_for(page, ALL)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(251, 251, 249)", "dark": "rgb(20, 23, 27)"}[scheme]
    axe = resources.files(pytest.importorskip("axe_playwright_python")) / "axe.min.js"
    page.evaluate(axe.read_text(encoding="utf-8"))
    for keys in ([], ["e", "E", "Enter"], ["Escape", "s"], ["s", "r", "?"]):
        for key in keys:
            page.keyboard.press(key)
        if "Enter" in keys:
            page.locator("#detail .waterfall li").first.wait_for()
        until(page, "!drawn")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = page.evaluate("axe.run()")["violations"]
        assert [
            (one["id"], [node["html"] for node in one["nodes"]])
            for one in found
            if one["impact"] in {"serious", "critical"}
        ] == []
