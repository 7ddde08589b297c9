"""How views read as text: the answers of verbs for people. Scripts get the same views as JSON.

Not here: what a view holds (`console`), how tables and numbers are set (console/render.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from console.concerns import ABSENT
from console.render import NONE, counted, in_one_line, instant, money, pairs, short, table
from resources.setting_names import ADDRESSES, address_variable
from trading.advice import Ladder
from trading.alert_log import AlertState
from trading.alerts import Reason
from trading.approvals import NEEDS_TWO
from trading.findings import findings_named, in_words
from trading.guards import BPS, REASONS
from trading.journal import PREPARED
from trading.lifecycle import IntentState
from trading.orders import OrderStatus

if TYPE_CHECKING:
    from datetime import date

    from console.alerts import AlertLine, SilenceLine
    from console.approvals import Pending, Preview
    from console.concerns import Concerns
    from console.doctor import Diagnosis
    from console.effective import Effective
    from console.explain import Explained, GuardSaid
    from console.funnel import Funnel
    from console.holdings import Holdings
    from console.incident_reviews import IncidentReview
    from console.incidents import IncidentLine
    from console.order_trace import QuotesRead, Trace
    from console.orders import OrderLine, SessionOrders
    from console.reconciling import Brought
    from console.replays import ReplayView
    from console.reports import ReportFound
    from console.status import BookStatus, Status
    from console.stuck import Stuck
    from console.summary import Summary
    from console.unsent import Unsent
    from console.why import WhyNot
    from trading.incident_log import Action
    from trading.journal import JournalIntent


def status(view: Status) -> str:
    """Return the morning check: the verdict first, then a block a book, then what comes next."""
    lines = [f"{in_one_line(view.verdict)}   [{view.mode.upper()}]"]
    lines += [f"  ! {in_one_line(line)}" for line in view.attention]
    if view.level_because:
        lines.append(f"  level {view.level.upper()} ({view.severity}): {'; '.join(view.level_because)}")
    for row in view.books:
        lines += ["", _book_status(row)]
    lines.append("")
    for reason, count in view.waiting_alerts.items():
        lines.append(f"{counted(count, 'message')} not delivered yet over {reason}{_address_of(reason)}")
    for reason, count in view.given_up_alerts.items():
        lines.append(f"{counted(count, 'message')} not told over {reason}{_address_of(reason)}")
    return "\n".join([*lines, _next(view.next)]).rstrip()


def _address_of(reason: str) -> str:
    """Return what gives a channel an address, where one lacks; `reason` is `channel: last reason`."""
    channel, _, last = reason.partition(": ")
    without_address = {one.value for one in Reason if one.is_without_address}
    if channel not in ADDRESSES or last not in without_address:
        return ""
    return f"; set {address_variable(channel)} to have one, or take {channel} off config/alerts.toml"


def why(views: Sequence[WhyNot]) -> str:
    """Return for each book the reason first, then the stages it was found by."""
    blocks = []
    for view in views:
        head = f"{view.book} {view.session or ''}".rstrip()
        stopped = f"stopped at {view.stopped_at}: " if view.stopped_at else ""
        rows = [(row.stage, row.count, row.says) for row in view.stages]
        stages = table(("stage", "through", "says"), rows) if rows else ""
        blocks.append(
            "\n".join(
                filter(None, [f"{head}: {stopped}{in_one_line(view.reason)}", stages, _next(view.next)])
            )
        )
    return "\n\n".join(blocks)


def positions(views: Sequence[Holdings]) -> str:
    """Return what each book holds."""
    return "\n\n".join(_holdings(view) for view in views)


def orders(views: Sequence[SessionOrders]) -> str:
    """Return one line an intent, by book."""
    return "\n\n".join(_orders(view) for view in views)


def explain(view: Explained) -> str:
    """Return what every guard says, then what follows from it."""
    row = view.intent
    head = f"{named(row)}: {row.state}"
    if view.stopped_by:
        verdict = f"stopped by {', '.join(view.stopped_by)}: {in_one_line(row.reason)}"
    else:
        verdict = f"when it was decided every guard passed; {in_one_line(row.reason) or row.state}"
        if row.state is IntentState.REJECTED and row.reason in REASONS.values():
            verdict = f"when it was decided every guard passed; before its send it was refused: {row.reason}"
    largest = (
        "" if view.largest_quantity is None else f"largest quantity that passes them all: {_largest(view)}"
    )
    following = _next((f"trading trace {row.intent_id}",))
    return "\n".join(
        filter(None, [head, verdict, guards(view.guards), largest, _concerns(view.concerns), following])
    )


def named(row: JournalIntent) -> str:
    """Return an intent in words; the quantity is the wished one where nothing may be sent."""
    intent = row.intent
    return (
        f"{intent.side} {row.quantity or intent.quantity:,} {intent.symbol} {intent.session}, {intent.book}"
    )


def guards(rows: Sequence[GuardSaid]) -> str:
    """Return a table of what guards said."""
    return table(
        ("guard", "says", "observed", "limit", "largest that passes"),
        [
            (
                row.guard,
                "ok" if row.passed else f"NO: {row.reason}",
                row.observed,
                row.limit,
                NONE if row.largest_quantity is None else _largest(row),
            )
            for row in rows
        ],
    )


def _largest(row: GuardSaid | Explained) -> str:
    """Return the largest quantity that passes, and whether anything larger was tried."""
    return f"{row.largest_quantity:,} or more" if row.more_may_pass else f"{row.largest_quantity:,}"


def trace(view: Trace) -> str:
    """Return an order's way, one paragraph a stage."""
    row = view.intent
    intent = row.intent
    parts = [
        f"{named(row)}: {_state(view)}",
        _part("quotes", _quotes(view.quotes)),
        _part("candidate", _candidate(view)),
        _part(
            "intent",
            f"{intent.side} {intent.quantity:,} at {money(intent.price_micros, intent.currency)} by "
            f"{intent.strategy} {intent.strategy_version}\n{in_one_line(intent.rationale)}\n"
            f"id {row.intent_id}, key {intent.intent_key}, payload {short(row.payload_hash)}",
        ),
        _part("verdicts", _verdicts(view)),
        _part("advice", _advice(view)),
        _part(
            "decision",
            in_one_line(
                f"{view.decision_reason}, quantity {row.quantity:,}, by {view.answered_by or 'policy'}"
            ),
        ),
        _part("orders", _sent(view)),
        _part("fills", _filled(view)),
        *([_part("beside it", told)] if (told := _concerns(view.concerns)) else []),
        _part("life", table(("event", "at", "what", "actor", "reason"), _life(view))),
    ]
    return "\n\n".join(parts)


