"""What a signed-in user reads: projects, logs, export, incidents, stats."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import re
import sqlite3
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from . import answers, incidents, javascript, lexemes
from .rules import FIRST_MS, LAST_MS, LEVELS
from .store import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request

    from .session import Sessions
    from .store import Store

MAX_EXPORT = 10_000
_COUNTED = 10_000
_MAX_PAGE = 500
_COLUMNS = (
    "key, (SELECT i.key FROM incident i WHERE i.fingerprint = log.fingerprint), fingerprint, "
    "service, level, message, metadata, source_file, line_number, request_id, user_id, "
    "ip_address, timestamp"
)
_COLUMN_FIELDS = [
    "id",
    "incidentId",
    "fingerprint",
    "serviceName",
    "level",
    "message",
    "metadata",
    "sourceFile",
    "lineNumber",
    "requestId",
    "userId",
    "ipAddress",
    "timestamp",
]
_FROM_MESSAGE = ["metadata", "sourceFile", "lineNumber", "requestId", "userId", "ipAddress"]
_JSON_EXPORT = ["id", "level", "message", "timestamp", *_FROM_MESSAGE]
_CSV_EXPORT = ["id", "timestamp", "level", "message", *_FROM_MESSAGE]
_LEADING_DIGITS = re.compile(r"\s*([+-]?[0-9]+)")
_RANGES = {"15m": (15, 60), "1h": (12, 300), "24h": (24, 3600), "7d": (28, 21_600)}
"""Range: how many buckets, of how many seconds."""


class RefusedQueryError(Exception):
    """400 with these two texts."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


class BrokenQueryError(Exception):
    """The database takes a value for broken: 500."""


