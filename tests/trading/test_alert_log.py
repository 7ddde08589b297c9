"""What is known of alerts from one look to the next: what is news, who is told, and who knows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.alert_groups import InhibitRule, Route, matcher_of
from trading.alert_log import (
    NO_RULE,
    AlertEvent,
    AlertLog,
    AlertState,
    acknowledgement,
    alert_log_of,
    ended_without_rule,
    find_alert,
    messages_due,
    observed,
    silencing,
    state_of,
    unsilencing,
)
from trading.alerts import (
    AlertPolicy,
    AlertRow,
    AlertRule,
    Comparison,
    DeliveryPolicy,
    FailOn,
    Severity,
    fingerprint_of,
)
from trading.errors import BadInput, IllegalTransition, UnknownId
from trading.journal import JournalEvent

NOW = datetime(2013, 2, 28, 21, 30, tzinfo=UTC)
SESSION = date(2013, 2, 28)
MINUTE = timedelta(minutes=1)
CODES = {"drawdown_high": Severity.WARNING, "quarantined_ratio_high": Severity.WARNING} | {
    "intents_stuck": Severity.CRITICAL
}
POLICY = AlertPolicy(
    rules=tuple(
        AlertRule(
            code=code,
            severity=severity,
            owner="risk",
            metric="pnl.drawdown",
            comparison=Comparison.ABOVE,
            threshold=0.1,
            unit="ratio",
            runbook=f"docs/runbooks/{code}.md",
            why="because",
        )
        for code, severity in CODES.items()
    ),
    fail_on=FailOn.CRITICAL,
    opens_incident=(),
    route=Route(group_by=("book", "severity"), group_wait_s=0, group_interval_s=60, repeat_interval_s=86400),
    inhibit=(
        InhibitRule(
            source=(matcher_of("alertname=intents_stuck"),),
            target=(matcher_of("alertname=quarantined_ratio_high"),),
            equal=("book",),
        ),
    ),
    delivery=DeliveryPolicy(
        channels=("stdout",),
        rate_limit_count=3,
        rate_limit_window_s=600,
        retries=1,
        retry_wait_s=2.0,
        backoff_s=60,
        backoff_s_max=3600,
        backoff_critical_s_max=300,
        attempts_max=4,
        lease_s=120,
    ),
)


def alert(code: str = "drawdown_high", book: str = "us_five") -> AlertRow:
    severity = CODES[code]
    return AlertRow(
        session=SESSION,
        book=book,
        code=code,
        severity=severity,
        metric="pnl.drawdown",
        observed=0.2,
        threshold=0.1,
        message="pnl.drawdown is 0.2, above 0.1 (ratio)",
        runbook=f"docs/runbooks/{code}.md",
        fingerprint=fingerprint_of(book=book, code=code, severity=severity),
    )


class Desk:
    """Keep events as the journal does, and ask the rules at each step."""

    def __init__(self) -> None:
        self.events: list[JournalEvent] = []

    @property
    def log(self) -> AlertLog:
        return alert_log_of(self.events)

    def take(self, *events: AlertEvent, at: datetime = NOW) -> None:
        for event in events:
            # As they come back from a table.
            body = json.loads(json.dumps(event.body))
            self.events.append(
                JournalEvent(
                    len(self.events) + 1, at, event.kind, event.book, "", event.session, "", event.actor,
                    event.reason, body, "", "",
                )
            )  # fmt: skip

    def look(self, *codes: str, at: datetime = NOW, session: date = SESSION, book: str = "us_five") -> None:
        found = [alert(code, book)._replace(session=session) for code in codes]
        self.take(*observed(self.log, found, codes=CODES, policy=POLICY, book=book, session=session), at=at)

    def tell(self, at: datetime = NOW) -> list[str]:
        messages = messages_due(self.log, POLICY, now=at)
        self.take(*(message.event for message in messages), at=at)
        return [message.subject for message in messages]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_an_alert_is_told_when_it_fires_and_when_it_is_over_and_not_in_between(desk):
    desk.look("drawdown_high")
    first = desk.tell()
    desk.look("drawdown_high", at=NOW + 5 * MINUTE)
    between = desk.tell(NOW + 5 * MINUTE)
    desk.look(at=NOW + 10 * MINUTE)
    last = desk.tell(NOW + 10 * MINUTE)

    assert first == ["[warning] us_five 2013-02-28: drawdown_high"]
    assert between == []
    assert last == ["[resolved] us_five 2013-02-28: drawdown_high"]
    assert desk.tell(NOW + timedelta(days=9)) == []


def test_what_fires_by_a_rule_that_was_removed_is_over_and_people_hear_why(desk):
    desk.look("drawdown_high", "quarantined_ratio_high")
    desk.tell()
    fewer = replace(POLICY, rules=tuple(rule for rule in POLICY.rules if rule.code != "drawdown_high"))
    ended = ended_without_rule(desk.log, fewer)
    desk.take(*ended, at=NOW + 5 * MINUTE)

    over, goes_on = (find_alert(desk.log, code) for code in ("drawdown_high", "quarantined_ratio_high"))
    (message,) = messages_due(desk.log, fewer, now=NOW + 5 * MINUTE)
    told = {one["code"]: (one["status"], one["message"]) for one in json.loads(message.body)["alerts"]}
    assert (over.ends_at, over.end_reason) == (NOW + 5 * MINUTE, NO_RULE)
    assert (goes_on.ends_at, goes_on.end_reason) == (None, "")
    assert told["drawdown_high"] == ("resolved", f"pnl.drawdown is 0.2, above 0.1 (ratio); over: {NO_RULE}")
    assert told["quarantined_ratio_high"][0] == "firing"
    assert ended_without_rule(desk.log, fewer) == ended_without_rule(desk.log, POLICY) == ()


def test_what_is_seen_well_again_ends_for_no_other_reason(desk):
    desk.look("drawdown_high")
    desk.look(at=NOW + 5 * MINUTE)

    assert find_alert(desk.log, "drawdown_high").end_reason == ""


def test_a_clock_that_was_set_back_keeps_no_alert_until_it_is_there_again(desk):
    desk.look("drawdown_high")
    desk.tell()
    before = NOW - timedelta(hours=3)
    desk.look("drawdown_high", "quarantined_ratio_high", at=before)

    assert desk.tell(before) == ["[warning] us_five 2013-02-28: drawdown_high, quarantined_ratio_high"]
    assert desk.tell(before) == []
    assert desk.tell(before + 2 * MINUTE) == []


def test_an_alert_that_began_before_the_clock_was_set_back_is_told(desk):
    desk.look("drawdown_high")

    assert desk.tell(NOW - timedelta(hours=3)) == ["[warning] us_five 2013-02-28: drawdown_high"]
    assert desk.tell(NOW) == []


def test_what_goes_on_is_told_again_each_day_unless_somebody_knows(desk):
    desk.look("drawdown_high")
    desk.tell()
    again = desk.tell(NOW + timedelta(days=1, minutes=1))
    desk.take(acknowledgement(desk.log, "drawdown_high", actor="ada", reason="reducing"))

    assert len(again) == 1
    assert desk.tell(NOW + timedelta(days=3)) == []
    assert find_alert(desk.log, "drawdown_high").acknowledged_by == "ada"


def test_another_occurrence_is_told_though_the_last_one_was_acknowledged(desk):
    desk.look("drawdown_high")
    desk.tell()
    desk.take(acknowledgement(desk.log, "drawdown_high", actor="ada", reason="reducing"))
    desk.look(at=NOW + 2 * MINUTE)
    desk.tell(NOW + 2 * MINUTE)
    desk.look("drawdown_high", at=NOW + 4 * MINUTE)

    assert desk.tell(NOW + 4 * MINUTE) == ["[warning] us_five 2013-02-28: drawdown_high"]
    assert find_alert(desk.log, "drawdown_high").acknowledged_by == ""


def test_warnings_of_a_book_are_one_message_and_a_critical_is_one_of_its_own(desk):
    desk.look("drawdown_high", "quarantined_ratio_high")
    both = desk.tell()
    desk.look("drawdown_high", "intents_stuck", at=NOW + MINUTE / 2)

    assert both == ["[warning] us_five 2013-02-28: drawdown_high, quarantined_ratio_high"]
    assert desk.tell(NOW + MINUTE / 2) == ["[critical] us_five 2013-02-28: intents_stuck"]


def test_a_look_at_an_earlier_session_changes_nothing_that_was_judged_later(desk):
    desk.look("drawdown_high")
    desk.look(at=NOW + MINUTE, session=SESSION - timedelta(days=1))

    assert find_alert(desk.log, "drawdown_high").ends_at is None


def test_a_rule_that_was_not_judged_ends_nothing(desk):
    desk.look("drawdown_high")
    desk.take(
        *observed(desk.log, [], codes=["intents_stuck"], policy=POLICY, book="us_five", session=SESSION)
    )

    assert find_alert(desk.log, "drawdown_high").ends_at is None


def test_what_is_silenced_is_told_once_the_silence_is_over(desk):
    event = silencing(
        ["alertname=drawdown_high"], lasts=timedelta(hours=1), actor="ada", reason="known", now=NOW
    )
    desk.take(event)
    desk.look("drawdown_high")

    assert desk.tell() == []
    assert state_of(find_alert(desk.log, "drawdown_high"), desk.log, (), now=NOW) is AlertState.SILENCED
    assert len(desk.tell(NOW + timedelta(hours=1))) == 1


def test_a_silence_that_is_ended_early_holds_nothing_back(desk):
    event = silencing(["book=us_five"], lasts=timedelta(hours=1), actor="ada", reason="known", now=NOW)
    desk.take(event)
    desk.look("drawdown_high")
    desk.take(
        unsilencing(desk.log, event.body["silence_id"], actor="bob", reason="not so", now=NOW + MINUTE),
        at=NOW + MINUTE,
    )

    assert len(desk.tell(NOW + MINUTE)) == 1
    with pytest.raises(UnknownId):
        unsilencing(desk.log, event.body["silence_id"], actor="bob", reason="again", now=NOW + 2 * MINUTE)


def test_the_run_in_which_an_alert_began_stays_known_while_it_goes_on(desk):
    found = [alert("drawdown_high")]
    where = {"codes": CODES, "policy": POLICY, "book": "us_five", "session": SESSION}
    for run_id in ("first", "second"):
        desk.take(*observed(desk.log, found, **where, run_id=run_id))

    assert find_alert(desk.log, "drawdown_high").run_id == "first"


def test_an_alert_of_a_journal_that_names_no_runs_is_known_without_one(desk):
    desk.look("drawdown_high")
    (event,) = desk.events
    body = {name: value for name, value in event.body.items() if name != "run_id"}

    assert find_alert(alert_log_of([event._replace(body=body)]), "drawdown_high").run_id == ""


def test_what_another_alert_explains_is_listed_and_not_told(desk):
    desk.look("intents_stuck", "quarantined_ratio_high")

    hidden = find_alert(desk.log, "quarantined_ratio_high")
    assert desk.tell() == ["[critical] us_five 2013-02-28: intents_stuck"]
    assert state_of(hidden, desk.log, POLICY.inhibit, now=NOW) is AlertState.INHIBITED


@pytest.mark.parametrize(
    ("matchers", "lasts"),
    [
        ([], timedelta(hours=1)),
        (["severity=~.*"], timedelta(hours=1)),
        (["symbol=AAPL"], timedelta(hours=1)),
        (["drawdown_high"], timedelta(hours=1)),
        (["book=us_five"], timedelta()),
        (["book=us_five"], timedelta(days=31)),
    ],
)
def test_a_silence_of_everything_of_nothing_or_for_ever_is_refused(matchers, lasts):
    with pytest.raises(BadInput):
        silencing(matchers, lasts=lasts, actor="ada", reason="known", now=NOW)


def test_an_alert_that_is_over_or_not_one_cannot_be_acknowledged(desk):
    desk.look("drawdown_high")
    desk.look("drawdown_high", book="us_wide")
    with pytest.raises(BadInput, match="several"):
        acknowledgement(desk.log, "drawdown_high", actor="ada", reason="known")
    with pytest.raises(UnknownId, match="'nosuch'"):
        acknowledgement(desk.log, "nosuch", actor="ada", reason="known")
    desk.look(at=NOW + MINUTE)
    desk.look(book="us_wide", at=NOW + MINUTE)
    over = fingerprint_of(book="us_five", code="drawdown_high", severity=Severity.WARNING)
    with pytest.raises(IllegalTransition, match="is over"):
        acknowledgement(desk.log, over, actor="ada", reason="known")


LOOKS = st.lists(
    st.tuples(st.sets(st.sampled_from(sorted(CODES))), st.integers(1, 4000)), min_size=1, max_size=30
)


@settings(max_examples=60)
@given(LOOKS)
def test_nobody_is_told_twice_within_a_window_and_no_critical_is_kept(looks):
    """At each look: a critical that fires was told, and the same message not again within the interval."""
    desk, at = Desk(), NOW
    for codes, minutes in looks:
        at += minutes * MINUTE
        desk.look(*codes, at=at)
        before = desk.log.told
        desk.tell(at)
        for group, told in desk.log.told.items():
            if group in before and told != before[group]:
                assert told.at - before[group].at >= MINUTE
        assert desk.tell(at) == []
        known = find_alert(desk.log, "intents_stuck") if "intents_stuck" in codes else None
        if known is not None:
            told = desk.log.told[(("book", "us_five"), ("severity", "critical"))]
            assert known.fingerprint in told.firing


@settings(max_examples=60)
@given(LOOKS, st.integers(0, 60))
def test_what_is_read_on_from_what_was_known_is_what_reading_all_of_it_says(looks, place):
    desk, at = Desk(), NOW
    for codes, minutes in looks:
        at += minutes * MINUTE
        desk.look(*codes, at=at)
        desk.tell(at)
        if codes and minutes % 2:
            desk.take(acknowledgement(desk.log, min(codes), actor="ada", reason="known"), at=at)
    first, then = desk.events[:place], desk.events[place:]

    assert alert_log_of(then, alert_log_of(first)) == desk.log