def stuck(rows: Sequence[Stuck], older_than_s: int) -> str:
    """Return what is stuck, the longest first, and what comes next for each."""
    if not rows:
        return f"nothing is stuck for {older_than_s:,} s or longer\n" + _next(("trading status",))
    listed = table(
        ("session", "book", "side", "quantity", "symbol", "state", "why", "for s", "absent", "order"),
        [
            (
                row.session,
                row.book,
                row.side,
                row.quantity,
                row.symbol,
                row.state,
                row.reason,
                row.for_s,
                row.absences,
                row.client_order_id,
            )
            for row in rows
        ],
    )
    notes = [
        f"  ! {row.symbol} {row.session}: {in_one_line(note)}"
        for row in rows
        for note in (row.because if row.because != row.reason else "", row.not_yet)
        if note
    ]
    first = tuple(dict.fromkeys([row.again for row in rows[:1]] + [row.next for row in rows]))
    return "\n".join([listed, *notes, _next(first[:4])])


def alerts(rows: Sequence[AlertLine], silences: Sequence[SilenceLine]) -> str:
    """Return what people should know of, the worst first, and what they are kept from hearing."""
    listed = "no alert fires\n"
    if rows:
        listed = table(
            ("alert", "book", "severity", "state", "session", "since", "owner", "what", "fingerprint"),
            [
                (
                    row.code,
                    row.book,
                    row.severity.value,
                    row.state.value,
                    row.session,
                    instant(row.starts_at),
                    row.owner,
                    row.message,
                    short(row.fingerprint),
                )
                for row in rows
            ],
        )
    told = "".join(f"silenced until {_silenced(one)}\n" for one in silences)
    first = [f"trading alerts show {row.fingerprint[:12]}" for row in rows[:2]]
    return f"{listed}\n{told}{_next((*first, 'trading status'))}"


