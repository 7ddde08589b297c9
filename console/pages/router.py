"""The routes of the pages: what is asked in, a view out, and the forms that act, all by console/actions.py.

Who may ask is the gate's say (console/web), what is shown is in the view models beside this file. Every page
works without script: a form posts, and what was done is shown or led to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import AwareDatetime

from console import alerts as console_alerts
from console import doing
from console.actions import Answer, Shown
from console.approvals import pending_of, preview
from console.book_outlines import BookOutline, require_book
from console.desk import Desk
from console.effective import effective
from console.explain import explained
from console.history import SESSIONS_SHOWN
from console.holdings import holdings_of
from console.incident_reviews import read_postmortem, write_postmortem
from console.lookup import find_intent
from console.order_trace import Happened, trace_of_intent
from console.pages.alerts import alert_shown, deliveries_shown
from console.pages.costs import costs_shown
from console.pages.frame import Frame, Visitor, frame_of, link_to, session_link
from console.pages.incidents import cooling_down, incident_shown, incidents_of, lifted
from console.pages.levels import levels_of
from console.pages.overview import overview_of
from console.pages.quarantined import quarantine_shown
from console.pages.replays import replays_shown
from console.pages.reviewed_limits import limits_shown
from console.pages.runbooks import NAME, runbook_shown
from console.pages.searching import search
from console.pages.sessions import session_lines
from console.pages.templating import page
from console.pages.weeks import weeks_shown
from console.replays import replay_of, tear_sheet_of
from console.sweeps import page_of, sweep_of
from console.web.answering import needs_approver
from console.web.gate import DOCUMENT_POLICY
from console.web.identities import Role
from console.web.permission import actor_of, csrf_token, needs, require_resume
from console.web.problems import Problem
from console.weeks import AUDIT, AUDIT_HTML, HEALTH, HEALTH_HTML, page_of_week
from console.why import why
from trading.approvals import Role as ApproverRole
from trading.errors import UnknownId
from trading.journal import JournalIntent, RunControlAction
from trading.values import IntentId

TEXT_MAX = 500
PENDING_SHOWN = 200
INCIDENT_MAX = 2**31

PAGES_OF_WEEKS = {HEALTH: HEALTH_HTML, AUDIT: AUDIT_HTML}
"""The two pages of a week, by the assets that they are of."""

SeenForm = Annotated[str, Form(max_length=64)]
ReasonForm = Annotated[str, Form(max_length=TEXT_MAX)]
NameForm = Annotated[str, Form(max_length=TEXT_MAX)]
NameQuery = Annotated[str, Query(max_length=TEXT_MAX)]
FingerprintPath = Annotated[str, Path(max_length=64)]
FingerprintForm = Annotated[str, Form(pattern="^[0-9a-f]{0,64}$")]
RunbookPath = Annotated[str, Path(pattern=f"^{NAME}$")]
SilencePath = Annotated[str, Path(max_length=64)]
IncidentPath = Annotated[int, Path(ge=1, le=INCIDENT_MAX)]
BookQuery = Annotated[str | None, Query(max_length=TEXT_MAX)]
SessionQuery = Annotated[date | None, Query()]


@cache
def pages_routes() -> tuple[Any, ...]:
    """Return the routes of all pages; each asks its request for the desk, so that all desks share them."""
    router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)
    _overview_routes(router)
    _session_routes(router)
    _intent_routes(router)
    _incident_routes(router)
    _alert_routes(router)
    _watching_routes(router)
    _replay_routes(router)
    _week_routes(router)
    _approval_routes(router)
    _control_routes(router)
    _lifting_routes(router)
    _flatten_routes(router)
    return tuple(router.routes)


def error_page(_: Request, problem: Problem) -> Response:
    """Return a page that says what went wrong; what was typed is shown as text, as everywhere."""
    errors = dict(problem.extra).get("errors", ())
    content = page("problem.html", {"title": problem.title, "detail": problem.detail, "errors": errors})
    return HTMLResponse(content, status_code=problem.status, headers=dict(problem.headers))


# -------------------------------------------------------------------------------- looking


def _overview_routes(router: APIRouter) -> None:
    @router.get("/", dependencies=[needs(Role.VIEWER)])
    def overview(request: Request) -> str:
        with _look(request, "/") as (desk, frame):
            return page("overview.html", {"frame": frame, "view": overview_of(desk, frame.dagster)})

    @router.get("/why", dependencies=[needs(Role.VIEWER)])
    def why_not(request: Request, book: BookQuery = None, session: SessionQuery = None) -> str:
        with _look(request, "/why") as (desk, frame):
            answers = tuple(why(desk, book=outline, session=session) for outline in desk.chosen(book))
            return page("why.html", {"frame": frame, "answers": answers})

    @router.get("/settings", dependencies=[needs(Role.VIEWER)])
    def settings(request: Request) -> str:
        with _look(request, "/settings") as (desk, frame):
            view = effective(desk)
            return page("settings.html", {"frame": frame, "view": view, "limits": limits_shown(view)})

    @router.get("/search", dependencies=[needs(Role.VIEWER)])
    def found(request: Request, q: Annotated[str, Query(max_length=TEXT_MAX)]) -> Response:
        with _look(request, "/search") as (desk, frame):
            view = search(desk, q)
            if view.intent_id:
                return _led_to(f"/intents/{view.intent_id}")
            if view.session is not None:
                return _led_to(link_to("/intents", book=view.book, session=view.session))
            if view.replay:
                return _led_to(link_to("/replays", name=view.replay))
            values = {"frame": frame, "asked": q.strip(), "rows": view.rows, "sessions": SESSIONS_SHOWN}
            return HTMLResponse(page("found.html", values))


def _session_routes(router: APIRouter) -> None:
    @router.get("/intents", dependencies=[needs(Role.VIEWER)])
    def intents(
        request: Request,
        book: BookQuery = None,
        session: SessionQuery = None,
        show: Annotated[str, Query(max_length=TEXT_MAX)] = "all",
        number: Annotated[int, Query(alias="page", ge=1)] = 1,
    ) -> str:
        return _lines_page(request, "/intents", (book, session, show, number), is_sent_only=False)

    @router.get("/orders", dependencies=[needs(Role.VIEWER)])
    def orders(
        request: Request,
        book: BookQuery = None,
        session: SessionQuery = None,
        show: Annotated[str, Query(max_length=TEXT_MAX)] = "all",
        number: Annotated[int, Query(alias="page", ge=1)] = 1,
    ) -> str:
        return _lines_page(request, "/orders", (book, session, show, number), is_sent_only=True)

    @router.get("/positions", dependencies=[needs(Role.VIEWER)])
    def positions(request: Request) -> str:
        with _look(request, "/positions") as (desk, frame):
            books = tuple(holdings_of(desk, book) for book in desk.books.values())
            return page("positions.html", {"frame": frame, "books": books})


def _lines_page(
    request: Request, path: str, asked: tuple[str | None, date | None, str, int], *, is_sent_only: bool
) -> str:
    """Return a page of a session's lines: intents, or those of them that became orders."""
    book, session, show, number = asked
    with _look(request, path) as (desk, frame):
        outline = require_book(desk.books, book) if book else _first_book(desk)
        view = session_lines(desk, outline, session, show=show, page=number, is_sent_only=is_sent_only)
        here = link_to(path, book=outline.name, session=view.session, show=view.show, page=view.page)
        return page(f"{path.strip('/')}.html", {"frame": frame, "view": view, "here": here})


