"""How an exporter is doing, as a typed snapshot."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - annotations of a public class can be read
from dataclasses import dataclass
from typing import Final, Literal

from logwell_otel.errors import LogwellError  # noqa: TC001

Status = Literal["healthy", "degraded", "unhealthy"]

NEARLY_FULL: Final = 0.8
"""Share of a cap from which on `health()` says `degraded`."""


@dataclass(frozen=True)
class Health:
    """What `LogwellLogExporter.health()` returns: all figures are of one moment.

    At any moment `handed_over + recovered = accepted + refused + dropped_total + held`.

    Attributes:
        status: `healthy`; `degraded`: entries arrive late or some were lost of late;
            `unhealthy`: entries do not arrive.
        reasons: Why it is not healthy, in words.
        handed_over: Records given to the exporter since the process started, and those for
            which the queue of `LogwellBatchLogRecordProcessor` had no room.
        recovered: Entries found in the spool, left there by an earlier process.
        accepted: Entries the server stored.
        refused: Entries the server refused for good.
        dropped: Entries and records dropped, by reason.
        queued: Records in the queues of `LogwellBatchLogRecordProcessor`, not handed over yet.
        queue_share: Share of that queue in use, 0 to 1.
        queue_room: Records of a burst that it takes now, None without such a processor.
        queue_room_bytes: Characters of text in them, likewise.
        held: Entries held in memory and on disk.
        held_in_memory: Entries held in memory.
        bytes_in_memory: Bytes that those take.
        memory_share: Share of `max_queue_bytes` in use, 0 to 1.
        held_on_disk: Entries held in the spool by this process.
        bytes_on_disk: Bytes that those take.
        disk_share: Share of `spool_max_bytes` in use, 0 to 1.
        consecutive_failures: Requests that failed since the last accepted one.
        breaker: `closed`, `open` or `half-open`.
        requests_per_minute: The current pace.
        paused_for: Seconds left of a pause that the server's rate limit asked for.
        last_error: The latest error.
        last_error_at: Wall clock seconds since 1970 of it.
        last_success_at: Wall clock seconds since 1970 of the last accepted request.
    """

    status: Status
    reasons: tuple[str, ...]
    handed_over: int
    recovered: int
    accepted: int
    refused: int
    dropped: Mapping[str, int]
    queued: int
    queue_share: float
    queue_room: int | None
    queue_room_bytes: int | None
    held: int
    held_in_memory: int
    bytes_in_memory: int
    memory_share: float
    held_on_disk: int
    bytes_on_disk: int
    disk_share: float
    consecutive_failures: int
    breaker: Literal["closed", "open", "half-open"]
    requests_per_minute: float
    paused_for: float
    last_error: LogwellError | None
    last_error_at: float | None
    last_success_at: float | None

    @property
    def dropped_total(self) -> int:
        """Entries and records dropped for any reason."""
        return sum(self.dropped.values())

    @property
    def is_healthy(self) -> bool:
        """True if the status is `healthy`."""
        return self.status == "healthy"