def alert(view: AlertLine) -> str:
    """Return one alert: what was seen, whose it is, what to read, and who knows."""
    known = f"{view.acknowledged_by} at {instant(view.acknowledged_at)}: {view.comment}"
    told = {
        "state": f"{view.state.value} ({view.severity.value})",
        "what": in_one_line(view.message),
        "where": " ".join(filter(None, [view.book, view.session])),
        "since": instant(view.starts_at),
        "until": ": ".join(filter(None, [instant(view.ends_at), view.end_reason])) if view.ends_at else NONE,
        "owner": view.owner,
        "runbook": view.runbook,
        "run": view.run_id or NONE,
        "known to": in_one_line(known) if view.acknowledged_by else NONE,
        "fingerprint": view.fingerprint,
    }
    is_news = view.state is AlertState.FIRING
    then = f"trading alerts ack {view.fingerprint[:12]} --reason …" if is_news else "trading alerts"
    return f"{view.code}\n{pairs(told)}\n{_next((then,))}"


def silence(view: SilenceLine) -> str:
    """Return one silence."""
    return ("silenced until " if view.is_in_force else "silence ended ") + _silenced(view)


def _silenced(view: SilenceLine) -> str:
    what = ", ".join(view.matchers)
    return in_one_line(
        f"{instant(view.ends_at)}: {what} ({view.silence_id}, by {view.created_by}: {view.comment})"
    )


def incidents(rows: Sequence[IncidentLine]) -> str:
    """Return each incident, the latest first: what it says, what it halted, and who ended that."""
    if not rows:
        return "no incident was recorded\n" + _next(("trading status",))
    blocks = []
    for row in rows:
        about = " ".join(filter(None, [row.account, row.intent_id]))
        ended = f"{row.answer}, by {row.answered_by} at {instant(row.answered_at)}"
        taken_on = f"{row.acknowledged_by} at {instant(row.acknowledged_at)}: {row.acknowledgement}"
        blocks.append(
            "\n".join(
                [
                    in_one_line(
                        f"{row.incident_id} {'OPEN' if row.is_open else 'answered'}: {row.kind}: {row.told}"
                    ),
                    pairs(
                        {
                            "  at": instant(row.at),
                            "  about": about or "the desk",
                            "  severity": f"{row.severity}, {row.owner}",
                            "  halts" if row.is_open else "  halted": row.halts or "nothing",
                            **({"  holds": row.holds} if row.holds and row.is_open else {}),
                            "  acknowledged": in_one_line(taken_on) if row.acknowledged_by else "by nobody",
                            "  do" if row.is_open else "  answer": row.remedy if row.is_open else ended,
                        }
                    ),
                ]
            )
        )
    first = next((row.incident_id for row in rows if row.is_open and not row.acknowledged_by), None)
    taking_on = () if first is None else (f"trading incidents ack {first} --reason TEXT",)
    return "\n".join([*blocks, _next((*taking_on, "trading status"))])


def planned_actions(rows: Sequence[Action], today: date) -> str:
    """Return what is to be done about incidents, what is open first."""
    if not rows:
        return "nothing is planned"
    lines = [
        (
            f"{row.incident_id} {row.number}",
            "OVERDUE" if row.is_overdue(today) else "open" if row.done_at is None else "done",
            row.owner,
            f"{row.due_on}",
            in_one_line(row.what),
            in_one_line(row.outcome),
        )
        for row in rows
    ]
    return table(("incident action", "state", "owner", "until", "what", "outcome"), lines)


def incident_review(view: IncidentReview) -> str:
    """Return one incident: what it is, how long what took, and its timeline."""
    head = incidents([view.incident]).split("\n\nnext:", maxsplit=1)[0]
    took = pairs(
        {
            "went wrong": instant(view.began_at),
            "to detect": _seconds(view.detect_s),
            "to acknowledge": _seconds(view.acknowledge_s),
            "to recover": _seconds(view.recover_s),
        }
    )
    rows = [
        (instant(one.at), one.part.value, one.what, one.about, one.actor, in_one_line(one.reason))
        for one in view.timeline
    ]
    listed = table(("when", "part", "what", "about", "who", "why"), rows)
    number = view.incident.incident_id
    commands = (f"trading incidents act {number} --reason TEXT", f"trading incidents postmortem {number}")
    return f"{head}\n\n{took}\n\n{listed}\n{_next(commands)}"


