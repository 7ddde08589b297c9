"""What no journal takes: each method of the port is asked with every kind of argument that cannot be meant.

The methods and their arguments are read off the port, so that a new one without a case here fails. What a
right call promises is test_journal.py.
"""

from __future__ import annotations

import inspect
import math
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import partial
from types import UnionType
from typing import Any, NewType, get_args, get_origin, get_type_hints

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from resources.journal import schema
from resources.journal.arguments import COMPARED, LONG_TEXTS, NEVER_BLANK, _check_of
from resources.journal.batch import check_batch
from resources.journal.queries import Of
from resources.journal.store import SqlJournal
from tests.adapters.conftest import JournalDatabase
from trading.approvals import ApprovalMode, ChainStage, Role, StageRecord, StageVerdict
from trading.decisions import Decision, Outcome
from trading.errors import BadInput, StaleVersion, TradingError, UnknownId
from trading.guards import GUARDS, NO_LIMIT, PASS, Why
from trading.intents import Intent
from trading.journal import CancelKind, CooldownRules, Journal, RunControlAction, StageRun
from trading.orders import BrokerOrder, Fill, OrderStatus
from trading.positions import Book, Position, opened_book
from trading.routing import RouteChoice
from trading.testing import example_decision, example_intent
from trading.values import (
    NOTIONAL_MICROS_MAX,
    ClientOrderId,
    IntentId,
    IntentKey,
    Side,
    Slot,
    Symbol,
    notional_micros,
)
from trading.verdicts import Verdict

BOOK, LANE, ACCOUNT = "us_five", "simulated", "SIM-FIVE"
SESSION, BEFORE, AFTER = date(2013, 2, 28), date(2013, 2, 27), date(2013, 3, 1)
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
OF = {"book": BOOK, "lane": LANE, "session": SESSION}
WHERE = {"account": ACCOUNT, "lane": LANE}
OPENED = opened_book(currency="USD", deposit_micros=10**12)
PASSED = tuple(Why(PASS, 0, 0, NO_LIMIT) for _ in GUARDS)
LATE = datetime(9998, 12, 31, tzinfo=UTC)
WAITING = StageRecord(ChainStage.PERSON, StageVerdict.WAITING, "manual", "manual_approval", "", 2, CLOSE, NOW)
PERSON = {"actor": "Zoë 鈴木", "reason": "weil's sein muß — 🙂\n\tsecond line"}
SEND = {
    "term": 1,
    "book_at_open": OPENED,
    "review": lambda *_: PASSED,
    "send_by": CLOSE,
    "now": NOW,
}
STAGES = ("pending", "approved", "claimed", "prepared", "unknown", "absent", "parked", "working", "replacing")
SYMBOLS = dict(zip(STAGES, ("A", "AA", "AAPL", "BAC", "C", "FB", "GE", "IBM", "MSFT"), strict=True))


