"""`/_control`: the fault switches and the journal, for tests in another process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from .faults import Faults, FaultSettings
from .journal import Journal, JournalPage

if TYPE_CHECKING:
    from starlette.requests import Request


def routes(faults: Faults, journal: Journal) -> list[Route]:
    """The routes; only for a receiver that was started with them switched on."""

    async def get_faults(_: Request) -> Response:
        return _json(faults.settings)

    async def put_faults(request: Request) -> Response:
        try:
            settings = msgspec.json.decode(await request.body(), type=FaultSettings)
        except msgspec.DecodeError as error:
            return _json({"error": "validation_error", "message": str(error)}, 400)
        faults.apply(settings)
        return _json(settings)

    async def delete_faults(_: Request) -> Response:
        faults.clear()
        return _json(faults.settings)

    async def get_requests(_: Request) -> Response:
        return _json(JournalPage(journal.counts(), journal.requests()))

    async def delete_requests(_: Request) -> Response:
        journal.clear()
        return Response(status_code=204)

    return [
        Route("/_control/faults", get_faults, methods=["GET"]),
        Route("/_control/faults", put_faults, methods=["PUT"]),
        Route("/_control/faults", delete_faults, methods=["DELETE"]),
        Route("/_control/requests", get_requests, methods=["GET"]),
        Route("/_control/requests", delete_requests, methods=["DELETE"]),
    ]


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
