"""No look-ahead: what a session decides does not change with its own bars, nor with any later one.

Five sessions around AAPL's split (2 for 1, effective 2005-02-28), each decided on the book that the one
before left: with the bars of the session and after it in place, without them, with wrong ones, and with
them moved to later sessions.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tests.graph.desk import CALENDAR, WINDOW, Desk, copied, failure_of
from trading.quotes import Quote

DAYS = CALENDAR.between(date(2005, 2, 24), date(2005, 3, 2))
SPLIT = date(2005, 2, 28)
DECIDED = ("opening_book", "candidates", "intents", "verdicts", "advice", "decisions")


@pytest.fixture(scope="module")
def opened(suite_imported, tmp_path_factory):
    """Give, for each of the days, a folder in which all quotes are and the days before are settled.

    Beside it the desk on which all of them ran, whose decisions are those to compare with.
    """
    desk = Desk(tmp_path_factory.mktemp("split") / "desk")
    result = desk.import_quotes(CALENDAR.before(DAYS[0], WINDOW)[0], CALENDAR.next(DAYS[-1]))
    assert result.success, failure_of(result)
    folders = {}
    for day in DAYS:
        desk.journal.close()
        folders[day] = copied(desk.settings.state_dir, tmp_path_factory.mktemp(f"before-{day}") / "desk")
        result = desk.run("session", day)
        assert result.success, failure_of(result)
    yield folders, desk
    desk.close()


class NoSource:
    """Stand where the source of bars is, and give nothing: a decision has no business there."""

    name = "none"

    def __getattr__(self, call: str) -> Any:
        raise AssertionError(f"a decision asked the source for {call}")


def later(desk, day):
    return [key for key in desk.lake.partitions((desk.book, "market_quotes")) if key >= str(day)]


def remove(desk, day):
    for key in later(desk, day):
        (desk.lake.root / desk.book / "market_quotes" / key / "current.json").unlink()


def falsify(desk, day):
    asset = (desk.book, "market_quotes")
    for key in later(desk, day):
        quotes, _ = desk.lake.read_rows(asset, key, Quote)
        false = [
            quote._replace(
                open_micros=quote.open_micros * 7,
                high_micros=quote.high_micros * 9,
                close_micros=quote.close_micros * 8,
                volume=1,
            )
            for quote in quotes
        ]
        desk.lake.write_rows(asset, key, Quote, false)


def corrupt(desk, day):
    for key in later(desk, day):
        folder = desk.lake.root / desk.book / "market_quotes" / key
        for path in folder.glob("*.parquet"):
            path.unlink()  # a copy is linked to the other desk's file: never written into
            path.write_bytes(b"no Parquet file")


def move_on(desk, day):
    """Let each later session hold the bars of the one before it, the day's own among them."""
    asset = (desk.book, "market_quotes")
    keys = later(desk, day)
    held = [desk.lake.read_rows(asset, key, Quote)[0] for key in keys]
    for key, quotes in zip(keys[1:], held, strict=False):
        moved = [quote._replace(session=date.fromisoformat(key)) for quote in quotes]
        desk.lake.write_rows(asset, key, Quote, moved)
    (desk.lake.root / desk.book / "market_quotes" / keys[0] / "current.json").unlink()


CHANGES = [
    *[(day, change) for day in DAYS for change in (remove, falsify)],
    *[(day, change) for day in (DAYS[0], SPLIT) for change in (corrupt, move_on)],
]


@pytest.mark.parametrize(
    ("day", "change"), CHANGES, ids=[f"{day}-{change.__name__}" for day, change in CHANGES]
)
def test_a_decision_does_not_change_with_its_own_bars_or_later_ones(opened, desk_on, day, change):
    folders, reference = opened
    desk = desk_on(folders[day], ports={"sources": lambda _: {"us_five": NoSource()}})
    change(desk, day)

    result = desk.run("decide", day)

    assert failure_of(result) == ("", "")
    for asset in DECIDED:
        found = desk.lake.require((desk.book, asset), str(day)).sha
        assert found == reference.lake.require((desk.book, asset), str(day)).sha, asset


def test_the_days_before_and_on_the_split_have_something_to_decide(opened):
    _, desk = opened
    sizes = [len(desk.rows("decisions", day)) for day in DAYS]

    assert all(sizes[:3]), sizes
    held = [row for row in desk.rows("opening_book", SPLIT) if row.symbol == "AAPL"]
    assert held, "AAPL is held over its split"
    after = [row for row in desk.rows("positions", SPLIT) if row.symbol == "AAPL"]
    bought = sum(row.filled_quantity for row in desk.rows("executions", SPLIT) if row.symbol == "AAPL")
    assert after[0].quantity == 2 * held[0].quantity + bought


def test_an_order_on_the_split_is_sized_on_the_price_of_the_new_share(opened):
    _, desk = opened
    closes = {
        quote.symbol: quote.close_micros for quote in desk.rows("market_quotes", CALENDAR.previous(SPLIT))
    }
    sized = {row.symbol: row.price_micros for row in desk.rows("intents", SPLIT)}

    assert sized["AAPL"] == closes["AAPL"] // 2
    assert all(price == closes[symbol] for symbol, price in sized.items() if symbol != "AAPL")


def test_a_bar_of_the_session_smuggled_into_an_earlier_one_is_refused(opened, desk_on):
    folders, _ = opened
    desk = desk_on(folders[SPLIT])
    asset = (desk.book, "market_quotes")
    own, _ = desk.lake.read_rows(asset, str(SPLIT), Quote)
    desk.lake.write_rows(asset, str(CALENDAR.previous(SPLIT)), Quote, own)

    stage, told = failure_of(desk.run("decide", SPLIT))

    assert stage == "candidates"
    assert f"a decision for {SPLIT} reads earlier sessions only" in told
    assert desk.journal.intents(**desk.where(SPLIT)) == []


def test_an_adjustment_by_a_later_action_does_not_reach_a_decision_before_it(opened, desk_on):
    folders, reference = opened
    day = DAYS[0]
    desk = desk_on(folders[day])
    asset = (desk.book, "corporate_actions")
    actions, _ = desk.lake.read_rows(asset, None, type(desk.profiled.sources["us_five"].actions()[0]))
    known = [action for action in actions if action.effective_on <= day]
    desk.lake.write_rows(asset, None, type(actions[0]), known)

    assert desk.run("decide", day).success

    # The table names what it read, so its digest of inputs differs; what was decided does not.
    for name in ("candidates", "intents", "verdicts"):
        assert desk.rows(name, day) == reference.rows(name, day), name
