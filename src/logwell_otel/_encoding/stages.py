"""What an application may do to its records on the way: sampling, redaction, `before_send`.

In this order, each only where it is asked for. They see plain Python values: resource
and scope, which their records share as ready JSON, are put back afterwards.
"""

from __future__ import annotations

from copy import copy
from operator import is_
from typing import TYPE_CHECKING, Any, Final, cast

from logwell_otel._diagnostics import is_for_the_program
from logwell_otel._encoding import fields, sanitize
from logwell_otel._encoding.fields import ABSENT
from logwell_otel._encoding.mapping import DroppedRecord
from logwell_otel._encoding.values import convert, text_of_bytes, to_json
from logwell_otel._wire import JS_BLANK, MAX_SAFE_INTEGER, RATE_ATTRIBUTE, LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from logwell_otel._otel import LogRecord, ReadableLogRecord
    from logwell_otel.types import BeforeSend, Decides, Redacts

_ONLY_TEXTS: Final = frozenset({str})
_PLAIN: Final = frozenset({str, bool, type(None)})
_SCALARS: Final = _PLAIN | {int, float}
_STRUCTURES: Final = frozenset({dict, list, tuple})
_MAX_KNOWN: Final = 1024


class Stages:
    """The optional stages between mapping and encoding. Safe to use from several threads.

    Args:
        sampler: Decides which records are kept; None from it for one that it cannot read.
        redactor: Takes secrets out of entries.
        before_send: Called with every entry; returns it, another one, or None for none.
        end_sampler: Ends what runs for a sampler that nobody else has and could shut down,
            in the seconds it is given.
    """

    def __init__(
        self,
        sampler: Callable[[LogRecord], Decides | None] | None = None,
        redactor: Redacts | None = None,
        before_send: BeforeSend | None = None,
        *,
        end_sampler: Callable[[float], object] | None = None,
    ) -> None:
        self._sampler = sampler
        self._redactor = redactor
        self._before_send = before_send
        self._end_sampler = end_sampler
        self._fields: dict[object, object] = {}
        self._harmless: set[object] = {None}
        self.take_ready: bool = before_send is None and (
            redactor is None or getattr(redactor, "takes_ready", False) is True
        )
        """Whether entries may hold ready JSON: what is the exporter's own, and not looked at."""

    @property
    def redacts(self) -> bool:
        """Whether entries go through a redactor."""
        return self._redactor is not None

    def __bool__(self) -> bool:
        return any((self._sampler, self._redactor, self._before_send))

    def sample(self, log: LogRecord) -> float | None:
        """Decide about a record; return the rate to write on it, None for none.

        Raises:
            DroppedRecord: It is not kept.
        """
        if self._sampler is None or (log.attributes and RATE_ATTRIBUTE in log.attributes):
            return None  # not sampled, or sampled before by a processor or filter
        try:
            decision = self._sampler(log)
        except Exception:
            raise  # of the sampler's own: such a record is better kept
        except BaseException as error:  # noqa: BLE001 - counted and said, see DroppedRecord
            raise _failed("sampler", error) from None
        if decision is None:
            return None  # it could not be read: such a record is better kept
        if not decision.keep:
            raise DroppedRecord("sampled")
        return decision.rate

    def apply(
        self,
        entry: LogEntry,
        shared: Mapping[str, Any],
        rate: float | None = None,
        record: ReadableLogRecord | None = None,
    ) -> LogEntry:
        """Return the entry as it is to be sent.

        Args:
            entry: As it was mapped.
            shared: What resource and scope put into its metadata, redacted.
            rate: Its sampling rate, None for none.
            record: What it was made of.

        Raises:
            DroppedRecord: It is not to be sent. A stage that fails fails closed: what could not
                be redacted or looked at does not leave the process.
        """
        metadata = entry.metadata
        if self._redactor is None and self._before_send is None:
            if rate is not None:
                metadata[RATE_ATTRIBUTE] = rate
            return entry
        taken = False
        for name, value in shared.items():
            # An attribute of such a name has stepped aside; were it here, it is looked at. In
            # most ready entries all of them are in one piece of JSON.
            if name in metadata and metadata[name] is value:
                del metadata[name]
                taken = True
        if rate is not None:
            metadata[RATE_ATTRIBUTE] = rate
        if self._redactor is not None:
            entry = self._redacted(entry, record)
        if self._before_send is not None:
            _without_bytes(entry)
            entry = self._ask(self._before_send, entry)
        if not taken:
            return entry
        if shared.keys().isdisjoint(entry.metadata):
            entry.metadata.update(shared)
        else:
            fields.put(entry.metadata, shared)
        return entry

    def shutdown(self, timeout: float) -> None:
        """End what runs for the sampler, after its last report.

        Args:
            timeout: Seconds to wait at most.
        """
        if self._end_sampler is not None:
            self._end_sampler(timeout)

    def redact(self, entry: LogEntry) -> LogEntry:
        """Redact what is no record: a resource, a scope, held by an entry of their own.

        Raises:
            DroppedRecord: The redactor fails.
        """
        if self._redactor is None:
            return entry
        try:
            return self._redactor.redact_entry(entry)
        except BaseException as error:  # noqa: BLE001 - counted and said, see DroppedRecord
            raise _failed("redaction", error) from None

    def _redacted(self, entry: LogEntry, record: ReadableLogRecord | None) -> LogEntry:
        if entry.service not in self._harmless:
            entry.service = self._redacted_field("service.name", entry.service)
        if entry.source_file not in self._harmless:
            entry.source_file = self._redacted_field("code.file.path", entry.source_file)
        try:
            body: object = None if record is None else record.log_record.body
        except Exception:  # noqa: BLE001 - then the message is not made of it either
            body = None
        if type(body) is str:
            return self.redact(entry)
        message = entry.message
        raw = None if type(body) in _STRUCTURES else convert(body, raw_bytes=True)[0]
        if type(raw) is bytes:
            entry.message = text = text_of_bytes(raw)
            entry = self.redact(entry)
            if entry.message == text:
                entry.message = message
            return entry
        structure = entry.metadata.get("body")
        same = type(structure) in _STRUCTURES and message == to_json(structure).decode("utf-8")
        entry = self.redact(entry)
        redacted = entry.metadata.get("body")
        if same and redacted is not structure:
            # The structure says more than its text, in which bytes are base64.
            entry.message = to_json(convert(redacted)[0]).decode("utf-8")
            entry = self.redact(entry)
        return entry

    def _redacted_field(self, name: str, value: object) -> str | None:
        """Redact a service's or a file's name: there are few, and each is looked at once."""
        known = self._fields.get(value, ABSENT)
        if known is ABSENT:
            holder = LogEntry(level="info", message="", metadata={name: value})
            redacted = self.redact(holder).metadata.get(name)
            known = redacted if type(redacted) is str else None
            if len(self._fields) >= _MAX_KNOWN:
                self._fields = {}
                self._harmless = {None}
            self._fields[value] = known
            if known == value:
                self._harmless.add(value)
        return cast("str | None", known)

    @staticmethod
    def _ask(before_send: BeforeSend, entry: LogEntry) -> LogEntry:
        mapped, metadata = _fields(entry), entry.metadata
        try:
            result = cast("object", before_send(entry))  # whatever its annotation says
        except BaseException as error:  # noqa: BLE001 - counted and said, see DroppedRecord
            raise _failed("before_send", error) from None
        if result is None:
            raise DroppedRecord("before_send")
        if not isinstance(result, LogEntry):
            kind = type(result).__name__
            raise _failed("before_send", TypeError(f"expected a LogEntry or None, got {kind}"))
        # Its fields are somebody else's work now: one line number too large would make the
        # server refuse the whole request.
        if result is not entry or result.metadata is not metadata:
            # It may be kept and returned again, and more is added to ours.
            result = copy(result)
            if type(result.metadata) is dict:  # of anything else, cleaning makes one
                result.metadata = result.metadata.copy()
        if not (all(map(is_, _fields(result), mapped)) and _is_plain(result)):
            sanitize.clean(result)
        return result