class Stocked:
    """Hold a journal with one intent at each stage of its life, and what was sent for each."""

    def __init__(self, journal, ids):
        self.journal = journal
        self.ids = ids

    def live(self):
        """Bring each intent as far as its stage says."""
        journal = self.journal
        for place, stage in enumerate(STAGES):
            of, at = {"intent_id": self.ids[stage]}, {"epoch": 1, "now": NOW}
            if place >= STAGES.index("claimed"):
                journal.claim(**of, version=1, term=1, holder="test", now=NOW)
            if place >= STAGES.index("prepared"):
                journal.prepare(**of, **SEND, epoch=1, is_live=False)
            if stage in {"unknown", "absent", "parked"}:
                journal.mark_unknown(**of, **at, reason="time_out", is_takeover=False)
            if stage in {"absent", "parked"}:
                for _ in range(3):
                    journal.record_absence(**of, **at)
            if stage == "parked":
                journal.park(**of, **at, reason="dedup_not_for_all_time")
            if stage in {"working", "replacing"}:
                journal.acknowledge(**of, **at, order=self.told(stage))
            if stage == "replacing":
                journal.ask_cancel(**of, **at, kind=CancelKind.REPLACE, **PERSON)
        journal.record_fill(self.fill("working", "exe-1"), now=NOW)

    def order(self, stage):
        return self.journal.order_of(self.ids[stage])

    def told(self, stage, *, status=OrderStatus.WORKING, filled=0) -> BrokerOrder:
        asked = self.order(stage).request
        return BrokerOrder(
            broker_order_id="b-1",
            client_order_id=asked.client_order_id,
            symbol=asked.symbol,
            side=asked.side,
            quantity=asked.quantity,
            filled_quantity=filled,
            status=status,
        )

    def fill(self, stage, execution_id) -> Fill:
        asked = self.order(stage).request
        return Fill(
            execution_id=execution_id,
            client_order_id=asked.client_order_id,
            intent_id=self.ids[stage],
            symbol=asked.symbol,
            side=asked.side,
            quantity=1,
            price_micros=100_000_000,
            commission_micros=1,
            session=SESSION,
            filled_at=NOW,
        )

    def approval(self, nonce):
        row = self.journal.intent(self.ids["pending"])
        hashed = row.payload_hash
        said = {"version": 1, "payload_hash": hashed, "nonce": nonce}
        return {**said, **PERSON, "now": NOW, "role": Role.TRADER}

    def halt(self):
        self.journal.set_run_control(RunControlAction.HALT, **PERSON, now=NOW)

    def preview(self):
        self.halt()
        self.journal.preview_flatten(**RIGHT["preview_flatten"](self))

    def cool(self):
        self.journal.cool_down(**WHERE, rules=CooldownRules(), now=NOW)


def stocked_in(journal: Journal) -> Stocked:
    """Give a journal an intent at each stage of its life, and what is beside them."""
    for book in (BOOK, "carried"):
        journal.opening_book(**{**OF, "book": book}, previous=BEFORE, opened=OPENED, now=NOW)
    decisions = [
        example_decision(
            example_intent(symbol),
            not_after=CLOSE,
            outcome=Outcome.PENDING_APPROVAL if stage == "pending" else Outcome.APPROVED,
        )
        for stage, symbol in SYMBOLS.items()
    ]
    rows = journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="sha", now=NOW)
    stocked = Stocked(journal, dict(zip(STAGES, (row.intent_id for row in rows), strict=True)))
    stocked.live()
    journal.enqueue(dedup_key="m", channel="c", severity="warning", subject="s", body="b", now=NOW)
    journal.lease(now=NOW, lease_s=5, limit=1)
    finding = {"account": ACCOUNT, "symbol": "ZZZ", "intent_id": "", "detail": "d", "is_standing": True}
    journal.record_finding(kind="position_mismatch", **finding, now=NOW)
    journal.plan_action(incident_id=1, owner="ben", due_on=date(2013, 3, 8), **PERSON, now=NOW)
    return stocked


def at(stage, **more):
    """Return the arguments of a step of the intent at a stage, as its holder asks for it."""
    return lambda stocked: {"intent_id": stocked.ids[stage], "epoch": 1, "now": NOW, **more}


