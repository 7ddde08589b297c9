"""The log of one session, read alone: each order's life is in it, under the ids to look it up by."""

from __future__ import annotations

import json
from itertools import groupby

import pytest

from tests.graph.desk import FIRST

ASKED_BY = ("at", "level", "part", "event", "book", "session", "run_id", "stage", "intent_id")
"""What the line of each step of an intent has."""


@pytest.fixture(scope="module")
def lines(whole_session):
    """Give the lines that the run of the whole session left."""
    desk, run = whole_session
    text = desk.settings.log_file.read_text(encoding="utf-8")
    return [line for line in map(json.loads, text.splitlines()) if line.get("run_id") == run.run_id]


def of_orders(lines):
    return [line for line in lines if line["event"].startswith("order_")]


def test_every_order_is_followed_from_its_preparation_to_its_end_by_its_ids(lines, whole_session):
    desk = whole_session[0]
    by_id = sorted(of_orders(lines), key=lambda line: line["client_order_id"])
    lives = {
        client_order_id: [line["event"] for line in life]
        for client_order_id, life in groupby(by_id, key=lambda line: line["client_order_id"])
    }

    assert lives == {
        order.client_order_id: ["order_prepared", "order_acknowledged", "order_filled", "order_closed"]
        for order in desk.journal.orders(**desk.where(FIRST))
    }
    assert lives


def test_every_step_of_an_intent_names_book_session_run_stage_and_intent(lines, whole_session):
    desk = whole_session[0]
    steps = [line for line in lines if line["part"] == "journal"]

    assert [(line["event"], name) for line in steps for name in ASKED_BY if not line.get(name)] == []
    assert {(line["book"], line["session"]) for line in steps} == {(desk.book, str(FIRST))}
    assert {line["intent_id"] for line in steps} == {
        order.intent_id for order in desk.journal.orders(**desk.where(FIRST))
    }


def test_what_is_filled_is_told_in_shares_and_no_price_or_amount_is_in_the_log(lines, whole_session):
    desk = whole_session[0]
    filled = {
        line["client_order_id"]: line["filled_quantity"] for line in lines if line["event"] == "order_filled"
    }

    assert filled == {
        order.client_order_id: order.filled_quantity for order in desk.journal.orders(**desk.where(FIRST))
    }
    assert [name for line in lines for name in line if "micros" in name] == []


def test_what_the_executor_and_the_settlement_did_is_one_line_each(lines):
    done = [line for line in lines if line["event"] == "brought_together"]

    assert [(line["part"], line["stage"]) for line in done] == [
        ("reconciler", "executions"),
        ("reconciler", "order_status"),
    ]
    assert (done[0]["sent"], done[0]["closed"], done[0]["new fills"]) == (1, 1, 1)
