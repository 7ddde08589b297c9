"""The verbs around orders at a broker: orders, stuck, incidents, reconcile, intents conclude.

Listing, `stuck` and `incidents` look and change nothing; the others (orders cancel and replace, incidents
ack) are kept in the journal with actor and reason, and say which run carries them out. What they do is
console/actions.py and console/reconciling.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.desk import Desk, open_desk
from console.exit_codes import ExitCode, exit_code_of
from console.verbs import texts
from console.verbs.deciding import actor_of, launch
from console.verbs.options import (
    DECIDING,
    READING,
    RUNNING,
    AsOption,
    BookOption,
    JsonOption,
    ReasonOption,
    SessionOption,
    YesOption,
    answer,
    confirm,
    confirm_change,
    day,
    day_or_none,
    show,
    tell,
)
from console.verbs.teaching import help_of
from trading.clock import Phase
from trading.errors import BadInput, TradingError
from trading.orders import OrderStatus

if TYPE_CHECKING:
    from console.launcher import Launcher
    from trading.journal import JournalIntent

OrderArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="An intent or its order: an id or a unique beginning, or SYMBOL@SESSION."
    ),
]
STUCK_AFTER_S = 60
INCIDENTS_MAX = 2**31
OLDER_S_MAX = 10**9
"""About thirty years: further back there is no time to subtract from."""


IncidentArgument = Annotated[
    int,
    typer.Argument(metavar="ID", min=1, max=INCIDENTS_MAX, help="An incident's number, as they are listed."),
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    listed = typer.Typer(help=help_of(orders), invoke_without_command=True)
    listed.callback(help=help_of(orders))(orders)
    listed.command("cancel", help=help_of(orders_cancel))(orders_cancel)
    listed.command("replace", help=help_of(orders_replace))(orders_replace)
    app.add_typer(listed, name="orders", rich_help_panel=READING)
    app.command(help=help_of(stuck), rich_help_panel=READING)(stuck)
    found = typer.Typer(help=help_of(incidents), invoke_without_command=True)
    found.callback(help=help_of(incidents))(incidents)
    for name, verb in (
        ("show", incidents_show),
        ("ack", incidents_ack),
        ("act", incidents_act),
        ("resolve", incidents_resolve),
        ("postmortem", incidents_postmortem),
        ("plan", incidents_plan),
        ("done", incidents_done),
        ("actions", incidents_actions),
    ):
        found.command(name, help=help_of(verb))(verb)
    app.add_typer(found, name="incidents", rich_help_panel=READING)
    app.command(help=help_of(reconcile), rich_help_panel=RUNNING)(reconcile)
    intents = typer.Typer(help="Intents whose outcome a person has to say: conclude.", no_args_is_help=True)
    intents.command("conclude", help=help_of(intents_conclude))(intents_conclude)
    app.add_typer(intents, name="intents", rich_help_panel=DECIDING)


def orders(
    context: typer.Context,
    *,
    book: BookOption = None,
    session: SessionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what became of each intent of a session: blocked, waiting, sent, filled, at what price.

    `cancel` and `replace` act on one of them.

    trading orders --book us_five --session 2013-02-28
    Exit codes: 0 done, 2 no session of that date, 3 an order's outcome is unknown, 6 the journal is damaged.
    """
    if context.invoked_subcommand is not None:
        return
    from console.journal_pages import require_whole_pages
    from console.orders import orders_of

    desk = open_desk()
    require_whole_pages(desk)
    asked = day_or_none(session)
    listed = tuple(orders_of(desk, outline, asked) for outline in desk.chosen(book))
    if listed and all(row.closed_because for row in listed):
        raise BadInput(f"--session: {listed[0].closed_because}")
    unknown = any(row.unknown for row in listed)
    code = ExitCode.ATTENTION if unknown else ExitCode.DONE
    show({"books": listed}, lambda _: texts.orders(listed), as_json=as_json, code=code)


