"""A broker that says 429 in the middle of a session: calls go slower, nothing is lost, and it is told."""

from __future__ import annotations

import itertools

from resources.paper_broker.broker import KIND
from tests.graph.desk import FIRST, failure_of
from tests.graph.over_http import LATENCY_S, Wall, exchange, routed_to
from trading.alerts import Severity
from trading.broker_behaviour import Behaviour, ReportFault, SendFault
from trading.lifecycle import IntentState
from trading.metrics import by_name
from trading.rate_limits import LimitRules

LIMITED = Behaviour(reports={ReportFault.QUERY_LIMITED: 10_000}, sends={SendFault.RATE_LIMITED: 10_000})
TOO_MANY = 429
SEND = 7
"""The number of the first send among a session's calls, from 0."""

HIGHEST_RATE_GAP_S = 60 / LimitRules().calls_per_minute


def bursting(door, *bursts):
    """Have an exchange answer 429 to its calls with these numbers, from 0."""
    limited = set(itertools.chain(*bursts))

    def before(number, _method, _path):
        door.exchange.broker.behaviour = LIMITED if number in limited else KIND

    door.before = before


def opened(desk_on, imported, tmp_path, monkeypatch, door):
    return desk_on(imported.folder, **routed_to(door, tmp_path, monkeypatch))


def gaps_after(asked, numbers):
    return [asked[number + 1].at_s - asked[number].at_s for number in numbers]


def sent(door):
    return [one.status for one in door.asked if one.method == "POST"]


def test_a_burst_among_a_sessions_questions_slows_the_calls_and_the_session_ends_as_any_other(
    whole_session, imported, desk_on, tmp_path, monkeypatch
):
    usual, _ = whole_session
    wall = Wall()
    wall.used_by(monkeypatch)
    first, second = range(3, 7), range(20, 24)
    with exchange(tmp_path / "exchange.db", wall=wall) as door:
        bursting(door, first, second)
        desk = opened(desk_on, imported, tmp_path, monkeypatch, door)
        result = desk.run("session", FIRST)
    asked = door.asked

    # Nothing is lost: the day is the one that it is without a burst.
    assert failure_of(result) == ("", "")
    assert desk.rows("positions", FIRST) == usual.rows("positions", FIRST)
    assert sent(door) == [200]

    # The rate falls with every 429, and nobody is asked sooner than that.
    assert [number for number, one in enumerate(asked) if one.status == TOO_MANY] == [*first, *second]
    waits = gaps_after(asked, first)
    assert waits == sorted(waits)
    assert waits[0] > 2 * HIGHEST_RATE_GAP_S
    assert all(later > 1.4 * earlier for earlier, later in itertools.pairwise(waits))
    assert max(gaps_after(asked, range(3))) < HIGHEST_RATE_GAP_S
    after = [number for number in range(7, len(asked) - 1) if asked[number + 1].method == "GET"]
    assert min(gaps_after(asked, after)) > HIGHEST_RATE_GAP_S

    # What was asked and waited is kept, and told.
    calls = desk.profiled.call_history["us_five"].calls_in(FIRST)
    assert [call.status for call in calls] == [one.status for one in asked]
    assert sum(call.waited_ms > 0 for call in calls) >= len(first) + len(second)
    limited = by_name(desk.rows("metrics", FIRST))["broker_api.api_429_rate"].value
    assert limited == round((len(first) + len(second)) / len(asked), 9)
    assert ("broker_api_429_rate_high", Severity.WARNING) in [
        (row.code, row.severity) for row in desk.rows("alerts", FIRST)
    ]


def test_a_send_answered_429_holds_the_session_until_it_is_asked_for_and_goes_out_once(
    whole_session, imported, desk_on, tmp_path, monkeypatch
):
    usual, _ = whole_session
    wall = Wall()
    wall.used_by(monkeypatch)
    with exchange(tmp_path / "exchange.db", wall=wall) as door:
        bursting(door, range(SEND, SEND + 3))
        desk = opened(desk_on, imported, tmp_path, monkeypatch, door)
        stage, told = failure_of(desk.run("session", FIRST))
        states = [row.state for row in desk.journal.intents(**desk.where(FIRST))]
        once = sent(door)
        again = desk.run("session", FIRST)

    assert (stage, once) == ("positions", [TOO_MANY])
    assert "1 still open (IBM unknown)" in told
    assert IntentState.UNKNOWN in states
    assert failure_of(again) == ("", "")
    assert sent(door) == [TOO_MANY, 200]
    assert desk.rows("positions", FIRST) == usual.rows("positions", FIRST)


def test_a_limit_that_is_told_is_never_exceeded(imported, desk_on, tmp_path, monkeypatch):
    wall = Wall()
    wall.used_by(monkeypatch)
    with exchange(tmp_path / "exchange.db", wall=wall, requests_per_minute=12) as door:
        desk = opened(desk_on, imported, tmp_path, monkeypatch, door)
        result = desk.run("session", FIRST)

    assert failure_of(result) == ("", "")
    assert {one.status for one in door.asked} <= {200, 404}
    assert wall.s > 60 > len(door.asked) * LATENCY_S
    by_minute = [len(list(calls)) for _, calls in itertools.groupby(one.at_s // 60 for one in door.asked)]
    assert max(by_minute) <= 12
