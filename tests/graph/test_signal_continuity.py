"""Whether signals come, kept by the graph itself: a window a decision, a latch that tells and holds back."""

from __future__ import annotations

import json
from pathlib import Path

from console.book_outlines import read_book_outlines
from console.desk import Desk as Looked
from console.lake_pointers import LakePointers
from console.signals import signals_of, why_held
from resources.journal.reader import JournalReader
from resources.lake.store import POINTER
from tests.graph.desk import FIRST, SESSIONS, failure_of
from trading.preflight import Denial
from trading.rebuild import rebuild
from trading.signal_continuity import WINDOW


def looked(desk) -> Looked:
    """Look at a desk as the console does."""
    settings = desk.settings
    return Looked(
        settings=settings,
        books=read_book_outlines(settings.books_file),
        journal=JournalReader(settings.journal_url),
        lake=LakePointers(settings.lake_root),
    )


def windows(desk) -> list:
    return [event for event in desk.journal.events(after=0, limit=10_000) if event.kind == WINDOW]


def told(desk) -> list[dict]:
    """Return the alerts of the messages that people are sent, on one channel."""
    messages = JournalReader(desk.settings.journal_url).outbox()
    return [alert for one in messages if one.channel == "stdout" for alert in json.loads(one.body)["alerts"]]


def test_a_session_s_look_for_signals_is_kept_once_however_often_it_runs(whole_session):
    desk, _ = whole_session
    (before,) = windows(desk)
    again = desk.run("decide", FIRST)

    assert again.success, failure_of(again)
    assert windows(desk) == [before]
    (book,) = signals_of(looked(desk), book="us_five")
    assert (book.windows, book.empty, book.held, book.quiet) == (1, 0, "", ())
    assert (book.last.state, book.last.signals, book.last.lag_s) == ("signals_present", 5, 0)
    assert "us_five" in {
        row["book"] for row in rebuild(desk.journal.events(after=0, limit=10_000))["book_sessions"]
    }


def test_before_any_window_all_counts_are_there_and_nothing_is_held(desk):
    for book in signals_of(looked(desk)):
        assert (book.windows, book.empty, book.held, book.last) == (0, 0, "", None)


def test_quotes_that_do_not_come_are_told_once_and_hold_back_live_until_two_good_windows(
    whole_session, desk_on
):
    desk = desk_on(whole_session[0].settings.state_dir)
    pointer = Path(desk.settings.lake_root) / "us_five" / "market_quotes" / str(FIRST) / POINTER
    kept = pointer.read_bytes()
    pointer.unlink()

    refused = desk.run("decide", SESSIONS[1])

    assert not refused.success
    (book,) = signals_of(looked(desk), book="us_five")
    assert (book.last.session, book.last.reason, book.last.is_latched) == (
        SESSIONS[1],
        "cursor_tail_stable",
        True,
    )
    assert book.last.lag_s > 300
    assert [alert["code"] for alert in told(desk)] == ["signals_latched"]
    assert Denial.SIGNALS_LATCHED in desk.profiled.live_denials("us_five")

    pointer.write_bytes(kept)
    held = []
    for what, session in (("session", SESSIONS[1]), ("decide", SESSIONS[2])):
        done = desk.run(what, session)
        assert done.success, failure_of(done)
        held.append(bool(why_held(looked(desk), "us_five")))

    assert held == [True, False]
    assert Denial.SIGNALS_LATCHED not in desk.profiled.live_denials("us_five")
    assert [
        (alert["code"], alert["status"]) for alert in told(desk) if alert["code"] == "signals_latched"
    ] == [("signals_latched", "firing"), ("signals_latched", "resolved")]
