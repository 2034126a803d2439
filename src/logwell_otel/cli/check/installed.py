"""What is installed in this environment, as OpenTelemetry looks for it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from typing import Final, Protocol

SDK: Final = "opentelemetry-sdk"
WITH_HANDLER: Final = (1, 40)
"""OpenTelemetry from which on a handler and a configurator of ours are possible."""


class EntryPoint(Protocol):
    """As much of `importlib.metadata.EntryPoint` as is needed here."""

    @property
    def name(self) -> str:
        """The name it is asked for by."""

    def load(self) -> object:
        """Import what it names."""


class Installed:
    """This environment. Tests give another one."""

    def version(self, distribution: str) -> str | None:
        """Version of a distribution, None where it is not installed."""
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    def entry_points(self, group: str) -> list[EntryPoint]:
        """Entry points of a group, in the order in which OpenTelemetry sees them."""
        return list(importlib.metadata.entry_points(group=group))

    def module(self, name: str) -> bool:
        """Whether a module is there. Imports those that it is part of."""
        try:
            return importlib.util.find_spec(name) is not None
        except ImportError:
            return False


def older(installed: Installed, distribution: str, than: tuple[int, int]) -> bool:
    """Whether a distribution is installed in a version before `than`."""
    match = re.match(r"(\d+)\.(\d+)", installed.version(distribution) or "")
    return match is not None and (int(match[1]), int(match[2])) < than
