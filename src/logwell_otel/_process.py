"""No fork in the middle of an import that one of our threads does.

A child forked there has the module for ever as far as it had come: `import httpx` then
succeeds with half of httpx, for the application too. Seen with a program that logs and
forks right after its start, as servers that preload an application do.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


_LONGEST_WAIT: Final = 5.0
"""Seconds a fork waits. Only then, should the import wait for what the forking thread holds."""

_lock = threading.RLock()
_held = threading.local()


@contextmanager
def not_forking() -> Iterator[None]:
    """Forks wait until what runs inside is over. For imports in threads of ours only."""
    with _lock:
        yield


def _before() -> None:
    _held.by_us = _lock.acquire(timeout=_LONGEST_WAIT)


def _after() -> None:
    if _held.by_us:
        _lock.release()


def _after_in_child() -> None:
    global _lock  # noqa: PLW0603 - the old one may be held by a thread that does not exist here
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # Not on Windows, which has no fork.
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)


# Children of multiprocessing leave by `os._exit`: atexit does not run there.
#
# Their own finalizers do, when a child ends by returning, by an exception or by
# `Pool.close()`. Nothing runs when it is killed, as `Pool.terminate()` does.


# After the finalizers of queues and managers, which may still log.
_PRIORITY: Final = -100


class ShutsDown(Protocol):
    """What is drained: a `Pipeline`."""

    def shutdown(self) -> None:
        """Deliver what is held, then end."""


def shut_down_in_children(pipeline: ShutsDown) -> None:
    """Have `pipeline` drained at the end of this process, if it is such a child, and of its."""
    from multiprocessing import parent_process, util  # noqa: PLC0415 - what start-up does without

    util.register_after_fork(pipeline, _drain_at_exit)
    if parent_process() is not None:
        _drain_at_exit(pipeline)


def _drain_at_exit(pipeline: ShutsDown) -> None:
    from multiprocessing import util  # noqa: PLC0415 - what start-up does without

    util.Finalize(pipeline, pipeline.shutdown, exitpriority=_PRIORITY)
