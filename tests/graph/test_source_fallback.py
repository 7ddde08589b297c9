"""A book with a second source: where the first fails, the session goes on with it, and says so to its end."""

from __future__ import annotations

import pytest

from tests.graph.desk import CALENDAR, FIRST, failure_of
from trading.errors import BadQuotes
from trading.inputs import InputSource

LAST_KNOWN = CALENDAR.previous(FIRST)


class Silent(BadQuotes):
    """Be what a source over a network raises."""

    word = "time_out"


class Source:
    """Be the real source, until it is broken."""

    def __init__(self, real, *, name="bokeh_stocks", breaks=None):
        self._real, self.name, self._breaks = real, name, breaks

    def __getattr__(self, call):
        return getattr(self._real, call)

    def raw_bars(self, first, last):
        if self._breaks is None:
            return self._real.raw_bars(first, last)
        return self._breaks(self._real.raw_bars(first, last))


def times_out(_rows):
    raise Silent("no answer within 5 s")


def is_late(rows):
    return [row for row in rows if row.session != str(LAST_KNOWN)]


def ports(breaks, *, has_second=True):
    second = {"us_five": lambda real: Source(real, name="second")} if has_second else {}
    return {
        "sources": lambda profiled: {"us_five": Source(profiled.sources["us_five"], breaks=breaks)},
        "fallback_sources": lambda profiled: {
            book: made(profiled.sources[book]) for book, made in second.items()
        },
    }


@pytest.mark.parametrize(("breaks", "word"), [(times_out, "time_out"), (is_late, "late")])
def test_the_second_source_stands_in_and_its_reason_reaches_the_decision(imported, desk_on, breaks, word):
    desk = desk_on(imported.folder, ports=ports(breaks))

    result = desk.import_quotes(LAST_KNOWN, LAST_KNOWN)
    assert result.success, failure_of(result)
    assert desk.run("decide", FIRST).success

    reason = f"bokeh_stocks:read:{word}"
    pointer = desk.lake.require(("us_five", "market_quotes"), str(LAST_KNOWN))
    assert pointer.extra["fallback_reason"] == reason
    quotes = next(
        row for row in desk.rows("input_envelopes", FIRST) if row.source is InputSource.MARKET_QUOTE
    )
    assert (quotes.fallback_reason, quotes.used) == (reason, "lake")
    assert desk.rows("market_quotes", LAST_KNOWN)

    well = desk_on(ports=ports(None))
    assert well.import_quotes(LAST_KNOWN, LAST_KNOWN).success
    healed = well.lake.require(("us_five", "market_quotes"), str(LAST_KNOWN))
    assert "fallback_reason" not in healed.extra


@pytest.mark.parametrize("breaks", [times_out, is_late])
def test_without_a_second_source_nothing_is_decided_and_one_reason_says_why(imported, desk_on, breaks):
    desk = desk_on(imported.folder, ports=ports(breaks, has_second=False))

    result = desk.import_quotes(LAST_KNOWN, LAST_KNOWN)
    if breaks is times_out:
        assert "no answer within 5 s" in failure_of(result)[1]
        return
    stage, told = failure_of(desk.run("decide", FIRST))

    assert stage == "candidates"
    assert "unfit" in told
    assert desk.journal.intents(**desk.where(FIRST)) == []
