"""A strategy is added by what the tutorial says, and votes: one short file, one line of configuration."""

from __future__ import annotations

from datetime import date

import pytest

from resources.profiles import Profiled
from resources.settings import load_settings
from tests.docs.beginnings import FIVE, only_quotes
from tests.docs.pages import DOCS, blocks
from trading.actions import CorporateAction
from trading.council import Motion
from trading.positions import opened_book
from trading.session import Decided, decide_session

TUTORIAL = DOCS / "tutorials" / "your_own_strategy.md"
SESSION = date(2013, 2, 28)


@pytest.fixture(scope="module")
def quotes(tmp_path_factory):
    """Give a state folder with the quotes that the tutorial's session is decided on."""
    return only_quotes(tmp_path_factory, FIVE)


@pytest.fixture(scope="module")
def ran(quotes):
    """Let the reader begin with quotes alone: a session is decided here, and no run is read."""
    return quotes


@pytest.fixture
def steps(reader):
    """Give the two steps of the tutorial that write something: the file, and the line."""
    written = [block for block in blocks(TUTORIAL) if block.deed in {"file", "append"}]
    assert [block.place for block in written] == ["trading/strategies/breakout.py", "config/strategies.toml"]
    return written


def decided() -> Decided:
    """Decide the tutorial's session through the session step, on the quotes in the lake."""
    profiled = Profiled(load_settings())
    config, calendar = profiled.books["us_five"], profiled.calendars["us_five"]
    actions, _ = profiled.lake.read_rows(("us_five", "corporate_actions"), None, CorporateAction)
    return decide_session(
        config,
        lane="simulated",
        window=profiled.windows["us_five"].window_before(SESSION, config.rules.window_sessions),
        opening=opened_book(currency=config.currency, deposit_micros=config.deposit_micros),
        actions=actions,
        not_after=calendar.closes_at(SESSION),
    )


def test_the_file_and_the_line_are_as_short_as_promised(steps):
    file, line = steps

    assert len(file.body.splitlines()) <= 15
    assert len(line.body.splitlines()) == 1


def test_the_new_strategy_votes_and_tips_a_decision(steps, reader):
    before = decided().proposed.votes["IBM"]
    for step in steps:
        reader.follow(step)
    after = decided()

    assert before.motion is Motion.HOLD
    assert "breakout" not in before.why
    assert after.proposed.votes["IBM"].motion is Motion.BUY
    assert "breakout +0.60" in after.proposed.votes["IBM"].why
    assert {"breakout@1" in decision.intent.strategy_version for decision in after.decisions} == {True}


def test_without_its_file_the_line_is_refused_by_name(steps, reader):
    reader.follow(steps[1])
    spoken = reader.trading("doctor")

    assert spoken.code == 1
    assert "strategy 'breakout': no file trading/strategies/breakout.py" in spoken.out
