"""What one step of the check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Status(str, Enum):
    """How a step went."""

    PASS = "pass"  # noqa: S105 - no password
    WARNING = "warning"
    """Entries arrive, but something about it is not as one would want it."""
    FAIL = "fail"
    SKIPPED = "skipped"
    """Not run, or not to be run; the text says why."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Result:
    """One line of the check.

    Attributes:
        group: Heading it stands under: `settings`, `server` or `opentelemetry`.
        step: What was looked at.
        status: How it went.
        text: What was found. Holds no secret.
        advice: What to do about it; None where there is nothing to do.
    """

    group: str
    step: str
    status: Status
    text: str
    advice: str | None = None


@dataclass(frozen=True)
class Finding:
    """A `Result` that does not know yet which step it belongs to."""

    status: Status
    text: str
    advice: str | None = None

    def of(self, group: str, step: str) -> Result:
        """The finding as the result of a step."""
        return Result(group, step, self.status, self.text, self.advice)


def passed(text: str) -> Finding:
    """All is well."""
    return Finding(Status.PASS, text)


def warning(text: str, advice: str) -> Finding:
    """It works, but not as one would want it."""
    return Finding(Status.WARNING, text, advice)


def failed(text: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(Status.FAIL, text, advice)


def skipped(text: str, advice: str | None = None) -> Finding:
    """Not run."""
    return Finding(Status.SKIPPED, text, advice)
