"""The verbs that stop and start trading beyond halt, pause and resume: flatten, degrade, retry.

Each is kept in the journal with actor and reason. What they do is console/actions.py and console/launcher.py;
halt, pause and resume are deciding.py.
"""

from __future__ import annotations

from shlex import quote
from typing import Annotated, Any

import typer

from console.book_outlines import BookOutline
from console.desk import Desk, open_desk
from console.exit_codes import ExitCode
from console.render import counted, money, table
from console.verbs import texts
from console.verbs.deciding import actor_of, change_control, launch, told_control, told_how
from console.verbs.options import (
    DECIDING,
    AsOption,
    JsonOption,
    OneBookOption,
    ReasonOption,
    SessionOption,
    YesOption,
    confirm,
    confirm_change,
    day_or_none,
    show,
)
from console.verbs.teaching import help_of
from trading.errors import BadInput, Refused


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    for verb in (flatten, degrade, retry):
        app.command(help=help_of(verb), rich_help_panel=DECIDING)(verb)


def flatten(
    *,
    reason: ReasonOption,
    book: OneBookOption = None,
    confirmed: Annotated[
        str | None,
        typer.Option(
            "--confirm", metavar="WORD", help="The word of the plan to order, as the preview showed it."
        ),
    ] = None,
    as_name: AsOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Sell all that a book holds, in two steps, while trading is halted.

    The first call sells nothing: it shows what would be sold at which price, and the word to name. The second
    one names it; every guard but the kill switch judges each sale. It is the only way to send while halted.

    trading flatten --book us_wide --reason "out before the news"
    trading flatten --book us_wide --reason "out before the news" --confirm flatten-1a2b3c4d
    Exit codes: 0 sold, 3 previewed or still open, 4 refused: not halted, or other positions by now.
    """
    from console.actions import require_words
    from console.reconciling import last_opened
    from trading.flattening import CONFIRM_PREFIX, is_confirmation

    if confirmed is not None and not is_confirmation(confirmed):
        raise BadInput(
            f"--confirm {confirmed[:80]!a}: the word of a flatten is {CONFIRM_PREFIX} and some digits"
        )
    desk = open_desk()
    outline = desk.one(book)
    actor = actor_of(desk, as_name)
    require_words(reason)
    session = last_opened(desk, outline)
    record = session and desk.journal.session_record(book=outline.name, lane=desk.lane, session=session)
    if session is None or not record or record.settled_at is not None:
        raise Refused(
            f"flatten {outline.name}: no session is open, so nothing can be sold; {_opens(desk, outline)}"
        )
    from console.launcher import open_launcher

    launcher = open_launcher()
    if confirmed is None:
        view = planned(launcher.preview_flatten(outline.name, session, actor=actor))
        code = ExitCode.ATTENTION if view["orders"] else ExitCode.DONE
        show(view, lambda _: _plan_text(view, reason), as_json=as_json, code=code)
        return
    confirm(f"sell all that {outline.name} holds, as {actor}?", yes=yes)
    plan, run = launcher.order_flatten(outline.name, session, confirmed=confirmed, actor=actor, reason=reason)
    done = _sold(desk, outline, planned(plan), run_id=run.run_id, message=run.message)
    done |= {"actor": actor, "reason": reason}
    is_left = any(row["state"] != "executed" for row in done["intents"]) or not run.success
    show(done, _sold_text, as_json=as_json, code=ExitCode.ATTENTION if is_left else ExitCode.DONE)


def degrade(
    *,
    reason: ReasonOption,
    is_off: Annotated[bool, typer.Option("--off", help="End it: trade normally again.")] = False,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trade less and by hand: a person approves, and an order is at most a quarter of its normal size.

    It goes on until it is ended, whatever is halted or resumed meanwhile.

    trading degrade --reason "the model is down"
    trading degrade --off --reason "the model is back"
    Exit codes: 0 done, 4 refused: was not degraded.
    """
    desk = open_desk()
    actor = actor_of(desk, as_name)
    changed = change_control(desk, "restore" if is_off else "degrade", actor, reason)
    show(changed, told_control, as_json=as_json)


def retry(
    *,
    reason: ReasonOption,
    book: OneBookOption = None,
    session: SessionOption = None,
    as_name: AsOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Try the execution of a session again: what is approved and was held is sent, nothing is sent twice.

    Where it ran here and at once, it says how many intents are in which state by then.

    trading retry --book us_wide --reason "the broker answers again"
    Exit codes: 0 done or nothing is left, 4 refused: halted, paused, cooling down, or never run.
    """
    from console.actions import nothing_to_retry, require_actor
    from console.actions import retry as keep_retry
    from console.runs import intents_by_state

    desk = open_desk()
    outline = desk.one(book)
    asked = desk.session(outline, day_or_none(session))
    if asked is None:
        raise BadInput(f"retry {outline.name}: no session yet; `trading run-once --book {outline.name}`")
    actor = actor_of(desk, as_name)
    require_actor(actor, reason)
    said = {"actor": actor, "reason": reason}
    record = desk.journal.session_record(book=outline.name, lane=desk.lane, session=asked)
    if how := nothing_to_retry(record):
        done = {"book": outline.name, "session": asked, **said, "launched": {"how": how, "run_id": ""}}
        show(done, lambda _: f"{outline.name} {asked}: {how}\nnext:\n  trading status", as_json=as_json)
        return
    confirm_change(
        desk,
        lambda journal: keep_retry(
            journal,
            book=outline.name,
            lane=desk.lane,
            session=asked,
            **said,
            now=desk.act_at(outline.name, asked),
        ),
        f"try the execution of {outline.name} {asked} again, as {actor}?",
        yes=yes,
    )
    launched, code = launch(desk, outline.name, str(asked))
    by_state = intents_by_state(desk, outline.name, asked)
    view = {"book": outline.name, "session": asked, **said, "launched": launched, "intents": by_state}
    why = f": {launched['message']}" if launched.get("message") else ""
    # What the web server runs is not over yet.
    now = f"; now {texts.intents_counted(by_state)}" if launched["how"] == "process" else ""
    follow = f"trading orders --book {outline.name} --session {asked}"
    show(
        view,
        lambda _: f"{outline.name} {asked}: {told_how(launched['how'])}{why}{now}\nnext:\n  {follow}",
        as_json=as_json,
        code=code,
    )


def _opens(desk: Desk, outline: BookOutline) -> str:
    """Return what opens a session to sell in, and where none can be opened yet, what holds until then."""
    from console.runs import bounded_by_source

    latest = desk.latest(outline)
    if latest is None or latest.settled_at is None:
        return f"`trading run-once --book {outline.name}` opens one"
    today = desk.today(bounded_by_source(desk, outline))
    following = desk.calendar(outline).next(latest.session)
    if following <= today:
        return f"`trading run-once --book {outline.name} --session {following}` opens the next one"
    return (
        f"the last one, {latest.session}, is settled, and no later one is up to today ({today}). "
        "While trading is halted nothing is bought, and what is held stays held until a later session runs"
    )


def planned(plan: Any) -> dict[str, Any]:
    """Return a flatten as this verb tells it, with the word that orders it."""
    from trading.flattening import confirmation_of

    return {
        "book": plan.book,
        "session": plan.session,
        "currency": plan.currency,
        "lines": [line._asdict() for line in plan.lines],
        "orders": len(plan.sold),
        "notional_micros": plan.notional_micros,
        "left_micros": plan.left_micros,
        "confirm": confirmation_of(plan),
    }


def _plan_text(view: dict[str, Any], reason: str) -> str:
    if not view["orders"]:
        return f"{view['book']} {view['session']}: nothing is held that is not on sale already"
    currency = view["currency"]
    listed = table(
        ("symbol", "held", "on sale", "to sell", "at"),
        [
            (
                line["symbol"],
                f"{line['held']:,}",
                f"{line['on_sale']:,}",
                f"{line['quantity']:,}" if line["price_micros"] else "no price",
                money(line["price_micros"], currency),
            )
            for line in view["lines"]
        ],
    )
    worth, left = (money(view[name], currency) for name in ("notional_micros", "left_micros"))
    again = f"trading flatten --book {view['book']} --reason {quote(reason)} --confirm {view['confirm']}"
    return (
        f"{view['book']} {view['session']}: {counted(view['orders'], 'sale')} of {worth}, leaving {left}\n"
        f"{listed}\n"
        f"nothing is sold yet; if that is what you want:\n  {again}"
    )


def _sold(
    desk: Desk, outline: BookOutline, view: dict[str, Any], *, run_id: str, message: str
) -> dict[str, Any]:
    rows = desk.journal.intents(book=outline.name, lane=desk.lane, session=view["session"])
    intents = [
        {
            "symbol": row.intent.symbol,
            "state": row.state.value,
            "quantity": row.quantity,
            "filled": row.filled_quantity,
            "reason": row.reason,
        }
        for row in rows
        if row.intent.slot.value == "flatten"
    ]
    return {**view, "intents": intents, "run_id": run_id, "message": message}


def _sold_text(view: dict[str, Any]) -> str:
    listed = table(
        ("symbol", "state", "filled", "of", "why"),
        [
            (row["symbol"], row["state"], f"{row['filled']:,}", f"{row['quantity']:,}", row["reason"])
            for row in view["intents"]
        ],
    )
    said = f"\n{view['message']}" if view["message"] else ""
    return (
        f"{view['book']} {view['session']}: flattened by {view['actor']} ({view['reason']}){said}\n{listed}\n"
        f"next:\n  trading orders --book {view['book']} --session {view['session']}\n"
        "  trading resume --reason TEXT"
    )
