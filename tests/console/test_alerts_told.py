"""What is told of alerts and levels: what fires in a book, what was never judged, what a silence is of."""

from __future__ import annotations

import pytest

from tests.console.states import CLOSE, NOW, OF, OPEN, OPENED, SESSION, a_filled_intent
from tests.console.test_command_line import empty_journal, journal, speak, state
from tests.console.test_incidents import missed

__all__ = ["empty_journal", "journal", "speak", "state"]

SILENCE = ("alerts", "silence", "--minutes", "5", "--reason", "known", "--yes")


def opened(journal):
    journal.opening_book(**OF, previous=SESSION, opened=OPENED, now=OPEN)


def test_a_book_whose_session_no_report_has_judged_is_not_told_to_have_no_alert(speak, journal):
    opened(journal)

    assert " alerts        –\n" in speak("status", "--book", "us_five").out


def test_what_fires_in_a_session_without_a_report_stands_at_its_book(speak, journal):
    opened(journal)
    missed(journal, 1, at=OPEN)
    speak("alerts", "ack", "session_missed", "--reason", "looking")
    (book,) = speak("status", "--book", "us_five", "--json").json["books"]
    missed(journal, 0, at=CLOSE)
    (over,) = speak("status", "--book", "us_five", "--json").json["books"]

    assert book["alerts"] == ["critical session_missed: schedules.missed is 1, above 0 (sessions)"]
    assert over["alerts"] == []


def test_a_verdict_that_all_is_well_counts_the_alerts_that_need_nobody(speak, journal):
    opened(journal)
    missed(journal, 1, at=OPEN)
    speak("alerts", "ack", "session_missed", "--reason", "looking")

    known = speak("status", "--book", "us_five")
    missed(journal, 0, at=CLOSE)
    over = speak("status", "--book", "us_five")

    assert known.out.startswith("ALL WELL: us_five 2013-02-28 opened, 0 filled, 1 alert ")
    assert over.out.startswith("ALL WELL: us_five 2013-02-28 opened, 0 filled ")
    assert (known.code, over.code) == (0, 0)


def test_what_is_known_of_an_alert_need_not_be_acknowledged_again(speak, journal):
    missed(journal, 1, at=NOW)
    news = speak("alerts", "show", "session_missed")
    known = speak("alerts", "ack", "session_missed", "--reason", "looking")

    assert "trading alerts ack" in news.out
    assert "trading alerts ack" not in known.out


@pytest.mark.parametrize(
    ("matcher", "said"),
    [
        ("alertname=drawdown_hihg", "did you mean drawdown_high?"),
        ("alertname==drawdown_high", "did you mean drawdown_high?"),
        ("alertname=weather", "docs/reference/alerts.md"),
        ("book=us_fiv", "did you mean us_five?"),
        ("book!=us_fiv", "did you mean us_five?"),
        ("severity=page", "known: critical, warning"),
        ("drawdown_high", "give LABEL=VALUE"),
        ("alertname=~(", "a pattern is made of"),
    ],
)
def test_a_silence_of_what_there_is_not_is_refused_and_the_near_name_told(speak, journal, matcher, said):
    refused = speak(*SILENCE, "severity=warning", matcher)

    assert (refused.code, speak("alerts", "--json").json["silences"]) == (2, [])
    assert said in refused.err


@pytest.mark.parametrize(
    "matcher", ["alertname=drawdown_high", "alertname=~drawdown.*", "book=", "book!=us_wide", "about=a_job"]
)
def test_a_silence_of_what_may_fire_is_kept(speak, journal, matcher):
    assert speak(*SILENCE, "severity=warning", matcher).code == 0
    assert matcher in speak("alerts").out


def test_the_first_silence_of_simulated_days_begins_in_their_time(speak, journal):
    before_any = speak(*SILENCE, "book=us_five", "--json").json
    speak("alerts", "unsilence", before_any["silence_id"], "--reason", "over")

    assert before_any["starts_at"] == "2013-03-01T14:30:00Z"


def test_the_first_silence_of_a_desk_that_ran_begins_at_its_last_session(speak, journal):
    a_filled_intent(journal)

    assert speak(*SILENCE, "book=us_five", "--json").json["starts_at"] == "2013-02-28T14:30:00Z"


def test_a_level_without_data_is_not_told_as_a_budget_that_lasts(speak, journal):
    found = speak("slo")

    assert found.code == 0
    assert "no incident is open; no data of any objective" in found.out
    assert "lasts" not in found.out


def test_a_delivery_log_that_has_none_of_a_kind_is_not_told_to_be_empty(speak, journal):
    nothing, of_a_kind = speak("deliveries"), speak("deliveries", "--channel", "slack")

    assert "nobody tried" in nothing.out
    assert (of_a_kind.code, "nobody tried" in of_a_kind.out) == (0, False)


def test_an_alert_that_is_over_is_acknowledged_by_nobody(speak, journal):
    missed(journal, 1, at=OPEN)
    missed(journal, 0, at=CLOSE)

    assert speak("alerts", "ack", "session_missed", "--reason", "looking").code == 4
