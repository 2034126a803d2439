"""Uncaught exceptions, on the main thread and on others, as records with their stack trace.

pip install logwell-otel
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… LOGWELL_SERVICE=shop
python uncaught.py
"""

import threading

import logwell_otel


def refill(shelf: str) -> None:
    raise LookupError(f"no such shelf: {shelf}")


if __name__ == "__main__":
    logwell_otel.configure()
    logwell_otel.capture_uncaught()
    thread = threading.Thread(target=refill, args=("A7",), name="refill")
    thread.start()
    thread.join()
    raise RuntimeError("the shop burned down")
