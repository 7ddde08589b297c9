"""What a desk may look like: intents that wait, were blocked or filled, in a real journal by its own calls.

Who looks at them is the tests beside this file.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

from console.render import json_text
from console.verbs.stopping import planned
from trading.decisions import Outcome
from trading.flattening import FlattenLine, FlattenPlan
from trading.guards import GUARDS, NO_LIMIT, PASS, Why
from trading.journal import CooldownRules
from trading.lifecycle import IntentState
from trading.orders import BrokerOrder, Fill, OrderStatus
from trading.positions import opened_book
from trading.testing import example_decision, example_intent, reconciled_term
from trading.values import Symbol
from trading.verdicts import Verdict

SESSION, BEFORE = date(2013, 2, 28), date(2013, 2, 27)
NOW = datetime(2013, 2, 28, 14, 0, tzinfo=UTC)
OPEN = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
OF = {"book": "us_five", "lane": "simulated", "session": SESSION}
OPENED = opened_book(currency="USD", deposit_micros=10**12)
PASSED = tuple(Why(PASS, 0, 0, NO_LIMIT) for _ in GUARDS)


def verdicts_on(intent, *, stopped_by=""):
    said = [
        ("kill_switch", 0, 0, NO_LIMIT, "kill_switch_on"),
        ("max_notional", intent.notional_micros, 10**11, 1000, "max_notional_exceeded"),
        ("symbol_cap", intent.notional_micros, 2 * 10**11, 7, "symbol_notional_cap_exceeded"),
    ]
    return [
        Verdict(
            intent.intent_key,
            intent.symbol,
            intent.session,
            guard,
            guard != stopped_by,
            reason if guard == stopped_by else "ok",
            observed,
            limit,
            largest,
            "limits",
        )
        for guard, observed, limit, largest, reason in said
    ]


def decided(journal, *decisions, verdicts=()):
    journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
    return journal.register(**OF, decisions=decisions, verdicts=verdicts, decisions_sha="sha", now=NOW)


def a_pending_intent(journal):
    intent = example_intent("AAPL", quantity=700)
    decision = example_decision(intent, outcome=Outcome.PENDING_APPROVAL, not_after=CLOSE)
    (row,) = decided(journal, decision, verdicts=verdicts_on(intent))
    return row


def an_approved_intent(journal):
    (row,) = decided(journal, example_decision(example_intent("AAPL"), not_after=CLOSE))
    return row


def prepared(journal, row, *, book_at_open=OPENED):
    """Take an approved intent to where its order may be on its way; give the claimed row and the order."""
    term = reconciled_term(journal, account=row.account, lane=row.lane, now=OPEN)
    claimed = journal.claim(row.intent_id, version=row.version, term=term, holder="test", now=OPEN)
    order = journal.prepare(
        row.intent_id,
        epoch=claimed.epoch,
        term=term,
        book_at_open=book_at_open,
        review=lambda *_: PASSED,
        send_by=CLOSE,
        is_live=False,
        now=OPEN,
    ).order
    return claimed, order


def a_prepared_intent(journal):
    """Give an intent whose order may be on its way, and its order."""
    intent = example_intent("AAPL", quantity=10)
    (row,) = decided(journal, example_decision(intent, not_after=CLOSE), verdicts=verdicts_on(intent))
    return prepared(journal, row)


def a_parked_intent(journal):
    """Give an intent whose order the broker does not find: a person must say what became of it."""
    claimed, _ = a_prepared_intent(journal)
    journal.mark_unknown(
        claimed.intent_id, epoch=claimed.epoch, reason="time out", is_takeover=False, now=OPEN
    )
    return journal.park(claimed.intent_id, epoch=claimed.epoch, reason="absent", now=OPEN)


def parked_after_approval(journal, row):
    """Have a person approve a waiting intent whose order the broker then does not find."""
    approved = journal.approve(
        row.intent_id,
        version=row.version,
        payload_hash=row.payload_hash,
        nonce="n-1",
        actor="anna",
        reason="fine",
        now=NOW,
    )
    claimed, _ = prepared(journal, approved)
    journal.mark_unknown(row.intent_id, epoch=claimed.epoch, reason="time out", is_takeover=False, now=OPEN)
    return journal.park(row.intent_id, epoch=claimed.epoch, reason="absent", now=OPEN)


def concluded_absent(journal, row, *, now):
    """End a parked intent by the word of somebody who saw that the broker has no order of it."""
    return journal.conclude_absent(
        row.intent_id,
        epoch=row.epoch,
        reason="searched",
        is_expired=True,
        settle_time_s=0,
        is_death_proven=True,
        now=now,
        actor="ben",
        is_on_word=True,
    )


def a_cooling_account(journal):
    """Have the account of a refused order cool down, and give the cooldown."""
    row, _ = a_prepared_intent(journal)
    journal.refuse(row.intent_id, epoch=row.epoch, reason="no money", now=OPEN)
    of = {"account": row.account, "lane": row.lane}
    return journal.cool_down(**of, rules=CooldownRules(failures_max=1), now=OPEN)


def flattening(asked_of_verb):
    """Give what stands for the process of a flatten: it notes its words, and tells of one position."""
    line = FlattenLine(Symbol("IBM"), held=10, on_sale=2, quantity=8, price_micros=101_500_000)
    plan = FlattenPlan(
        book="us_five", lane="simulated", account="SIM-FIVE", session=SESSION, currency="USD", number=1,
        lines=(line,),
    )  # fmt: skip

    def told(words):
        asked_of_verb.append(words)
        return json.loads(json_text(planned(plan)))

    return told


def a_blocked_intent(journal):
    intent = example_intent("IBM", quantity=9)
    decision = example_decision(intent, outcome=Outcome.BLOCKED, not_after=CLOSE)
    (row,) = decided(journal, decision, verdicts=verdicts_on(intent, stopped_by="symbol_cap"))
    return row


def a_filled_intent(journal):
    return filled(journal, *a_prepared_intent(journal))


def filled(journal, row, order, *, broker_order_id="b-77", execution_id="exe-123456"):
    """Fill an order whole, be it that its send was heard or found later; give its intent, order and fill."""
    intent = row.intent
    at_broker = {
        "broker_order_id": broker_order_id,
        "client_order_id": order.client_order_id,
        "symbol": intent.symbol,
        "side": intent.side,
        "quantity": 10,
    }
    working = BrokerOrder(**at_broker, filled_quantity=0, status=OrderStatus.WORKING)
    is_lost = journal.intent(row.intent_id).state is IntentState.UNKNOWN
    take = journal.adopt if is_lost else journal.acknowledge
    take(row.intent_id, epoch=row.epoch, order=working, now=OPEN)
    fill = Fill(
        execution_id=execution_id,
        client_order_id=order.client_order_id,
        intent_id=row.intent_id,
        symbol=intent.symbol,
        side=intent.side,
        quantity=10,
        price_micros=101_000_000,
        commission_micros=1_000_000,
        session=SESSION,
        filled_at=OPEN,
    )
    journal.record_fill(fill, now=OPEN)
    done = BrokerOrder(**at_broker, filled_quantity=10, status=OrderStatus.FILLED)
    journal.close_working(row.intent_id, epoch=row.epoch, order=done, now=OPEN)
    return row, order, fill
