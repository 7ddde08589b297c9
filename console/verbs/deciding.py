"""The verbs by which people decide: approvals, halt, pause, resume, settle --carry, quarantine.

Each shows what it is about to do, asks back unless told not to, and is kept in the journal with actor and
reason. What they do is console/actions.py and console/quarantine.py; runs are running.py.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.actions import require_actor
from console.desk import Desk, open_desk
from console.exit_codes import ExitCode, exit_code_of
from console.render import counted, in_one_line, instant, plain
from console.verbs import texts
from console.verbs.options import (
    DECIDING,
    AsOption,
    BookOption,
    JsonOption,
    OneBookOption,
    ReasonOption,
    SessionOption,
    YesOption,
    confirm,
    confirm_change,
    day,
    day_or_none,
    show,
    tell,
)
from console.verbs.teaching import help_of
from resources.operator_names import NAME_RULE, is_name
from trading.errors import BadInput, BadSetting, JournalUnavailable, Refused, TradingError, UnknownId
from trading.journal import RunControlAction
from trading.lifecycle import NOT_BEGUN, IntentState

if TYPE_CHECKING:
    from console.book_outlines import BookOutline

if TYPE_CHECKING:
    from console.actions import ControlChanged
    from console.cancelling import Cancels
    from console.shadow import ShadowReport
    from trading.journal import Journal, JournalIntent, RunControl

REVIEWED_MODE = "reviewed"
"""What stands for no stored mode: each book has the one of its reviewed file."""

PAYLOAD_DIGITS_MIN = 12
"""How much of a payload's hash has to be named: as much as a preview shows in one line."""