def _first_book(desk: Desk) -> BookOutline:
    """Return the first book that has run, else the first there is."""
    books = list(desk.books.values())
    return next((book for book in books if desk.latest(book) is not None), books[0])


def _intent_routes(router: APIRouter) -> None:
    @router.get("/intents/{identity}", dependencies=[needs(Role.VIEWER)])
    def explain(request: Request, identity: str) -> str:
        with _look(request, "/intents") as (desk, frame):
            row = find_intent(desk, identity)
            events = tuple(
                Happened(seq=event.seq, at=event.at, what=event.kind, actor=event.actor, reason=event.reason)
                for event in desk.journal.events_of(row.intent_id)
            )
            values = {
                "frame": frame,
                "view": explained(desk, row),
                "events": events,
                "decisions_link": _session_link(frame, row, "decisions"),
            }
            return page("intent.html", values)

    @router.get("/trace/{identity}", dependencies=[needs(Role.VIEWER)])
    def trace(request: Request, identity: str) -> str:
        with _look(request, "/orders") as (desk, frame):
            row = find_intent(desk, identity)
            values = {
                "frame": frame,
                "view": trace_of_intent(desk, row, asked=identity),
                "executions_link": _session_link(frame, row, "executions"),
            }
            return page("trace.html", values)


def _incident_routes(router: APIRouter) -> None:
    @router.get("/incidents", dependencies=[needs(Role.VIEWER)])
    def incidents(request: Request) -> str:
        with _look(request, "/incidents") as (desk, frame):
            return page("incidents.html", {"frame": frame, "view": incidents_of(desk)})

    @router.get("/incidents/{incident_id}", dependencies=[needs(Role.VIEWER)])
    def incident(request: Request, incident_id: IncidentPath) -> str:
        with _look(request, "/incidents") as (desk, frame):
            view = incident_shown(desk, incident_id, frame.dagster)
            return page("incident.html", {"frame": frame, "view": view})

    @router.post("/incidents/{incident_id}/acknowledge", dependencies=[needs(Role.TRADER)])
    def acknowledged(request: Request, incident_id: IncidentPath, reason: ReasonForm) -> Response:
        doing.acknowledge(_desk(request), incident_id, by=_by(request, reason))
        return _led_to(f"/incidents/{incident_id}")

    @router.get("/incidents/{incident_id}/postmortem", dependencies=[needs(Role.VIEWER)])
    def postmortem(request: Request, incident_id: IncidentPath) -> str:
        with _look(request, "/incidents") as (desk, frame):
            path, text = read_postmortem(desk, incident_id)
            values = {"frame": frame, "incident_id": incident_id, "path": path, "text": text}
            return page("postmortem.html", values)

    @router.post("/incidents/{incident_id}/postmortem", dependencies=[needs(Role.TRADER)])
    def postmortem_written(request: Request, incident_id: IncidentPath) -> Response:
        write_postmortem(_desk(request), incident_id)
        return _led_to(f"/incidents/{incident_id}/postmortem")


