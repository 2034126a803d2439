"""What `DevServerProcess` starts: `serve` with the options that stand as JSON in the argument.

People start the server by `logwell-otel serve`, whose arguments are in `logwell_otel.cli`.
"""

import json
import sys

from .command import serve

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("To run the development server: logwell-otel serve")
    sys.exit(serve(**json.loads(sys.argv[1])))