RIGHT: dict[str, Callable[[Stocked], dict[str, Any]]] = {
    "opening_book": lambda _: {**OF, "previous": BEFORE, "opened": OPENED, "now": NOW},
    "session_record": lambda _: OF,
    "record_refusal": lambda _: {**OF, "stage": "quotes", "reason": PERSON["reason"], "now": NOW},
    "clear_refusal": lambda _: {**OF, "stage": "quotes", "now": NOW},
    "record_stage_run": lambda _: {**OF, "run": StageRun("quotes", "run", NOW, CLOSE, passed=True)},
    "settle": lambda _: {
        **OF, "book": "carried", "closing": OPENED, "carried_by": "ann", "now": NOW, "fills": []
    },
    "register": lambda _: {
        **OF,
        "decisions": [
            example_decision(
                example_intent(symbol),
                not_after=CLOSE,
                outcome=Outcome.PENDING_APPROVAL if stage == "pending" else Outcome.APPROVED,
            )
            for stage, symbol in SYMBOLS.items()
        ],
        "verdicts": [],
        "decisions_sha": "sha",
        "now": NOW,
    },
    "approve": lambda s: {"intent_id": s.ids["pending"], **s.approval("n-1")},
    "reject": lambda s: {"intent_id": s.ids["pending"], **s.approval("n-2")},
    "expire": lambda s: {"intent_id": s.ids["approved"], "version": 1, "actor": "sweeper", "now": CLOSE},
    "cancel": lambda s: {"intent_id": s.ids["approved"], "version": 1, **PERSON, "now": NOW},
    "begin_term": lambda _: {**WHERE, "holder": "next", "now": NOW},
    "record_reconciled": lambda _: {**WHERE, "term": 1, "findings": ["one", "two"], "now": NOW},
    "check_integrity": lambda _: {},
    "claim": lambda s: {
        "intent_id": s.ids["approved"], "version": 1, "term": 1, "holder": "test", "now": NOW
    },
    "release": at("claimed", reason="held"),
    "reject_claimed": at("claimed", reason="stale", is_expired=False),
    "prepare": at("claimed", **SEND, is_live=False, route=RouteChoice("one", "other", 1, "one_timeout")),
    "prepare_again": at("absent", **SEND),
    "acknowledge": lambda s: {**at("prepared")(s), "order": s.told("prepared")},
    "refuse": at("prepared", reason="no money"),
    "mark_unknown": at("prepared", reason="time_out", is_takeover=False),
    "record_absence": at("unknown"),
    "adopt": lambda s: {**at("unknown")(s), "order": s.told("unknown")},
    "park": at("unknown", reason="no_dedup"),
    "conclude_absent": at(
        "absent", reason="absent", is_expired=False, settle_time_s=0, is_death_proven=True,
        is_on_word=False, actor="ann",
    ),
    "record_presence": at("unknown", broker_order_id="b-9"),
    "watched": lambda _: {"account": ACCOUNT, "since": SESSION},
    "record_fill": lambda s: {"fill": s.fill("working", "exe-2"), "now": NOW},
    "record_bust": lambda s: {
        "execution_id": "bust-1", "takes_back": "exe-1", "intent_id": s.ids["working"], "now": NOW
    },
    "ask_cancel": at("working", kind=CancelKind.CANCEL, **PERSON),
    "prepare_replacement": lambda s: {
        **at("replacing", **SEND, is_live=False)(s),
        "ended": s.told("replacing", status=OrderStatus.CANCELLED),
    },
    "close_working": lambda s: {
        **at("replacing")(s), "order": s.told("replacing", status=OrderStatus.CANCELLED)
    },
    "record_incident": lambda _: {
        "kind": "odd", "account": ACCOUNT, "intent_id": "", "detail": "d", "is_halting": False, "now": NOW
    },
    "record_finding": lambda _: {
        "kind": "odd", "account": ACCOUNT, "symbol": "", "intent_id": "", "detail": "d",
        "is_standing": True, "now": NOW,
    },
    "run_control": lambda _: {},
    "set_run_control": lambda s: {
        "action": RunControlAction.PAUSE, **PERSON, "now": NOW, "expected": s.journal.run_control()
    },
    "set_approval_mode": lambda _: {"mode": ApprovalMode.MANUAL, **PERSON, "now": NOW},
    "record_retry": lambda _: {**OF, **PERSON, "now": NOW},
    "cool_down": lambda _: {**WHERE, "rules": CooldownRules(), "now": NOW},
    "end_cooldown": lambda _: {**WHERE, **PERSON, "now": NOW},
    "cooldowns": lambda _: {},
    "preview_flatten": lambda _: {
        "command_id": "f-1", **OF, "account": ACCOUNT, "actor": "ann",
        "plan": '{"lines":[["XOM",100,0,100,1]]}', "now": NOW
    },
    "order_flatten": lambda _: {
        "command_id": "f-1", "verdicts": [], **PERSON, "now": NOW, "decisions": [
            example_decision(
                example_intent("XOM", side=Side.SELL, slot=Slot.FLATTEN), not_after=CLOSE
            )
        ],
    },
    "flatten_commands": lambda _: OF,
    "chain": lambda s: {"intent_id": s.ids["approved"]},
    "halts": lambda _: {},
    "acknowledge_incident": lambda _: {"incident_id": 1, **PERSON, "now": NOW},
    "plan_action": lambda _: {
        "incident_id": 1, "owner": "ben", "due_on": date(2013, 3, 8), **PERSON, "now": NOW
    },
    "finish_action": lambda _: {"incident_id": 1, "action": 1, **PERSON, "now": NOW},
    "act_on_incident": lambda _: {"incident_id": 1, "is_end": True, **PERSON, "now": NOW},
    "lift_halt": lambda s: {
        "account": ACCOUNT, "symbol": "ZZZ", **PERSON, "now": NOW, "expected": s.journal.halts()[0]
    },
    "release_quote": lambda _: {"row_id": "row", **PERSON, "now": NOW},
    "quote_releases": lambda _: {},
    "enqueue": lambda _: {
        "dedup_key": "k", "channel": "c", "severity": "warning", "subject": "s", "body": "b", "now": NOW
    },
    "lease": lambda _: {"now": NOW, "lease_s": 60, "limit": 5, "ready": ["c"], "wait_s_max": 60},
    "mark": lambda _: {
        "outbox_id": 1, "attempt": 1, "is_delivered": False, "reason": "down", "retry_at": CLOSE, "now": NOW
    },
    "intent": lambda s: {"intent_id": s.ids["approved"]},
    "intents": lambda _: OF,
    "open_intents": lambda _: WHERE,
    "stuck": lambda _: {"before": NOW},
    "verdicts": lambda s: {"intent_id": s.ids["approved"]},
    "order": lambda s: {"client_order_id": s.order("working").client_order_id},
    "order_of": lambda s: {"intent_id": s.ids["working"]},
    "orders": lambda _: OF,
    "fills": lambda _: OF,
    "executions_of": lambda s: {"client_order_id": s.order("working").client_order_id},
    "net_filled": lambda s: {"client_order_id": s.order("working").client_order_id},
    "orders_by_id": lambda s: {"client_order_ids": [s.order("working").client_order_id]},
    "intents_by_id": lambda s: {"intent_ids": [s.ids["working"]]},
    "adapters_used": lambda _: WHERE,
    "executor_term": lambda _: WHERE,
    "incidents": lambda _: {},
    "deliveries": lambda _: {},
    "deliveries_of": lambda _: {"outbox_id": 1},
    "delivered_since": lambda _: {"since": NOW},
    "events": lambda _: {"after": 0, "limit": 5},
    "events_of": lambda s: {"intent_id": s.ids["working"]},
}  # fmt: skip
"""A right call of each method, to be made wrong in one argument at a time."""


