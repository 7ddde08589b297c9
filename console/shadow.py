"""What `shadow_auto` would have approved by itself, what people did instead, and how both came out.

Only looks: a shadow holds nothing up and approves nothing. What it records is trading/approvals.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from console.book_outlines import BookOutline
from console.desk import Desk
from console.lake_rows import rows_found
from console.order_trace import fill_result_micros
from trading.approvals import ChainStage, StageRecord, StageVerdict
from trading.journal import JournalIntent
from trading.values import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRow:
    """Hold one intent's shadow beside what became of it. Results in micro-units at the session's close.

    `auto_result_micros` is what the whole order would have made from its reference price, 0 where `auto`
    would have asked; `result_micros` what its fills made, costs included. Both are `None` before the close.
    """

    session: date
    symbol: str
    quantity: int
    would_approve: bool
    why: str
    state: str
    answered_by: str
    agrees: bool | None
    auto_result_micros: int | None
    result_micros: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowReport:
    """Hold a book's shadows over its last sessions; `agreed` of `answered` went as `auto` would have gone."""

    book: str
    currency: str
    rows: tuple[ShadowRow, ...]

    @property
    def answered(self) -> int:
        """Return how many intents a person has answered."""
        return sum(1 for row in self.rows if row.agrees is not None)

    @property
    def agreed(self) -> int:
        """Return how many answers were what `auto` would have done."""
        return sum(1 for row in self.rows if row.agrees)


def shadows_of(desk: Desk, book: BookOutline, *, last: int) -> ShadowReport:
    """Return the shadows of a book's last sessions, the oldest first."""
    rows = []
    for record in desk.journal.sessions(book=book.name, lane=desk.lane, last=last):
        for row in desk.journal.intents(book=book.name, lane=desk.lane, session=record.session):
            chain = desk.journal.chain(row.intent_id)
            shadow = next((stage for stage in chain if stage.stage is ChainStage.SHADOW), None)
            if shadow is not None:
                rows.append(_row(desk, book, row, shadow, chain))
    return ShadowReport(book=book.name, currency=book.currency, rows=tuple(rows))


def _row(
    desk: Desk, book: BookOutline, row: JournalIntent, shadow: StageRecord, chain: list[StageRecord]
) -> ShadowRow:
    would = shadow.verdict is StageVerdict.PASSED
    said = [stage for stage in chain if stage.stage is ChainStage.PERSON and stage.actor]
    final = [stage for stage in said if stage.verdict is not StageVerdict.ENDORSED]
    did = final[-1].verdict is StageVerdict.PASSED if final else None
    close = _close(desk, book, row)
    auto = result = None
    if close is not None:
        sign = 1 if row.intent.side is Side.BUY else -1
        auto = sign * (close - row.intent.price_micros) * row.quantity if would else 0
        fills = desk.journal.fills(book=book.name, lane=desk.lane, session=row.intent.session)
        own = [fill for fill in fills if fill.intent_id == row.intent_id]
        result = sum(fill_result_micros(fill, close) for fill in own)
    return ShadowRow(
        session=row.intent.session,
        symbol=row.intent.symbol,
        quantity=row.quantity,
        would_approve=would,
        why=shadow.detail,
        state=row.state.value,
        answered_by=", ".join(stage.actor for stage in said),
        agrees=None if did is None else did is would,
        auto_result_micros=auto,
        result_micros=result,
    )


def _close(desk: Desk, book: BookOutline, row: JournalIntent) -> int | None:
    """Return the session's close of an intent's symbol, `None` before it is known."""
    state = desk.lake.state(book.name, "market_quotes", row.intent.session.isoformat())
    if state is None:
        return None
    found = rows_found(desk.lake, [state], "find_close", symbol=row.intent.symbol)
    return int(found[0]["close_micros"]) if found else None