def _alert_routes(router: APIRouter) -> None:
    @router.get("/alerts/{fingerprint}", dependencies=[needs(Role.VIEWER)])
    def alert(request: Request, fingerprint: FingerprintPath) -> str:
        with _look(request, "/incidents") as (desk, frame):
            view = alert_shown(desk, fingerprint, frame.dagster)
            return page("alert.html", {"frame": frame, "view": view})

    @router.post("/alerts/{fingerprint}/acknowledge", dependencies=[needs(Role.TRADER)])
    def acknowledged(request: Request, fingerprint: FingerprintPath, reason: ReasonForm) -> Response:
        actor = actor_of(request).name
        done = console_alerts.acknowledge(_desk(request), fingerprint, actor=actor, reason=reason)
        return _led_to(f"/alerts/{done.fingerprint}")

    @router.post("/alerts/{fingerprint}/silence", dependencies=[needs(Role.TRADER)])
    def silenced(
        request: Request,
        fingerprint: FingerprintPath,
        until: Annotated[AwareDatetime, Form()],
        reason: ReasonForm,
    ) -> Response:
        desk, actor = _desk(request), actor_of(request).name
        found = console_alerts.alert_of(desk, fingerprint).fingerprint
        console_alerts.silence_alert(desk, found, until=until, actor=actor, reason=reason)
        return _led_to(f"/alerts/{found}")

    @router.post("/silences/{silence_id}/end", dependencies=[needs(Role.TRADER)])
    def unsilenced(
        request: Request, silence_id: SilencePath, reason: ReasonForm, alert: FingerprintForm = ""
    ) -> Response:
        actor = actor_of(request).name
        console_alerts.end_silence(_desk(request), silence_id, actor=actor, reason=reason)
        return _led_to(f"/alerts/{alert}" if alert else "/incidents")

    @router.get("/runbooks/{name}", dependencies=[needs(Role.VIEWER)])
    def runbook(request: Request, name: RunbookPath) -> str:
        with _look(request, "/incidents") as (_, frame):
            return page("runbook.html", {"frame": frame, "view": runbook_shown(name)})

    @router.get("/deliveries", dependencies=[needs(Role.VIEWER)])
    def deliveries(request: Request, channel: NameQuery = "", reason: NameQuery = "") -> str:
        with _look(request, "/incidents") as (desk, frame):
            view = deliveries_shown(desk, channel=channel, reason=reason)
            return page("deliveries.html", {"frame": frame, "view": view})

    @router.get("/quarantine", dependencies=[needs(Role.VIEWER)])
    def quarantine(
        request: Request, book: BookQuery = None, session: SessionQuery = None, row: NameQuery = ""
    ) -> str:
        with _look(request, "/quarantine") as (desk, frame):
            outline = require_book(desk.books, book) if book else _first_book(desk)
            view = quarantine_shown(desk, outline, session, row)
            return page("quarantine.html", {"frame": frame, "view": view})