FIRST = {
    "preview_flatten": Stocked.halt, "order_flatten": Stocked.preview, "end_cooldown": Stocked.cool
}  # fmt: skip
"""What has to be done before a method is right."""


def methods() -> list[str]:
    return [name for name, _ in inspect.getmembers(Journal, inspect.isfunction) if not name.startswith("_")]


WRONG_TEXTS = ("\0", "a\0b", "\ud800", "x" * 10_001, 5, None, b"x", True, math.nan)
WRONG_NUMBERS = (True, 1.0, math.nan, math.inf, 2**62 + 1, 2**63, 10**40, -(2**62) - 1, "1", None)
SIGNED_WRONGLY = (True, 1.0, math.nan, math.inf, 2**63, 10**40, -(2**63), "1", None)
WRONG_INSTANTS = (
    datetime(2013, 2, 28, 14, 30),  # noqa: DTZ001 - naive, which is what is wrong with it
    datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), LATE, SESSION, "2013-02-28", 0, None,
)  # fmt: skip
WRONG_DATES = (NOW, "2013-02-28", 20130228, None)

SIGNED = {Verdict, Why, Book, Position}
EXAMPLES: dict[Any, Any] = {
    Decision: example_decision(example_intent("XOM"), not_after=CLOSE),
    Intent: example_intent("XOM"),
    StageRecord: WAITING,
    Verdict: Verdict(IntentKey("key-1"), Symbol("XOM"), SESSION, "paused", True, "ok", 1, 2, 3, "limits"),
    StageRun: StageRun("quotes", "run", NOW, CLOSE, passed=True),
    CooldownRules: CooldownRules(),
    Book: OPENED,
    Position: Position(Symbol("XOM"), 1, 1),
    Fill: Fill(
        "exe-9", ClientOrderId("ta-1"), IntentId("int-1"), Symbol("XOM"), Side.BUY, 1, 1, 1, SESSION, NOW
    ),
}  # fmt: skip
"""A right value of each kind that the journal stores, to be made wrong in one field at a time."""


