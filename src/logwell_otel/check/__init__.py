"""`logwell-otel check`: does what is logged here arrive, and if not, what is to be done.

Each module looks at one thing and says what it found as a `Finding`; `run` puts them in
their order.
"""

from __future__ import annotations

from logwell_otel.check.result import Result, Status
from logwell_otel.check.run import Check, Seams

__all__ = ["Check", "Result", "Seams", "Status"]