def _watching_routes(router: APIRouter) -> None:
    @router.get("/slo", dependencies=[needs(Role.VIEWER)])
    def slo(request: Request) -> str:
        with _look(request, "/slo") as (desk, frame):
            values = {"frame": frame, "view": levels_of(desk), "book": _first_book(desk).name}
            return page("levels.html", values)

    @router.get("/costs", dependencies=[needs(Role.VIEWER)])
    def costs(request: Request) -> str:
        with _look(request, "/costs") as (desk, frame):
            return page("costs.html", {"frame": frame, "shown": costs_shown(desk)})


def _replay_routes(router: APIRouter) -> None:
    @router.get("/replays", dependencies=[needs(Role.VIEWER)])
    def replays(
        request: Request, name: NameQuery = "", number: Annotated[int, Query(alias="page", ge=1)] = 1
    ) -> str:
        with _look(request, "/replays") as (desk, frame):
            view = replays_shown(desk, frame.dagster, name=name, page=number)
            here = link_to("/replays", name=name, page=view.page)
            return page(
                "replays.html", {"frame": frame, "view": view, "here": here, "book": _first_book(desk).name}
            )

    @router.get("/replays/{book}/{name}/page", dependencies=[needs(Role.VIEWER)])
    def tear_sheet(request: Request, book: str, name: str) -> Response:
        desk = _desk(request)
        return _document(tear_sheet_of(desk, replay_of(desk, name, book=book)))

    @router.get("/sweeps/{book}/{name}/page", dependencies=[needs(Role.VIEWER)])
    def sweep_page(request: Request, book: str, name: str) -> Response:
        return _document(page_of(sweep_of(_desk(request), book, name)))


def _week_routes(router: APIRouter) -> None:
    @router.get("/weeks", dependencies=[needs(Role.VIEWER)])
    def weeks(request: Request) -> str:
        with _look(request, "/weeks") as (desk, frame):
            return page("weeks.html", {"frame": frame, "view": weeks_shown(desk, frame.dagster)})

    @router.get("/weeks/{book}/{week}/{look}", dependencies=[needs(Role.VIEWER)])
    def week(request: Request, book: str, week: str, look: str) -> Response:
        desk = _desk(request)
        outline, file = require_book(desk.books, book), PAGES_OF_WEEKS.get(look)
        content = None if file is None else page_of_week(desk, outline, week, file)
        if content is None:
            raise UnknownId(f"week {week}: nothing is written of it; `trading report week` looks back on it")
        return _document(content)


