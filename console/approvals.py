"""What waits for a person: the list, and the preview that an approval is bound to.

Answering is actions.py. A preview shows what the book would look like, how far each guard is from stopping
it, how old the price is, and until when it may be approved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from console.actions import shown
from console.agreement import disagreements
from console.book_outlines import BookOutline, require_book
from console.desk import Desk
from console.explain import GuardSaid, explained
from console.reports import equity_at_close
from console.reviewed_files import require_readable
from trading.approvals import StageVerdict, approvers_of, endorsers_of
from trading.errors import Refused
from trading.guards import BPS
from trading.journal import JournalIntent, RunControl
from trading.lifecycle import IntentState
from trading.values import Side, notional_micros


def require_approvable(desk: Desk, book: str) -> None:
    """Raise where an approval would be kept that cannot be executed, or on stores that are not each other's.

    `Refused` where journal, log, lake and ledgers do not belong together: what is approved on an older copy
    may have been sent before; or where the log's end would halt the execution.
    `BadSetting` where a reviewed file of the book cannot be read.
    """
    if found := disagreements(desk) or tuple(_broken_end(desk)):
        raise Refused(
            f"approve: {'; '.join(found)}. `trading doctor` and `trading verify` say more: put back what is "
            "missing, damaged or older before anything is decided (docs/how-to/copy_and_restore.md); nothing "
            "was changed"
        )
    require_readable(desk, book)


def _broken_end(desk: Desk) -> Iterator[str]:
    """Give what whoever executes would find in the audit log, by the same look, and halt for."""
    # Signatures take a tenth of a second to import.
    from resources.audit_log import AuditFile

    bad = AuditFile(desk.journal, desk.audit_log).verify()
    if bad is not None and not bad.heals:
        yield f"the audit log is broken, {bad.part} {bad.told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Hold one intent that waits. Money in micro-units; `not_after` is when it expires.

    `reason` is why a person is asked, `approvers` how many persons have to approve, and `approved_by` who did
    already where there are several.
    """

    intent_id: str
    book: str
    session: date
    symbol: str
    side: str
    quantity: int
    price_micros: int
    notional_micros: int
    currency: str
    reason: str
    approvers: int
    approved_by: tuple[str, ...]
    not_after: datetime
    payload_hash: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Hold what an approver looks at. Weights are shares of equity in basis points, at the intent's price.

    `priced_on` is the session whose close is the price; `equity_micros` that of the same close, or the
    deposit before the first session. Approving with `payload_hash` and `version` binds to this preview;
    where it is not `is_answerable`, somebody or its time was first: `changed_by`, `changed_at` and
    `changed_why` say who and why. `notices` say what run control would do to it now, whatever the guards
    said when it was decided.
    """

    pending: Pending
    state: IntentState
    is_answerable: bool
    changed_by: str
    changed_at: datetime
    changed_why: str
    notices: tuple[str, ...]
    unadvised_quantity: int
    held_quantity: int
    equity_micros: int | None
    weight_before_bps: int | None
    weight_after_bps: int | None
    priced_on: date | None
    guards: tuple[GuardSaid, ...]
    largest_quantity: int | None
    more_may_pass: bool
    strategy: str
    rationale: str


def pending_of(desk: Desk, book: str | None = None) -> tuple[Pending, ...]:
    """Return what waits for a person, the soonest to expire first."""
    chosen = {outline.name for outline in desk.chosen(book)}
    waiting = [row for row in desk.journal.pending(lane=desk.lane) if row.intent.book in chosen]
    return tuple(
        _pending(desk, row) for row in sorted(waiting, key=lambda row: (row.not_after, row.intent.symbol))
    )


def preview(desk: Desk, row: JournalIntent) -> Preview:
    """Return what an approver of an intent looks at."""
    book = require_book(desk.books, row.intent.book)
    before = desk.calendar(book).before(row.intent.session, 1)
    equity = _equity(desk, book, before[-1] if before else None)
    held = _held(desk, book, row, before[-1] if before else None)
    change = row.quantity if row.intent.side is Side.BUY else -row.quantity
    said = explained(desk, row)
    return Preview(
        pending=_pending(desk, row),
        state=row.state,
        is_answerable=row.state is IntentState.PENDING_APPROVAL,
        changed_by=row.actor,
        changed_at=row.changed_at,
        changed_why=row.reason,
        notices=tuple(_notices(desk.journal.run_control(), row, said.guards)),
        # What the rules wanted, also where a guard let nothing of it pass.
        unadvised_quantity=row.unadvised_quantity or row.intent.quantity,
        held_quantity=held,
        equity_micros=equity,
        weight_before_bps=_weight_bps(row, held, equity),
        weight_after_bps=_weight_bps(row, held + change, equity),
        priced_on=before[-1] if before else None,
        guards=said.guards,
        largest_quantity=said.largest_quantity,
        more_may_pass=said.more_may_pass,
        strategy=f"{row.intent.strategy} {row.intent.strategy_version}",
        rationale=row.intent.rationale,
    )


def _pending(desk: Desk, row: JournalIntent) -> Pending:
    seen = shown(row)
    chain = desk.journal.chain(row.intent_id)
    asked = next((stage for stage in chain if stage.verdict is StageVerdict.WAITING), None)
    return Pending(
        intent_id=row.intent_id,
        book=row.intent.book,
        session=row.intent.session,
        symbol=row.intent.symbol,
        side=row.intent.side.value,
        quantity=row.quantity,
        price_micros=row.intent.price_micros,
        notional_micros=notional_micros(price_micros=row.intent.price_micros, quantity=row.quantity),
        currency=row.intent.currency,
        # What the row tells is the last word of anybody: after the first of two approvals, that person's.
        reason=asked.detail if asked else row.reason,
        approvers=approvers_of(chain),
        approved_by=endorsers_of(chain),
        not_after=row.not_after,
        payload_hash=seen.payload_hash,
        version=seen.version,
    )


def _notices(control: RunControl, row: JournalIntent, guards: Sequence[GuardSaid]) -> Iterator[str]:
    """Say what run control does to it at its send, though the decision knew nothing of it."""
    if control.kill_switch_on or control.paused:
        how = "halted" if control.kill_switch_on else "paused"
        yield f"trading is {how} by {control.actor}: nothing is sent until `trading resume`"
    if not control.is_degraded or row.intent.side is not Side.BUY:
        return
    said = {guard.guard: guard for guard in guards}
    limit = said["degrade_notional"].limit if "degrade_notional" in said else "a quarter of the usual"
    yield f"trading is degraded: a buy needs an allowlisted symbol at its send, and is worth at most {limit}"
    if "degrade_allowlist" in said and said["degrade_allowlist"].observed == "0":
        yield f"{row.intent.book} has no allowlist: no buy of it is sent until `trading degrade --off`"


def _equity(desk: Desk, book: BookOutline, before: date | None) -> int | None:
    """Return the equity the session opens with: that of the close before, or the deposit of a new book."""
    if before is not None and desk.journal.session_record(book=book.name, lane=desk.lane, session=before):
        return equity_at_close(desk, book, before)
    return book.deposit_micros


def _held(desk: Desk, book: BookOutline, row: JournalIntent, before: date | None) -> int:
    record = before and desk.journal.session_record(book=book.name, lane=desk.lane, session=before)
    return record.closing.quantity_of(row.intent.symbol) if record and record.closing else 0


def _weight_bps(row: JournalIntent, quantity: int, equity_micros: int | None) -> int | None:
    if not equity_micros:
        return None
    return notional_micros(price_micros=row.intent.price_micros, quantity=quantity) * BPS // equity_micros
