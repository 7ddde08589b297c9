"""A session with an advisor: less at most, its own record, and a day that goes on where the advisor fails."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from console.cli import main
from resources.advisor_ladder import JournalLadder
from tests.graph.desk import CALENDAR, FIRST, LANE, Desk, copied, failure_of
from tests.graph.test_parity_of_sessions import check_of, found_on
from trading.advice import AdviceGiven, AdviceVerdict, Ladder, no_advice
from trading.advice_ladder import LadderEvent, ModelLock
from trading.advisor_calls import ErrorBudget
from trading.decisions import Outcome
from trading.testing import example_call
from trading.values import IntentKey

LOCK = ModelLock(
    models=("small-1",),
    prompt_name="advice",
    prompt_version="1",
    template_sha="t" * 64,
    schema_version="advice.v1",
)
BEFORE = datetime(2013, 2, 1, 12, tzinfo=UTC)


class Scripted:
    """Give each intent the same advice, and remember what was asked."""

    def __init__(self, *, strays=0, **fields):
        self.asked = []
        self._fields = fields
        self._strays = strays

    def advise(self, intents, *, context):
        self.asked.append((tuple(intents), context))
        said = [no_advice(intent, source="small-1")._replace(**self._fields) for intent in intents]
        said += [said[0]._replace(intent_key=IntentKey(f"key-{n}")) for n in range(self._strays)]
        error = self._fields.get("error_type", "")
        return AdviceGiven(
            advice=tuple(said),
            calls=(example_call(session=context.session, ok=not error, error_type=error),),
        )


class NeverAsked:
    """Stand where nobody may ask."""

    def advise(self, intents, *, context):
        raise AssertionError(f"a model was asked about {len(intents)} intents of {context.session}")


HALF = {"verdict": AdviceVerdict.SHRINK, "factor_bps": 5_000, "confidence_bps": 9_000, "rationale": "half"}


def raised_to(step):
    """Give a ladder of the desk's journal that stands on a step."""

    def ladder(profiled):
        found = JournalLadder(profiled.journal, ceiling=step, lock=LOCK, budget=ErrorBudget(calls_min=1))
        if step > Ladder.SHADOW and not found.log("us_five").moves:
            body = {"before": 1, "after": step.value, "lock_sha": LOCK.sha()}
            found.store(
                "us_five",
                lambda _: LadderEvent("advisor_moved", body, "us_five", "ann", "evidence"),
                now=BEFORE,
            )
        return found

    return ladder


def ports(advisor, step):
    return {"advisor": lambda _: advisor, "advisor_ladder": raised_to(step)}


@pytest.fixture(scope="module")
def advised(imported, tmp_path_factory):
    """Give a desk on which the first session ran whole with a model that halves everything, and that run."""
    state = copied(imported.folder, tmp_path_factory.mktemp("advised") / "desk")
    advisor = Scripted(**HALF)
    desk = Desk(state, ports=ports(advisor, Ladder.VETO_AND_SHRINK))
    run = desk.run("session", FIRST)
    assert run.success, failure_of(run)
    yield desk, run, advisor
    desk.close()


