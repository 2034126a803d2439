"""How a connection is made, and kept to its time: addresses, TLS, and one deadline for all.

httpcore takes a time-out for each read, each write and each address, so that a server which
reads one byte every few seconds would hold a request for ever, and a name whose first address
swallows packets would never be reached. Its network backend is where all of them pass.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections import deque
from importlib.util import find_spec
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from logwell_otel._clock import monotonic

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

    from httpcore import NetworkBackend, NetworkStream
else:
    # Base classes for the type checker only: httpcore calls the methods, and importing it
    # here would be a third of an exporter's start-up.
    NetworkBackend = NetworkStream = object

T = TypeVar("T")

AddressInfo = tuple[Any, Any, int, str, Any]
"""What `socket.getaddrinfo` gives."""

NEXT_ADDRESS_AFTER: Final = 0.25
"""Seconds until the next address of a name is tried beside the one before (RFC 8305)."""

_PIECE: Final = 65_536
_HEAD_ENDS: Final = b"\r\n\r\n"


class Deadline:
    """When the request that runs must be over.

    Args:
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._seconds = 0.0
        self._at = float("inf")

    def start(self, seconds: float) -> None:
        """A request begins, and may take that long."""
        self._seconds = seconds
        self._at = self._clock() + seconds

    def left(self) -> float:
        """Seconds left.

        Raises:
            TimeoutError: None are.
        """
        left = self._at - self._clock()
        if left <= 0:
            raise TimeoutError(f"not over within {self._seconds:g} s")
        return left


class Backend(NetworkBackend):
    """Connects to whichever address of a name answers first, before the deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,
    ) -> NetworkStream:
        with _CONNECTING:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            connected = first_connected(addresses, self._deadline)
            for option in (*(socket_options or ()), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)):
                connected.setsockopt(*option)
        return Stream(connected, self._deadline)


def first_connected(addresses: Iterable[AddressInfo], deadline: Deadline) -> socket.socket:
    """A connection to the first address that takes one: RFC 8305, "happy eyeballs".

    The next address is tried when the one before has failed, or has not answered for a
    moment; the earlier ones are waited for meanwhile. One that swallows packets costs that
    moment, and not the whole time.

    Args:
        addresses: As `socket.getaddrinfo` gives them.
        deadline: When to give up.

    Raises:
        OSError: None takes a connection; the error of the last one that said why.
        TimeoutError: None has answered in time.
    """
    waiting = deque(_alternating(addresses))
    last: OSError | None = None
    with selectors.DefaultSelector() as tried:
        try:
            while waiting or tried.get_map():
                if waiting:
                    try:
                        tried.register(_connecting(waiting.popleft()), selectors.EVENT_WRITE)
                    except OSError as error:
                        last = error
                        continue
                left = deadline.left()
                for key, _ in tried.select(min(left, NEXT_ADDRESS_AFTER) if waiting else left):
                    sock: socket.socket = key.fileobj  # type: ignore[assignment]
                    tried.unregister(sock)
                    if not (code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                        return sock
                    sock.close()
                    last = OSError(code, os.strerror(code))
        finally:
            for key in list(tried.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
    raise last or OSError("the name has no address")


def _alternating(addresses: Iterable[AddressInfo]) -> Iterator[AddressInfo]:
    """One of each family in turn: a machine's whole IPv6 may lead nowhere."""
    families: dict[Any, list[AddressInfo]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    return filter(None, chain.from_iterable(zip_longest(*families.values())))


def _connecting(address: AddressInfo) -> socket.socket:
    family, kind, protocol, _, target = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.connect(target)
    except BlockingIOError:
        pass  # as it should be: its end shows when the socket can be written to
    except BaseException:
        sock.close()
        raise
    return sock


class _Upgradable(NetworkStream):
    """What TLS may be put over."""

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature
    ) -> NetworkStream:
        return TlsStream(self, ssl_context, server_hostname)


