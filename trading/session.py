"""One session, start to end, without Dagster: the step that the graph, a replay and long checks share.

Each stage of the graph calls one function of this file or of the noun it is named after; `run_sessions`
calls the same ones in a plain loop. Live execution is executions.py; here the open fills at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import NamedTuple

from trading.actions import ActionKind, CorporateAction, at_sessions, effective_in
from trading.advice import Advice, AdviceContext, Advisor, Ladder, admitted
from trading.allocation import intents_of
from trading.books import BookConfig, Rules
from trading.candidates import Candidate, rank_candidates, selected
from trading.council import Vote, vote
from trading.decisions import Decision, Outcome, decide
from trading.guards import GUARDS, PASS, Market, Recent, Why
from trading.intents import Intent, client_order_id_of, hashed
from trading.orders import Fill
from trading.positions import Book, Mark, book_at_open, equity_micros, opened_book, with_fill, with_fills
from trading.prepared import prepare_session
from trading.quotes import Panel, Quote, Window, split_price
from trading.sessions import Calendar
from trading.simulation import fill_at_open
from trading.values import Symbol, digest
from trading.verdicts import (
    NO_EXCEPTIONS,
    Exceptions,
    Funds,
    OpenOrders,
    Prepared,
    Switches,
    Verdict,
    asked_of_person,
    by_intent,
    funds_of,
    review_intents,
    review_one,
)

TRADING = Switches(
    kill_switch_on=False,
    paused=False,
    cooldown_active=False,
    is_reconciled=True,
    execution_enabled=True,
    is_degraded=False,
)
"""The switches of a day on which nobody holds anything back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Morning:
    """Hold what a session's reviews and sends start from, made once.

    `closes` are the last closes in today's shares; `opening_micros` is what the book at the open is worth
    at them, `None` where one is missing; `peak_equity_micros` the highest of its late closes, 0: none.
    """

    closes: Mapping[Symbol, int]
    opening_micros: int | None
    peak_equity_micros: int
    prepared: Prepared = field(repr=False, compare=False)

    def funds(self, orders: OpenOrders, *, live: Mapping[Symbol, int]) -> Funds:
        """Return the exposure of a book with its open orders at live prices."""
        return funds_of(
            orders,
            live=live,
            closes=self.closes,
            opening_micros=self.opening_micros,
            peak_equity_micros=self.peak_equity_micros,
        )

    def prepared_for(self, orders: OpenOrders, *, live: Mapping[Symbol, int]) -> Prepared:
        """Return the prepared state with the risk of a book and its open buys at live prices."""
        quantities = {position.symbol: position.quantity for position in orders.book.positions}
        for symbol, quantity in orders.open_buys.items():
            quantities[symbol] = quantities.get(symbol, 0) + max(quantity, 0)
        return replace(self.prepared, risk=self.prepared.risk.of_book(quantities, {**self.closes, **live}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Advised:
    """Hold who advises on a session, and what it is told."""

    advisor: Advisor
    context: AdviceContext

    def on(self, intents: Sequence[Intent]) -> tuple[Advice, ...]:
        """Return the advice on intents that passed, as a decision may follow it."""
        given = self.advisor.advise(intents, context=self.context)
        return admitted(given.advice, intents, ladder=self.context.ladder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """Hold what the rules want: the book at the open, the council's votes, and the sized intents."""

    at_open: Book
    votes: Mapping[Symbol, Vote]
    intents: tuple[Intent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Hold everything a session's decision made, stage by stage."""

    candidates: tuple[Candidate, ...]
    proposed: Proposed
    morning: Morning
    verdicts: tuple[Verdict, ...]
    advice: tuple[Advice, ...]
    decisions: tuple[Decision, ...]


class RefusedAtSend(NamedTuple):
    """Hold what one guard refused an intent for at its second look, on the open's prices."""

    intent: Intent
    guard: str
    why: Why


class Sent(NamedTuple):
    """Hold what became of a session's decisions at its open: the fills, and what the second look refused."""

    fills: tuple[Fill, ...]
    refused: tuple[RefusedAtSend, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """Hold a whole simulated session: what was decided, filled, and what the book is worth after.

    `opens` are the session's opening prices in micro-units, by symbol.
    """

    session: date
    decided: Decided
    opens: Mapping[Symbol, int]
    fills: tuple[Fill, ...]
    refused: tuple[RefusedAtSend, ...]
    closing: Book
    marks: Mapping[Symbol, Mark]
    equity_micros: int

    @property
    def held(self) -> dict[Symbol, Mark]:
        """Return the marks of what is held after the session: what the next one starts from."""
        return {position.symbol: self.marks[position.symbol] for position in self.closing.positions}


def last_closes(window: Window) -> dict[Symbol, int]:
    """Return the last closes of a window in micro-units and today's shares, by symbol."""
    return {
        symbol: int(price)
        for symbol, price in zip(window.symbols, window.close_micros, strict=True)
        if price > 0
    }


def sessions_behind(window: Window) -> dict[Symbol, int]:
    """Return how many sessions each symbol's last quote is behind the window's last session."""
    behind = {}
    for symbol, quoted_on in zip(window.symbols, window.quoted_on, strict=True):
        if quoted_on is not None:
            behind[symbol] = sum(1 for session in window.sessions if session > quoted_on)
    return behind


def propose(
    *,
    book_name: str,
    window: Window,
    candidates: Sequence[Candidate],
    opening: Book,
    actions: Iterable[CorporateAction],
    rules: Rules,
) -> Proposed:
    """Return what the strategies want of candidates and of what is held, sized on the book at the open."""
    prices = last_closes(window)
    at_open = book_at_open(opening, effective_in(actions, window.session), last_close_micros=prices)
    known = set(window.symbols)
    symbols = [row.symbol for row in selected(candidates)]
    symbols += [p.symbol for p in at_open.positions if p.symbol not in set(symbols) and p.symbol in known]
    votes = vote(window, symbols, rules.strategies, rules.council)
    intents = intents_of(
        votes,
        book_name=book_name,
        session=window.session,
        book=at_open,
        prices=prices,
        rules=rules.allocation,
        strategy_version=rules.strategy_version(),
    )
    return Proposed(at_open=at_open, votes=votes, intents=intents)


def judge(
    intents: Sequence[Intent],
    *,
    window: Window,
    at_open: Book,
    morning: Morning,
    rules: Rules,
    switches: Switches,
    now: datetime | None = None,
) -> tuple[Verdict, ...]:
    """Return the guards' verdicts on a session's intents, before its open."""
    return review_intents(
        intents,
        funds=morning.funds(OpenOrders(at_open, {}, {}, 0), live=morning.closes),
        prices=morning.closes,
        sessions_behind=sessions_behind(window),
        session_open=True,
        switches=switches,
        limits=rules.limits.on(window.session),
        prepared=morning.prepared,
        exceptions=Exceptions(overrides=rules.overrides, now=now),
    )


def morning_of(window: Window, *, at_open: Book, rules: Rules, equities: Sequence[int]) -> Morning:
    """Return what a session's reviews and sends start from.

    `equities` are what the book was worth at the close of its earlier sessions, ascending.
    """
    limits, closes = rules.limits.on(window.session), last_closes(window)
    is_valued = all(position.symbol in closes for position in at_open.positions)
    return Morning(
        closes=closes,
        opening_micros=equity_micros(at_open, closes) if is_valued else None,
        peak_equity_micros=max(equities[-limits.drawdown_sessions :], default=0),
        prepared=prepare_session(window, at_open, limits, prices=closes),
    )


def passing(intents: Iterable[Intent], verdicts: Iterable[Verdict]) -> tuple[Intent, ...]:
    """Return the intents that no guard blocks: what an advisor may see."""
    judged = by_intent(verdicts)
    return tuple(
        intent
        for intent in intents
        if intent.intent_key in judged and not any(row.blocks for row in judged[intent.intent_key])
    )


def decision_inputs_sha(
    *,
    window: Window,
    opening_sha: str,
    actions: Iterable[CorporateAction],
    rules: Rules,
    open_orders: Collection[Symbol] = (),
) -> str:
    """Return the digest of everything a session's decision reads: quotes, book, actions, orders and rules.

    Without an open order it is what it was before orders were read: earlier records stay comparable.
    """
    return digest(
        {
            **({"open orders": sorted(open_orders)} if open_orders else {}),
            "session": window.session.isoformat(),
            "quotes": [list(pair) for pair in window.inputs],
            "opening": opening_sha,
            "actions": [repr(action) for action in effective_in(actions, window.session)],
            "rules": rules.on(window.session).sha(),
        }
    )


def decide_session(
    config: BookConfig,
    *,
    lane: str,
    window: Window,
    opening: Book,
    actions: Sequence[CorporateAction],
    not_after: datetime,
    equities: Sequence[int] = (),
    switches: Switches = TRADING,
    advised: Advised | None = None,
    open_orders: Collection[Symbol] = (),
) -> Decided:
    """Return a session's decision from what was known before it: the stages of the graph, in order.

    Without `advised` no model is asked: the twin of every advised day. Behind quotes that are unfit nothing
    is decided, as in the graph, and the book is carried over.
    """
    rules = config.rules
    if window.unfit_reason:
        return _undecided(window, opening=opening, actions=actions, rules=rules, equities=equities)
    candidates = rank_candidates(window, rules.scanner, open_orders=open_orders)
    proposed = propose(
        book_name=config.name,
        window=window,
        candidates=candidates,
        opening=opening,
        actions=actions,
        rules=rules,
    )
    morning = morning_of(window, at_open=proposed.at_open, rules=rules, equities=equities)
    verdicts = judge(
        proposed.intents,
        window=window,
        at_open=proposed.at_open,
        morning=morning,
        rules=rules,
        switches=switches,
    )
    advice = advised.on(passing(proposed.intents, verdicts)) if advised else ()
    decisions = decide(
        proposed.intents,
        verdicts,
        advice,
        account=config.account,
        lane=lane,
        ladder=advised.context.ladder if advised else Ladder.OFF,
        limits=rules.limits.on(window.session),
        not_after=not_after,
        inputs_sha=decision_inputs_sha(
            window=window,
            opening_sha=opening.sha(),
            actions=actions,
            rules=rules,
            open_orders=open_orders,
        ),
    )
    return Decided(
        candidates=candidates,
        proposed=proposed,
        morning=morning,
        verdicts=verdicts,
        advice=advice,
        decisions=decisions,
    )


def _undecided(
    window: Window,
    *,
    opening: Book,
    actions: Iterable[CorporateAction],
    rules: Rules,
    equities: Sequence[int],
) -> Decided:
    """Return the decision of a session before which quotes are unfit: none, on the book at its open."""
    at_open = book_at_open(
        opening, effective_in(actions, window.session), last_close_micros=last_closes(window)
    )
    return Decided(
        candidates=(),
        proposed=Proposed(at_open=at_open, votes={}, intents=()),
        morning=morning_of(window, at_open=at_open, rules=rules, equities=equities),
        verdicts=(),
        advice=(),
        decisions=(),
    )


def review_at_send(
    intent: Intent,
    *,
    quantity: int,
    live: Mapping[Symbol, int],
    quote_age_s: int,
    clock_skew_s: int,
    session_open: bool,
    orders: OpenOrders,
    morning: Morning,
    recent: Recent,
    switches: Switches,
    rules: Rules,
    exceptions: Exceptions = NO_EXCEPTIONS,
) -> tuple[Why, ...]:
    """Return the guards' second look, on live prices and the book as they are at the send.

    `recent` is what was sent before it in the session.
    """
    market = Market(
        price_micros=live.get(intent.symbol, 0),
        sessions_behind=0,
        quote_age_s=quote_age_s,
        is_send=True,
        session_open=session_open,
        clock_skew_s=clock_skew_s,
        average_volume=morning.prepared.average_volumes.get(intent.symbol, 0),
    )
    return review_one(
        intent,
        quantity=quantity,
        market=market,
        funds=morning.funds(orders, live=live),
        switches=switches,
        limits=rules.limits.on(intent.session),
        prepared=replace(morning.prepared_for(orders, live=live), recent={intent.intent_key: recent}),
        exceptions=exceptions,
    )


def send_decisions(
    config: BookConfig,
    decided: Decided,
    *,
    quotes: Mapping[Symbol, Quote],
    filled_at: datetime,
    approve: bool,
) -> Sent:
    """Return what becomes of a session's decisions at its open, each looked at again before it is sent.

    `approve` says whether a person approves what waits for one. A symbol without a bar does not fill.
    """
    book = decided.proposed.at_open
    exceptions = Exceptions(
        overrides=config.rules.overrides, now=filled_at, approved=asked_of_person(decided.verdicts)
    )
    opens = {symbol: quote.open_micros for symbol, quote in quotes.items()}
    accepted = {Outcome.APPROVED, Outcome.PENDING_APPROVAL} if approve else {Outcome.APPROVED}
    fills: list[Fill] = []
    refused: list[RefusedAtSend] = []
    sent: list[Intent] = []
    for decision in decided.decisions:
        quote = quotes.get(decision.intent.symbol)
        if decision.outcome not in accepted or quote is None:
            continue
        whys = review_at_send(
            decision.intent,
            quantity=decision.quantity,
            live=opens,
            quote_age_s=0,
            clock_skew_s=0,
            session_open=True,
            orders=OpenOrders(book, {}, {}, 0),
            # All of a session goes out at its open: within one minute.
            recent=Recent(
                same_intents=0,
                orders_last_minute=len(sent),
                repeated_executions=sum(_is_repeated(decision.intent, earlier) for earlier in sent),
            ),
            morning=decided.morning,
            switches=TRADING,
            rules=config.rules,
            exceptions=exceptions,
        )
        stopped = [
            RefusedAtSend(decision.intent, name, why)
            for (name, _), why in zip(GUARDS, whys, strict=True)
            if why.code != PASS
        ]
        if stopped:
            refused += stopped
            continue
        sent.append(decision.intent)
        fill = _fill(config, decision, quote, filled_at)
        if fill is not None:
            fills.append(fill)
            book = with_fill(book, fill)
    return Sent(tuple(fills), tuple(refused))


def _is_repeated(intent: Intent, earlier: Intent) -> bool:
    return (intent.symbol, intent.side) == (earlier.symbol, earlier.side)


def marks_of(session: date, *, quotes: Iterable[Quote], earlier: Mapping[Symbol, Mark]) -> dict[Symbol, Mark]:
    """Return what to value positions at after a session: its closes, else the last earlier ones."""
    return {**earlier, **{quote.symbol: Mark(quote.close_micros, session) for quote in quotes}}


def earlier_marks(
    quotes: Mapping[Symbol, Quote], *, session: date, actions: Iterable[CorporateAction]
) -> dict[Symbol, Mark]:
    """Return last quotes before a session as marks in its shares: splits on the way are applied."""
    marks = {symbol: Mark(quote.close_micros, quote.session) for symbol, quote in quotes.items()}
    for action in sorted(actions):
        mark = marks.get(action.symbol)
        if mark is None or action.kind is not ActionKind.SPLIT:
            continue
        if quotes[action.symbol].session < action.effective_on <= session:
            price = split_price(mark.price_micros, action.numerator, action.denominator)
            marks[action.symbol] = mark._replace(price_micros=price)
    return marks


def marks_at_open(
    marks: Mapping[Symbol, Mark], *, session: date, actions: Iterable[CorporateAction]
) -> dict[Symbol, Mark]:
    """Return the marks of the session before in a session's shares: the splits at its open are applied.

    A mark is kept however old it is, so that what is held is always worth something that was seen.
    """
    opened = dict(marks)
    for action in effective_in(actions, session):
        mark = opened.get(action.symbol)
        if mark is not None and action.kind is ActionKind.SPLIT:
            price = split_price(mark.price_micros, action.numerator, action.denominator)
            opened[action.symbol] = mark._replace(price_micros=price)
    return opened


def fill_marks(fills: Iterable[Fill]) -> dict[Symbol, Mark]:
    """Return the prices of fills as marks: the last resort for what was bought and has no accepted quote."""
    return {fill.symbol: Mark(fill.price_micros, fill.session) for fill in fills}


def window_marks(window: Window) -> dict[Symbol, Mark]:
    """Return the last closes of a window as marks."""
    return {
        symbol: Mark(int(price), quoted_on)
        for symbol, price, quoted_on in zip(
            window.symbols, window.close_micros, window.quoted_on, strict=True
        )
        if quoted_on is not None
    }


def each_session(
    config: BookConfig,
    *,
    panel: Panel,
    actions: Sequence[CorporateAction],
    calendar: Calendar,
    sessions: Iterable[date],
    lane: str = "replay:step",
    opening: Book | None = None,
    equities: Sequence[int] = (),
    held: Mapping[Symbol, Mark] | None = None,
    approve: bool = False,
) -> Iterator[SessionResult]:
    """Give the sessions of a range one after the other, each decided on the book that the one before left.

    `equities` are what `opening` was worth at its closes before the range, where it had any, and `held` the
    marks of what it holds. The rules are the live ones; quotes come from `panel`, whose window for a session
    ends before it.
    """
    book = opening or opened_book(currency=config.currency, deposit_micros=config.deposit_micros)
    actions = at_sessions(actions, calendar)
    held = held or {}
    worth = list(equities)
    for session in sessions:
        window = panel.window_before(session, config.rules.window_sessions, actions=actions)
        decided = decide_session(
            config,
            lane=lane,
            window=window,
            opening=book,
            actions=actions,
            not_after=calendar.closes_at(session),
            equities=worth,
        )
        quotes = panel.quotes_on(session, known_at=calendar.closes_at(session))
        sent = send_decisions(
            config,
            decided,
            quotes={quote.symbol: quote for quote in quotes},
            filled_at=calendar.opens_at(session),
            approve=approve,
        )
        book = with_fills(decided.proposed.at_open, sent.fills)
        earlier = {**window_marks(window), **marks_at_open(held, session=session, actions=actions)}
        marks = marks_of(session, quotes=quotes, earlier={**fill_marks(sent.fills), **earlier})
        held = {position.symbol: marks[position.symbol] for position in book.positions}
        worth.append(equity_micros(book, {symbol: mark.price_micros for symbol, mark in held.items()}))
        yield SessionResult(
            session=session,
            decided=decided,
            opens={quote.symbol: quote.open_micros for quote in quotes},
            fills=sent.fills,
            refused=sent.refused,
            closing=book,
            marks=marks,
            equity_micros=worth[-1],
        )


def run_sessions(
    config: BookConfig,
    *,
    panel: Panel,
    actions: Sequence[CorporateAction],
    calendar: Calendar,
    sessions: Iterable[date],
    lane: str = "replay:step",
    opening: Book | None = None,
    equities: Sequence[int] = (),
    approve: bool = False,
) -> list[SessionResult]:
    """Return every session of a range; see `each_session`."""
    return list(
        each_session(
            config,
            panel=panel,
            actions=actions,
            calendar=calendar,
            sessions=sessions,
            lane=lane,
            opening=opening,
            equities=equities,
            approve=approve,
        )
    )


def _fill(config: BookConfig, decision: Decision, quote: Quote, filled_at: datetime) -> Fill | None:
    intent = replace(decision.intent, quantity=decision.quantity)
    quantity, price, commission = fill_at_open(
        intent.side, intent.quantity, quote.open_micros, quote.volume, config.costs
    )
    if quantity == 0:
        return None
    client_order_id = client_order_id_of(account=config.account, intent_id=decision.intent_id, generation=0)
    return Fill(
        execution_id="exe-" + hashed(client_order_id, "1"),
        client_order_id=client_order_id,
        intent_id=decision.intent_id,
        symbol=intent.symbol,
        side=intent.side,
        quantity=quantity,
        price_micros=price,
        commission_micros=commission,
        session=intent.session,
        filled_at=filled_at,
    )