def _seconds(count: int | None) -> str:
    return "not known" if count is None else f"{count:,} s"


def brought(views: Sequence[Brought]) -> str:
    """Return what reconciling did, book by book: the verdict first, findings with what to do last."""
    return "\n\n".join(_brought(view) for view in views)


def _brought(view: Brought) -> str:
    if view.session is None:
        return f"{view.book}: nothing to bring together yet: {view.not_compared}"
    why_not = view.not_compared or ("it came not so far" if view.halted else "")
    if view.halted:
        verdict = f"NOT RECONCILED: {view.halted}"
    elif view.findings:
        verdict = f"{counted(len(view.findings), 'finding')}: journal and broker do NOT agree"
    elif view.unproven:
        verdict = f"NOT PROVEN: the broker has not told what became of {counted(view.unproven, 'order')}"
    elif view.parked:
        verdict = f"NOT PROVEN: a person has to say what became of {counted(len(view.parked), 'order')}"
    else:
        verdict = _agreed(view)
    done = pairs(
        {
            "  adopted": "; ".join(view.adopted) or "none",
            "  closed": "; ".join(view.closed) or "none",
            "  given back": "; ".join(view.released) or "none",
            "  parked": "; ".join(view.parked) or "none",
            "  failed": "; ".join(view.failed) or "none",
            "  expired": "; ".join(view.expired) or "none",
            "  still open": "; ".join(view.still_open) or "none",
            "  new fills": view.new_fills,
            "  holdings": f"NOT COMPARED: {why_not}" if why_not else "compared",
        }
    )
    found = [f"  ! {row.kind}: {in_one_line(row.detail)}\n      → {row.remedy}" for row in view.findings]
    halts = [
        f"  halted: {halt.account} {halt.symbol}".rstrip() + f": {in_one_line(finding)}"
        for halt in view.halts
        for finding in findings_named(halt.reason)
    ]
    commands = []
    if view.parked or view.unproven:
        commands.append(f"trading stuck --book {view.book}")
    if view.halted or view.halts or view.findings:
        commands += ["trading incidents", "trading status"]
    commands += view.unsent
    if view.still_open and not commands:
        commands.append(f"trading orders --book {view.book} --session {view.session}")
    if not commands:
        commands.append("trading status")
    return "\n".join(
        [f"{view.book} {view.session}: {verdict}", done, *found, *halts, _next(commands)]
    ).rstrip()


def _agreed(view: Brought) -> str:
    """Return the headline where nothing was found that disagrees: only of what was compared."""
    still = f"; {len(view.still_open)} still open" if view.still_open else ""
    if view.not_compared:
        return f"orders agree, holdings were NOT compared{still}"
    return f"journal and broker agree{still}"


def parked(row: JournalIntent, view: Trace) -> str:
    """Return what a person looks at who ends a parked intent: what was sent, and what the broker said."""
    order = view.orders[-1] if view.orders else None
    said = (
        {}
        if order is None
        else {
            "client order id": order.client_order_id,
            "sent": f"{counted(order.attempts, 'time')}, prepared {instant(order.prepared_at)}",
            "absent there": f"{counted(order.absences, 'time')}, first {instant(order.first_absent_at)}",
        }
    )
    life = table(("event", "at", "what", "actor", "reason"), _life(view))
    why = in_words(row.reason)
    return "\n".join([f"{named(row)}: {row.state} ({row.stage})", pairs({"why": why, **said}), life])


def _concerns(view: Concerns) -> str:
    """Return halts, findings, generations and executions undone; empty where there is none of them."""
    lines = [
        f"halted: {halt.account} {halt.symbol}".rstrip() + f" since {instant(halt.changed_at)}: {finding}"
        for halt in view.halts
        for finding in findings_named(halt.reason)
    ]
    lines += [f"found: {row.kind}: {in_words(row.detail)} → {row.remedy}" for row in view.findings]
    lines += [
        f"generation {row.generation}: {row.client_order_id}, {row.status}, "
        f"{row.filled_quantity:,} of {row.quantity:,} filled"
        + (f", {row.cancel_asked_for} asked" if row.cancel_asked_for else "")
        for row in view.generations
    ]
    lines += [f"taken back by the broker: execution {one}" for one in view.taken_back]
    return "\n".join(in_one_line(line) for line in lines)