class Stream(_Upgradable):
    """A socket whose every read and write ends at the deadline.

    Where something else closes this process's descriptors (`os.closerange`, a daemon that
    detaches), its number may belong to a file of the application's by now: it is then
    neither written to nor closed.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self._identity = _identity(sock)
        self._head = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        if self._head:
            self.write(b"")
        with _READING:
            self._sock.settimeout(self._deadline.left())
            return self._sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        if not self._head and buffer.endswith(_HEAD_ENDS):
            # The head of a request. What it announces comes with the next call, an empty one
            # where there is no body: together they are one system call and one packet less.
            self._head = buffer
            return
        left, self._head = memoryview(self._head + buffer), b""
        with _WRITING:
            while left:
                self._sock.settimeout(self._deadline.left())
                left = left[self._sock.send(left) :]

    def close(self) -> None:
        if _identity(self._sock) == self._identity:
            self._sock.close()
        else:
            self._sock.detach()

    def get_extra_info(self, info: str) -> Any:
        if info == "socket":
            return self._sock
        return self._ended() if info == "is_readable" else None

    def _ended(self) -> bool:
        """True if an idle connection is none any more: asked before it is used again."""
        if _identity(self._sock) != self._identity:
            return True
        self._sock.settimeout(0.0)
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True  # reset, as by firewalls that forget connections
        return True  # the end, or an answer that nobody asked for


class TlsStream(_Upgradable):
    """TLS over another stream, which may be TLS itself: to a server through an https proxy."""

    def __init__(
        self, under: NetworkStream, context: ssl.SSLContext, server_hostname: str | None
    ) -> None:
        import ssl  # noqa: PLC0415 - 4 ms of start-up that http does without

        self._under = under
        self._want_read = ssl.SSLWantReadError
        self._ended = ssl.SSLEOFError
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            with _CONNECTING:
                self._tls = context.wrap_bio(
                    self._received, self._to_send, server_hostname=server_hostname
                )
                self._run(self._tls.do_handshake)
        except BaseException:
            under.close()  # httpcore closes what a handshake of its own has failed on
            raise

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        with _READING:
            try:
                return self._run(self._tls.read, max_bytes)
            except self._ended:
                return b""  # closed without a farewell, as many servers do

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        left = memoryview(buffer)
        with _WRITING:
            while left:
                left = left[self._run(self._tls.write, left[:_PIECE]) :]

    def _run(self, operation: Callable[..., T], *arguments: Any) -> T:
        """Call `operation` until it needs nothing more from the other side."""
        while True:
            try:
                return operation(*arguments)
            except self._want_read:
                pass
            finally:
                self._send()  # also the alert that tells the other side why not
            if data := self._under.read(_PIECE):
                self._received.write(data)
            else:
                self._received.write_eof()

    def _send(self) -> None:
        if self._to_send.pending:
            self._under.write(self._to_send.read())

    def close(self) -> None:
        self._under.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._tls
        if info == "is_readable" and (self._received.pending or self._tls.pending()):
            return True
        return self._under.get_extra_info(info)


def _identity(sock: socket.socket) -> tuple[int, int] | None:
    try:
        status = os.fstat(sock.fileno())
    except (OSError, OverflowError):
        return None  # closed; or Windows, where a socket is no file and nothing shares its numbers
    return status.st_dev, status.st_ino


class _Raising:
    """Raises what httpcore's own backend raises at that step: Connect, Read or Write."""

    def __init__(self, step: str) -> None:
        self._step = step

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            return
        import httpcore  # noqa: PLC0415 - see the top

        if isinstance(error, (TimeoutError, httpcore.TimeoutException)):
            raise getattr(httpcore, f"{self._step}Timeout")(str(error)) from error
        if isinstance(error, (OSError, httpcore.NetworkError)):
            raise getattr(httpcore, f"{self._step}Error")(str(error)) from error


_CONNECTING: Final = _Raising("Connect")
_READING: Final = _Raising("Read")
_WRITING: Final = _Raising("Write")