def wrong_values(name: str, hint: Any, right: Any) -> list[Any]:
    """Return what cannot be meant by an argument, by its type in the port."""
    origin = get_origin(hint)
    if origin is UnionType:
        inner = next(one for one in get_args(hint) if one is not type(None))
        return [value for value in wrong_values(name, inner, right) if value is not None]
    if origin in {Sequence, Collection, tuple}:
        inside = wrong_values(name, get_args(hint)[0], None)
        several = tuple if origin is tuple else list
        # What can be looked at once is empty when it is stored.
        return [5, None, "text", (one for one in ()), *(several([value]) for value in inside)]
    if origin is Callable:
        return [None, "review", 5]
    if isinstance(hint, NewType) or hint is str:
        is_named = hint in {IntentId, ClientOrderId} or name in NEVER_BLANK
        long = ("x" * 1_000_001,) if name in LONG_TEXTS else ()
        texts = [text for text in WRONG_TEXTS if not long or text != "x" * 10_001]
        return [*texts, *long, *(("", " \t\n") if is_named else ())]
    if hint is int:
        return [
            *WRONG_NUMBERS,
            *([] if name in COMPARED else [-1]),
            *([10**9 + 1] if name[-2:] == "_s" else []),
        ]
    if hint is bool:
        return [0, 1, "yes", None, math.nan]
    if hint is datetime:
        return list(WRONG_INSTANTS)
    if hint is date:
        return list(WRONG_DATES)
    if inspect.isclass(hint) and issubclass(hint, StrEnum):
        return ["nothing", "", 0, None]
    if hint in EXAMPLES or type(right) in {BrokerOrder, RouteChoice}:
        return [None, "x", *_wrong_inside(hint, EXAMPLES.get(hint, right))]
    return [None, "x", 5]


def _wrong_inside(kind: type, right: Any) -> list[Any]:
    """Return a value with each of its fields made wrong, but for what it does not let itself be made with."""
    made = []
    for name, hint in get_type_hints(kind).items():
        if hint is int:
            wrong = SIGNED_WRONGLY if kind in SIGNED else [*wrong_values(name, hint, None), -1]
        else:
            wrong = wrong_values(name, hint, None)
        for value in wrong:
            try:
                made.append(
                    right._replace(**{name: value})
                    if isinstance(right, tuple)
                    else replace(right, **{name: value})
                )
            except (TypeError, ValueError):
                assert kind in {Intent, CooldownRules}
    return made


def everything(journal) -> list[str]:
    with journal._engine.connect() as conn:
        return [
            repr(row) for table in schema.metadata.sorted_tables for row in conn.execute(sa.select(table))
        ]


@pytest.fixture(scope="module")
def stocked_sqlite(sqlite_template, tmp_path_factory):
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('stocked'))}"
    return url, stock(url)


@pytest.fixture(scope="module")
def stocked_postgresql(postgres_server, postgres_template):
    url = postgres_server.create("journal_stocked", template=postgres_template)
    yield url, stock(url)
    postgres_server.drop("journal_stocked")


@pytest.fixture
def stocked(request, new_database):
    url, ids = request.getfixturevalue(f"stocked_{request.node.callspec.params['new_database']}")
    with new_database(copy_of=JournalDatabase(url, unreachable)).open() as journal:
        yield Stocked(journal, ids)


def unreachable():
    raise AssertionError("tests look at their own copies")


def stock(url: str) -> dict[str, IntentId]:
    """Stock a journal; return the id of the intent at each stage."""
    with SqlJournal(url) as journal:
        return stocked_in(journal).ids


def arguments(method: str) -> dict[str, Any]:
    """Return the arguments of a method of the port, by name, with their types."""
    return {name: hint for name, hint in get_type_hints(getattr(Journal, method)).items() if name != "return"}


def test_every_argument_of_every_method_of_the_port_is_made_wrong(stocked):
    """A new method, or a new argument of one, has to be put into `RIGHT`."""
    assert sorted(RIGHT) == sorted(methods())
    assert {name: sorted(right(stocked)) for name, right in RIGHT.items()} == {
        name: sorted(arguments(name)) for name in methods()
    }


