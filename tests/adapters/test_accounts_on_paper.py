"""Of which accounts the embedded paper broker took orders, and when the last: asked of both engines."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from resources.journal.questions import text_of
from resources.journal.schema import orders
from resources.journal.store import SqlJournal
from tests.console.states import BEFORE, CLOSE, NOW, OF, OPENED, prepared
from trading.decisions import Outcome
from trading.routing import EMBEDDED_PAPER
from trading.testing import example_decision, example_intent

ACCOUNTS, LAST = "find_accounts_on_paper", "find_last_on_paper"
COLUMNS = [column.name for column in orders.columns]
EARLY, LATE = "2012-01-03", "2013-02-28"


@pytest.fixture
def ordered(database):
    """Give what stores orders of accounts: copies of one that the store prepared, changed as asked."""
    with database.open() as journal:
        journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
        decision = example_decision(example_intent("MSFT"), outcome=Outcome.APPROVED, not_after=CLOSE)
        (row,) = journal.register(**OF, decisions=[decision], verdicts=[], decisions_sha="sha", now=NOW)
        prepared(journal, row)
    database.disarm("orders")
    database.do("update orders set account = 'AT-WORK'")

    def order(*changes: dict[str, str]) -> None:
        for generation, change in enumerate(changes, start=2):
            taken = {
                "client_order_id": f"copy-{generation}",
                "broker_order_id": f"b-{generation}",
                "session": LATE,
                "lane": "simulated",
            } | change
            said = ", ".join(
                f"'{taken[name]}'" if name in taken else str(generation) if name == "generation" else name
                for name in COLUMNS
            )
            into = f"insert into orders ({', '.join(COLUMNS)})"
            database.do(f"{into} select {said} from orders where account = 'AT-WORK'")  # noqa: S608 - ours

    return order


def told(database, question: str) -> list[tuple[str, ...]]:
    return [tuple(dict(row).values()) for row in database.reader().answers((question,))[question]]


def test_no_orders_are_of_no_account(database):
    assert (told(database, ACCOUNTS), told(database, LAST)) == ([], [])


def test_each_account_and_lane_is_told_once_with_its_last_session(database, ordered):
    ordered(
        {"account": "B", "session": LATE},
        {"account": "B", "session": EARLY, "actual_adapter": EMBEDDED_PAPER},
        {"account": "A", "session": EARLY},
        {"account": "B", "session": EARLY, "lane": "paper"},
        {"account": "C", "session": EARLY, "lane": "paper", "actual_adapter": EMBEDDED_PAPER},
    )

    assert told(database, ACCOUNTS) == [
        ("A", "simulated"),
        ("B", "paper"),
        ("B", "simulated"),
        ("C", "paper"),
    ]
    assert told(database, LAST) == [
        ("A", "simulated", EARLY),
        ("B", "paper", EARLY),
        ("B", "simulated", LATE),
        ("C", "paper", EARLY),
    ]


def test_orders_at_another_broker_and_orders_that_none_acknowledged_are_not_on_paper(database, ordered):
    ordered(
        {"account": "ELSEWHERE", "actual_adapter": "alpaca_paper"},
        {"account": "UNSENT", "broker_order_id": ""},
        {"account": "BOTH", "session": LATE, "actual_adapter": "alpaca_paper"},
        {"account": "BOTH", "session": EARLY},
    )

    assert told(database, ACCOUNTS) == [("BOTH", "simulated")]
    assert told(database, LAST) == [("BOTH", "simulated", EARLY)]


def test_an_order_whose_answer_nobody_heard_may_be_on_paper(database, ordered):
    ordered({"account": "UNHEARD", "broker_order_id": "", "actual_adapter": EMBEDDED_PAPER})

    assert told(database, ACCOUNTS) == [("UNHEARD", "simulated")]
    assert told(database, LAST) == [("UNHEARD", "simulated", LATE)]


def test_the_accounts_are_found_by_the_index_without_reading_every_order(tmp_path):
    with (
        SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}"),
        closing(sqlite3.connect(tmp_path / "journal.db")) as raw,
    ):
        plan = [row[-1] for row in raw.execute(f"explain query plan {text_of(ACCOUNTS)}")]
    of_orders = [step for step in plan if "orders" in step]

    assert of_orders
    assert [step for step in of_orders if "ix_orders_account" not in step] == []
