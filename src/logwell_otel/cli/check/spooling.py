"""Can the spool directory be used? Nothing is created: who checks may be another user."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from logwell_otel._buffer.spool import SpoolError, paths
from logwell_otel.cli.check.result import Finding, failed, passed, warning
from logwell_otel.cli.pools import list_spools

if TYPE_CHECKING:
    from pathlib import Path


def spool_directory(directory: Path) -> Finding:
    """Whether entries can be kept in `directory`, and what lies there."""
    if _exists(directory):
        try:
            paths.prepare_root(directory)
            held = sum(pool.entries for pool in list_spools(directory))
        except SpoolError as error:
            return failed(str(error), "Exporters do not start until this is changed.")
        found = f"{directory} can be used, {held} entries wait there"
    else:
        parent = next(path for path in directory.absolute().parents if _exists(path))
        if not os.access(parent, os.W_OK | os.X_OK):
            return failed(
                f"{directory} does not exist, and cannot be created in {parent}",
                "Create it for the user who runs the application, with mode 0700.",
            )
        found = f"{directory} does not exist yet, and will be created"
    if paths.emptied_at_restart(directory):
        return warning(
            f"{found}; but what lies there does not survive a restart of the machine",
            "Name a directory on a disk, in a container one on a volume, in spool_dir "
            "(LOGWELL_SPOOL_DIR).",
        )
    return passed(found)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # Python 3.10 raises where a directory above it cannot be entered
        return False
