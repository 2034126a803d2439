"""The receiver in a thread of its own: for tests, and what the command runs."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from .app import create_app
from .connections import Connections
from .faults import Faults
from .ingest import KEY_FORMAT, Ingest
from .journal import Counts, IngestRequest, Journal
from .limits import TokenBucket
from .running import Running
from .sockets import listen, url_of
from .store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from .entry import Entry


def new_key() -> str:
    """A random API key of the right form."""
    return f"lw_{secrets.token_urlsafe(24)}"


class DevServer:
    """A Logwell-compatible server in this process, on a thread of its own.

    ```python
    with DevServer() as receiver:
        exporter = LogwellLogExporter(receiver.url, receiver.key)
        ...
        assert [entry.message for entry in receiver.entries()] == ["hello"]
    ```

    Entries, counts and switches outlive `stop()` and `start()`, the port stays the same.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 picks a free one.
        api_key: The key to accept; None makes one.
        requests_per_minute: The rate limit; None for no limit. It starts full.
        clock: The rate limit's clock, in seconds.
        db: File to store in; None keeps entries in memory.
        control: Whether `/_control` is offered.
        journal: Whether single requests are remembered.
        on_stored: Called with each batch's entries in the receiver's thread, after the commit.

    Raises:
        ValueError: The key's form or the limit is wrong.
        StoreError: The file cannot be used.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        requests_per_minute: int | None = 600,
        clock: Callable[[], float] = time.monotonic,
        db: str | Path | None = None,
        control: bool = True,
        journal: bool = True,
        on_stored: Callable[[Sequence[Entry]], None] | None = None,
    ) -> None:
        self.key = new_key() if api_key is None else api_key
        if not KEY_FORMAT.fullmatch(self.key):
            raise ValueError("the API key must be lw_ and 32 of A-Z a-z 0-9 _ -")
        bucket = None if requests_per_minute is None else TokenBucket(requests_per_minute, clock)
        self.faults = Faults()
        self._host = host
        self._port = port
        self._journal = Journal(keep=journal)
        self._connections = Connections()
        self._store = Store(db)
        ingest = Ingest(
            self._store,
            self.key,
            bucket=bucket,
            faults=self.faults,
            journal=self._journal,
            on_stored=on_stored,
        )
        self._app = create_app(
            ingest, self._store, self.faults, self._journal, with_control=control
        )
        self._running: Running | None = None

    @property
    def port(self) -> int:
        """The port; 0 before the first start where none was given."""
        return self._port

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return url_of(self._host, self._port)

    def start(self) -> Self:
        """Listens and answers from now on.

        Raises:
            OSError: The port is taken, the address is not this machine's.
            RuntimeError: It runs already, or did not come up.
        """
        if self._running is not None:
            raise RuntimeError("the receiver runs already")
        listener = listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._running = Running(self._app, listener, self._connections)
        self._running.start()
        return self

    def stop(self) -> None:
        """Stops listening, lets requests in progress end and cuts those that hang.

        Connecting is refused afterwards. Stopping twice does no harm.
        """
        running, self._running = self._running, None
        if running is not None:
            # Any change of the switches releases what hangs.
            self.faults.apply(self.faults.settings)
            running.stop()

    def close(self) -> None:
        """Stops for good and closes the database."""
        self.stop()
        self._store.close()

    def __enter__(self) -> Self:
        return self if self._running is not None else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def entries(self, skip: int = 0) -> list[Entry]:
        """Everything stored, in the order of storing, without the first `skip` entries."""
        return self._store.entries(skip)

    def count(self) -> int:
        """Number of entries stored."""
        return self._store.count()

    def wait_for(self, count: int, timeout: float = 5.0) -> bool:
        """Waits until `count` entries are stored; False after `timeout` seconds."""
        return self._store.wait_for(count, timeout)

    @property
    def requests(self) -> list[IngestRequest]:
        """The ingest requests in order of arrival."""
        return self._journal.requests()

    @property
    def counts(self) -> Counts:
        """Totals of requests, answers, entries and connections."""
        return self._journal.counts()

    def forget(self) -> None:
        """Empties the list of requests and the counts; entries stay."""
        self._journal.clear()

    def __repr__(self) -> str:
        state = "stopped" if self._running is None else "running"
        return f"<DevServer {self.url} {state} entries={self.count()}>"
