"""The console's server, put together: the gate, the REST API, the pages' routes, and how errors are answered.

Whoever adds pages hands their routes in; which there are is console_site.py. Serving it is server.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles

from console.desk import Desk
from console.execution_start import STARTS, Starts
from console.exposition import CONTENT_TYPE, exposition_of
from console.totals import Totals
from console.web import changing, reading, running
from console.web.described import describe
from console.web.gate import Access, Application, Gate
from console.web.idempotency import Answers
from console.web.identities import Role
from console.web.permission import RoleGuarded, needs, roles_of
from console.web.problems import PROBLEM_JSON, Problem, ProblemFound, problem, problem_of
from console.web.sign_in import Links, Sessions
from console.web.tokens import Tokens, console_folder
from resources.clocks import system_now
from resources.logs import log_of
from trading.errors import TradingError

API = "/api/v1"
UNSERVED = {
    400: "body_unreadable",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
}
"""The codes of what is refused before any of our routes sees it."""

ErrorPage = Callable[[Request, Problem], Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Hold what the pages bring: their routes, their static files, and how they show a problem."""

    routes: tuple[Any, ...] = ()
    static: Path | None = None
    error_page: ErrorPage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Hold the times that the server goes by: instants, and seconds that never go back."""

    now: Callable[[], datetime] = system_now
    at_s: Callable[[], float] = field(default=time.monotonic)


def build_app(
    desk: Desk,
    *,
    access: Access,
    pages: Pages | None = None,
    clocks: Clocks | None = None,
    starts: Starts = STARTS,
) -> FastAPI:
    """Return the whole application, without the gate; raises `TypeError` where a route declares no role.

    `app.state` has `desk`, `clocks`, `starts` and `sessions`. `gated` puts the gate before it.
    """
    pages, clocks = pages or Pages(), clocks or Clocks()
    app = FastAPI(
        title="Trading console",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        routes=[*_api_routes(), *pages.routes],
    )
    app.state.desk = desk
    app.state.access = access
    app.state.clocks = clocks
    app.state.starts = starts
    app.state.sessions = Sessions()
    app.state.totals = Totals()
    app.state.answers = Answers(console_folder(desk.settings))
    if pages.static is not None:
        app.mount("/static", RoleGuarded(StaticFiles(directory=pages.static), Role.VIEWER), name="static")
    _answer_errors(app, pages.error_page)
    app.state.roles = dict(roles_of(app.routes))
    return app


def gated(app: FastAPI) -> Application:
    """Return the application behind its gate: what is served."""
    desk: Desk = app.state.desk
    folder = console_folder(desk.settings)
    return Gate(
        app,
        access=app.state.access,
        tokens=Tokens(folder),
        links=Links(folder),
        sessions=app.state.sessions,
        now=app.state.clocks.now,
        at_s=app.state.clocks.at_s,
    )


@cache
def _api_routes() -> tuple[Any, ...]:
    """Return the routes that are no pages; to find out what each takes is most of building an application."""
    router = APIRouter()
    for api in (reading.router, running.router, changing.halting, changing.router):
        router.include_router(api, prefix=API)
    router.include_router(_own_routes())
    return tuple(router.routes)


def _own_routes() -> APIRouter:
    router = APIRouter()

    @router.get(f"{API}/openapi.json", dependencies=[needs(Role.VIEWER)], include_in_schema=False)
    def openapi(request: Request) -> dict[str, Any]:
        """Return the description of the API, made when it is first asked for: it takes its time."""
        app: FastAPI = request.app
        app.openapi_schema = app.openapi_schema or describe(app)
        return app.openapi_schema

    @router.get("/metrics", dependencies=[needs(Role.VIEWER)], include_in_schema=False)
    def metrics(request: Request) -> Response:
        """Return the desk's numbers as a Prometheus reads them; it asks with a token for reading."""
        desk: Desk = request.app.state.desk
        with desk.journal.at_one_moment() as journal:
            content = exposition_of(replace(desk, journal=journal), request.app.state.totals)
        return Response(content, headers={"content-type": CONTENT_TYPE})

    @router.post("/sign-out", dependencies=[needs(Role.VIEWER)], include_in_schema=False)
    def sign_out(request: Request) -> Response:
        """End the browser's session; what comes after it is the gate's 401."""
        request.app.state.sessions.end(request.state.actor)
        ended = request.app.state.access.cookie("", "Max-Age=0")
        return Response(status_code=204, headers={"set-cookie": ended})

    return router


def _answer_errors(app: FastAPI, error_page: ErrorPage | None) -> None:
    log = log_of("console")

    def answered(request: Request, found: Problem) -> Response:
        if error_page is not None and not request.url.path.startswith("/api/"):
            return error_page(request, found)
        return Response(
            found.content, status_code=found.status, headers=dict(found.headers), media_type=PROBLEM_JSON
        )

    @app.exception_handler(ProblemFound)
    async def _(request: Request, error: ProblemFound) -> Response:
        return answered(request, error.problem)

    @app.exception_handler(TradingError)
    async def _(request: Request, error: TradingError) -> Response:
        return answered(request, problem_of(error))

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> Response:
        # Where and what rule, never the input: it may be long, or somebody's secret in the wrong place.
        errors = [
            {"where": ".".join(str(part) for part in row["loc"]), "rule": row["msg"]}
            for row in error.errors()
        ]
        return answered(request, problem("invalid_request", errors=errors))

    async def _unserved(request: Request, error: Exception) -> Response:
        status: int = getattr(error, "status_code", 400)
        allowed = (getattr(error, "headers", None) or {}).items()
        return answered(request, problem(UNSERVED[status], headers=tuple(allowed)))

    for status in UNSERVED:
        app.add_exception_handler(status, _unserved)

    @app.exception_handler(Exception)
    async def _(request: Request, error: Exception) -> Response:
        log.error("defect", path=request.url.path, exc_info=error)
        return answered(request, problem("defect"))
