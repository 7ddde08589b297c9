"""The REST API's look at how the desk runs: its signals, its service levels, its autonomy and what it made.

What each view holds is made in console/signals.py, slo.py, autonomy.py and incident_reviews.py; what else is
asked is reading.py, whose manners these share.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from console.autonomy import (
    Autonomy,
    BookMetrics,
    RuntimeProfit,
    autonomy_of,
    metrics_of,
    runtime_profit_of,
)
from console.costs import Costs, costs_of
from console.incident_reviews import IncidentReview, review_of
from console.signals import BookSignals, signals_of
from console.slo import Slo, slo_of
from console.web.described import PROBLEMS
from console.web.identities import Role
from console.web.permission import needs
from console.web.reading import BookQuery, at_one_moment, look
from console.web.shapes import list_of, listed, one, one_of

INCIDENT_MAX = 2**53
"""The largest number that every JSON reader keeps exactly."""

router = APIRouter(dependencies=[needs(Role.VIEWER)], responses=PROBLEMS)


@router.get("/signals", tags=["look"], response_model=list_of(BookSignals))
@at_one_moment
def signals(request: Request, book: BookQuery = None) -> dict[str, Any]:
    """Return whether signals come: each book's last window, why windows were empty, and what is held back."""
    desk, fresh = look(request, book)
    return listed(signals_of(desk, book=book), fresh)


@router.get("/slo", tags=["look"], response_model=one_of(Slo))
@at_one_moment
def slo(request: Request, book: BookQuery = None) -> dict[str, Any]:
    """Return what is promised and what was kept, how fast error budgets burn, and the level in force."""
    desk, fresh = look(request, book)
    return one(slo_of(desk, book=book), fresh)


@router.get("/costs", tags=["look"], response_model=one_of(Costs))
@at_one_moment
def costs(request: Request, book: BookQuery = None) -> dict[str, Any]:
    """Return what questions to models cost: in all, a run and an intent, by week, session, run and model."""
    desk, fresh = look(request, book)
    return one(costs_of(desk, book=book), fresh)


@router.get("/incidents/{incident_id}", tags=["incidents"], response_model=one_of(IncidentReview))
@at_one_moment
def incident(
    request: Request,
    incident_id: Annotated[int, Path(ge=1, le=INCIDENT_MAX, description="An incident's number.")],
) -> dict[str, Any]:
    """Return one incident with its timeline, and how long it took to detect, to acknowledge and to end."""
    desk, fresh = look(request, None)
    return one(review_of(desk, incident_id), fresh)


@router.get("/trading/autonomy", tags=["look"], response_model=one_of(Autonomy))
@at_one_moment
def autonomy(request: Request, book: BookQuery = None) -> dict[str, Any]:
    """Return whether and how the desk trades by itself, and all that holds it back."""
    desk, fresh = look(request, book)
    return one(autonomy_of(desk, book=book), fresh)


@router.get("/trading/metrics", tags=["look"], response_model=list_of(BookMetrics))
@at_one_moment
def metrics(request: Request, book: BookQuery = None) -> dict[str, Any]:
    """Return the metrics of each book's latest measured session; what was not measured is null."""
    desk, fresh = look(request, book)
    return listed([metrics_of(desk, outline) for outline in desk.chosen(book)], fresh)


@router.get("/trading/profitability/runtime", tags=["look"], response_model=list_of(RuntimeProfit))
@at_one_moment
def runtime_profit(request: Request, book: BookQuery = None) -> dict[str, Any]:
    """Return what each book made in the last 72 hours: decisions, executions, P&L, excursions, caveats."""
    desk, fresh = look(request, book)
    return listed([runtime_profit_of(desk, outline) for outline in desk.chosen(book)], fresh)
