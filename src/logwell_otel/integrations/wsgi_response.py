"""A WSGI response on its way to the server, watched until it ends (PEP 3333)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .request_log import RequestLog


class Exchange:
    """One request's response: ends once, whoever ends it.

    Attributes:
        request: The log of the request.
        body_begun: True once a byte of the body has gone, and with it the headers.
        exhausted: True once the server has taken all of the body.
        file_class: The server's `wsgi.file_wrapper` where it is a class.
        file: What the server's `wsgi.file_wrapper` made last, where it is a function.
    """

    __slots__ = (
        "_head_only",
        "_over",
        "body_begun",
        "exhausted",
        "file",
        "file_class",
        "request",
    )

    def __init__(self, request: RequestLog) -> None:
        self.request = request
        self.file: object = None
        self.file_class: type | None = None
        self.body_begun = False
        self.exhausted = False
        self._over = False
        # Nobody need iterate over the body of an answer to HEAD.
        self._head_only = request.attributes["http.request.method"] == "HEAD"

    def is_file(self, body: object) -> bool:
        """True if the body was made by the server's own `wsgi.file_wrapper`."""
        if self.file_class is not None:
            return isinstance(body, self.file_class)
        return body is not None and body is self.file

    def failed(self, error: BaseException) -> None:
        """The application raised instead of answering."""
        self.request.error = error
        if not self.body_begun:
            # Headers leave with the first bytes of the body (PEP 3333): whatever status
            # was set, nothing has been sent, and the server answers 500.
            self.request.status = None

    def watched(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """The body for the server, its end watched."""
        if self.is_file(body):
            return _watched_file(body, self)
        return SizedBody(body, self) if hasattr(body, "__len__") else Body(body, self)

    def end(self) -> None:
        """The server is done with the response: emit the record."""
        if self._over:
            return
        self._over = True
        request = self.request
        if not self.exhausted and request.error is None and not self._head_only:
            request.disconnected = True
        request.logger.safely(request.emit)


class Body:
    """The application's iterable, watched. `close()` is there for the server to call."""

    __slots__ = ("_body", "_exchange", "_iterator")

    def __init__(self, body: Iterable[bytes], exchange: Exchange) -> None:
        self._body = body
        self._exchange = exchange
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        exchange = self._exchange
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            data = next(self._iterator)
        except StopIteration:
            exchange.exhausted = True
            raise
        except BaseException as error:
            exchange.failed(error)
            raise
        if data:
            exchange.body_begun = True
        return data

    def close(self) -> None:
        """Close the application's body; the response has ended."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self._exchange.request.error = error
            raise
        finally:
            self._exchange.end()


class SizedBody(Body):
    """A body whose length is known: servers take their Content-Length from it."""

    __slots__ = ()
    _body: Any

    def __len__(self) -> int:
        return len(self._body)


def watch_file_wrapper(environ: dict[str, Any], exchange: Exchange) -> None:
    """Learn which objects are the server's files: by class, or by watching the function."""
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type):
        exchange.file_class = wrapper
    elif wrapper is not None:  # uWSGI

        def wrapper_watched(*arguments: Any) -> Any:
            exchange.file = wrapper(*arguments)
            return exchange.file

        environ["wsgi.file_wrapper"] = wrapper_watched


def _watched_file(body: Any, exchange: Exchange) -> Iterable[bytes]:
    """The very same object, with its `close` watched where it lets itself be."""
    exchange.exhausted = True  # the server reads it in its own way
    close = getattr(body, "close", None)

    def close_watched() -> None:
        try:
            if close is not None:
                close()
        finally:
            exchange.end()

    try:
        body.close = close_watched
    except (AttributeError, TypeError):
        exchange.end()  # an object of the server's own: timed to here
    watched: Iterable[bytes] = body
    return watched
