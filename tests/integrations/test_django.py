# ruff: noqa: E402 - Django is imported if it is there
# mypy: disable-error-code="import-untyped"
from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from support.records import Recorder, attributes_of, body_of, provider_with
from support.web import WsgiCall, call

django = pytest.importorskip("django")

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import include, path
from django.utils.functional import SimpleLazyObject

from logwell_otel.handler import LogwellHandler
from logwell_otel.integrations.asgi import RequestLogMiddleware as ASGIRequestLogMiddleware
from logwell_otel.integrations.wsgi import RequestLogMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterator

DETAILS = "logwell_otel.integrations.django.request_log_details"
seen: list[Any] = []


def order(request: Any, order_id: int) -> Any:
    seen.append(trace.get_current_span().get_span_context())
    return HttpResponse(f"order {order_id}")


async def async_order(request: Any, order_id: int) -> Any:
    seen.append(trace.get_current_span().get_span_context())
    return HttpResponse(f"order {order_id}")


def fail(request: Any) -> Any:
    raise ValueError("boom")


def stream(request: Any) -> Any:
    return StreamingHttpResponse(iter([b"one", b"two"]))


def file(request: Any) -> Any:
    return FileResponse(open(__file__, "rb"))  # noqa: PTH123 - Django closes it


class User:
    is_authenticated, pk = True, 17


def get_user(request: Any) -> User:
    """As `django.contrib.auth.middleware` does, with a query."""
    seen.append("query")
    user = vars(request)["_cached_user"] = User()
    return user


def authentication(get_response: Any) -> Any:
    def handle(request: Any) -> Any:
        log.info("before routing")
        request.user = SimpleLazyObject(lambda: get_user(request))
        return get_response(request)

    return handle


def account(request: Any, look: str) -> Any:
    log.info("in the view")
    if look == "looks":
        assert request.user.pk == 17
    log.info("after a look")
    return HttpResponse("ok")


log = logging.getLogger("shop.django")
urlpatterns = [
    path("account/<str:look>/", account),
    path("orders/<int:order_id>/", order),
    path("async/<int:order_id>/", async_order),
    path("fail/", fail),
    path("stream/", stream),
    path("file/", file),
    path("api/", include([path("items/<slug:item>/", lambda request, item: HttpResponse(item))])),
]


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    if not settings.configured:
        settings.configure(
            ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", LOGGING_CONFIG=None
        )
        django.setup()
    settings.MIDDLEWARE = [DETAILS]
    seen.clear()
    requests = logging.getLogger("django.request")
    requests.setLevel(logging.CRITICAL)
    yield
    requests.setLevel(logging.NOTSET)


def wsgi_app(recorder: Recorder) -> Any:
    return RequestLogMiddleware(get_wsgi_application(), logger_provider=provider_with(recorder))


def asgi_app(recorder: Recorder) -> Any:
    return ASGIRequestLogMiddleware(get_asgi_application(), logger_provider=provider_with(recorder))


ROUTES = [
    ("/orders/7/", "/orders/<int:order_id>/", "GET /orders/<int:order_id>/ 200 "),
    ("/async/7/", "/async/<int:order_id>/", "GET /async/<int:order_id>/ 200 "),
    ("/api/items/a/", "/api/items/<slug:item>/", "GET /api/items/<slug:item>/ 200 "),
    ("/fail/", "/fail/", "GET /fail/ 500 "),
    ("/nowhere/", None, "GET /nowhere/ 404 "),
]


@pytest.mark.parametrize(
    ("path", "route", "body"),
    [*ROUTES, ("/stream/", "/stream/", "GET /stream/ 2"), ("/file/", "/file/", "GET /file/ 2")],
)
def test_routes_under_wsgi(path: str, route: str | None, body: str) -> None:
    recorder = Recorder()
    WsgiCall(wsgi_app(recorder), path).finish()
    assert body_of(recorder.only).startswith(body)
    assert attributes_of(recorder.only).get("http.route") == route