def _document(content: bytes) -> Response:
    """Return a page that was kept as one file: it keeps its styles, and can do nothing here."""
    return HTMLResponse(content, headers={"Content-Security-Policy": DOCUMENT_POLICY.decode()})


# -------------------------------------------------------------------------------- deciding


def _approval_routes(router: APIRouter) -> None:
    @router.get("/approvals", dependencies=[needs(Role.VIEWER)])
    def approvals(request: Request) -> str:
        with _look(request, "/approvals") as (desk, frame):
            rows = pending_of(desk)
            values = {"frame": frame, "rows": rows[:PENDING_SHOWN], "more": len(rows[PENDING_SHOWN:])}
            return page("approvals.html", values)

    @router.get("/approvals/{identity}", dependencies=[needs(Role.VIEWER)])
    def previewed(request: Request, identity: str) -> str:
        with _look(request, "/approvals") as (desk, frame):
            row = find_intent(desk, identity)
            values = {"frame": frame, "view": preview(desk, row), "chain": desk.journal.chain(row.intent_id)}
            return page("preview.html", values)

    @router.post("/approvals/{identity}/approve", dependencies=[needs_approver(Answer.APPROVE)])
    def approve(
        request: Request,
        identity: str,
        payload_hash: SeenForm,
        version: Annotated[int, Form()],
        reason: ReasonForm,
    ) -> str:
        seen = Shown(payload_hash=payload_hash, version=version)
        return _answered(request, identity, Answer.APPROVE, seen, reason)

    @router.post("/approvals/{identity}/reject", dependencies=[needs_approver(Answer.REJECT)])
    def reject(
        request: Request,
        identity: str,
        payload_hash: SeenForm,
        version: Annotated[int, Form()],
        reason: ReasonForm,
    ) -> str:
        seen = Shown(payload_hash=payload_hash, version=version)
        return _answered(request, identity, Answer.REJECT, seen, reason)


def _answered(request: Request, identity: str, what: Answer, seen: Shown, reason: str) -> str:
    """Store an answer, start what it allows, and return the page that says so."""
    desk = _desk(request)
    row = desk.journal.intent(IntentId(identity))
    by = _by(request, reason)
    done = doing.answer(desk, row, what, seen=seen, by=by, starts=request.app.state.starts)
    frame = frame_of(desk, _visitor(request), "/approvals")
    run = done.execution.run_id
    values = {
        "frame": frame,
        "view": done.answered,
        "execution": done.execution,
        "run_link": f"{frame.dagster}/runs/{run}" if run and frame.dagster else "",
    }
    return page("answered.html", values)


def _by(request: Request, reason: str) -> doing.By:
    actor = actor_of(request)
    return doing.By(actor=actor.name, role=ApproverRole(actor.role.value), reason=reason)


def _control_routes(router: APIRouter) -> None:
    @router.get("/resume", dependencies=[needs(Role.VIEWER)])
    def resuming(request: Request) -> str:
        with _look(request, "/resume") as (_, frame):
            return page("resume.html", {"frame": frame})

    @router.post("/halt", dependencies=[needs(Role.TRADER)])
    def halted(request: Request, reason: ReasonForm) -> Response:
        return _changed(request, RunControlAction.HALT, reason)

    @router.post("/pause", dependencies=[needs(Role.TRADER)])
    def paused(request: Request, reason: ReasonForm) -> Response:
        return _changed(request, RunControlAction.PAUSE, reason)

    @router.post("/resume", dependencies=[needs(Role.TRADER)])
    def resumed(request: Request, reason: ReasonForm, confirm: SeenForm = "") -> Response:
        require_resume(actor_of(request), _desk(request).journal.run_control())
        return _changed(request, RunControlAction.RESUME, reason, confirmed=confirm)