class Reading:
    """The routes below `/api/projects`. One project is all there is.

    Args:
        store: The entries.
        sessions: Who may read.
        name: The project's name.
    """

    def __init__(self, store: Store, sessions: Sessions, name: str = "development") -> None:
        self._store = store
        self._sessions = sessions
        self._created = utc_now()
        self.project = "devserver-project-001"
        self._name = name

    def routes(self) -> list[Route]:
        """All of them; each checks session, project and method in the server's order."""
        one = "/api/projects/{project}"
        handlers: list[tuple[str, Callable[[Request], Response]]] = [
            ("/api/projects", self._projects),
            (one, self._one),
            (f"{one}/logs", self._logs),
            (f"{one}/logs/export", self._export),
            (f"{one}/incidents", self._incidents),
            (one + "/incidents/{incident}", self._incident),
            (one + "/incidents/{incident}/timeline", self._timeline),
            (f"{one}/stats", self._stats),
            (f"{one}/stats/timeseries", self._timeseries),
        ]
        return [Route(path, partial(self._answer, handler)) for path, handler in handlers] + [
            Route(path, _only_get, methods=["POST", "PUT", "PATCH", "DELETE"])
            for path, _ in handlers
        ]

    def turn_away(self, request: Request) -> Response | None:
        """401 and 404: no session, another project."""
        if not self._sessions.is_open(request):
            return answers.no_session(request.headers.get("accept"))
        if request.path_params.get("project", self.project) != self.project:
            return answers.error(404, "not_found", "Project not found")
        return None

    async def _answer(self, handler: Callable[[Request], Response], request: Request) -> Response:
        refused = self.turn_away(request)
        if refused is not None:
            return refused
        try:
            return handler(request)
        except RefusedQueryError as error:
            return answers.error(400, error.error, str(error))
        except BrokenQueryError:
            return answers.server_error(request.headers.get("accept"))
        except sqlite3.Error as failure:
            print(f"database: {failure}", file=sys.stderr)
            return answers.server_error(request.headers.get("accept"))

    # Projects.

    def _projects(self, _: Request) -> Response:
        ((count,),) = self._store.query("SELECT count(*) FROM log")
        project = {
            "id": self.project,
            "name": self._name,
            "logCount": count,
            "createdAt": self._created,
            "updatedAt": self._created,
        }
        return answers.json_answer({"projects": [project]})

    def _one(self, _: Request) -> Response:
        counts = self._level_counts([], [])
        return answers.json_answer(
            {
                "id": self.project,
                "name": self._name,
                "retentionDays": None,
                "createdAt": self._created,
                "updatedAt": self._created,
                "stats": {"totalLogs": sum(counts.values()), "levelCounts": counts},
            }
        )

    # Logs.

    def _logs(self, request: Request) -> Response:
        query = request.query_params
        where, values = self._filters(request)
        limit = _page_size(query.get("limit"), 100, _MAX_PAGE)
        cursor = _cursor(query.get("cursor") or "")
        total, capped, offset = None, False, 0
        if cursor is None:
            offset = max(0, _leading_number(query.get("offset")) or 0)
            total = self._count(where, values)
            capped = total >= _COUNTED
        else:
            where, values = [*where, "(timestamp, key) < (?, ?)"], [*values, *cursor]
        rows = self._rows(where, values, limit + 1, offset)
        more = len(rows) > limit
        rows = rows[:limit]
        last = rows[-1] if more else None
        return answers.json_answer(
            {
                "logs": [self._log(row) for row in rows],
                "total": total,
                "total_is_capped": capped,
                "has_more": more,
                "nextCursor": last and _make_cursor(last["timestamp"], last["id"]),
            }
        )

    def _log(self, row: dict[str, Any]) -> dict[str, Any]:
        head = {"id": row["id"], "projectId": self.project}
        return {**head, **row, "metadata": in_database_order(row["metadata"])}

    def _rows(
        self, where: Iterable[str], values: list[Any], limit: int, offset: int = 0
    ) -> list[dict[str, Any]]:
        statement = (
            f"SELECT {_COLUMNS} FROM log WHERE {_all_of(where)} "  # noqa: S608 - values are bound
            "ORDER BY timestamp DESC, key DESC LIMIT ? OFFSET ?"
        )
        rows = [
            dict(zip(_COLUMN_FIELDS, row, strict=True))
            for row in self._store.query(statement, [*values, limit, offset])
        ]
        for row in rows:
            row["metadata"] = row["metadata"] and json.loads(row["metadata"])
        return rows

    def _count(self, where: Iterable[str], values: list[Any]) -> int:
        ((count,),) = self._store.query(
            f"SELECT count(*) FROM (SELECT 1 FROM log WHERE {_all_of(where)} LIMIT ?)",  # noqa: S608
            [*values, _COUNTED],
        )
        return int(count)

    def _filters(self, request: Request) -> tuple[list[str], list[Any]]:
        """Conditions and values of `level`, `from`, `to` and `search`."""
        query = request.query_params
        where, values = _period(request)
        levels = [
            level
            for name in (query.getlist("level") or [""])[0].split(",")
            if (level := name.strip().lower()) in LEVELS
        ]
        if levels:
            where.append(f"level IN ({', '.join('?' * len(levels))})")
            values += levels
        search = query.get("search", "")
        if "\0" in search:
            raise BrokenQueryError
        words = lexemes.query(search)
        if words is not None:
            self._store.index(lexemes.of_document)
            where.append("id IN (SELECT rowid FROM lexeme WHERE lexeme MATCH ?)" if words else "0")
            values += [words] if words else []
        return where, values

    def _export(self, request: Request) -> Response:
        kind = (request.query_params.get("format") or "json").lower()
        if kind not in {"json", "csv"}:
            raise RefusedQueryError(
                "invalid_format", 'Invalid format parameter. Must be "csv" or "json".'
            )
        where, values = self._filters(request)
        rows = self._rows(where, values, MAX_EXPORT + 1)
        if len(rows) > MAX_EXPORT:
            raise RefusedQueryError(
                "export_too_large", f"Export exceeds maximum of {MAX_EXPORT} logs."
            )
        exported = []
        for row in rows:
            metadata = row["metadata"]
            text = metadata and answers.compact_json(in_database_order(metadata))
            exported.append({**{name: row[name] for name in _JSON_EXPORT}, "metadata": text})
        answer = (
            answers.json_answer(exported)
            if kind == "json"
            else Response(_csv(exported), media_type="text/csv")
        )
        name = f"logs-{self._name}-{utc_now()[:10]}.{kind}"
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer

    # Incidents.

    def _incidents(self, request: Request) -> Response:
        query = request.query_params
        status = "resolved" if query.get("status") == "resolved" else "open"
        span = query.get("range") if query.get("range") in _RANGES else "24h"
        buckets, seconds = _RANGES[str(span)]
        limit = max(20, _page_size(query.get("limit"), 50, 200))
        cursor = _cursor(query.get("cursor") or "")
        open_since = _ago(incidents.OPEN_SECONDS)
        where = [f"last_seen {'>=' if status == 'open' else '<'} ?", "last_seen >= ?"]
        values: list[Any] = [open_since, _ago(buckets * seconds)]
        total = None
        if cursor is None:
            ((total,),) = self._store.query(
                f"SELECT count(*) FROM incident WHERE {_all_of(where)}",  # noqa: S608
                values,
            )
        else:
            where, values = [*where, "(last_seen, key) < (?, ?)"], [*values, *cursor]
        found = self._select_incidents(
            f"{_all_of(where)} ORDER BY last_seen DESC, key DESC LIMIT ?", [*values, limit + 1]
        )
        more = len(found) > limit
        found = found[:limit]
        return answers.json_answer(
            {
                "incidents": [incident.listed(open_since) for incident in found],
                "total": total,
                "has_more": more,
                "nextCursor": _make_cursor(found[-1].last_seen, found[-1].id) if more else None,
                "filters": {"status": status, "range": span},
            }
        )

    def _select_incidents(self, where: str, values: list[Any]) -> list[incidents.StoredIncident]:
        rows = self._store.query(incidents.select(where, self.project), values)
        return [incidents.StoredIncident(*row) for row in rows]

    def _incident(self, request: Request) -> Response:
        incident = self._find(request)
        if incident is None:
            return answers.error(404, "not_found", "Incident not found")
        sources = self._store.query(
            "SELECT source_file, line_number, count(*) FROM log WHERE fingerprint = ? AND "
            "source_file IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 5",
            [incident.fingerprint],
        )
        requests = self._store.query(
            "SELECT request_id, count(*) FROM log WHERE fingerprint = ? AND "
            "request_id IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 10",
            [incident.fingerprint],
        )
        return answers.json_answer(
            {
                **incident.listed(_ago(incidents.OPEN_SECONDS)),
                "rootCauseCandidates": [
                    {"sourceFile": file, "lineNumber": line, "count": count}
                    for file, line, count in sources
                ],
                "correlations": {
                    "topRequestIds": [
                        {"requestId": name, "count": count} for name, count in requests
                    ],
                    "topTraceIds": [],  # the trace column stays empty on /v1/ingest
                },
            }
        )

    def _find(self, request: Request) -> incidents.StoredIncident | None:
        found = self._select_incidents("key = ?", [request.path_params["incident"]])
        return found[0] if found else None

    def _timeline(self, request: Request) -> Response:
        incident = self._find(request)
        if incident is None:
            return answers.error(404, "not_found", "Incident not found")
        span, buckets = self._buckets(request, "fingerprint = ?", [incident.fingerprint])
        peak = max(buckets, key=lambda bucket: bucket["count"])
        return answers.json_answer(
            {
                "incidentId": incident.id,
                "range": span,
                "buckets": buckets,
                "peakBucket": peak if peak["count"] else None,
                "anchors": {"firstSeen": incident.first_seen, "lastSeen": incident.last_seen},
            }
        )

    # Stats.

    def _stats(self, request: Request) -> Response:
        counts = self._level_counts(*_period(request))
        total = sum(counts.values())
        return answers.json_answer(
            {
                "totalLogs": total,
                "levelCounts": counts,
                "levelPercentages": {
                    level: round(count * 100 / total, 2) for level, count in counts.items()
                },
            }
        )

    def _level_counts(self, where: Iterable[str], values: list[Any]) -> dict[str, int]:
        found = dict(
            self._store.query(
                f"SELECT level, count(*) FROM log WHERE {_all_of(where)} GROUP BY level",  # noqa: S608
                values,
            )
        )
        return {level: found[level] for level in LEVELS if level in found}

    def _timeseries(self, request: Request) -> Response:
        start, _ = _moment(request.query_params.get("from"))
        span, buckets = self._buckets(request, "1", [], start)
        total = sum(bucket["count"] for bucket in buckets)
        return answers.json_answer({"buckets": buckets, "range": span, "totalCount": total})

    def _buckets(
        self, request: Request, where: str, values: list[Any], start: int | None = None
    ) -> tuple[str, list[dict[str, Any]]]:
        """Entries counted in the asked range's buckets, back from now or on from `start`."""
        span = request.query_params.get("range")
        span = span if span in _RANGES else "24h"
        count, seconds = _RANGES[span]
        if start is None:
            start = javascript.now_ms() - count * seconds * 1000
        counts = [0] * count
        for (timestamp,) in self._store.query(
            f"SELECT timestamp FROM log WHERE {where} AND timestamp >= ? AND timestamp < ?",  # noqa: S608
            [
                *values,
                javascript.to_iso_string(start),
                javascript.to_iso_string(start + count * seconds * 1000),
            ],
        ):
            moment = javascript.parse_date(timestamp)
            if moment is not None:
                counts[(moment - start) // (seconds * 1000)] += 1
        return span, [
            {"timestamp": javascript.to_iso_string(start + place * seconds * 1000), "count": number}
            for place, number in enumerate(counts)
        ]


async def _only_get(request: Request) -> Response:
    return answers.wrong_method(request.method, "GET, HEAD")


def in_database_order(value: Any) -> Any:
    """As PostgreSQL gives `jsonb` back: shorter keys first, then byte by byte."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: (len(name.encode()), name.encode()))
        return {name: in_database_order(value[name]) for name in names}
    if isinstance(value, list):
        return [in_database_order(item) for item in value]
    return value


def _all_of(where: Iterable[str]) -> str:
    return " AND ".join(["1", *where])


def _period(request: Request) -> tuple[list[str], list[Any]]:
    where, values = [], []
    for name, sign in (("from", ">="), ("to", "<=")):
        _, text = _moment(request.query_params.get(name))
        if text is not None:
            where.append(f"timestamp {sign} ?")
            values.append(text)
    return where, values


def _moment(text: str | None) -> tuple[int | None, str | None]:
    """Milliseconds and text of a time; no filter where JavaScript reads none."""
    milliseconds = javascript.parse_date(text) if text else None
    if milliseconds is None:
        return None, None
    if not FIRST_MS <= milliseconds <= LAST_MS:
        raise BrokenQueryError
    return milliseconds, javascript.to_iso_string(milliseconds)


def _ago(seconds: int) -> str:
    return javascript.to_iso_string(javascript.now_ms() - seconds * 1000)


def _leading_number(text: str | None) -> int | None:
    """`parseInt`: leading digits count."""
    match = _LEADING_DIGITS.match(text or "")
    return int(match[1]) if match else None


def _page_size(text: str | None, default: int, most: int) -> int:
    number = _leading_number(text)
    return min(max(number, 1), most) if number else default


def _make_cursor(timestamp: str, key: str) -> str:
    return base64.urlsafe_b64encode(f"{timestamp}_{key}".encode()).decode().rstrip("=")


def _cursor(text: str) -> tuple[str, str] | None:
    """Where a page begins; None for the first page."""
    if not text:
        return None
    try:
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        decoded = base64.urlsafe_b64decode(padded).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        decoded = ""
    timestamp, separator, key = decoded.partition("_")
    problem = None
    if not separator:
        problem = "missing separator"
    elif not timestamp or not key:
        problem = "empty timestamp or id"
    elif javascript.parse_date(timestamp) is None:
        problem = "invalid timestamp"
    if problem is not None:
        raise RefusedQueryError("invalid_cursor", f"Invalid cursor format: {problem}")
    return timestamp, key


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_EXPORT)
    for row in rows:
        writer.writerow([_unformula(row[name]) for name in _CSV_EXPORT])
    return text.getvalue()


def _unformula(value: Any) -> Any:
    """What a spreadsheet would run as a formula gets a quote in front."""
    risky = isinstance(value, str) and value.lstrip()[:1] in {"=", "+", "-", "@"}
    return f"'{value}" if risky and value.strip() else value