# TLS settings: of one's own, or the environment's.


class TlsFiles(NamedTuple):
    """PEM files for TLS; None where there is none."""

    authorities: Path | None = None
    """What to trust in place of the usual authorities."""
    certificate: Path | None = None
    """What to show to the server."""
    key: Path | None = None
    """Its private key, where it is not in the same file."""


class TlsSettings:
    """The TLS settings for connections, made anew when one of their files has changed.

    Certificates are renewed under a running program, authorities as well as its own. One that
    cannot be read, as between the new certificate and its new key, leaves those in use.

    Args:
        files: Certificates of one's own.

    Attributes:
        problem: Why files that have changed are not in use; empty if they are.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._context: ssl.SSLContext | None = None
        self._versions: list[object] = []
        self.problem = ""

    def context(self) -> ssl.SSLContext:
        """The settings as the files say now.

        Raises:
            OSError, ssl.SSLError: A file is not what it should be, and there were none before.
        """
        versions = [_version(path) for path in self._paths()]
        if self._context is not None and versions == self._versions:
            return self._context
        try:
            context = tls_context(self._files) or usual_tls_context()
        except OSError as error:  # ssl.SSLError is one
            if self._context is None:
                raise
            self.problem = f"changed certificates cannot be read ({error})"
        else:
            self._context, self.problem = context, ""
        self._versions = versions
        return self._context

    def _paths(self) -> Iterator[str | Path]:
        authorities, certificate, key = self._files
        yield from filter(None, (authorities, certificate, key))
        if authorities is None and (usual := os.environ.get("SSL_CERT_FILE")):
            yield usual


def _version(path: str | Path) -> object:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def tls_context(files: TlsFiles) -> ssl.SSLContext | None:
    """TLS settings of one's own, None where there are none.

    Raises:
        OSError, ssl.SSLError: A file is not what its setting says.
    """
    if files.authorities is not None:
        import ssl  # noqa: PLC0415 - as above

        context = ssl.create_default_context(cafile=files.authorities)
    elif files.certificate is not None:
        context = usual_tls_context()
    else:
        return None
    if files.certificate is not None:
        context.load_cert_chain(
            files.certificate,
            files.key,
            # Without it OpenSSL asks for the password of an encrypted key on the terminal.
            password=lambda: "",
        )
    return context


def usual_tls_context() -> ssl.SSLContext:
    """Trusts what SSL_CERT_FILE or SSL_CERT_DIR name, else certifi's authorities."""
    import ssl  # noqa: PLC0415 - as above

    if file := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=file)
    if directory := os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context(capath=directory)
    import certifi  # noqa: PLC0415 - as above

    return ssl.create_default_context(cafile=certifi.where())


def usual_tls_problem() -> str | None:
    """Why the environment's TLS settings cannot be used, with the name of what is wrong; or None.

    Looks at files, and reads only those that a variable names.
    """
    if file := os.environ.get("SSL_CERT_FILE"):
        import ssl  # noqa: PLC0415 - as above

        try:
            ssl.create_default_context(cafile=file)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            return f"SSL_CERT_FILE: expected a file of certificates in PEM form ({reason})"
        return None
    if directory := os.environ.get("SSL_CERT_DIR"):
        if Path(directory).is_dir():
            return None
        return "SSL_CERT_DIR: expected a directory of certificates, found none"
    found = find_spec("certifi")
    if found is None or found.origin is None:
        return "certifi, which has the usual authorities, is not installed"
    if Path(found.origin).with_name("cacert.pem").is_file():
        return None
    try:  # a distribution's certifi names another file; importing it costs 10 ms
        import certifi  # noqa: PLC0415 - as above

        missing = not Path(certifi.where()).is_file()
    except Exception as error:  # noqa: BLE001 - whatever a package of that name does
        return f"certifi, which has the usual authorities, cannot be used ({error!r})"
    if missing:
        return "certifi has no cacert.pem with the usual authorities: install it again"
    return None
