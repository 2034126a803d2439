"""`python -m logwell_otel.devserver`."""

import sys

from .server import main

if __name__ == "__main__":
    sys.exit(main())
