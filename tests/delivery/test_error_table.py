"""Every row of docs/errors.md: what an answer means, whether it comes again, what is said."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel import LogwellError, LogwellErrorCode
from logwell_otel._delivery import response as report
from logwell_otel._delivery.response import Action, Outcome, outcome_of
from logwell_otel._http import Answer, NoAnswer
from support.bench import Bench
from support.records import records
from support.server import REFUSED, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TABLE = Path(__file__).parents[2] / "docs" / "errors.md"
VECTORS = Path(__file__).parents[1] / "contract" / "ingest_vectors.json"

HTML = "<html><body>Bad gateway</body></html>"
RETRY, HOLD, SPLIT = Action.RETRY, Action.HOLD, Action.SPLIT


class Row(NamedTuple):
    """One answer of a table row."""

    outcome: str
    reply: Answer | NoAnswer
    action: Action
    code: str
    retryable: bool
    says: str
    retry_after: float | None = None


def own(error: str, message: str = "so it is") -> dict[str, str]:
    return {"error": error, "message": message}


NO_ANSWER = "no answer: connecting, TLS, a proxy, a time-out, a lost connection"
OTHER = "any other 4xx or 5xx, which is from something in front of the server"
OWN = "400 `invalid_json` or `validation_error`, as the server's own JSON"
PROCESS = "no request can be made: a package, a descriptor, memory"
DEFECT = "an error of a library's or of ours in the middle of a request"
EMPTY = "2xx without a body, or with one in an encoding that nobody asked for"
NOT_COUNTED = "2xx that is not JSON with an `accepted` number"

ROWS = [
    Row(
        NO_ANSWER,
        NoAnswer("ConnectError: [Errno 111] Connection refused"),
        RETRY,
        "NETWORK_ERROR",
        True,
        "No answer from the server: ConnectError: [Errno 111] Connection refused. Check that "
        "endpoint (LOGWELL_ENDPOINT) is right and can be reached from here. Entries are held and "
        "sent again.",
    ),
    Row(
        NO_ANSWER,
        NoAnswer("ConnectError: [SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer"),
        RETRY,
        "NETWORK_ERROR",
        True,
        "No answer from the server: ConnectError: [SSL: CERTIFICATE_VERIFY_FAILED] unable to get "
        "local issuer. If the server's certificate is signed by an authority of your own, name "
        "that in certificate_file (LOGWELL_CERTIFICATE_FILE). Entries are held and sent again.",
    ),
    Row(
        PROCESS,
        NoAnswer("ModuleNotFoundError: No module named 'httpcore'", "process"),
        RETRY,
        "INTERNAL_ERROR",
        True,
        "An error of this process, which can make no request: ModuleNotFoundError: No module "
        "named 'httpcore'. That is neither the network nor the server, but what this process has: "
        "its packages, files, descriptors or memory. Entries are held and sent again.",
    ),
    Row(
        DEFECT,
        NoAnswer("TypeError: 'NoneType' object is not callable", "defect"),
        RETRY,
        "INTERNAL_ERROR",
        True,
        "A request failed with an error of its own: TypeError: 'NoneType' object is not callable. "
        "This is a defect of logwell-otel or of a package it uses; please report it. Entries are "
        "held and sent again.",
    ),
    Row(
        "401",
        answer(401, own("unauthorized", "Invalid API key")),
        HOLD,
        "UNAUTHORIZED",
        False,
        "The server refuses the API key (unauthorized: Invalid API key). Check api_key "
        "(LOGWELL_API_KEY) or the file in api_key_file (LOGWELL_API_KEY_FILE) against the "
        "project's settings on the server. Entries are held; the next try is in 30 s.",
    ),
    Row(
        "401",
        answer(401, HTML),
        HOLD,
        "UNAUTHORIZED",
        False,
        "The server refuses the API key (with text/html, so perhaps from a proxy in front of "
        "it). Check api_key (LOGWELL_API_KEY) or the file in api_key_file (LOGWELL_API_KEY_FILE) "
        "against the project's settings on the server. Entries are held; the next try is in 30 s.",
    ),
    *(
        Row(
            OWN,
            answer(status, own(error, "no")),
            Action.INVALID,
            "VALIDATION_ERROR",
            False,
            f"The server refuses the request ({error}: no); it is sent in parts, and what is "
            "refused even alone is dropped.",
        )
        for status, error in (
            (400, "invalid_json"),
            (400, "validation_error"),
        )
    ),
    Row(
        "400 `batch_too_large`",
        answer(400, own("batch_too_large", "over 100")),
        SPLIT,
        "VALIDATION_ERROR",
        False,
        "The server refuses the request (batch_too_large: over 100); it is sent in parts.",
    ),
    *(
        Row(
            "413",
            reply,
            Action.SHRINK,
            "SERVER_ERROR",
            True,
            f"Something in front of the server says that the request is too large{said}; it is "
            "sent in parts where that helps, else later. The server's own limit is 512 KiB, and "
            "no request of ours reaches it.",
        )
        for reply, said in (
            (answer(413), ""),
            (answer(413, HTML), " (with text/html, so perhaps from a proxy in front of it)"),
        )
    ),
    *(
        Row(
            "429",
            reply,
            Action.PAUSE,
            "RATE_LIMITED",
            True,
            f"The server's rate limit is reached{said}: all processes of the project share it. "
            "Entries are held and sent more slowly. If it lasts, log less, or raise the limit on "
            "the server.",
            wait,
        )
        for reply, said, wait in (
            (
                answer(429, own("rate_limited", "x"), **{"retry-after": "60"}),
                " (rate_limited: x)",
                60.0,
            ),
            (answer(429), "", None),
            (answer(429, **{"retry-after": "Thu, 01 Jan 1970 00:16:45 GMT"}), "", 5.0),
            (answer(429, **{"retry-after": "-3"}), "", None),
            (answer(429, **{"retry-after": "soon"}), "", None),
            (answer(429, **{"retry-after": "86400000"}), "", 3600.0),
        )
    ),
    Row(
        "500 as JSON",
        answer(500, {"message": "Internal server error", "id": "x"}),
        Action.SUSPECT,
        "SERVER_ERROR",
        True,
        "The server answered 500. If it lasts, see the server's own log. Entries are held and "
        "sent again.",
    ),
    Row(
        OTHER,
        answer(500, HTML),
        RETRY,
        "SERVER_ERROR",
        True,
        "The server answered 500 (with text/html, so perhaps from a proxy in front of it). If it "
        "lasts, see the server's own log. Entries are held and sent again.",
    ),
    Row(
        OTHER,
        answer(503, HTML, **{"retry-after": "7"}),
        RETRY,
        "SERVER_ERROR",
        True,
        "The server answered 503 (with text/html, so perhaps from a proxy in front of it). Check "
        "that the server is up, and what stands in front of it. Entries are held and sent again.",
        7.0,
    ),
    Row(
        OTHER,
        answer(404, own("not_found", "no route")),
        RETRY,
        "SERVER_ERROR",
        True,
        "The server answered 404 (not_found: no route). Check endpoint (LOGWELL_ENDPOINT), and "
        "what stands in front of the server. Entries are held and sent again.",
    ),
    Row(
        OTHER,
        answer(407),
        RETRY,
        "SERVER_ERROR",
        True,
        "The server answered 407. Check the user name and the password in HTTPS_PROXY or "
        "HTTP_PROXY. Entries are held and sent again.",
    ),
    *(
        Row(
            OTHER,
            reply,
            RETRY,
            "SERVER_ERROR",
            True,
            f"The server answered {reply.status}",
        )
        for reply in (
            answer(400, HTML),
            answer(400, {"error": "Bad Request", "message": "x", "status": 400}),
            answer(400, {"error": "invalid_json"}),
            answer(400, {"error": {"code": 1}, "message": "x"}),
            answer(400, []),
            answer(400),
            answer(403, "Cross-site POST form submissions are forbidden"),
            answer(403, {"error": "Forbidden", "message": "x"}),
            answer(403, {"message": "Forbidden"}),
            answer(415, HTML),
            answer(403, own("forbidden")),
            answer(415, own("unsupported_media_type")),
            answer(400, own("some_error")),
            *(
                answer(status, body)
                for status in (402, 404, 405, 408, 409, 421, 425, 451, 501, 502, 503, 504, 520)
                for body in (HTML, None, own("some_error"))
            ),
        )
    ),
    *(
        Row(
            "3xx",
            answer(status, HTML, location="https://login.example.com/?next=x"),
            HOLD,
            "INVALID_CONFIG",
            False,
            "The server redirects to https://login.example.com/?next=x, which is not followed "
            "because the API key would travel along. If that is your server, set endpoint "
            "(LOGWELL_ENDPOINT) to it. Entries are held.",
        )
        for status in (301, 302, 303, 307, 308)
    ),
    Row(
        "3xx",
        answer(304),
        HOLD,
        "INVALID_CONFIG",
        False,
        "The server redirects to nowhere, which is not followed because the API key would travel "
        "along. If that is your server, set endpoint (LOGWELL_ENDPOINT) to it. Entries are held.",
    ),
    Row(
        NOT_COUNTED,
        answer(200, "<html>Please log in</html>"),
        RETRY,
        "SERVER_ERROR",
        True,
        "Something answered 200, but not as a Logwell server does (with text/html, so perhaps "
        "from a proxy in front of it). Check endpoint (LOGWELL_ENDPOINT). Entries are held and "
        "sent again.",
    ),
    *(
        Row(EMPTY, reply, Action.TAKEN, "SERVER_ERROR", True, "Something answered 2")
        for reply in (answer(204), answer(200), Answer(202, {}, b" \r\n"))
    ),
    *(
        Row(NOT_COUNTED, reply, RETRY, "SERVER_ERROR", True, "Something answered 2")
        for reply in (
            answer(202, {}),
            answer(200, []),
            answer(200, {"accepted": None}),
            answer(200, {"accepted": "1"}),
            answer(200, {"accepted": True}),
            answer(200, {"accepted": -1}),
            answer(200, {"ok": True}),
            Answer(200, {}, b'{"accepted":1'),
            Answer(200, {}, b'\x1f\x8b{"accepted":1}'),
            Answer(200, {}, b'{"\xff\xfe":"accepted"}'),
            Answer(200, {}, b"\xff\xfe"),
            Answer(200, {"content-type": "text/html", "content-encoding": "br"}, b""),
            Answer(200, {}, b'{"errors":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        )
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.outcome[:24]} {row.reply[0]}")
def test_an_answer_means(row: Row) -> None:
    outcome = outcome_of(row.reply, now=lambda: 1000.0)
    error = outcome.error
    assert error is not None
    assert outcome.response is None
    assert (outcome.action, error.code, error.retryable, error.retry_after) == (
        row.action,
        LogwellErrorCode(row.code),
        row.retryable,
        row.retry_after,
    )
    assert error.status_code == (row.reply.status if isinstance(row.reply, Answer) else None)
    assert error.message.startswith(row.says)
    assert error.message.endswith(".")


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ({"accepted": 3}, (3, 0, [])),
        ({"accepted": 0, "rejected": 0}, (0, 0, [])),
        (
            {"accepted": 2, "rejected": 1, "errors": ["Entry at index 0: x"]},
            (2, 1, ["Entry at index 0: x"]),
        ),
        # What else is strange must not have entries sent, and stored, again.
        ({"accepted": 3, "rejected": None, "errors": None}, (3, 0, [])),
        ({"accepted": 2, "rejected": 1, "errors": [{"index": 0}, "text", None]}, (2, 1, ["text"])),
        ({"accepted": 3, "rejected": -1, "errors": "x", "more": {}}, (3, 0, [])),
    ],
)
def test_accepted_is_done_and_no_error(body: object, counts: tuple[int, int, list[str]]) -> None:
    for status in (200, 201, 202):
        outcome = outcome_of(answer(status, body))
        assert (outcome.action, outcome.error) == (Action.DONE, None)
        response = outcome.response
        assert response is not None
        assert (response.accepted, response.rejected, response.errors) == counts


def test_accepted_is_done_also_where_a_reason_is_not_utf_8() -> None:
    body = b'{"accepted":1,"rejected":1,"errors":["Entry at index 0: \xff"]}'
    response = outcome_of(Answer(200, {}, body)).response
    assert response is not None
    assert response.errors == ["Entry at index 0: \N{REPLACEMENT CHARACTER}"]


@given(
    st.integers(100, 599),
    st.dictionaries(
        st.sampled_from(["retry-after", "location", "content-type"]), st.text(max_size=30)
    ),
    st.binary(max_size=40)
    | st.text(max_size=20).map(lambda text: msgspec.json.encode(own(text, text)))
    | st.integers().map(lambda count: b'{"accepted":%d}' % count),
)
def test_no_answer_raises(status: int, headers: dict[str, str], body: bytes) -> None:
    outcome = outcome_of(Answer(status, headers, body))
    assert (outcome.error is None) == (outcome.action is Action.DONE)
    if outcome.action is Action.DONE:
        assert 200 <= status < 300
    if outcome.error is not None:
        assert outcome.error.message.isprintable()
        assert len(outcome.error.message) < 700


def test_quotations_are_one_printable_line_of_limited_length() -> None:
    text = "line\r\nline \x1b[31mred\x07 " + "x" * 1000
    for reply in (
        answer(400, own("validation_error", text)),
        answer(302, location=text),
        answer(502, HTML, **{"content-type": text}),
    ):
        error = outcome_of(reply).error
        assert error is not None
        assert "line line \N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER} x" in str(error)
        assert len(error.message) < 500


def recorded() -> Iterator[tuple[str, Answer]]:
    for vector in msgspec.json.decode(VECTORS.read_bytes())["vectors"]:
        body = None if vector["answer"] is None else vector["answer"]
        yield vector["name"], answer(vector["status"], body)


@pytest.mark.parametrize(("name", "reply"), [*recorded()])
def test_recorded_answers(name: str, reply: Answer) -> None:
    outcome = outcome_of(reply)
    expected = {
        200: Action.DONE,
        400: Action.INVALID,
        401: HOLD,
        403: RETRY,  # it is text, so as if it came from something in front
        413: Action.SHRINK,
        415: RETRY,  # whatever took our Content-Type away
        500: Action.SUSPECT,
    }[reply.status]
    assert outcome.action is (SPLIT if name == "batch of 101" else expected)


# What has no answer of its own comes from what delivery makes of several.


def told_by(reply: Answer, entries: int = 2) -> list[LogwellError]:
    bench = Bench()
    bench.server.replies = [reply]
    bench.exporter.export(records(entries))
    bench.run()
    return bench.errors


def refused_one_by_one() -> LogwellError:
    body = {"accepted": 1, "rejected": 1, "errors": ["Entry at index 1: level is required"]}
    (error,) = told_by(answer(200, body))
    assert error.message == (
        "The server refused 1 of 2 entries, which are not sent again: info 'message 1' (level is "
        "required)."
    )
    return error


def test_refusals_are_named_up_to_five() -> None:
    reasons = ["level is required", "x\n" * 200, *[f"reason {number}" for number in range(2, 9)]]
    body = {
        "accepted": 1,
        "rejected": 9,
        "errors": [f"Entry at index {number}: {text}" for number, text in enumerate(reasons)],
    }
    (error,) = told_by(answer(200, body), 10)
    assert error.message.startswith(
        "The server refused 9 of 10 entries, which are not sent again: info 'message 0' (level is "
        "required); info 'message 1' (x x x"
    )
    assert error.message.endswith(
        "; info 'message 2' (reason 2); info 'message 3' (reason 3); info 'message 4' (reason 4); "
        "and 4 more."
    )
    assert len(error.message) < 600


@pytest.mark.parametrize(
    "text",
    [
        "something else",
        "Entry at index 7: x",
        "Entry at index -1: x",
        f"Entry at index {'9' * 5000}",
    ],
)
def test_a_refusal_that_names_no_entry_of_ours_is_quoted(text: str) -> None:
    (error,) = told_by(answer(200, {"accepted": 1, "rejected": 1, "errors": [text]}))
    assert text[:150] in error.message
    assert "message 1" not in error.message


def test_an_entry_that_is_refused_even_alone_is_named() -> None:
    reply = answer(400, own("validation_error", "no"))
    bench = Bench()
    bench.server.always = lambda entries: reply
    bench.exporter.export(records(1))
    bench.run()
    first, last = bench.errors
    assert first.message.startswith("The server refuses the request")
    assert last.message == f"One entry was refused and is not sent again: info 'message 0'. {first}"


def test_an_entry_is_named_whatever_it_holds() -> None:
    assert report.name(b'{"level":"info","message":"' + b"x" * 300 + b'"}', str) == (
        f"info '{'x' * 119}…'"
    )
    assert report.name(b'{"message":"a\\u001b[31m\\nb"}', str) == (
        "? 'a\N{REPLACEMENT CHARACTER}[31m b'"
    )
    assert report.name(b"not JSON", str) == "an entry that cannot be read"


def test_an_error_crosses_process_borders_whole() -> None:
    error = LogwellError(
        "slow down", LogwellErrorCode.RATE_LIMITED, status_code=429, retryable=True, retry_after=60
    )
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert vars(copied) == vars(error)
        assert (type(copied), str(copied)) == (LogwellError, "slow down")
    assert repr(error) == (
        "LogwellError(RATE_LIMITED: 'slow down', status_code=429, retryable=True)"
    )
    assert f"{error.code}" == error.code == "RATE_LIMITED"


def poison() -> LogwellError:
    bench = Bench()
    bench.server.poison = "message 7$"
    bench.exporter.export(records(1000))
    for hour in range(8):
        bench.run(3600)
        bench.exporter.export(records(1, 1000 + hour))
    (error,) = [error for error in bench.errors if error.code is LogwellErrorCode.VALIDATION_ERROR]
    assert error.message.startswith(
        "1 entry was given up: every request with one was answered 500, while others were accepted."
    )
    assert '"message":"message 7"' in error.message
    return error


def overflow() -> LogwellError:
    bench = Bench(max_queue_bytes=1_048_576)
    for first in range(0, 20_000, 500):
        bench.exporter.export(records(500, first))
    bench.engine.notices.dispatch()
    error = bench.errors[0]
    assert "max_queue_bytes (LOGWELL_MAX_QUEUE_BYTES)" in error.message
    return error


def spool_overflow() -> LogwellError:
    with TemporaryDirectory() as directory:
        bench = Bench(spool_dir=directory, spool_max_bytes=1_048_576)
        bench.server.always = lambda _: REFUSED
        for first in range(0, 20_000, 500):
            bench.exporter.export(records(500, first))
            bench.clock.sleep(1)
            bench.keep()
        bench.exporter.shutdown()
    error = next(e for e in bench.errors if e.code is not LogwellErrorCode.NETWORK_ERROR)
    assert "spool_max_bytes (LOGWELL_SPOOL_MAX_BYTES)" in error.message
    return error


def expired() -> LogwellError:
    with TemporaryDirectory() as directory:
        bench = Bench(spool_dir=directory, spool_max_age=60)
        bench.server.always = lambda _: REFUSED
        bench.exporter.export(records(3))
        bench.run(1)
        bench.clock.sleep(100)
        bench.keep()
        bench.engine.notices.dispatch()
        assert bench.exporter.health().dropped == {"spool_expired": 3}
        bench.exporter.shutdown()
    error = next(e for e in bench.errors if e.code is not LogwellErrorCode.NETWORK_ERROR)
    assert error.message == (
        "3 entries were dropped from the spool: they were older than spool_max_age "
        "(LOGWELL_SPOOL_MAX_AGE)."
    )
    return error


def spool_gone() -> LogwellError:
    with TemporaryDirectory() as directory:
        bench = Bench(spool_dir=directory)
        bench.server.always = lambda _: REFUSED
        bench.exporter.export(records(3))
        bench.run(1)
        for path in Path(directory).glob("*.db*"):
            path.unlink()
        bench.exporter.export(records(3))
        bench.keep()
        bench.engine.notices.dispatch()
        assert bench.exporter.health().dropped == {"spool_gone": 3}
        bench.exporter.shutdown()
    error = next(e for e in bench.errors if e.code is not LogwellErrorCode.NETWORK_ERROR)
    assert error.message.startswith("3 entries were dropped from the spool: its database")
    return error


def wrong_setting() -> LogwellError:
    with pytest.raises(LogwellError) as caught:
        Bench(timeout="soon")
    return caught.value


def do_not_add_up() -> None:
    bench = Bench()
    bench.server.replies = [answer(200, {"accepted": 1})]
    bench.exporter.export(records(2))
    bench.run()
    assert bench.errors == []
    assert bench.exporter.health().accepted == 2
    assert bench.said == [
        "The server answered 1 accepted and 0 rejected for 2 entries. They are taken as stored."
    ]


OTHERS: dict[str, Callable[[], LogwellError | None]] = {
    "2xx with entries refused one by one": refused_one_by_one,
    "2xx whose counts do not add up": do_not_add_up,
    "an entry with which every request fails for hours while others are accepted": poison,
    "more entries than `max_queue_bytes` holds": overflow,
    "more entries than `spool_max_bytes` holds": spool_overflow,
    "an entry that has waited in the spool for `spool_max_age`": expired,
    "the spool's database is damaged, deleted or replaced": spool_gone,
    "a setting that is missing or wrong": wrong_setting,
}


def documented() -> dict[str, tuple[str, str]]:
    """Outcome -> code and retryable, from the page."""
    section = TABLE.read_text().split("## Every outcome")[1]
    rows = re.findall(r"^\| (.*?) \| (.*?) \| (yes|no) \| .+ \|$", section, re.MULTILINE)
    return {outcome: (code.strip("`"), retryable) for outcome, code, retryable in rows}


def test_the_page_names_every_outcome_and_no_other() -> None:
    assert set(documented()) == {row.outcome for row in ROWS} | set(OTHERS)


def test_the_page_says_what_the_code_does() -> None:
    page = documented()
    for row in ROWS:
        assert page[row.outcome] == (row.code, "yes" if row.retryable else "no")


@pytest.mark.parametrize("outcome", OTHERS)
def test_the_page_says_what_delivery_does(outcome: str) -> None:
    error = OTHERS[outcome]()
    code, retryable = documented()[outcome]
    assert retryable == "no"
    if error is None:
        assert code == "–"
    else:
        assert (error.code, error.retryable) == (LogwellErrorCode(code), False)


def test_every_action_has_a_row() -> None:
    assert {row.action for row in ROWS} | {Action.DONE} == set(Action)
    assert {row.code for row in ROWS} | {"QUEUE_OVERFLOW", "EXPIRED"} == {
        code.value for code in LogwellErrorCode
    }
    assert Outcome(Action.DONE).error is None