def report(view: ReportFound) -> str:
    """Return where a report lies and what it says first."""
    content = view.content
    currency = str(content.get("currency", ""))
    head = view.headline
    return "\n".join(
        [
            f"{view.book} {view.session}: {content.get('verdict') or content.get('why_none') or 'reported'}",
            pairs(
                {
                    "equity": money(head.equity_micros, currency),
                    "session P&L": money(head.session_pnl_micros, currency),
                    **{
                        name.replace("_", " "): count
                        for name, count in dict(content.get("funnel", {})).items()
                    },
                    "alerts": "; ".join(head.alerts) or "none",
                    "page": view.html,
                    "data": view.json,
                }
            ),
        ]
    )


def config(view: Effective) -> str:
    """Return settings, limits and books in force."""
    settings = table(
        ("setting", "value", "source"), [(row.variable, row.value, row.source) for row in view.settings]
    )
    limits = table(
        ("limits of", "limit", "value"),
        [(name, key, value) for name, section in view.limits.items() for key, value in section.items()],
    )
    books = table(
        ("book", "calendar", "currency", "account", "deposit", "data"),
        [
            (
                row.name,
                row.calendar,
                row.currency,
                row.account,
                money(row.deposit_micros),
                _bounds(row.first_session, row.last_session),
            )
            for row in view.books
        ],
    )
    return "\n\n".join([settings, f"{view.limits_file}\n{limits}", f"{view.books_file}\n{books}"])


def doctor(view: Diagnosis) -> str:
    """Return each check with what to do, the verdict first."""
    lines = [view.verdict]
    width = max(len(row.check) for row in view.checks)
    for row in view.checks:
        remedy = f"\n      → {row.remedy}" if row.remedy else ""
        lines.append(f"{row.health.value.upper():4}  {row.check.ljust(width)}  {row.found}{remedy}")
    return "\n".join(lines)


def pending(rows: Sequence[Pending], unsent: Sequence[Unsent] = ()) -> str:
    """Return what waits for a person, then what is approved and nobody sends."""
    told = [one.told for one in unsent]
    sending = tuple(one.next for one in unsent)
    if not rows:
        return "\n".join(["nothing waits for approval", *told, _next(sending or ("trading status",))])
    listed = table(
        ("session", "book", "side", "quantity", "symbol", "worth", "why", "until", "intent"),
        [
            (
                row.session,
                row.book,
                row.side,
                row.quantity,
                row.symbol,
                money(row.notional_micros, row.currency),
                row.reason,
                instant(row.not_after),
                row.intent_id,
            )
            for row in rows
        ],
    )
    first = rows[0].intent_id
    answer = (f"trading approvals preview {first}", f"trading approvals approve {first} --reason TEXT")
    return "\n".join([listed, *told, _next((*answer, *sending))])


def preview(view: Preview) -> str:
    """Return what an approver looks at before answering."""
    row = view.pending
    return "\n".join(
        [
            f"{row.side} {row.quantity:,} {row.symbol} {row.session}, {row.book}: {view.state}",
            pairs(
                {
                    "worth": f"{money(row.notional_micros, row.currency)} at {money(row.price_micros)}",
                    "price of": f"{view.priced_on or NONE} (close)",
                    "held": f"{view.held_quantity:,}",
                    "weight": f"{_percent(view.weight_before_bps)} → {_percent(view.weight_after_bps)}",
                    "of equity": money(view.equity_micros, row.currency),
                    "wished": f"{view.unadvised_quantity:,} before advice",
                    **_answered(view),
                    "why": view.rationale,
                    "strategy": view.strategy,
                    "until": instant(row.not_after),
                    "binds to": f"payload {row.payload_hash}, version {row.version}",
                }
            ),
            *(f"! {notice}" for notice in view.notices),
            guards(view.guards),
            _next(
                (
                    f"trading approvals approve {row.intent_id} --reason TEXT",
                    f"trading approvals reject {row.intent_id} --reason TEXT",
                )
                if view.is_answerable
                else (f"trading trace {row.intent_id}",)
            ),
        ]
    )