def test_nothing_that_cannot_be_meant_is_taken_and_nothing_is_changed_by_it(stocked):
    before = everything(stocked.journal)
    wrongly_taken = []
    asked = 0
    for method in methods():
        right = RIGHT[method](stocked)
        for name, hint in arguments(method).items():
            for value in wrong_values(name, hint, right[name]):
                asked += 1
                told = _refusal_of(partial(getattr(stocked.journal, method), **{**right, name: value}))
                is_named = told.startswith(f"BadInput: {method}: {name} {ascii(value)[:60]}")
                if not (is_named and told.isprintable() and len(told) <= LINE_CHARACTERS_MAX):
                    wrongly_taken.append((method, name, ascii(value)[:80], told))

    assert wrongly_taken == []
    assert asked > 4_000
    assert everything(stocked.journal) == before


LINE_CHARACTERS_MAX = 300


def _refusal_of(call: Callable[[], Any]) -> str:
    """Return how a call ended: the kind and the words of its error."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        return f"{type(error).__name__}: {error}"
    return "taken"


NO_ID = {"intent_id": IntentId("int-none"), "outbox_id": 99}
ANSWERS_NOTHING = {"deliveries_of"}
"""Questions to which nothing is an answer as well."""


def test_what_is_not_stored_is_unknown_and_nothing_is_changed_by_asking_for_it(stocked):
    before = everything(stocked.journal)
    for method in methods():
        right, hints = RIGHT[method](stocked), arguments(method)
        for name, value in NO_ID.items():
            if method in ANSWERS_NOTHING or hints.get(name) not in {IntentId, int}:
                continue
            with pytest.raises(UnknownId, match=str(value)):
                getattr(stocked.journal, method)(**{**right, name: value})

    assert everything(stocked.journal) == before


@pytest.mark.parametrize("off", [1, -1, -5, 2**62 - 1])
def test_what_another_one_holds_by_now_is_refused_and_nothing_is_changed(stocked, off):
    before = everything(stocked.journal)
    asked = 0
    for method in methods():
        right = RIGHT[method](stocked)
        for name in {"version", "epoch", "term", "attempt"} & right.keys():
            asked += 1
            with pytest.raises(StaleVersion, match=str(right[name] + off)):
                getattr(stocked.journal, method)(**{**right, name: right[name] + off})

    assert asked > 20
    # An answer to what was shown before is refused and kept; nothing else has a trace.
    assert [row for row in everything(stocked.journal) if "answer_refused" not in row] == before


WRONG_FILLS = [
    {"quantity": 0},
    {"quantity": 10},
    {"quantity": 2**62},
    {"symbol": "MSFT"},
    {"side": Side.SELL},
    {"client_order_id": ClientOrderId("ta-other")},
    {"session": AFTER},
]


@pytest.mark.parametrize("change", WRONG_FILLS, ids=str)
def test_a_fill_that_cannot_be_of_the_order_is_not_booked(stocked, change):
    before = everything(stocked.journal)
    with pytest.raises(TradingError):
        stocked.journal.record_fill(stocked.fill("working", "exe-9")._replace(**change), now=NOW)

    assert everything(stocked.journal) == before


@pytest.mark.parametrize("change", [{"account": "OTHER"}, {"lane": "paper"}, {"lane": "replay:x"}])
def test_the_term_of_another_account_or_lane_is_not_ones_own(stocked, change):
    before = everything(stocked.journal)
    with pytest.raises(StaleVersion, match="found no term"):
        stocked.journal.record_reconciled(**{**WHERE, **change}, term=1, findings=[], now=NOW)

    assert everything(stocked.journal) == before


def test_the_way_to_what_is_wrong_is_told_in_whatever_words_its_rule_is(monkeypatch):
    monkeypatch.setattr("resources.journal.arguments._wrong_date", lambda _: "its year is missing")
    wrong = str(_check_of("days", Sequence[date])(["May"]))

    assert wrong == "number 1 'May': its year is missing"


def test_what_people_say_is_kept_as_they_said_it(stocked):
    stocked.journal.set_run_control(RunControlAction.PAUSE, **PERSON, now=NOW)
    found = stocked.journal.run_control()

    assert (found.actor, found.reason) == (PERSON["actor"], PERSON["reason"])
    assert stocked.journal.events(after=0, limit=999)[-1].actor == PERSON["actor"]


@pytest.mark.parametrize("method", methods())
def test_what_is_made_wrong_here_is_right_without_it(stocked, method):
    """Else a call might be refused for another reason than the one it was made wrong in."""
    FIRST.get(method, lambda _: None)(stocked)
    getattr(stocked.journal, method)(**RIGHT[method](stocked))


WANTED = example_decision(example_intent("XOM", quantity=5), not_after=CLOSE)
WRONG_DECISIONS = {
    "an id of its own choice": ({"intent_id": IntentId("int-another")}, "is under id int-another; the id of"),
    "the id of another account": ({"account": "SIM-OTHER"}, "in SIM-OTHER is int-"),
    "more than was wished": ({"quantity": 50}, "for 50 shares, unadvised 5"),
    "more than unadvised": ({"unadvised_quantity": 0}, "for 5 shares, unadvised 0"),
    "unadvised more than was wished": ({"unadvised_quantity": 6}, "unadvised for 6 shares, wished were 5"),
    "unadvised a part of what was wished": ({"quantity": 1, "unadvised_quantity": 4}, "unadvised for 4"),
    "worth more than can be counted": (
        {"intent": replace(WANTED.intent, book="carried", price_micros=2**60)}, "worth more than 461168601"
    ),
    "approved to send nothing": ({"quantity": 0}, "approved with quantity 0"),
    "blocked, and sends": ({"outcome": Outcome.BLOCKED}, "blocked with quantity 5"),
    "approved while it waits for a person": ({"chain": (WAITING,)}, "approved though its chain waits for a"),
    "blocked while it waits for a person": (
        {"chain": (WAITING,), "outcome": Outcome.BLOCKED, "quantity": 0}, "blocked though its chain waits"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "told"), WRONG_DECISIONS.values(), ids=WRONG_DECISIONS)
def test_a_decision_that_no_rules_could_make_is_not_registered(stocked, change, told):
    of = {**OF, "book": "carried"}
    wished = replace(WANTED.intent, book="carried")
    right = example_decision(wished, not_after=CLOSE)
    before = everything(stocked.journal)
    with pytest.raises(BadInput, match=told) as refused:
        stocked.journal.register(
            **of, decisions=[replace(right, **change)], verdicts=[], decisions_sha="s", now=NOW
        )

    assert "XOM of carried 2013-02-28" in str(refused.value)
    assert everything(stocked.journal) == before


@given(price_micros=st.integers(1, 2**40), off=st.integers(-1, 1))
def test_the_journal_takes_decisions_up_to_just_the_worth_that_can_be_counted(price_micros, off):
    quantity = NOTIONAL_MICROS_MAX // price_micros + off
    intent = replace(WANTED.intent, price_micros=price_micros, quantity=quantity)
    of = Of(intent.book, WANTED.lane, intent.session.isoformat())

    assert is_taken(lambda: check_batch([example_decision(intent, not_after=CLOSE)], of)) == is_taken(
        lambda: notional_micros(price_micros=price_micros, quantity=quantity)
    )


def is_taken(call: Callable[[], Any]) -> bool:
    try:
        call()
    except BadInput:
        return False
    return True


def test_one_decision_is_not_registered_under_two_ids(stocked):
    of = {**OF, "book": "carried"}
    right = example_decision(replace(WANTED.intent, book="carried"), not_after=CLOSE)
    before = everything(stocked.journal)
    with pytest.raises(BadInput, match="is under id int-another"):
        stocked.journal.register(
            **of,
            decisions=[right, replace(right, intent_id=IntentId("int-another"))],
            verdicts=[],
            decisions_sha="s",
            now=NOW,
        )

    assert everything(stocked.journal) == before


def test_a_flatten_of_another_id_or_more_than_is_wished_is_not_ordered(stocked):
    stocked.preview()
    right = RIGHT["order_flatten"](stocked)
    before = everything(stocked.journal)
    (sale,) = right["decisions"]
    for change in ({"intent_id": IntentId("int-another")}, {"quantity": sale.quantity + 1}):
        with pytest.raises(BadInput, match="decision on XOM"):
            stocked.journal.order_flatten(**{**right, "decisions": [replace(sale, **change)]})

    assert everything(stocked.journal) == before


WRONG_REVIEWS = {
    "nothing": None,
    "a text": "ok",
    "what can be looked at once": (why for why in PASSED),
    "no words of guards": ((0, 0, 0, 0),) * len(PASSED),
    **{
        f"{field} {value!r}": (*PASSED[:-1], PASSED[-1]._replace(**{field: value}))
        for field in Why._fields
        for value in SIGNED_WRONGLY
    },
    "a code of no guard": (*PASSED[:-1], Why(9, 0, 0, 0)),
}


@pytest.mark.parametrize("said", WRONG_REVIEWS.values(), ids=WRONG_REVIEWS)
def test_what_is_no_review_prepares_nothing_and_changes_nothing(stocked, said):
    before = everything(stocked.journal)
    for method in ("prepare", "prepare_again", "prepare_replacement"):
        right = RIGHT[method](stocked)
        with pytest.raises(BadInput):
            getattr(stocked.journal, method)(**{**right, "review": lambda *_: said})

    assert everything(stocked.journal) == before


def test_what_is_wrong_in_one_of_many_is_named_by_its_place(stocked):
    right = RIGHT["register"](stocked)
    decisions = [*right["decisions"]]
    decisions[2] = replace(decisions[2], reason="a\0b")
    with pytest.raises(BadInput, match=r"…: number 3: its reason 'a.x00b': has a NUL"):
        stocked.journal.register(**{**right, "decisions": decisions})
    verdicts = [EXAMPLES[Verdict]] * 3
    verdicts[1] = verdicts[1]._replace(observed=math.nan)
    with pytest.raises(BadInput, match=r"…: number 2: its observed nan: must be a whole number"):
        stocked.journal.register(**{**right, "verdicts": verdicts})


def test_a_real_batch_is_decided_after_one_that_could_be_looked_at_only_once(stocked):
    of = {**OF, "book": "carried", "verdicts": [], "decisions_sha": "s", "now": NOW}
    decision = example_decision(replace(WANTED.intent, book="carried"), not_after=CLOSE)
    with pytest.raises(BadInput, match="must be a Sequence"):
        stocked.journal.register(**of, decisions=(one for one in [decision]))

    assert [row.intent_id for row in stocked.journal.register(**of, decisions=[decision])] == [
        decision.intent_id
    ]


@pytest.mark.parametrize("method", ["record_incident", "record_finding"])
def test_an_incident_is_kept_whatever_intent_it_names(stocked, method):
    """An order at the broker may be of an intent that this journal, restored from a copy, never had."""
    getattr(stocked.journal, method)(**{**RIGHT[method](stocked), "intent_id": "int-none"})

    assert stocked.journal.incidents()[-1].intent_id == "int-none"


@pytest.mark.parametrize("change", [{"book": "none"}, {"lane": "paper"}, {"session": AFTER}], ids=str)
def test_nothing_of_a_session_that_was_never_run_is_tried_again(stocked, change):
    before = everything(stocked.journal)
    with pytest.raises(UnknownId, match="nothing of it was ever run"):
        stocked.journal.record_retry(**{**RIGHT["record_retry"](stocked), **change})

    assert everything(stocked.journal) == before


@pytest.mark.parametrize("severity", ["banana", "Warning", "warning "])
def test_a_message_of_no_severity_that_there_is_is_not_kept(stocked, severity):
    before = everything(stocked.journal)
    with pytest.raises(BadInput, match="must be one of warning, critical"):
        stocked.journal.enqueue(**{**RIGHT["enqueue"](stocked), "severity": severity})

    assert everything(stocked.journal) == before


def test_an_intent_that_was_never_prepared_has_no_order_and_one_that_is_not_stored_is_unknown(stocked):
    assert stocked.journal.order_of(stocked.ids["approved"]) is None
    with pytest.raises(UnknownId, match="int-none"):
        stocked.journal.order_of(IntentId("int-none"))
