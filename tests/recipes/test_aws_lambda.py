from __future__ import annotations

from typing import TYPE_CHECKING

from support.process import EXAMPLES, NEVER_BY_TIME, location, location_of, own_metadata, run

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

# As Lambda's runtime does: its own handler on the root logger first, one import, then
# calls. The instance is never told that it ends.
RUNTIME = """
import logging, os, signal, sys
from types import SimpleNamespace

logging.getLogger().addHandler(logging.StreamHandler())
sys.path.insert(0, sys.argv[1])
from aws_lambda import handler

for number, event in enumerate([{"order": 1}, {}, {"order": 3}]):
    try:
        answer = handler(event, SimpleNamespace(aws_request_id=f"request-{number}"))
        assert answer == {"statusCode": 200}
    except KeyError:
        assert event == {}
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_each_call_is_delivered_before_it_returns(receiver: DevServer, tmp_path: Path) -> None:
    runtime = tmp_path / "runtime.py"
    runtime.write_text(RUNTIME)
    run(f"python {runtime} {EXAMPLES}", receiver, NEVER_BY_TIME, status=-9)
    entries = receiver.entries()
    assert [(entry.level, entry.message, entry.request_id) for entry in entries] == [
        ("info", "webhook for order 1", "request-0"),
        ("error", "webhook failed", "request-1"),
        ("info", "webhook for order 3", "request-2"),
    ]
    assert [request.stored for request in receiver.requests] == [1, 1, 1]
    metadata = own_metadata(entries[1])
    assert metadata.pop("exception.stacktrace").endswith("\nKeyError: 'order'\n")
    assert metadata == {
        "request_id": "request-1",
        "exception.type": "KeyError",
        "exception.message": "'order'",
    }
    assert location_of(entries[0]) == location("aws_lambda.py", '"webhook for order %s"')
    assert {entry.service for entry in entries} == {"shop"}