def test_the_guards_judge_as_without_a_model_and_orders_are_a_part_of_the_twins(advised, whole_session):
    desk, twin = advised[0], whole_session[0]

    for asset in ("candidates", "intents", "verdicts"):
        assert desk.rows(asset, FIRST) == twin.rows(asset, FIRST), asset
    for own, rules in zip(desk.rows("decisions", FIRST), twin.rows("decisions", FIRST), strict=True):
        assert own.unadvised_quantity == rules.quantity
        assert own.quantity == rules.quantity // 2
        assert own.verdicts_sha == rules.verdicts_sha
    sent = {symbol: quantity for _, symbol, quantity in desk.sent()}
    assert sent == {symbol: quantity // 2 for _, symbol, quantity in twin.sent()}


def test_a_model_sees_what_passed_and_only_what_was_known_before(advised):
    ((intents, context),) = advised[2].asked

    assert [intent.symbol for intent in intents] == ["IBM"]
    assert (context.book, context.lane, context.ladder) == ("us_five", LANE, Ladder.VETO_AND_SHRINK)
    assert [item.symbol for item in context.items] == ["IBM"]
    assert all(item.as_of == CALENDAR.closes_at(CALENDAR.previous(FIRST)) for item in context.items)
    assert context.items[0].as_of < context.cut_off < CALENDAR.opens_at(FIRST)
    assert context.run_id == advised[1].run_id


def test_advice_and_each_call_are_stored_with_what_they_cost(advised):
    desk, run, _ = advised
    (row,) = desk.rows("advice", FIRST)
    (call,) = desk.rows("advisor_calls", FIRST)

    assert (row.verdict, row.factor_bps, row.applied, row.ladder, row.rationale) == (
        AdviceVerdict.SHRINK,
        5_000,
        True,
        3,
        "half",
    )
    assert call == example_call(session=FIRST)
    told = {
        event.asset_key.path[-1]: event.step_materialization_data.materialization.metadata
        for event in run.get_asset_materialization_events()
    }
    assert told["advice"]["shrink"].value == 1
    assert told["advice"]["ladder"].value == "veto_and_shrink"
    assert told["advisor_calls"]["cost_usd"].value == pytest.approx(0.00012)
    assert told["advisor_calls"]["latency_ms_p95"].value == 40
    assert "<svg" in told["advisor_calls"]["cost of sessions"].value


def test_the_checks_of_advice_pass_and_warn_at_most(advised):
    found = {
        one.check_name: one
        for one in advised[1].get_asset_check_evaluations()
        if one.asset_key.path[-1] == "advice"
    }

    assert {name: one.passed for name, one in found.items()} == {
        "replies_are_readable": True,
        "context_was_known": True,
        "error_budget_holds": True,
        "spending_holds": True,
    }


def test_the_metrics_tell_of_the_models_calls(advised):
    measured = {row.name: row.value for row in advised[0].rows("metrics", FIRST)}

    assert measured["strategist_llm.success_rate"] == 1.0
    assert measured["strategist_llm.latency_ms.p95"] == 40.0


# ------------------------------------------------------------------- the record


def test_an_advised_session_replays_the_same_from_its_record(advised):
    assert check_of(advised[1]).passed
    assert found_on(advised[0], FIRST).is_same


def test_a_decided_session_made_again_is_byte_identical_and_asks_nobody(advised, desk_on):
    again = desk_on(advised[0].settings.state_dir, ports=ports(NeverAsked(), Ladder.OFF))
    before = again.files()

    run = again.run("session", FIRST)

    assert failure_of(run) == ("", "")
    assert again.files() == before


def test_without_its_record_a_decided_session_is_refused_and_nobody_is_asked(advised, desk_on):
    again = desk_on(advised[0].settings.state_dir, ports=ports(NeverAsked(), Ladder.OFF))
    folder = again.lake.root / "us_five" / "advice" / str(FIRST)
    (folder / "current.json").unlink()

    run = again.run("decide", FIRST)

    stage, told = failure_of(run)
    assert stage == "advice"
    assert "was decided, and what its advisor said is not recorded any more" in told
    relived = found_on(again, FIRST)
    assert not relived.is_same
    assert "us_five/advice" in relived.detail


def test_a_record_that_was_changed_does_not_replay(advised, desk_on):
    desk = desk_on(advised[0].settings.state_dir)
    (row,) = desk.rows("advice", FIRST)
    changed = row._replace(factor_bps=4_000)
    desk.lake.write_rows(("us_five", "advice"), str(FIRST), type(row), [changed])

    difference = found_on(desk, FIRST).difference

    assert (difference.table, difference.column) == ("decisions", "quantity")

    desk.lake.write_rows(("us_five", "advice"), str(FIRST), type(row), [row._replace(applied=False)])
    difference = found_on(desk, FIRST).difference
    assert (difference.table, difference.column) == ("advice", "applied")

    desk.lake.write_rows(("us_five", "advice"), str(FIRST), type(row), [row._replace(ladder=7)])
    assert "one step of the ladder" in found_on(desk, FIRST).detail


# ------------------------------------------------------------------- where the advisor fails


def test_where_the_advisor_fails_the_rules_intents_wait_for_a_person_and_the_day_goes_on(desk_on, imported):
    desk = desk_on(imported.folder, ports=ports(Scripted(error_type="time_out"), Ladder.VETO))

    run = desk.run("decide", FIRST)

    assert failure_of(run) == ("", "")
    waiting = [row for row in desk.rows("decisions", FIRST) if row.outcome is Outcome.PENDING_APPROVAL]
    assert [(row.symbol, row.reason) for row in waiting] == [("IBM", "advisor_failed")]
    checks = {one.check_name: one.passed for one in run.get_asset_check_evaluations()}
    assert checks["replies_are_readable"] is False
    assert checks["error_budget_holds"] is False

    # The budget is spent: one step back, which a person answers; and a person's word makes the day.
    log = JournalLadder(desk.journal, ceiling=Ladder.VETO, lock=LOCK).log("us_five")
    assert (log.stepped_back.reason, log.stepped_back.after) == ("error_rate_breached", Ladder.SHADOW)
    (row,) = [one for one in desk.journal.intents(**desk.where(FIRST)) if one.intent.symbol == "IBM"]
    desk.journal.approve(
        row.intent_id,
        version=row.version,
        payload_hash=row.payload_hash,
        nonce="n",
        actor="ann",
        reason="looked at it",
        now=CALENDAR.opens_at(FIRST),
    )
    assert failure_of(desk.run("execute", FIRST)) == ("", "")
    assert [symbol for _, symbol, _ in desk.sent()] == ["IBM"]


def test_advice_on_what_the_guards_did_not_pass_changes_nothing_and_steps_back(desk_on, imported):
    desk = desk_on(imported.folder, ports=ports(Scripted(strays=1, **HALF), Ladder.VETO))

    assert failure_of(desk.run("decide", FIRST)) == ("", "")

    log = JournalLadder(desk.journal, ceiling=Ladder.VETO, lock=LOCK).log("us_five")
    assert log.stepped_back.reason == "advice_guard_mismatch"
    assert [row.symbol for row in desk.rows("advice", FIRST)] == ["IBM"]
    assert desk.profiled.advisor_ladder.log("us_five").stepped_back is not None


# ------------------------------------------------------------------- what advice was worth, and the ladder


def test_every_advised_decision_has_its_twin_marked_at_later_sessions(advised):
    records = advised[0].profiled.advice_records["us_five"]

    (twin,) = records.twins(step=Ladder.VETO_AND_SHRINK)

    (decision,) = [row for row in advised[0].rows("decisions", FIRST) if row.symbol == "IBM"]
    assert (twin.unadvised_quantity, twin.traded_quantity) == (
        decision.unadvised_quantity,
        decision.quantity,
    )
    assert twin.quantity == decision.quantity
    assert twin.marked_on == CALENDAR.sessions[CALENDAR.sessions.index(FIRST) + 5]
    assert twin.gain_micros == (twin.quantity - twin.unadvised_quantity) * (
        twin.mark_micros - twin.entry_micros
    )


def test_the_verbs_say_that_nobody_can_know_yet_and_what_lacks(advised, monkeypatch, capsys):
    monkeypatch.setenv("TRADING_STATE_DIR", str(advised[0].settings.state_dir))

    assert main(["advisor", "lift", "--book", "us_five", "--json"]) == 3
    lift = json.loads(capsys.readouterr().out)
    assert (lift["standing"], lift["mean_bps"], lift["counted"]) == ("not_enough_evidence", None, 0)
    assert lift["left_out"] == {"other_models_or_prompt": 1}
    assert [(one["symbol"], one["quantity"]) for one in lift["twins"]] == [
        ("IBM", lift["twins"][0]["unadvised_quantity"] // 2)
    ]
    assert main(["advisor", "lift", "--book", "us_five"]) == 3
    assert "NOT ENOUGH EVIDENCE: 0 sessions after" in capsys.readouterr().out

    assert main(["advisor", "ladder", "--book", "us_five", "--json"]) == 0
    ladder = json.loads(capsys.readouterr().out)
    assert (ladder["step"], ladder["ceiling"], ladder["sessions"]) == ("off", "off", 1)
    assert main(["advisor", "ladder", "--book", "us_five", "--to", "veto", "--reason", "now"]) == 4
    assert "allows off at most" in capsys.readouterr().err
