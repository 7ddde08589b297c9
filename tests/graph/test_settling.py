"""Settling a session: on the journal's own book, by a person's word, and told before it counts as done."""

from __future__ import annotations

from tests.graph.desk import FIRST, SESSIONS, failure_of
from trading.clock import Phase
from trading.positions import BookRow, Item
from trading_assets.stage import CARRIED_BY_TAG


def test_a_book_that_was_altered_in_the_lake_is_not_settled_on(desk):
    assert desk.run("decide", FIRST).success
    assert desk.run("execute", FIRST).success
    rows = [
        row._replace(value_micros=row.value_micros + 10**12)
        if row.item in {Item.CASH, Item.DEPOSITS}
        else row
        for row in desk.rows("opening_book", FIRST)
    ]
    desk.lake.write_rows((desk.book, "opening_book"), str(FIRST), BookRow, rows)

    stage, told = failure_of(desk.run("settle", FIRST))

    assert stage == "positions"
    assert "is not the journal's" in told
    assert desk.journal.session_record(**desk.where(FIRST)).settled_at is None


class OneFillBehind:
    """Be a journal in which the last fill is booked just after it told of what has filled."""

    def __init__(self, profiled):
        self._journal = profiled.journal

    def __getattr__(self, name):
        return getattr(self._journal, name)

    def fills(self, **where):
        return self._journal.fills(**where)[:-1]


def test_a_fill_that_is_booked_while_the_book_is_made_is_in_the_book_that_is_settled(desk, desk_on):
    for what in ("decide", "execute"):
        assert desk.run(what, FIRST).success
    meanwhile = desk_on(ports={"journal": OneFillBehind})

    stage, told = failure_of(meanwhile.materialize("positions", session=FIRST))

    assert stage == "positions"
    why = "positions: its fills changed while its book was made; settle it again"
    record = desk.journal.session_record(**desk.where(FIRST))
    assert told == f"{desk.book} {FIRST} {why}"
    assert (record.refused, record.settled_at) == (why, None)
    assert desk.materialize("positions", session=FIRST).success
    (fill,) = desk.journal.fills(**desk.where(FIRST))
    closing = desk.journal.session_record(**desk.where(FIRST)).closing
    assert closing.quantity_of(fill.symbol) == fill.quantity


def test_a_carried_session_decides_and_sends_nothing_and_the_next_one_opens_with_its_book(desk):
    desk.journal.record_refusal(
        **desk.where(FIRST),
        stage="candidates",
        reason="unfit",
        now=desk.profiled.clocks["us_five"].now(FIRST, Phase.DECIDE),
    )

    carried = desk.run("carry", FIRST, tags={CARRIED_BY_TAG: "anna: data came late"})

    assert carried.success, failure_of(carried)
    record = desk.journal.session_record(**desk.where(FIRST))
    assert (record.carried_by, record.decided_at) == ("anna: data came late", None)
    assert desk.journal.intents(**desk.where(FIRST)) == []
    assert desk.sent() == []
    assert desk.run("decide", SESSIONS[1]).success
    assert desk.rows("opening_book", SESSIONS[1])[0].value_micros == record.closing.cash_micros


def test_what_is_held_and_not_quoted_any_more_keeps_its_last_mark(whole_session, desk_on):
    desk = desk_on(whole_session[0].settings.state_dir)
    ran = desk.run("session", SESSIONS[1])
    assert ran.success, failure_of(ran)
    held = next(row for row in desk.rows("positions", SESSIONS[1]) if row.item is Item.POSITION)
    quotes = [row for row in desk.rows("market_quotes", SESSIONS[2]) if row.symbol != held.symbol]
    type_of = type(quotes[0])
    desk.lake.write_rows((desk.book, "market_quotes"), str(SESSIONS[2]), type_of, quotes)

    for what in ("decide", "execute"):
        assert desk.run(what, SESSIONS[2]).success
    settled = desk.materialize("order_status", "positions", session=SESSIONS[2])

    assert settled.success, failure_of(settled)
    kept = next(row for row in desk.rows("positions", SESSIONS[2]) if row.symbol == held.symbol)
    assert (kept.mark_micros, kept.marked_on) == (held.mark_micros, SESSIONS[1])
