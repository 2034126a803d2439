"""Which pools a command is about, and how many of something there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from logwell_otel.spool import SpoolError, list_spools

if TYPE_CHECKING:
    import argparse

    from logwell_otel.spool import PoolReport


def pools_of(options: argparse.Namespace) -> list[PoolReport]:
    """The pools that the options select.

    Raises:
        SpoolError: There is no such directory or pool.
    """
    pools = list_spools(options.directory)
    if options.pool is None:
        return pools
    chosen = [pool for pool in pools if pool.name == options.pool]
    if not chosen:
        raise SpoolError(f"{options.directory} has no pool named {options.pool}.")
    return chosen
