"""What a sampler can follow: somebody who sets its rates while the program runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel.sampling.rules import SamplingRules


class PolicySource(Protocol):
    """A `PolicyFile`, a `PolicyServer`, or something like them. None of it raises or waits."""

    @property
    def wants_messages(self) -> bool:
        """Whether `saw` must be told the messages of errors, too."""

    def feed(self, use: Callable[[SamplingRules], object]) -> None:
        """Hand rates to `use` whenever there are new ones, from any thread."""

    def saw(self, message: str, *, kept: bool) -> None:
        """Called after every decision."""

    def shutdown(self, timeout: float) -> None:
        """End what runs; seconds to wait at most."""