def _answered(view: Preview) -> dict[str, object]:
    """Return why an intent waits for a person, or how it was answered, and by whom."""
    if view.is_answerable:
        row = view.pending
        if row.approvers < NEEDS_TWO:
            return {"needs a person": row.reason}
        done = f", {' and '.join(row.approved_by)} approved already" if row.approved_by else ""
        return {f"needs {row.approvers} persons": f"{row.reason}{done}"}
    by = f" by {view.changed_by}" if view.changed_by else ""
    why = f": {view.changed_why}" if view.changed_why else ""
    return {"is": f"{view.state}{by} since {instant(view.changed_at)}{why}; nothing is left to answer"}


def summary(view: Summary) -> str:
    """Return what happened: a block a book, what waits, and what to try next."""
    failed = "\n".join(f"FAILED: {line}" for line in view.failed)
    blocks = []
    for row in view.books:
        at = row.status
        if at.session is None:
            blocks.append(f"{at.book}: nothing yet")
            continue
        blocks.append(
            f"{at.book}: {at.title}\n"
            + pairs(
                {
                    "  sessions": f"{row.sessions} run, {row.settled} settled, last {at.session}",
                    "  latest funnel": funnel(at.funnel) if at.funnel else NONE,
                    "  intents": f"{row.intents} in all, {row.filled} filled"
                    + (
                        f", {row.expired} expired; `--phase decide` leaves time to approve"
                        if row.expired
                        else ""
                    ),
                    "  blocked": "; ".join(f"{count} {reason}" for reason, count in row.blocked.items())
                    or "none",
                    "  quarantined": f"{row.quarantined:,} rows",
                    "  P&L": money(row.pnl_micros, at.currency),
                    "  equity": money(at.equity_micros, at.currency),
                    "  alerts": _alerts_in_a_line(at.alerts, is_judged=bool(at.report)),
                    "  report": at.report or NONE,
                }
            )
        )
    waiting = [
        f"waits: {row.side} {row.quantity:,} {row.symbol} {row.session} until {instant(row.not_after)}"
        for row in view.pending
    ]
    replayed = [_replayed(one) for one in view.replays if one.is_whole]
    told = ["\n".join(lines) for lines in (waiting, replayed)]
    return "\n\n".join(filter(None, [failed, view.status.verdict, *blocks, *told, _next(view.next)]))


def _replayed(view: ReplayView) -> str:
    told = view.summary
    kept = sum(told["rows"].values())
    return (
        f"replayed: {view.book} {told['first_session']} to {told['last_session']}, "
        f"{counted(told['sessions'], 'session')}, {counted(kept, 'row')} kept, "
        f"equity {money(told['closing_micros'], told['currency'])}; `trading replays show {view.name}`"
    )


def funnel(view: Funnel) -> str:
    """Return the funnel in one line."""
    parts = [
        _counted(view.quotes, "quote"),
        f"{_count(view.scanned)} scanned"
        if view.candidates is None
        else _counted(view.candidates, "candidate"),
        _counted(view.intents, "intent"),
        f"{view.blocked} blocked",
        *([f"{view.vetoed} vetoed"] if view.vetoed else []),
        f"{view.pending} pending",
        f"{view.approved} approved",
        f"{view.filled} filled",
        *([f"{view.unfilled} ended unfilled"] if view.unfilled else []),
        *([f"{view.ended} ended unsent"] if view.ended else []),
        *([f"{view.unknown} UNKNOWN"] if view.unknown else []),
        *([f"{view.parked} PARKED"] if view.parked else []),
    ]
    return " → ".join(parts)


def _book_status(row: BookStatus) -> str:
    head = f"{row.book}: {row.title}"
    if row.closed_because:
        return f"{head}\n  closed: {row.closed_because}"
    if row.session is None:
        quotes = f"quotes until {row.quoted_until}" if row.quoted_until else "no quotes imported"
        return f"{head}\n  nothing yet ({quotes})"
    refused = f", {row.refused}" if row.refused else ""
    carried = f" by {row.carried_by}" if row.carried_by else ""
    return "\n".join(
        [
            head,
            pairs(
                {
                    "  session": f"{row.session} {row.progress.value}{refused}{carried}",
                    "  funnel": funnel(row.funnel) if row.funnel else NONE,
                    "  equity": money(row.equity_micros, row.currency),
                    "  session P&L": money(row.session_pnl_micros, row.currency),
                    "  quotes until": str(row.quoted_until or NONE),
                    "  open intents": f"{row.open_intents}: {row.pending} pending, "
                    f"{sum(one.count for one in row.unsent)} approved and not sent, {row.unknown} unknown",
                    "  reconciled": instant(row.reconciled_at),
                    "  alerts": _alerts_in_a_line(row.alerts, is_judged=bool(row.report)),
                    "  report": row.report or NONE,
                }
            ),
        ]
    )