def _fields(entry: LogEntry) -> tuple[object, ...]:
    """Return the fields that the mapping made fit, and that a hook seldom touches."""
    return entry.level, entry.timestamp, entry.service, entry.source_file, entry.line_number


def _is_plain(entry: LogEntry) -> bool:
    """Tell whether `sanitize.clean` would find nothing but what the encoder finds as well.

    A look costs a tenth of cleaning. NUL characters and lone surrogates are the encoder's,
    in these entries as in all others.
    """
    message, metadata = cast("tuple[object, object]", (entry.message, entry.metadata))
    if type(message) is not str or not message.strip(JS_BLANK) or type(metadata) is not dict:
        return False
    if not _ONLY_TEXTS.issuperset(map(type, metadata)):
        return False
    for value in metadata.values():
        kind = type(value)
        if kind is int:
            if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
                return False
        elif kind is float:
            if value - value != 0:  # not finite
                return False
        elif kind not in _PLAIN:
            return False
    return True


def _without_bytes(entry: LogEntry) -> None:
    """Write bytes as text: they were kept for the redactor, which found nothing in them."""
    metadata = entry.metadata
    if not _SCALARS.issuperset(map(type, metadata.values())):
        for name, value in metadata.items():
            if _holds_bytes(value):
                metadata[name] = convert(value)[0]


def _holds_bytes(value: object) -> bool:
    kind = type(value)
    if kind is dict:
        return any(map(_holds_bytes, cast("dict[str, object]", value).values()))
    if kind is list or kind is tuple:
        return any(map(_holds_bytes, cast("list[object]", value)))
    return kind is bytes


def _failed(stage: str, error: BaseException) -> DroppedRecord:
    return DroppedRecord(
        f"{stage}_error",
        f"{stage} failed with {type(error).__name__}, so that entries were dropped unsent: what "
        "could not be looked at does not leave the process.",
        error if is_for_the_program(error) else None,
    )
