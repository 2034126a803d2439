"""What `DevServerProcess` starts: `serve` with the options that standard input has as JSON.

The key is among them, and everybody on the machine sees the arguments of a process.

People start the server by `logwell-otel serve`, whose arguments are in `logwell_otel.cli`.
"""

import json
import sys

from .command import serve

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] != "-":
        sys.exit("To run the development server: logwell-otel serve")
    sys.exit(serve(**json.load(sys.stdin)))
