"""What cannot be rebuilt is said, with the event that lacks it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from trading.errors import BadInput
from trading.journal import JournalEvent
from trading.rebuild import rebuild

AT = datetime(2013, 2, 28, 14, 30, 0, 7, tzinfo=UTC)


def event(kind, **changes):
    blank = dict.fromkeys(
        ("book", "lane", "session", "intent_id", "actor", "reason", "prev_hash", "hash"), ""
    )
    return JournalEvent(**{"seq": 7, "at": AT, "kind": kind, "body": {}, **blank, **changes})


def test_nothing_gives_empty_tables():
    tables = rebuild([])

    assert "intents" in tables
    assert not any(tables.values())


def test_an_event_becomes_a_row_with_its_instant():
    [released] = rebuild([event("quote_released", actor="ann", reason="seen", body={"row_id": "r1"})])[
        "quote_releases"
    ]

    assert released == {
        "row_id": "r1",
        "seq": 1,
        "actor": "ann",
        "reason": "seen",
        "released_at": "2013-02-28T14:30:00.000007Z",
    }


@pytest.mark.parametrize(
    ("told", "what"),
    [
        (event("coup"), "event 7 (coup): a kind that this version does not know"),
        (event("quote_released"), "event 7 (quote_released): 'row_id' is not there"),
        (event("claimed", body={"to": "executing", "version": 1, "epoch": 0, "quantity": 0}), "has no edge"),
        (event("claimed", body={"to": "nirvana", "version": 1, "epoch": 0, "quantity": 0}), "nirvana"),
        (event("registered", body={}), "event 7 (registered): 'to' is not there"),
        (event("absent_at_broker", body={"client_order_id": "none"}), "none"),
        (event("run_control", body={"after": None}), "event 7 (run_control)"),
        (event("messages_leased", body={"outbox_ids": [1], "due_at": ""}), "event 7 (messages_leased)"),
        (event("messages_leased", body={"outbox_ids": 1, "due_at": ""}), "event 7 (messages_leased)"),
        (event("message_tried", body={"outbox_id": []}), "event 7 (message_tried)"),
    ],
)
def test_what_lacks_something_or_does_not_follow_is_named(told, what):
    with pytest.raises(BadInput, match=what.replace("(", r"\(").replace(")", r"\)")):
        rebuild([told])
