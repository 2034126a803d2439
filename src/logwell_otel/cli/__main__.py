"""`python -m logwell_otel.cli`."""

from __future__ import annotations

import sys

from logwell_otel.cli import main

sys.exit(main())