@pytest.mark.parametrize(("path", "route", "body"), ROUTES)
def test_routes_under_asgi(path: str, route: str | None, body: str) -> None:
    recorder = Recorder()
    call(asgi_app(recorder), path)
    assert body_of(recorder.only).startswith(body)
    assert attributes_of(recorder.only).get("http.route") == route
    assert "error.type" not in attributes_of(recorder.only)


def test_below_a_script_name() -> None:
    recorder = Recorder()
    WsgiCall(wsgi_app(recorder), "/orders/7/", SCRIPT_NAME="/shop").finish()
    assert attributes_of(recorder.only)["http.route"] == "/shop/orders/<int:order_id>/"


def test_without_the_django_middleware_there_is_a_record_without_a_route() -> None:
    settings.MIDDLEWARE = []
    recorder = Recorder()
    WsgiCall(wsgi_app(recorder), "/orders/7/").finish()
    assert body_of(recorder.only).startswith("GET /orders/7/ 200 ")


@pytest.mark.parametrize("path", ["/orders/7/", "/async/7/"])
def test_the_django_middleware_alone_does_nothing(path: str) -> None:
    assert WsgiCall(get_wsgi_application(), path).finish() == b"order 7"
    assert call(get_asgi_application(), path)[1]["body"] == b"order 7"


def test_an_exception_is_in_djangos_own_record_once() -> None:
    recorder = Recorder()
    handler = LogwellHandler(logger_provider=provider_with(recorder))
    requests = logging.getLogger("django.request")
    requests.setLevel(logging.NOTSET)
    requests.addHandler(handler)
    try:
        WsgiCall(wsgi_app(recorder), "/fail/").finish()
    finally:
        requests.removeHandler(handler)
    djangos, request = recorder.records
    assert djangos.body == "Internal Server Error: /fail/"
    assert attributes_of(djangos)["exception.stacktrace"].count("ValueError: boom") == 1
    assert request.severity_text == "ERROR"
    assert "exception.stacktrace" not in attributes_of(request)


@pytest.mark.parametrize("under", ["wsgi", "asgi"])
@pytest.mark.parametrize("path", ["/orders/7/", "/async/7/"])
def test_under_opentelemetrys_own_instrumentation(under: str, path: str) -> None:
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.django")
    instrumentor = instrumentation.DjangoInstrumentor()
    instrumentor.instrument(tracer_provider=TracerProvider(shutdown_on_exit=False))
    recorder = Recorder()
    try:
        if under == "wsgi":
            WsgiCall(wsgi_app(recorder), path).finish()
        else:
            call(asgi_app(recorder), path, headers=[("Host", "shop")])
    finally:
        instrumentor.uninstrument()
    (span,) = seen
    assert (recorder.only.trace_id, recorder.only.span_id) == (span.trace_id, span.span_id)


@pytest.mark.parametrize("under", ["wsgi", "asgi"])
@pytest.mark.parametrize("look", ["looks", "ignores"])
def test_records_carry_route_and_user_once_they_are_known(under: str, look: str) -> None:
    """A user that nobody asks for is not asked for here: that is a query, and varies by cookie."""
    settings.MIDDLEWARE = [DETAILS, f"{__name__}.authentication"]
    recorder = Recorder()
    options: Any = {"context": ("route", "user"), "logger_provider": provider_with(recorder)}
    handler = LogwellHandler(logger_provider=options["logger_provider"])
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        if under == "wsgi":
            watched: Any = RequestLogMiddleware(get_wsgi_application(), **options)
            WsgiCall(watched, f"/account/{look}/").finish()
        else:
            watched = ASGIRequestLogMiddleware(get_asgi_application(), **options)
            call(watched, f"/account/{look}/")
    finally:
        log.removeHandler(handler)
    found = [attributes_of(record) for record in recorder.records]
    route, user = "/account/<str:look>/", "17" if look == "looks" else None
    assert [carried.get("http.route") for carried in found] == [None, route, route, route]
    assert [carried.get("user_id") for carried in found] == [None, None, user, user]
    assert seen == (["query"] if user else [])


def test_where_django_keeps_the_user_that_was_looked_at() -> None:
    source = Path(django.__file__).with_name("contrib") / "auth" / "middleware.py"
    assert "request._cached_user = " in source.read_text()
