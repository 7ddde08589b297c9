"""Bring journal and broker together at once, and say what was asked, adopted, closed, parked and found.

It sends nothing. The work is done by the launcher, in this process and under the executor's lock; what is
stuck without asking anybody is stuck.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from console.book_outlines import BookOutline
from console.desk import Desk
from console.exit_codes import ExitCode
from console.unsent import unsent_of
from trading.errors import BadInput
from trading.findings import FindingShown, remedy_of
from trading.journal import Halt, RunControl
from trading.lifecycle import IntentState

if TYPE_CHECKING:
    from trading.reconciliation import Outcomes
    from trading.values import IntentId
    from trading_assets.executor import Reconciled

SESSIONS_BACK = 10
"""How far back the last opened session is looked for: later ones may have been refused before that."""

BROKER_UNAVAILABLE = "broker_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """Hold what reconciling one book did, intents by id and symbol.

    Of those `still_open`, `unproven` are the ones of which the broker has not told what became of them, and
    `unsent` are the commands that send what is approved. `not_compared` says why holdings were not compared,
    `halted` why the reconciliation could not be finished; both are empty where all went well.
    """

    book: str
    session: date | None
    adopted: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    parked: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()
    still_open: tuple[str, ...] = ()
    unproven: int = 0
    unsent: tuple[str, ...] = ()
    new_fills: int = 0
    findings: tuple[FindingShown, ...] = ()
    not_compared: str = ""
    halted: str = ""
    halts: tuple[Halt, ...] = ()
    exit_code: ExitCode = ExitCode.DONE


Reconcile = Callable[[str, date], "Reconciled"]


def brought_together(desk: Desk, book: BookOutline, reconcile: Reconcile) -> Brought:
    """Return what reconciling a book did; raises `ExecutorBusy` while another process executes for it.

    The account is compared with the book of the last session that was opened; before the first one the
    broker is asked all the same, since a journal that lost its rows looks like a new one.
    """
    session = last_opened(desk, book)
    if session is None:
        try:
            session = desk.today(book)
        except BadInput as nothing:
            return Brought(book=book.name, session=None, not_compared=str(nothing))
    done = reconcile(book.name, session)
    outcomes = done.outcomes
    halts = tuple(halt for halt in desk.journal.halts() if halt.account == book.account)
    left = [desk.journal.intent(one) for one in outcomes.still_open]
    unproven = [row for row in left if row.state is IntentState.UNKNOWN]
    return Brought(
        book=book.name,
        session=session,
        adopted=_named(desk, outcomes.adopted),
        released=_named(desk, outcomes.released),
        closed=_named(desk, outcomes.closed),
        parked=_named(desk, outcomes.parked),
        failed=_named(desk, (intent_id for intent_id, _ in outcomes.failed)),
        expired=_named(desk, outcomes.expired),
        still_open=tuple(f"{row.intent.symbol} {row.intent_id} ({row.state.value})" for row in left),
        unproven=len(unproven),
        unsent=tuple(one.next for one in unsent_of(desk, book)),
        new_fills=outcomes.new_fills,
        findings=tuple(
            FindingShown(row.kind.value, row.intent_id, row.detail, remedy_of(row.kind.value))
            for row in outcomes.findings
        ),
        not_compared=done.not_compared,
        halted=outcomes.halted,
        halts=halts,
        exit_code=_code(
            outcomes,
            halts,
            desk.journal.run_control(),
            is_anything_unproven=bool(unproven),
        ),
    )


def last_opened(desk: Desk, book: BookOutline) -> date | None:
    """Return the last session whose book was opened, `None` before the first one."""
    records = desk.journal.sessions(book=book.name, lane=desk.lane, last=SESSIONS_BACK)
    return next((record.session for record in reversed(records) if record.opening_sha), None)


def _code(
    outcomes: Outcomes, halts: tuple[Halt, ...], control: RunControl, *, is_anything_unproven: bool
) -> ExitCode:
    if outcomes.halted.startswith(BROKER_UNAVAILABLE):
        return ExitCode.DEPENDENCY_DOWN
    if outcomes.halted or control.kill_switch_on:
        return ExitCode.HALTED
    if outcomes.findings or outcomes.parked or halts or is_anything_unproven:
        return ExitCode.ATTENTION
    return ExitCode.DONE


def _named(desk: Desk, intent_ids: Iterable[IntentId]) -> tuple[str, ...]:
    return tuple(f"{desk.journal.intent(one).intent.symbol} {one}" for one in intent_ids)