def _alerts_in_a_line(alerts: Sequence[str], *, is_judged: bool) -> str:
    """Return a book's alerts; where no report has judged its session, that none is known is no good news."""
    return "; ".join(alerts) or ("none" if is_judged else NONE)


def _holdings(view: Holdings) -> str:
    if view.session:
        head = f"{view.book}: after {view.session}"
    elif view.unsettled:
        head = f"{view.book}: the deposit, before the first settlement"
    else:
        head = f"{view.book}: nothing yet, the deposit is untouched"
    totals = pairs(
        {
            "cash": money(view.cash_micros, view.currency),
            "equity": money(view.equity_micros, view.currency),
            "realised": money(view.realised_micros, view.currency),
            "dividends": money(view.dividends_micros, view.currency),
            "commissions": money(view.commissions_micros, view.currency),
        }
    )
    held = table(
        ("symbol", "quantity", "cost", "mark", "worth", "unrealised"),
        [
            (
                row.symbol,
                row.quantity,
                money(row.cost_micros),
                money(row.mark_micros),
                money(row.value_micros),
                money(row.unrealised_micros),
            )
            for row in view.positions
        ],
    )
    last = held if view.positions else "no positions"
    if view.unsettled:
        return f"{head}\n{totals}\n{last}\n{_unsettled(view)}"
    if view.session is None:
        last = _next((f"trading run-once --book {view.book}",))
    return f"{head}\n{totals}\n{last}"


def _unsettled(view: Holdings) -> str:
    """Return what the open session has traded so far, which is in neither cash nor positions yet."""
    settle = f"trading run-once --book {view.book} --session {view.unsettled} --phase settle"
    said = (
        f"{view.unsettled} is NOT SETTLED: what it trades is not in the above, holdings follow at settlement"
    )
    if not view.filled:
        return f"{said}; nothing was filled in it so far"
    listed = table(
        ("side", "quantity", "symbol", "at"),
        [(row.side, row.quantity, row.symbol, money(row.average_price_micros)) for row in view.filled],
    )
    return f"{said}\nfilled in it so far:\n{listed}\n{_next((settle,))}"


def _orders(view: SessionOrders) -> str:
    if view.session is None:
        return f"{view.book}: nothing yet\n" + _next((f"trading run-once --book {view.book}",))
    if view.closed_because:
        return f"{view.book}: {view.closed_because}"
    if not view.orders:
        why_command = f"trading why --book {view.book} --session {view.session}"
        return f"{view.book} {view.session}: no intent\n" + _next((why_command,))
    listed = table(
        (
            "side",
            "wished",
            "symbol",
            "state",
            "why",
            "order",
            "sent",
            "filled",
            "at",
            "slippage bps",
            "intent",
        ),
        [
            (
                row.side,
                row.wished,
                row.symbol,
                row.state,
                f"{row.by}: {row.reason}" if row.by else row.reason,
                row.order_status,
                _shares_sent(row),
                row.filled_quantity,
                money(row.average_price_micros),
                "" if row.slippage_bps is None else f"{row.slippage_bps:.2f}",
                short(row.intent_id),
            )
            for row in view.orders
        ],
    )
    notes = [
        f"  ! {row.symbol}: {in_one_line(why)}"
        for row in view.orders
        if (why := in_words(row.reason)) != row.reason
    ]
    return "\n".join([f"{view.book} {view.session}, prices in {view.currency}", listed, *notes])


def _shares_sent(row: OrderLine) -> int | str:
    """Return how many shares a broker was asked for, `?` where nobody knows whether it ever was."""
    if not row.client_order_id or row.order_status == ABSENT:
        return 0
    is_certain = row.broker_order_id or row.order_status not in {PREPARED, OrderStatus.UNKNOWN}
    return row.quantity if is_certain else "?"


