"""What redaction finds of its corpus, and what it takes that it should not, by category.

python benchmarks/redaction_table.py
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from logwell_otel.redaction import Redactor
from support.redaction import corpus


def main() -> None:
    """Print the table."""
    redactor = Redactor()
    found: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    false: Counter[str] = Counter()
    harmless: Counter[str] = Counter()
    for case in corpus():
        about, text = case["about"], case["text"]
        if "redacted" in case:
            wanted[about] += 1
            found[about] += redactor.redact_text(text) == case["redacted"]
        else:
            harmless[about] += 1
            false[about] += redactor.redact_text(text) != text
    print(f"{'category':44} {'found':>10} {'falsely':>10}")
    for about in sorted({*wanted, *harmless}):
        hits = f"{found[about]}/{wanted[about]}" if wanted[about] else "-"
        misses = f"{false[about]}/{harmless[about]}" if harmless[about] else "-"
        print(f"{about:44} {hits:>10} {misses:>10}")


if __name__ == "__main__":
    main()
