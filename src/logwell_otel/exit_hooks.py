"""Children of multiprocessing leave by `os._exit`: atexit does not run there.

Their own finalizers do, when a child ends by returning, by an exception or by
`Pool.close()`. Nothing runs when it is killed, as `Pool.terminate()` does.
"""

from __future__ import annotations

from multiprocessing import parent_process, util
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from logwell_otel.pipeline import Pipeline

# After the finalizers of queues and managers, which may still log.
_PRIORITY: Final = -100


def shut_down_in_children(pipeline: Pipeline) -> None:
    """Have `pipeline` drained at the end of this process, if it is such a child, and of its."""
    util.register_after_fork(pipeline, _drain_at_exit)
    if parent_process() is not None:
        _drain_at_exit(pipeline)


def _drain_at_exit(pipeline: Pipeline) -> None:
    util.Finalize(pipeline, pipeline.shutdown, exitpriority=_PRIORITY)
