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
from logwell_otel._encoding.mapping import DroppedRecord
from logwell_otel._wire import JS_BLANK, MAX_SAFE_INTEGER, RATE_ATTRIBUTE, LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from logwell_otel._config.arguments import BeforeSend, Decides, Redacts
    from logwell_otel._otel import LogRecord

_ONLY_TEXTS: Final = frozenset({str})
_PLAIN: Final = frozenset({str, bool, type(None)})


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
        self, entry: LogEntry, shared: Mapping[str, Any], rate: float | None = None
    ) -> LogEntry:
        """Return the entry as it is to be sent.

        Args:
            entry: As it was mapped.
            shared: What resource and scope put into its metadata.
            rate: Its sampling rate, None for none.

        Raises:
            DroppedRecord: It is not to be sent. A stage that fails fails closed: what could not
                be redacted or looked at does not leave the process.
        """
        metadata = entry.metadata
        if self._redactor is None and self._before_send is None:
            if rate is not None:
                metadata[RATE_ATTRIBUTE] = rate
            return entry
        for name, value in shared.items():
            # An attribute of such a name has stepped aside; were it here, it is looked at.
            if metadata.get(name) is value:
                del metadata[name]
        if rate is not None:
            metadata[RATE_ATTRIBUTE] = rate
        if self._redactor is not None:
            try:
                entry = self._redactor.redact_entry(entry)
            except BaseException as error:  # noqa: BLE001 - counted and said, see DroppedRecord
                raise _failed("redaction", error) from None
        if self._before_send is not None:
            entry = self._ask(self._before_send, entry)
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


def _failed(stage: str, error: BaseException) -> DroppedRecord:
    return DroppedRecord(
        f"{stage}_error",
        f"{stage} failed with {type(error).__name__}, so that entries were dropped unsent: what "
        "could not be looked at does not leave the process.",
        error if is_for_the_program(error) else None,
    )