def _lifting_routes(router: APIRouter) -> None:
    @router.get("/halts/lift", dependencies=[needs(Role.VIEWER)])
    def lifting(request: Request, account: NameQuery, symbol: NameQuery = "") -> str:
        with _look(request, "/incidents") as (desk, frame):
            return page("lift.html", {"frame": frame, "view": lifted(desk, account, symbol)})

    @router.post("/halts/lift", dependencies=[needs(Role.ADMIN)])
    def lift(
        request: Request,
        account: NameForm,
        changed_at: Annotated[AwareDatetime, Form()],
        reason: ReasonForm,
        symbol: NameForm = "",
    ) -> Response:
        by = _by(request, reason)
        doing.lift(_desk(request), account=account, symbol=symbol, changed_at=changed_at, by=by)
        return _led_to("/incidents")

    @router.get("/cooldowns/end", dependencies=[needs(Role.VIEWER)])
    def cooling(request: Request, account: NameQuery) -> str:
        with _look(request, "/incidents") as (desk, frame):
            return page("cooldown.html", {"frame": frame, "view": cooling_down(desk, account)})

    @router.post("/cooldowns/end", dependencies=[needs(Role.ADMIN)])
    def end_cooldown(
        request: Request,
        account: NameForm,
        began_at: Annotated[AwareDatetime, Form()],
        reason: ReasonForm,
    ) -> Response:
        doing.end_cooldown(_desk(request), account, began_at=began_at, by=_by(request, reason))
        return _led_to("/incidents")


def _flatten_routes(router: APIRouter) -> None:
    @router.get("/flatten", dependencies=[needs(Role.VIEWER)])
    def flattening(request: Request) -> str:
        with _look(request, "/flatten") as (desk, frame):
            return page("flatten.html", {"frame": frame, "books": tuple(desk.books)})

    @router.post("/flatten", dependencies=[needs(Role.ADMIN)])
    def flattened(request: Request, book: NameForm, reason: ReasonForm, confirm: SeenForm = "") -> str:
        desk = _desk(request)
        outline = require_book(desk.books, book)
        done = doing.flatten(desk, outline.name, confirmed=confirm or None, by=_by(request, reason))
        frame = frame_of(desk, _visitor(request), "/flatten")
        return page("flattened.html", {"frame": frame, "view": done, "reason": reason})


def _changed(request: Request, action: RunControlAction, reason: str, *, confirmed: str = "") -> Response:
    """Change run control, and lead to the page that shows it."""
    doing.change_control(_desk(request), action, by=_by(request, reason), confirmed=confirmed or None)
    return _led_to("/")


# -------------------------------------------------------------------------------- what a request brings


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


@contextmanager
def _look(request: Request, path: str) -> Iterator[tuple[Desk, Frame]]:
    """Give a desk whose journal stands still meanwhile, and the frame of a page on it."""
    desk = _desk(request)
    with desk.journal.at_one_moment() as journal:
        still = replace(desk, journal=journal)
        yield still, frame_of(still, _visitor(request), path)


def _visitor(request: Request) -> Visitor:
    actor = actor_of(request)
    return Visitor(
        name=actor.name,
        may_trade=actor.role.includes(Role.TRADER),
        is_admin=actor.role.includes(Role.ADMIN),
        csrf_token=csrf_token(request),
    )


def _session_link(frame: Frame, row: JournalIntent, asset: str) -> str:
    return session_link(frame.dagster, row.intent.book, asset, row.intent.session.isoformat())


def _led_to(path: str) -> Response:
    """Lead a browser on with a GET, so that a reload asks for nothing again."""
    return RedirectResponse(path, status_code=HTTPStatus.SEE_OTHER)
