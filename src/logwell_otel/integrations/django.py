"""What only Django knows about a request, for its request log.

    # wsgi.py (or asgi.py)
    application = RequestLogMiddleware(get_wsgi_application())

    # settings.py
    MIDDLEWARE = ["logwell_otel.integrations.django.request_log_details", ...]

Django resolves the route, and OpenTelemetry's instrumentation opens and closes the span,
inside Django's handler, where a middleware around the application sees neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django.utils.functional import LazyObject

from logwell_otel.integrations.request_log import KEY, RequestLog, user_id

if TYPE_CHECKING:
    from collections.abc import Callable


def request_log_details(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Django middleware that adds `http.route` and the active trace to the request's record.

    And to those logged inside of the request what the outer one's `context` asks for: the
    route, and the user from `request.user` once the application has looked there itself.

    To be used together with `RequestLogMiddleware` for WSGI or ASGI; without it, it does
    nothing. Sync and async.

    Args:
        get_response: The next layer, as Django passes it.

    Returns:
        The layer with this around it.
    """
    if iscoroutinefunction(get_response):

        async def handle_async(request: Any) -> Any:
            log = _begin(request)
            try:
                return await get_response(request)
            finally:
                _note_route(log, request)

        return handle_async

    def handle(request: Any) -> Any:
        log = _begin(request)
        try:
            return get_response(request)
        finally:
            _note_route(log, request)

    return handle


# How Django asks a middleware whether it can do both.
request_log_details.sync_capable = True  # type: ignore[attr-defined]
request_log_details.async_capable = True  # type: ignore[attr-defined]


def _begin(request: Any) -> RequestLog | None:
    # META is the WSGI environ itself; under ASGI the scope stands beside it.
    log = request.META.get(KEY) or getattr(request, "scope", {}).get(KEY)
    if not isinstance(log, RequestLog):
        return None
    log.logger.safely(log.note_context)
    log.logger.look(log, "route", _route, request)
    log.logger.look(log, "user", _user, request)
    return log


def _note_route(log: RequestLog | None, request: Any) -> None:
    if log is not None:
        log.route = log.logger.safely(_route, request)


def _user(request: Any) -> str | None:
    user = request.__dict__.get("user")
    if isinstance(user, LazyObject):
        # To evaluate it would query the database, and make every response vary by cookie.
        user = request.__dict__.get("_cached_user") or request.__dict__.get("_acached_user")
    return user_id(user, ("pk",))


def _route(request: Any) -> str | None:
    match = request.resolver_match
    if match is None:
        return None
    prefix: str = request.path.removesuffix(request.path_info)
    return f"{prefix}/{match.route}"