def orders_cancel(
    *,
    identity: OrderArgument,
    reason: ReasonOption,
    as_name: AsOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Cancel one order: recorded first, then asked of the broker. What was filled by then stays filled.

    An intent that was never sent is cancelled at once. Sends nothing, so it works while trading is halted.

    trading orders cancel AAPL@2013-02-28 --reason "wrong size"
    Exit codes: 0 cancelled, 1 too late: it ended otherwise, 3 asked for and not yet cancelled at the broker,
    4 refused, 6 broker down.
    """
    desk = open_desk()
    row, view = _asked(desk, identity, "cancel", reason=reason, as_name=as_name, yes=yes)
    code = ExitCode.DONE
    if view["state"] != "cancelled":
        view["then"], code = _reconciled_after(desk, row)
        after = desk.journal.intent(row.intent_id)
        view["state"] = after.state.value
        view["outcome"], ended = _after_cancel(desk, after)
        code = code if code is not ExitCode.DONE else ended
    show(view, _asked_text, as_json=as_json, code=code)


def orders_replace(
    *,
    identity: OrderArgument,
    reason: ReasonOption,
    as_name: AsOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Cancel one order and send what is left of it as its next generation, once the broker has ended it.

    Every guard looks again at what is left; where one stops it the intent ends with what was filled.

    trading orders replace AAPL@2013-02-28 --reason "stale at the exchange"
    Exit codes: 0 done, 3 asked for, and the next run of the session goes on, 4 refused, 5 halted.
    """
    desk = open_desk()
    row, view = _asked(desk, identity, "replace", reason=reason, as_name=as_name, yes=yes)
    launched, code = launch(desk, row.intent.book, str(row.intent.session))
    view["then"] = launched["how"] + (f": {launched['message']}" if launched.get("message") else "")
    after = desk.journal.intent(row.intent_id)
    view["state"] = after.state.value
    view["generation"] = after.generation
    if code is ExitCode.DONE and after.generation == row.generation and after.state.is_open:
        code = ExitCode.ATTENTION
    show(view, _asked_text, as_json=as_json, code=code)


def stuck(
    *,
    book: BookOption = None,
    older_than_s: Annotated[
        int,
        typer.Option(
            "--older-than", metavar="S", min=0, max=OLDER_S_MAX, help="For how many seconds at least."
        ),
    ] = STUCK_AFTER_S,
    as_json: JsonOption = False,
) -> None:
    """List intents that are on their way to the broker, or unknown, for too long, and all that are parked.

    An order that the broker has may rest all day: it is listed once its intent's time is over.

    trading stuck
    trading stuck --older-than 300 --json
    Exit codes: 0 nothing is stuck, 3 something is.
    """
    from console.stuck import stuck_of

    rows = stuck_of(open_desk(), book=book, older_than_s=older_than_s)
    code = ExitCode.ATTENTION if rows else ExitCode.DONE
    show(
        {"older_than_s": older_than_s, "items": rows},
        lambda _: texts.stuck(rows, older_than_s),
        as_json=as_json,
        code=code,
    )


def incidents(context: typer.Context, *, book: BookOption = None, as_json: JsonOption = False) -> None:
    """List what should not have been: each incident, what it halted, who took it on, and who answered it how.

    One is open while its halt stands, or until its intent has ended or a later session is settled.
    `ack` says that you look after one.

    trading incidents
    trading incidents --json
    Exit codes: 0 none is open, 3 one is.
    """
    if context.invoked_subcommand is not None:
        return
    from console.incidents import incidents_of

    rows = incidents_of(open_desk(), book=book)
    code = ExitCode.ATTENTION if any(row.is_open for row in rows) else ExitCode.DONE
    show({"items": rows}, lambda _: texts.incidents(rows), as_json=as_json, code=code)


def incidents_show(*, number: IncidentArgument, as_json: JsonOption = False) -> None:
    """Show one incident with its timeline: intents, orders, alerts, runs and people, and how long it took.

    Time to detect counts from the last send of its intent, or the last time journal and broker agreed.

    trading incidents show 1
    Exit codes: 0 it is over, 2 no such incident, 3 it is open.
    """
    from console.incident_reviews import review_of

    view = review_of(open_desk(), number)
    code = ExitCode.ATTENTION if view.incident.is_open else ExitCode.DONE
    show(view, texts.incident_review, as_json=as_json, code=code)


def incidents_act(
    *,
    number: IncidentArgument,
    reason: ReasonOption,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what you did about an incident: it stands in its timeline and its post-mortem. It ends nothing.

    trading incidents act 1 --reason "asked the broker's desk, they see the order too"
    Exit codes: 0 kept, 2 no such incident.
    """
    _act(number, reason, as_name, is_end=False, as_json=as_json)


def incidents_resolve(
    *,
    number: IncidentArgument,
    reason: ReasonOption,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that an incident is over which halts nothing and is about no open intent; others end by themselves.

    trading incidents resolve 1 --reason "the fee was booked"
    Exit codes: 0 it is over, 2 no such incident, 4 refused: its halt or its intent says when it is over.
    """
    _act(number, reason, as_name, is_end=True, as_json=as_json)


def incidents_postmortem(*, number: IncidentArgument, as_json: JsonOption = False) -> None:
    """Write an incident's post-mortem: what is known filled in, the rest asked. What is there stays as it is.

    The file lies below the state folder, for people to finish; it is never written over.

    trading incidents postmortem 1
    Exit codes: 0 written, or there already, 2 no such incident.
    """
    from console.incident_reviews import write_postmortem

    view = write_postmortem(open_desk(), number)
    told = f"{view.path}\n{'written' if view.is_new else 'is there already: nothing was written'}"
    show(view, lambda _: told, as_json=as_json)


def incidents_plan(
    *,
    number: IncidentArgument,
    owner: Annotated[str, typer.Option("--owner", metavar="NAME", help="Who does it.")],
    until: Annotated[str, typer.Option("--until", metavar="YYYY-MM-DD", help="By which day.")],
    reason: ReasonOption,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep what somebody is to do, by when, so that an incident does not happen again.

    `status` asks for it once the day is over; `done` ends it.

    trading incidents plan 1 --owner ben --until 2030-01-31 --reason "compare the ledgers before the open"
    Exit codes: 0 kept, 2 no such incident, or a day that is over.
    """
    from console.doing import By, plan_action

    desk = open_desk()
    by = By(actor=actor_of(desk, as_name), reason=reason)
    action = plan_action(desk, number, owner=owner, due_on=day(until), by=by)
    told = f"action {action} of incident {number}: {owner} until {until}: {reason}"
    show(answer(incident_id=number, action=action), lambda _: told, as_json=as_json)


def incidents_done(
    *,
    number: IncidentArgument,
    action: Annotated[int, typer.Argument(metavar="ACTION", min=1, max=INCIDENTS_MAX, help="Its number.")],
    reason: ReasonOption,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that an action is done, and what came of it.

    trading incidents done 1 1 --reason "runs since Monday"
    Exit codes: 0 kept, 2 no such incident or action, 4 it is done already.
    """
    from console.doing import By, finish_action

    desk = open_desk()
    finish_action(desk, number, action, by=By(actor=actor_of(desk, as_name), reason=reason))
    told = f"action {action} of incident {number}: done: {reason}"
    show(answer(incident_id=number, action=action), lambda _: told, as_json=as_json)


def incidents_actions(*, book: BookOption = None, as_json: JsonOption = False) -> None:
    """List what is to be done so that incidents do not happen again: by whom, until when, and what is done.

    trading incidents actions
    Exit codes: 0 nothing is overdue, 3 something is.
    """
    from console.incidents import planned_actions
    from resources.clocks import system_now

    today = system_now().date()
    rows = planned_actions(open_desk(), book=book)
    code = ExitCode.ATTENTION if any(row.is_overdue(today) for row in rows) else ExitCode.DONE
    items = [row._asdict() for row in rows]
    show({"items": items}, lambda _: texts.planned_actions(rows, today), as_json=as_json, code=code)


def _act(number: int, reason: str, as_name: str | None, *, is_end: bool, as_json: bool) -> None:
    from console.doing import By, act_on

    desk = open_desk()
    row = act_on(desk, number, by=By(actor=actor_of(desk, as_name), reason=reason), is_end=is_end)
    show(row, lambda _: texts.incidents([row]), as_json=as_json)


def incidents_ack(
    *,
    number: IncidentArgument,
    reason: ReasonOption,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Acknowledge one open incident: you look after it, and others see that. It lifts and ends nothing.

    trading incidents ack 1 --reason "calling the broker"
    Exit codes: 0 acknowledged, 2 no such incident, 4 refused: it was answered already.
    """
    from console.doing import By, acknowledge

    desk = open_desk()
    row = acknowledge(desk, number, by=By(actor=actor_of(desk, as_name), reason=reason))
    show(row, lambda _: texts.incidents([row]), as_json=as_json)


def reconcile(*, book: BookOption = None, as_json: JsonOption = False) -> None:
    """Bring journal and broker together now: ask for all that is open, book fills, compare what is held.

    Sends nothing, and runs in a process of its own; what does not agree is halted and listed with what to do.
    All of the audit log is read first: where it was changed, all trading is halted.

    trading reconcile
    trading reconcile --book us_five --json
    Exit codes: 0 they agree, 3 a finding or an unproven outcome, 4 another process executes, 5 halted,
    6 broker or journal down.
    """
    from console.reconciling import brought_together

    desk = open_desk()
    chosen = desk.chosen(book)
    launcher = _launcher()
    done = tuple(brought_together(desk, outline, launcher.reconcile_on_whole_log) for outline in chosen)
    code = max((row.exit_code for row in done), default=ExitCode.DONE)
    show({"books": done}, lambda _: texts.brought(done), as_json=as_json, code=code)


def intents_conclude(
    *,
    identity: OrderArgument,
    reason: ReasonOption,
    absent: Annotated[
        bool,
        typer.Option(
            "--absent", help="Say that you have looked, and that the broker has no order of it. Needed."
        ),
    ] = False,
    on_word: Annotated[
        bool,
        typer.Option(
            "--on-my-word",
            help="You know it from the broker itself, and its queries do not prove it: it had acknowledged "
            "the order, or was not asked often or late enough.",
        ),
    ] = False,
    as_name: AsOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """End a parked intent by your word: the broker has no order of it. Its id is watched from then on.

    Only where the broker said so at least three times, each `trading reconcile` asks once, and where nothing
    can arrive any more. Should it turn up after all, it is found and cancelled.

    trading intents conclude AAPL@2013-02-28 --absent --reason "searched the broker's page twice"
    Exit codes: 0 ended, 2 not said to be absent, 4 refused: not parked, or not absent often enough.
    """
    from console import actions
    from console.concluding import require_conclusive
    from console.lookup import find_intent
    from console.order_trace import trace_of_intent

    desk = open_desk()
    row = find_intent(desk, identity)
    if not absent:
        raise BadInput(
            f"{row.intent_id}: say --absent once you have seen that the broker has no order of it; "
            "where it has one, `trading reconcile` adopts it"
        )
    actor = actor_of(desk, as_name)
    actions.require_actor(actor, reason)
    require_conclusive(desk, row, is_on_word=on_word)
    if not yes:
        tell(texts.parked(row, trace_of_intent(desk, row)))
    confirm(f"end {row.intent.symbol} {row.intent.session} as absent at the broker, as {actor}?", yes=yes)
    with desk.open_journal() as journal:
        after = actions.conclude_absent(
            journal,
            row.intent_id,
            is_on_word=on_word,
            actor=actor,
            reason=reason,
            now=desk.clock(desk.books[row.intent.book]).now(row.intent.session, Phase.SETTLE),
        )
    view = {
        "intent_id": after.intent_id,
        "book": after.intent.book,
        "session": after.intent.session,
        "symbol": after.intent.symbol,
        "state": after.state,
        "actor": actor,
        "reason": reason,
    }
    settle = f"trading run-once --book {after.intent.book} --session {after.intent.session}"
    show(
        view,
        lambda _: (
            f"{after.intent.symbol} {after.intent.session}: {after.state} by {actor} ({reason})\n"
            f"next:\n  {settle}"
        ),
        as_json=as_json,
    )


def _asked(
    desk: Desk, identity: str, kind: str, *, reason: str, as_name: str | None, yes: bool
) -> tuple[JournalIntent, dict[str, Any]]:
    """Show an intent, ask back, and store what is asked of its order."""
    from console import actions
    from console.lookup import find_intent
    from console.render import plain
    from trading.journal import CancelKind

    row = find_intent(desk, identity)
    actor = actor_of(desk, as_name)
    actions.require_actor(actor, reason)
    filled = f", {row.filled_quantity:,} of {row.quantity:,} filled" if row.filled_quantity else ""
    asked = confirm_change(
        desk,
        lambda journal: actions.ask_cancel_of(
            journal,
            row.intent_id,
            CancelKind(kind),
            actor=actor,
            reason=reason,
            now=desk.act_at(row.intent.book, row.intent.session),
        ),
        f"{kind} {texts.named(row)} ({row.state}{filled}), as {actor}?",
        yes=yes,
    )
    view: dict[str, Any] = plain(asked)
    return row, view


def _after_cancel(desk: Desk, row: JournalIntent) -> tuple[str, ExitCode]:
    """Return what became of an order whose cancel was asked for, in words, and how the verb ends."""
    orders = desk.journal.orders(book=row.intent.book, lane=desk.lane, session=row.intent.session)
    order = max(
        (one for one in orders if one.intent_id == row.intent_id),
        key=lambda one: one.generation,
        default=None,
    )
    filled = f"{row.filled_quantity:,} of {row.quantity:,} filled"
    if row.state.is_open:
        return f"asked for, NOT cancelled yet, {filled}", ExitCode.ATTENTION
    if order is not None and order.status == OrderStatus.CANCELLED.value:
        return f"cancelled, {filled}" + (" and stays filled" if row.filled_quantity else ""), ExitCode.DONE
    return f"NOT cancelled, too late: the order is {row.state.value}, {filled}", ExitCode.FAILED


def _reconciled_after(desk: Desk, row: JournalIntent) -> tuple[str, ExitCode]:
    """Ask the broker for the cancel at once; where that fails, what was asked stands."""
    from console.reconciling import brought_together

    book = desk.books[row.intent.book]
    try:
        done = brought_together(desk, book, _launcher().reconcile)
    except TradingError as error:
        again = f"it stands; `trading reconcile --book {book.name}` asks the broker"
        return f"not asked yet: {error}; {again}", exit_code_of(error)
    if done.halted:
        return f"not asked yet: {done.halted}", done.exit_code
    return "asked the broker", ExitCode.DONE


def _asked_text(view: dict[str, Any]) -> str:
    state = view.get("outcome") or view["state"]
    said = f"{view['symbol']} {view['session']}: {state}; {view['kind']} asked by {view['actor']}"
    then = f"\n{view['then']}" if view.get("then") else ""
    following = f"trading orders --book {view['book']} --session {view['session']}"
    return f"{said} ({view['reason']}){then}\nnext:\n  {following}"


def _launcher() -> Launcher:
    """Return the launcher, and with it the stores: seconds, so only where something is asked of a broker."""
    from console.launcher import open_launcher

    return open_launcher()
