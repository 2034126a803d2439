"""`scripts/simulate`: worlds from seeds, checked. Status 1 and the seed on a finding."""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import secrets
import sys
import time
from typing import TYPE_CHECKING

from simulation.run import WORLD_SECONDS, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.pool import Pool

    from simulation.world import Verdict

_BATCH = 100


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this world and print its history")
    parser.add_argument("--minutes", type=float, default=1.0, help="run fresh worlds so long")
    parser.add_argument("--worlds", type=int, help="run so many worlds instead")
    parser.add_argument("--first", type=int, help="the first one's seed, a fresh one by default")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        verdict = simulate(options.seed)
        sys.stdout.write(verdict.text)
        return 1 if verdict.findings else 0
    first = secrets.randbelow(10**9) if options.first is None else options.first
    return many(first, options.minutes, options.worlds)


def many(first: int, minutes: float, worlds: int | None) -> int:
    """Run worlds on all cores, and say what was found."""
    write = sys.stdout.write
    began = time.monotonic()
    ran = 0
    found: list[int] = []
    context = multiprocessing.get_context("spawn")
    with context.Pool(os.cpu_count(), maxtasksperchild=2000) as pool:
        for verdict in _verdicts(pool, first, worlds, began + minutes * 60):
            ran += 1
            if verdict.findings:
                found.append(verdict.seed)
                write(f"\n{verdict.text}" if len(found) <= 3 else f"{verdict.findings[0]}\n")
                write(f"again: scripts/simulate --seed {verdict.seed}\n")
                sys.stdout.flush()
    seconds = time.monotonic() - began
    write(
        f"{ran:,} worlds from seed {first} in {seconds:.0f} s, {len(found)} findings"
        f"{': seeds ' + ', '.join(map(str, found[:20])) if found else ''}\n"
    )
    return 1 if found else 0


def _verdicts(pool: Pool, first: int, worlds: int | None, until: float) -> Iterator[Verdict]:
    seeds = itertools.count(first) if worlds is None else iter(range(first, first + worlds))
    while batch := list(itertools.islice(seeds, _BATCH)):
        if worlds is None and time.monotonic() >= until:
            return
        verdicts = pool.imap_unordered(simulate, batch)
        for _ in batch:
            # Longer than a world may take: the process that ran it has ended, with a traceback.
            yield verdicts.next(timeout=2 * WORLD_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
