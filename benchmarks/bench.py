"""Measures logwell-otel beside its peers. Run it by `scripts/bench`.

Each figure is a ratio taken in one run: subjects take turns, round by round, and medians
are compared. What else the machine does then hits all of them alike.

    scripts/bench [--quick] [--json FILE] [--plot FILE] [--compare FILE] [GROUPS …]

With `--compare` each ratio that is held against a limit is compared with what FILE, written
by `--json`, has of it, and one that is worse beyond the spread of both runs is an error.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from figures import Row, compared, table
from subjects import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GROUPS: Final = (
    "encode",
    "stages",
    "call",
    "tax",
    "latency",
    "throughput",
    "growth",
    "memory",
    "spool",
    "start",
    "life",
)
PACKAGES: Final = (
    "logwell-otel",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-exporter-otlp-json-http",
    "logwell",
    "msgspec",
    "httpcore",
)


def measured(groups: Sequence[str], *, quick: bool) -> Iterator[Row]:
    """The rows of `groups`, as soon as each is there."""
    for group in groups:
        yield from importlib.import_module(f"bench_{group}").rows(quick=quick)


def conditions() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "packages": {name: version(name) for name in PACKAGES},
        "settings": SETTINGS,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", nargs="*", choices=[[], *GROUPS], help="default: all")
    parser.add_argument("--quick", action="store_true", help="under a minute, less exact")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="figures of an earlier run")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them there, as PNG")
    options = parser.parse_args()
    found = conditions()
    print(f"Python {found['python']}, {found['machine']}")
    print(", ".join(f"{name} {number}" for name, number in found["packages"].items()), "\n")
    print("Settings:")
    for subject, settings in SETTINGS.items():
        print(f"  {subject}: {settings}")
    print("\nMedians, quartiles behind them.\n", flush=True)
    began = time.monotonic()
    rows = []
    for row in measured(options.rows or GROUPS, quick=options.quick):
        print(table([row]), flush=True)
        rows.append(row)
    missed = [check for row in rows for check in row.checks if not check.kept]
    print(f"{time.monotonic() - began:.0f} s; {len(missed)} limits not kept.")
    if options.json:
        results = {**found, "quick": options.quick, "rows": [row.to_json() for row in rows]}
        options.json.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    if options.plot:
        importlib.import_module("plot").draw(rows, options.plot)
    worse = compared(rows, json.loads(options.compare.read_text())) if options.compare else []
    print(*worse, sep="\n")
    return 1 if worse or (missed and not options.quick) else 0


if __name__ == "__main__":
    sys.exit(main())