IntentArgument = Annotated[
    str,
    typer.Argument(metavar="ID", help="A pending intent: its id or a unique beginning, or SYMBOL@SESSION."),
]
PayloadOption = Annotated[
    str | None,
    typer.Option(
        "--payload",
        metavar="HASH",
        help="The payload hash you saw, its first 12 digits or more; refused where it is another by now.",
    ),
]
VersionOption = Annotated[
    int | None,
    typer.Option("--version", metavar="N", help="The version you saw; refused where the intent moved on."),
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    approvals = typer.Typer(
        help="Intents that wait for a person: list, preview, approve, reject, expire, shadow, mode.",
        no_args_is_help=True,
    )
    approvals.command("list", help=help_of(approvals_list))(approvals_list)
    approvals.command("preview", help=help_of(approvals_preview))(approvals_preview)
    approvals.command("approve", help=help_of(approvals_approve))(approvals_approve)
    approvals.command("reject", help=help_of(approvals_reject))(approvals_reject)
    approvals.command("expire", help=help_of(approvals_expire))(approvals_expire)
    approvals.command("shadow", help=help_of(approvals_shadow))(approvals_shadow)
    approvals.command("mode", help=help_of(approvals_mode))(approvals_mode)
    app.add_typer(approvals, name="approvals", rich_help_panel=DECIDING)
    for verb in (halt, pause, resume, settle):
        app.command(help=help_of(verb), rich_help_panel=DECIDING)(verb)
    quarantine = typer.Typer(help="Rows that may not reach a decision: list, release.", no_args_is_help=True)
    quarantine.command("list", help=help_of(quarantine_list))(quarantine_list)
    quarantine.command("release", help=help_of(quarantine_release))(quarantine_release)
    app.add_typer(quarantine, name="quarantine", rich_help_panel=DECIDING)


def approvals_list(*, book: BookOption = None, as_json: JsonOption = False) -> None:
    """List what waits for a person, the soonest to expire first, and what is approved and nobody sends.

    trading approvals list
    Exit codes: 0 nothing waits, 3 something does.
    """
    from console.approvals import pending_of
    from console.unsent import unsent_of

    desk = open_desk()
    rows = pending_of(desk, book)
    unsent = [one for outline in desk.chosen(book) for one in unsent_of(desk, outline)]
    code = ExitCode.ATTENTION if rows or unsent else ExitCode.DONE
    view = {"items": rows, "unsent": unsent}
    show(view, lambda _: texts.pending(rows, unsent), as_json=as_json, code=code)


def approvals_preview(*, identity: IntentArgument, as_json: JsonOption = False) -> None:
    """Show what an approval would do: weights before and after, each guard's margin, price age, expiry.

    trading approvals preview AAPL@2013-02-28
    Exit codes: 0 done, 2 no such id or several fit.
    """
    from console.approvals import preview
    from console.lookup import find_intent

    desk = open_desk()
    show(preview(desk, find_intent(desk, identity)), texts.preview, as_json=as_json)


def approvals_approve(
    *,
    identity: IntentArgument,
    reason: ReasonOption,
    payload: PayloadOption = None,
    version: VersionOption = None,
    as_name: AsOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Approve one pending intent and start its execution. The executor looks at every guard again.

    trading approvals approve AAPL@2013-02-28 --reason "checked the news"
    Above the four-eyes limit two distinct persons approve; the first leaves it pending.
    Exit codes: 0 done, 3 another has to as well, 4 refused: stale, late, answered, torn stores, 5 halted.
    """
    desk = open_desk()
    answered = _answer(
        desk, identity, "approve", reason=reason, payload=payload, version=version, as_name=as_name, yes=yes
    )
    if answered["state"] != "approved":
        # The first of two: nothing may run before the second.
        show(answered, _answered_text, as_json=as_json, code=ExitCode.ATTENTION)
        return
    launched, code = launch(desk, answered["book"], answered["session"])
    show({**answered, "launched": launched}, _answered_text, as_json=as_json, code=code)


def approvals_reject(
    *,
    identity: IntentArgument,
    reason: ReasonOption,
    payload: PayloadOption = None,
    version: VersionOption = None,
    as_name: AsOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Reject one pending intent, for good.

    trading approvals reject AAPL@2013-02-28 --reason "earnings tonight"
    Exit codes: 0 done, 4 refused: stale, expired or answered already.
    """
    answered = _answer(
        open_desk(),
        identity,
        "reject",
        reason=reason,
        payload=payload,
        version=version,
        as_name=as_name,
        yes=yes,
    )
    show(answered, _answered_text, as_json=as_json)


def approvals_expire(
    *,
    identity: IntentArgument,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a pending or approved intent whose time is over, without waiting for the settlement to do it.

    trading approvals expire AAPL@2013-02-28
    Exit codes: 0 expired, 4 refused: its time is not over, or it has ended already.
    """
    from console import actions
    from console.lookup import find_intent

    desk = open_desk()
    row = find_intent(desk, identity)
    actor = actor_of(desk, as_name)
    now = desk.act_at(row.intent.book, row.intent.session)
    with desk.open_journal() as journal:
        after = actions.expire(journal, row.intent_id, version=row.version, actor=actor, now=now)
    view = {"intent_id": after.intent_id, "symbol": after.intent.symbol, "session": after.intent.session}
    view |= {"state": after.state.value, "actor": actor}
    show(view, lambda _: f"{view['symbol']} {view['session']}: expired by {actor}", as_json=as_json)


def approvals_shadow(
    *,
    book: OneBookOption = None,
    last: Annotated[
        int, typer.Option("--last", metavar="N", min=1, max=10_000, help="How many sessions back.")
    ] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show what `auto` would have approved where people do it, and how both came out at the close.

    Kept for books in mode `shadow_auto` (config/control.toml); it approves nothing.

    trading approvals shadow --book us_wide --last 20
    Exit codes: 0 done.
    """
    from console.shadow import shadows_of

    desk = open_desk()
    report = shadows_of(desk, desk.one(book), last=last)
    view = {**plain(report), "answered": report.answered, "agreed": report.agreed}
    show(view, lambda _: _shadow_text(report), as_json=as_json)


def approvals_mode(
    *,
    mode: Annotated[
        str | None,
        typer.Argument(
            metavar="MODE",
            help="`manual`, `auto`, `shadow_auto`, or `reviewed`: as config/control.toml says of each book.",
        ),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", help="Why; needed to change it, and kept with your name."),
    ] = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the mode that approvals are wanted in, or store another one for all books.

    It holds from the next decision on, and never makes a book more automatic than its reviewed file says.

    trading approvals mode
    trading approvals mode manual --reason "the news is wild"
    Exit codes: 0 done, 2 no such mode, or no reason.
    """
    from console.actions import set_approval_mode
    from resources.clocks import system_now
    from trading.approvals import ApprovalMode

    desk = open_desk()
    if mode is None and (reason is not None or as_name is not None):
        raise BadInput("approvals mode: --reason and --as go with a MODE to change to")
    if mode is None:
        stored = desk.journal.run_control().approval_mode
        show({"mode": stored or REVIEWED_MODE}, lambda view: _mode_text(view["mode"]), as_json=as_json)
        return
    if mode != REVIEWED_MODE and mode not in set(ApprovalMode):
        raise BadInput(f"mode {mode!r}: one of {', '.join([*ApprovalMode, REVIEWED_MODE])}")
    actor = actor_of(desk, as_name)
    wanted = None if mode == REVIEWED_MODE else ApprovalMode(mode)
    with desk.open_journal() as journal:
        changed = set_approval_mode(journal, wanted, actor=actor, reason=reason or "", now=system_now())
    view = {"mode": mode, "changed": changed.changed, "actor": actor, "reason": reason}
    show(view, lambda _: f"{_mode_text(mode)}, by {actor} ({reason})", as_json=as_json)


def _mode_text(mode: str) -> str:
    told = (
        "as config/control.toml says of each book" if mode == REVIEWED_MODE else f"wanted {mode} in all books"
    )
    return f"approvals: {told}"


def _shadow_text(report: ShadowReport) -> str:
    from console.render import money, table

    if not report.rows:
        return f"{report.book}: no shadow is kept; it needs the mode shadow_auto in config/control.toml"
    told = [
        (
            row.session,
            row.symbol,
            "approve" if row.would_approve else f"ask: {row.why}",
            row.state,
            row.answered_by or "-",
            money(row.auto_result_micros, report.currency),
            money(row.result_micros, report.currency),
        )
        for row in report.rows
    ]
    listed = table(("session", "symbol", "auto would", "is", "by", "auto's result", "result"), told)
    return f"{report.book}: {report.agreed} of {report.answered} answers as auto would have given\n{listed}"


def halt(*, reason: ReasonOption, as_name: AsOption = None, as_json: JsonOption = False) -> None:
    """Stop all trading at once, and cancel every open order. Asks nothing back; works with Dagster down.

    Nothing more is claimed or sent from this moment on; the cancels are asked by a process of its own, which
    can do nothing else. `trading flatten` sells what is held, in two steps.

    trading halt --reason "prices look wrong"
    Exit codes: 0 halted, 2 or 6 NOT halted, 3 halted, but an order may be open, or nothing was ever done in
    that folder; a second halt is the one to resume.
    """
    from console.agreement import why_nothing
    from console.cancelling import cancel_apart

    unknown = ""
    try:
        desk = open_desk()
        actor = actor_of(desk, as_name)
        # A look that fails stops no halt: what ails the journal the halt itself tells.
        with suppress(OSError, TradingError):
            unknown = why_nothing(desk)
        halted = change_control(desk, "halt", actor, reason)
    except (OSError, TradingError) as error:
        # Anew, not of the error's own kind: some are made of other parts than a text.
        kind = BadSetting if isinstance(error, BadInput) else JournalUnavailable
        raise kind(
            f"NOT HALTED: {error}. What is open at a broker stays open: cancel it at its own page, and hold"
            " what starts from now on by TRADING_EXECUTION_ENABLED=false"
        ) from error
    where = f"profile {desk.lane}, {desk.settings.profile_dir}"
    tell(in_one_line(f"HALTED by {actor}: {halted.after.reason}; {where}; having what is open cancelled"))
    cancels = cancel_apart(desk, actor=actor, reason=halted.after.reason, is_waiting=True)
    doubt = f"nothing was ever done here: {unknown}; is TRADING_STATE_DIR the desk's own?" if unknown else ""
    text = "\n".join(filter(None, [in_one_line(doubt), told_control(halted, cancels)]))
    show(
        {**plain(halted), "cancels": plain(cancels), "halted_at": where, "doubt": doubt},
        lambda _: text,
        as_json=as_json,
        code=ExitCode.ATTENTION if cancels.problem or doubt else ExitCode.DONE,
    )


def pause(*, reason: ReasonOption, as_name: AsOption = None, as_json: JsonOption = False) -> None:
    """Hold trading back for a while, without the kill switch. `trading resume` ends it.

    trading pause --reason "waiting for the open"
    Exit codes: 0 paused, 4 refused: halted already, or changed meanwhile.
    """
    desk = open_desk()
    show(change_control(desk, "pause", actor_of(desk, as_name), reason), told_control, as_json=as_json)


def resume(
    *,
    reason: ReasonOption,
    account: Annotated[
        str | None,
        typer.Option("--account", metavar="NAME", help="Lift the halt of one account, as `status` lists it."),
    ] = None,
    symbol: Annotated[
        str | None,
        typer.Option("--symbol", metavar="SYMBOL", help="With --account: of one instrument in it alone."),
    ] = None,
    confirmed: Annotated[
        str | None,
        typer.Option(
            "--confirm", metavar="WORD", help="The word of the halt to end, as the first call showed it."
        ),
    ] = None,
    as_name: AsOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """End a pause, or in two steps a halt: the first call shows who halted and why, and the word to name.

    With --account it lifts what a finding halted, one account or one instrument of it, or ends the account's
    cooldown.

    trading resume --reason "prices are right again"
    trading resume --account SIM-FIVE --symbol IBM --reason "the transfer is booked"
    trading resume --reason "prices are right again" --confirm resume-1a2b3c4d
    Exit codes: 0 trading goes on, 4 another halt is in force, or the audit log is broken, 5 still halted.
    """
    from console import actions
    from console.agreement import log_to_resume_on
    from resources.clocks import system_now

    desk = open_desk()
    if account is not None or symbol is not None:
        _lift(desk, account, symbol or "", reason, as_name, yes=yes, as_json=as_json)
        return
    control = desk.journal.run_control()
    is_stopped = control.kill_switch_on or control.paused
    log = log_to_resume_on(desk, tell)
    if is_stopped:
        # Before the word is shown or anything is asked.
        actions.require_true_log(log)
    if control.kill_switch_on and confirmed is None:
        word = actions.confirmation_of(control)
        first_step = {
            "halted_by": control.actor,
            "halted_at": control.changed_at,
            "reason": control.reason,
            "confirm": word,
        }
        show(
            first_step,
            lambda _: (
                f"still HALTED by {control.actor} since {instant(control.changed_at)}: "
                f"{in_one_line(control.reason)}\n"
                f"if that is over: trading resume --reason {quote(reason)} --confirm {word}"
            ),
            as_json=as_json,
            code=ExitCode.HALTED,
        )
    actor = actor_of(desk, as_name)

    def resume_in(journal: Journal) -> ControlChanged:
        return actions.resume(
            journal, audit=log, confirmed=confirmed, actor=actor, reason=reason, now=system_now()
        )

    if is_stopped:
        question = f"resume trading, stopped by {control.actor} ({control.reason})?"
        resumed = confirm_change(desk, resume_in, question, yes=yes)
    else:
        with desk.open_journal() as journal:
            resumed = resume_in(journal)
    show(resumed, told_control, as_json=as_json)


def settle(
    *,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="The session to settle, YYYY-MM-DD.")],
    reason: ReasonOption,
    book: OneBookOption = None,
    carry: Annotated[
        bool,
        typer.Option("--carry", help="Carry the book over: what a blocked session needs."),
    ] = False,
    as_name: AsOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Settle a session that was blocked, so that the next one may open: nothing more of it executes.

    What was filled by then is booked; else the book is carried over as it opened. Intents that were never
    sent are cancelled, and named before; with --json each one's intent_id, symbol, side, quantity, and the
    state that it was cancelled in.

    trading settle 2013-02-28 --book us_five --carry --reason "quotes unfit, no trading"
    Exit codes: 0 settled, 4 refused: an order may still be out, or the session is settled already.
    """
    desk = open_desk()
    outline = desk.one(book)
    asked = day(session)
    desk.calendar(outline).require(asked)
    if not carry:
        raise BadInput(
            f"settle {asked}: say --carry to settle it with nothing more to execute; otherwise it is "
            f"`trading run-once --book {outline.name} --session {asked} --phase settle`"
        )
    actor = actor_of(desk, as_name)
    require_actor(actor, reason)
    _require_unsettled(desk, outline, asked)
    waiting = _waiting(desk, outline, asked)
    cancelling = f", cancelling {'; '.join(waiting)}" if waiting else ""
    having = _with(_fills(desk, outline, asked))
    confirm(f"settle {outline.name} {asked} {having}{cancelling}, as {actor}?", yes=yes)

    from console.launcher import open_launcher

    run, rows = open_launcher().settle_carried(outline.name, asked, actor=actor, reason=reason)
    if not run.success:
        raise Refused(f"{outline.name} {asked} {run.stage}: {run.message}")
    # Settling asks the broker: what it tells only then is booked as well.
    fills = _fills(desk, outline, asked)
    # Not what waited before the question: somebody may have answered it meanwhile.
    cancelled = "; ".join(map(_waits, rows))
    view = {
        "book": outline.name,
        "session": asked,
        "carried_by": actor,
        "reason": reason,
        "fills": fills,
        "cancelled": [
            {
                "intent_id": row.intent_id,
                "symbol": row.intent.symbol,
                "side": row.intent.side,
                "quantity": row.quantity,
                "state": row.state,
            }
            for row in rows
        ],
        "run_id": run.run_id,
    }
    having_cancelled = f", having cancelled {cancelled}" if cancelled else ""
    done = f"settled {_with(fills)} by {actor}{having_cancelled}"
    show(view, lambda _: f"{outline.name} {asked}: {done}", as_json=as_json)


def _waiting(desk: Desk, book: BookOutline, session: date) -> list[str]:
    """Return in words the intents of a session that wait for a person or for being sent."""
    rows = desk.journal.intents(book=book.name, lane=desk.lane, session=session)
    return [_waits(row) for row in rows if row.state in NOT_BEGUN]


def _waits(row: JournalIntent) -> str:
    """Return in words an intent, and what it waits for."""
    state = row.state.value.replace("_", " ")
    return f"{row.intent.side.value} {row.quantity:,} {row.intent.symbol} ({state})"


def _fills(desk: Desk, book: BookOutline, session: date) -> int:
    return len(desk.journal.fills(book=book.name, lane=desk.lane, session=session))


def _with(fills: int) -> str:
    """Return in words what a session is settled with, when nothing more of it executes."""
    return f"with {counted(fills, 'fill')} and nothing more" if fills else "without fills"


def _require_unsettled(desk: Desk, book: BookOutline, session: date) -> None:
    """Raise `Refused` where a session is settled already: its book is closed, with its fills or without."""
    record = desk.journal.session_record(book=book.name, lane=desk.lane, session=session)
    if record is not None and record.settled_at is not None:
        how = f"without fills by {record.carried_by}" if record.carried_by else "with what was filled"
        raise Refused(
            f"{book.name} {session}: was settled already at {instant(record.settled_at)}, {how}: "
            "nothing was changed"
        )


def quarantine_list(
    *, book: OneBookOption = None, session: SessionOption = None, as_json: JsonOption = False
) -> None:
    """List rows that may not reach a decision: by session, or with --session each row and the rule it broke.

    trading quarantine list --book us_wide
    trading quarantine list --book us_wide --session 2010-05-06
    Exit codes: 0 done.
    """
    from console.quarantine import quarantine_counts, quarantined_rows
    from console.render import table

    desk = open_desk()
    outline = desk.one(book)
    asked = day_or_none(session)
    if asked is not None:
        rows = quarantined_rows(desk.lake, outline.name, [asked])
        listed = table(
            ("row", "symbol", "rule broken", "what", "releasable"),
            [(row.row_id, row.symbol, row.reason, row.detail, row.releasable) for row in rows],
        )
        text = listed if rows else f"{outline.name} {asked}: nothing is quarantined"
        show({"book": outline.name, "session": asked, "rows": rows}, lambda _: text, as_json=as_json)
        return
    counts = quarantine_counts(desk.lake, outline.name)
    listed = table(("session", "rows"), [(row.session, row.rows) for row in counts])
    some = (
        f"{listed}\nnext:\n  trading quarantine list --book {outline.name} --session {counts[-1].session}"
        if counts
        else ""
    )
    none = f"{outline.name}: nothing is quarantined\nnext:\n  trading quotes import --book {outline.name}"
    show({"book": outline.name, "sessions": counts}, lambda _: some or none, as_json=as_json)


def quarantine_release(
    *,
    row_id: Annotated[
        str, typer.Argument(metavar="ROW_ID", help="A quarantined row, or a unique beginning of it.")
    ],
    reason: ReasonOption,
    book: OneBookOption = None,
    session: SessionOption = None,
    as_name: AsOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Vouch for a quarantined row: it counts once its session is imported again.

    trading quarantine release 80dc055ad810cd98 --book us_five --reason "real: profit warning"
    Exit codes: 0 done, 2 no such row, 4 the row cannot be a quote.
    """
    from console.quarantine import quarantine_counts, quarantined_row, quarantined_rows, release_quote
    from resources.clocks import system_now

    desk = open_desk()
    outline = desk.one(book)
    asked = day_or_none(session)
    sessions = [asked] if asked else [row.session for row in quarantine_counts(desk.lake, outline.name)]
    row = quarantined_row(quarantined_rows(desk.lake, outline.name, sessions), row_id)
    actor = actor_of(desk, as_name)
    require_actor(actor, reason)
    confirm(f"release {row.symbol} {row.session} ({row.reason}: {row.detail}), as {actor}?", yes=yes)
    with desk.open_journal() as journal:
        released = release_quote(journal, row, actor=actor, reason=reason, now=system_now())
    again = f"trading quotes import --book {outline.name} --through {row.session}"
    show(
        released,
        lambda _: (
            f"{row.symbol} {row.session}: "
            f"{'released' if released.is_new else 'was released already'}\nnext:\n  {again}"
        ),
        as_json=as_json,
    )


def _answer(
    desk: Desk,
    identity: str,
    answer: str,
    *,
    reason: str,
    payload: str | None,
    version: int | None,
    as_name: str | None,
    yes: bool,
) -> dict[str, Any]:
    """Show an intent, ask back, and answer to it as it was shown."""
    from console.actions import Answer, Shown, answer_intent
    from console.approvals import preview, require_approvable
    from console.lookup import find_intent
    from console.render import plain

    row = find_intent(desk, identity)
    actor = actor_of(desk, as_name)
    require_actor(actor, reason)
    if Answer(answer) is Answer.APPROVE:
        require_approvable(desk, row.intent.book)
    # What is answered, expired or blocked is not asked about: the journal refuses it, and keeps that it did.
    if row.state is IntentState.PENDING_APPROVAL:
        if not yes:
            tell(texts.preview(preview(desk, row)))
        confirm(f"{answer} {row.intent.side} {row.quantity:,} {row.intent.symbol}, as {actor}?", yes=yes)
    with desk.open_journal() as journal:
        answered = answer_intent(
            journal,
            row.intent_id,
            Answer(answer),
            seen=Shown(
                payload_hash=row.payload_hash
                if payload is None
                else _payload_seen(row.payload_hash, payload),
                version=row.version if version is None else version,
            ),
            actor=actor,
            reason=reason,
            now=desk.act_at(row.intent.book, row.intent.session),
        )
    view: dict[str, Any] = plain(answered)
    return view


def _payload_seen(stored: str, payload: str) -> str:
    """Return the hash that its beginning names; raises `BadInput` where too little is named to bind."""
    if len(payload) < PAYLOAD_DIGITS_MIN:
        raise BadInput(
            f"--payload {payload!r}: {len(payload)} digits; give {PAYLOAD_DIGITS_MIN} or more, as previewed"
        )
    return stored if stored.startswith(payload) else payload


def launch(desk: Desk, book: str, session: str) -> tuple[dict[str, str], ExitCode]:
    """Start the execution of a session, and say how; where it fails, what a person said stands."""
    control = desk.journal.run_control()
    if control.kill_switch_on:
        how = f"not launched: halted by {control.actor}; resume, and run the session again"
        return {"how": how, "run_id": ""}, ExitCode.HALTED

    from console.launcher import open_launcher

    try:
        launched = open_launcher().launch_execute(book, day(session))
    except TradingError as error:
        return {"how": f"not launched: {error}; what you said stands", "run_id": ""}, exit_code_of(error)
    told = {"how": launched.how, "run_id": launched.run_id, "message": launched.message}
    return told, ExitCode.DONE if launched.success else ExitCode.FAILED


def told_how(how: str) -> str:
    """Return in words how an execution was started, as `launch` names it."""
    return {"process": "run here", "graphql": "started at the web server"}.get(how, how)


def _answered_text(view: dict[str, Any]) -> str:
    line = in_one_line(
        f"{view['symbol']} {view['session']}: {view['state']} by {view['actor']} ({view['reason']})"
    )
    launched = view.get("launched")
    if launched is None and view["state"] == "pending_approval":
        again = f"trading approvals preview {view['symbol']}@{view['session']}"
        return f"{line}\nthe first of two: another person has to approve it as well\nnext:\n  {again}"
    if launched is None:
        return line
    run = f", run {launched['run_id']}" if launched["run_id"] else ""
    said = f": {launched['message']}" if launched.get("message") else ""
    orders = f"trading orders --book {view['book']} --session {view['session']}"
    return f"{line}\nexecution: {told_how(launched['how'])}{run}{said}\nnext:\n  {orders}"


def change_control(desk: Desk, action: str, actor: str, reason: str) -> ControlChanged:
    """Halt, pause, degrade or restore, and return run control before and after."""
    from console import actions
    from resources.clocks import system_now

    said = {"actor": actor, "reason": reason}
    now = system_now()
    with desk.open_journal() as journal:
        match action:
            case "halt":
                return actions.halt(journal, **said, now=now)
            case "pause":
                return actions.pause(journal, **said, now=now)
            case _:
                return actions.degrade(journal, is_on=action == "degrade", **said, now=now)


def _lift(
    desk: Desk,
    account: str | None,
    symbol: str,
    reason: str,
    as_name: str | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Show a halt of an account or an instrument, ask back, and end it."""
    from console import actions
    from console.doing import cooldown_of, lifted_at

    if account is None:
        raise BadInput(f"--symbol {symbol}: name its account as well; `trading status` lists what is halted")
    halt = next((row for row in desk.journal.halts() if (row.account, row.symbol) == (account, symbol)), None)
    what = f"{account} {symbol}".strip()
    if halt is None and not symbol and (cooling_down := cooldown_of(desk, account)) is not None:
        cooldown, now = cooling_down
        actor = actor_of(desk, as_name)
        confirm(f"end the cooldown of {account} ({cooldown.reason}), as {actor}?", yes=yes)
        with desk.open_journal() as journal:
            ended = actions.end_cooldown(journal, cooldown, actor=actor, reason=reason, now=now)
        show(ended, lambda _: f"{account}: cooldown ended by {actor} ({reason})", as_json=as_json)
        return
    if halt is None:
        raise UnknownId(f"halt of {what}: there is none; `trading status` lists what is halted")
    actor = actor_of(desk, as_name)
    confirm(
        f"lift the halt of {what}, set by {halt.actor} at {instant(halt.changed_at)} ({halt.reason}), "
        f"as {actor}?",
        yes=yes,
    )
    with desk.open_journal() as journal:
        lifted = actions.lift_halt(journal, halt, actor=actor, reason=reason, now=lifted_at(desk, halt))
    show(
        lifted,
        lambda _: f"{what}: halt lifted by {actor} ({reason})\nnext:\n  trading reconcile\n  trading status",
        as_json=as_json,
    )


def told_control(changed: ControlChanged, cancels: Cancels | None = None) -> str:
    """Return a change of run control as a person reads it, with what to do next."""
    after = changed.after
    state = "HALTED" if after.kill_switch_on else "PAUSED" if after.paused else "trading goes on"
    by = f" by {after.actor}: {after.reason}" if after.actor else ""
    is_nothing = changed.action is RunControlAction.RESUME and not changed.changed
    lines = [f"{state}{by}{' (nothing was stopped)' if is_nothing else ''}"]
    if changed.action in {RunControlAction.DEGRADE, RunControlAction.RESTORE}:
        lines = [_told_degrade(changed), *([lines[0]] if state != "trading goes on" else [])]
    elif after.is_degraded:
        lines.append(_degraded(after))
    if cancels is not None and cancels.how != "not_needed":
        said = cancels.problem or cancels.note
        lines.append(f"{counted(cancels.asked, 'open order')}: cancel asked{f'; {said}' if said else ''}")
    next_steps = (
        ["trading degrade --off --reason TEXT"]
        if after.is_degraded and changed.action is RunControlAction.DEGRADE
        else []
    )
    next_steps += ["trading status"] if state == "trading goes on" else ["trading resume --reason TEXT"]
    if after.kill_switch_on:
        next_steps += ["trading reconcile", "trading flatten --book NAME --reason TEXT"]
    return "\n".join([*map(in_one_line, lines), "next:", *(f"  {step}" for step in next_steps)])


def _told_degrade(changed: ControlChanged) -> str:
    """Return a degrade or its end, and whose word it took the place of."""
    before, after = changed.before, changed.after
    if changed.action is RunControlAction.RESTORE:
        return f"no longer degraded, by {after.degraded_by}: {after.degraded_reason}: normal sizes again"
    if changed.changed:
        return _degraded(after)
    return (
        f"{_degraded(after)}; it was already, by {before.degraded_by} since {instant(before.degraded_at)}: "
        f"{before.degraded_reason}, and now goes by your word"
    )


def _degraded(control: RunControl) -> str:
    return f"DEGRADED by {control.degraded_by}: {control.degraded_reason}: smaller, and approved by hand"


def actor_of(desk: Desk, as_name: str | None) -> str:
    """Return who acts; raises `BadInput` where that is nobody, or no name."""
    name = (desk.settings.operator if as_name is None else as_name).strip()
    if not name:
        raise BadInput("--as '': say who acts, or set TRADING_OPERATOR")
    if not is_name(name):
        raise BadInput(f"--as {name!r}: a name is {NAME_RULE}")
    return name