def intents_counted(by_state: Mapping[str, int]) -> str:
    """Return in words how many intents are in each state."""
    told = [f"{count:,} {state.replace('_', ' ')}" for state, count in by_state.items()]
    return ", ".join(told) or "no intents"


def _next(commands: Sequence[str]) -> str:
    return "\n".join(["next:", *(f"  {command}" for command in commands)]) if commands else ""


def _part(name: str, text: str) -> str:
    return f"{name}\n" + "\n".join(f"  {line}" for line in (text or "none").splitlines())


def _state(view: Trace) -> str:
    result = (
        ""
        if view.result_micros is None
        else f", {money(view.result_micros, view.intent.intent.currency)} at the close"
    )
    return f"{view.intent.state}{result}"


def _quotes(view: QuotesRead) -> str:
    if not view.sessions:
        return "no table in the lake"
    sessions = counted(view.sessions, "session")
    lines = [f"{sessions}, {view.first} to {view.last}; the last has sha256 {view.last_sha}"]
    if view.altered:
        lines.append(f"ALTERED: {', '.join(view.altered)}")
    else:
        lines.append("every table has the content it is named by (checked now)")
    match view.matches_decision:
        case True:
            lines.append("they are the tables that the candidates were made from")
        case False:
            lines.append(
                "NOT the tables that the candidates were made from: quotes were imported again since"
            )
        case _:
            lines.append("what the candidates were made from is not recorded")
    return "\n".join(lines)


def _candidate(view: Trace) -> str:
    row = view.candidate
    if not row:
        return "not scanned: a held position, or no table"
    parts = ("trend", "strength", "activity", "calm", "penalty")
    components = " ".join(f"{name} {row[name]:+.3f}" for name in parts)
    score = f"rank {row['rank']}, score {row['score']:.3f} = {components}"
    return in_one_line(f"{score}; risk {row['risk_score']:.3f}, {row['reason']}")


def _verdicts(view: Trace) -> str:
    failed = [f"{row.guard}: {row.reason}" for row in view.verdicts if not row.passed]
    said = "; ".join(failed) if failed else "every guard passed"
    return f"{said} ({counted(len(view.verdicts), 'verdict')}, limits {short(view.intent.limits_sha)})"


def _advice(view: Trace) -> str:
    row = view.advice
    if not row:
        return "none"
    if row.get("error_type"):
        return in_one_line(f"none by {row['source']}: {row['error_type']}")
    factor = f"{row['factor_bps'] / BPS:.2%} of the quantity"
    shadow = "in shadow, so that nothing followed: " if row["ladder"] == Ladder.SHADOW else ""
    return in_one_line(f"{shadow}{row['verdict']}, {factor}, by {row['source']}: {row['rationale']}")


def _sent(view: Trace) -> str:
    return (
        table(
            ("client order id", "broker order id", "quantity", "status", "prepared", "sent by way of"),
            [
                (
                    row.client_order_id,
                    row.broker_order_id,
                    row.request.quantity,
                    row.status,
                    instant(row.prepared_at),
                    row.route.told,
                )
                for row in view.orders
            ],
        )
        if view.orders
        else "never sent"
    )


def _filled(view: Trace) -> str:
    currency = view.intent.intent.currency
    return (
        table(
            ("execution id", "quantity", "price", "commission", "at"),
            [
                (
                    row.execution_id,
                    row.quantity,
                    money(row.price_micros, currency),
                    money(row.commission_micros, currency),
                    instant(row.filled_at),
                )
                for row in view.fills
            ],
        )
        if view.fills
        else "none"
    )


def _life(view: Trace) -> list[tuple[object, ...]]:
    return [(row.seq, instant(row.at), row.what, row.actor, row.reason) for row in view.events]


def _bounds(first: object, last: object) -> str:
    return f"{first or NONE} to {last or NONE}"


def _percent(bps: int | None) -> str:
    return NONE if bps is None else f"{bps / 100:.2f} %"


def _counted(count: int | None, noun: str) -> str:
    return f"{NONE} {noun}s" if count is None else counted(count, noun)


def _count(count: int | None) -> str:
    return NONE if count is None else f"{count:,}"
