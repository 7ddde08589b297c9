"""What each account holds at its brokers, beside the book of the last settled session.

A paper account's is folded here from the ledger, the lake's corporate actions and closes, so that nothing
runs for it; what brokers over a network hold they told. Whether it agrees with the book is INV19 of
trading/invariants.py; the executor asks the broker itself, in reconciliation.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date

from console.asking import Told
from console.book_outlines import BookOutline
from console.desk import Desk
from console.lake_rows import rows_found
from console.ledgers import ledger_path
from resources.paper_broker.statement import Folded, Statement, statement_of
from trading.accounts import account_after
from trading.actions import ActionKind, CorporateAction, effective_in
from trading.brokers import Holdings
from trading.errors import LakeError, UnknownSession
from trading.invariants import LIVE, Held
from trading.routing import together
from trading.values import Symbol

CORPORATE_ACTIONS = "corporate_actions"
SESSIONS_BACK = 30
"""How many sessions a last close is looked for: a symbol that did not trade for so long has none."""


def accounts_held(desk: Desk) -> Iterator[Held]:
    """Give for each paper account the last settled book, and what the ledger adds up to after its session.

    Once from the deposit, and once from where the broker itself goes on. An account that several books share
    is left out: no settled book is all of it. Raises `BrokerUnavailable` or `LakeError` for what cannot be
    read.
    """
    if desk.lane == LIVE:
        return
    books_of = Counter(book.account for book in desk.books.values())
    for book in desk.books.values():
        settled = desk.journal.last_settled(book=book.name, lane=desk.lane)
        statement = statement_of(ledger_path(desk, book))
        if settled is None or settled.closing is None or statement is None or books_of[book.account] > 1:
            continue
        deposit = Folded(date.min, 0, Holdings(cash_micros=statement.deposit_micros))
        starts = [("by its executions", deposit)]
        if (checkpoint := statement.checkpoint) and _goes_on_from(checkpoint, statement, settled.session):
            starts.append(("by its checkpoint", checkpoint))
        for how, start in starts:
            found = _holdings(desk, book, statement, start, through=settled.session)
            yield Held(book.account, book.name, settled.session, settled.closing, found, how)


def routed_accounts_held(desk: Desk, told: Sequence[Told]) -> Iterator[Held]:
    """Give for each account at brokers over a network the last settled book, and what they said it holds.

    What was earned there is counted from what the account was opened with there; what its ledger here holds
    is part of it. Left out are an account that several books share, one of which a session is not settled,
    and one that was asked after the next open: what they hold is not yet what any settled book says.
    """
    books_of = Counter(book.account for book in desk.books.values())
    for book in desk.books.values():
        parts = [one for one in told if one.account == book.account and one.holdings is not None]
        settled = desk.journal.last_settled(book=book.name, lane=desk.lane)
        latest = desk.latest(book)
        if not parts or settled is None or settled.closing is None or latest is None:
            continue
        is_moving = latest.session != settled.session or any(
            _is_after_next_open(desk, book, one, session=settled.session) for one in parts
        )
        if is_moving or books_of[book.account] > 1:
            continue
        held = [(one.holdings, one.opening_micros) for one in parts if one.holdings is not None]
        statement = None if desk.lane == LIVE else statement_of(ledger_path(desk, book))
        deposit = statement.deposit_micros if statement else parts[0].deposit_micros
        if statement is not None:
            start = Folded(date.min, 0, Holdings(cash_micros=deposit))
            held.append((_holdings(desk, book, statement, start, through=settled.session), deposit))
        found = together(held, opened_with_micros=deposit)
        how = f"by {', '.join(one.adapter for one in parts)}{' and its ledger' if statement else ''}"
        yield Held(book.account, book.name, settled.session, settled.closing, found, how)


def _is_after_next_open(desk: Desk, book: BookOutline, told: Told, *, session: date) -> bool:
    """Say whether an account was asked when a later session's splits and dividends may be in it."""
    calendar = desk.calendar(book)
    try:
        next_open = calendar.opens_at(calendar.next(session))
    except UnknownSession:
        return False
    return told.asked_at is not None and told.asked_at >= next_open


def _goes_on_from(checkpoint: Folded, statement: Statement, session: date) -> bool:
    """Say whether a broker asked about a session goes on from its checkpoint, as broker.py does."""
    return checkpoint.through_session <= session and all(
        execution.session > checkpoint.through_session
        for number, execution in statement.executions
        if number > checkpoint.through_fill
    )


def _holdings(
    desk: Desk, book: BookOutline, statement: Statement, start: Folded, *, through: date
) -> Holdings:
    passed = [
        execution
        for number, execution in statement.executions
        if number > start.through_fill and start.through_session < execution.session <= through
    ]
    actions = _actions(desk, book, after=start.through_session, through=through)
    days = {action.effective_on for action in actions}
    return account_after(
        start.holdings,
        passed,
        {day: effective_in(actions, day) for day in days},
        last_close=lambda symbol, session: _last_close(desk, book, actions, symbol, session),
    )


def _actions(desk: Desk, book: BookOutline, *, after: date, through: date) -> list[CorporateAction]:
    state = desk.lake.state(book.name, CORPORATE_ACTIONS)
    if state is None:
        raise LakeError(
            f"{book.name}/{CORPORATE_ACTIONS}: is missing, so that what its account holds is not known; put"
            f" the lake back, or `trading quotes import --book {book.name}`"
        )
    rows = rows_found(
        desk.lake, [state], "find_actions", after=after.isoformat(), session=through.isoformat()
    )
    return [CorporateAction(**{**row, "kind": ActionKind(row["kind"])}) for row in rows]


def _last_close(
    desk: Desk, book: BookOutline, actions: list[CorporateAction], symbol: Symbol, session: date
) -> int | None:
    """Return a symbol's last close before a session, in the session's shares."""
    # Quotes bring NumPy along, and no other part of a look needs them.
    from trading.quotes import split_price

    for day in reversed(desk.calendar(book).before(session, SESSIONS_BACK)):
        state = desk.lake.state(book.name, "market_quotes", day.isoformat())
        rows = rows_found(desk.lake, [state], "find_close", symbol=symbol) if state else []
        if rows:
            close = int(rows[0]["close_micros"])
            for action in sorted(actions):
                if action.symbol == symbol and day < action.effective_on <= session:
                    close = split_price(close, action.numerator, action.denominator)
            return close
    return None
