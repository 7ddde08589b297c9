"""Who may reach a live broker: no backfill, no replay, no range of sessions, whatever is configured."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from resources.craft import craft_sha
from resources.live_capability import REPEATING_TAGS, LiveRefused, live_capability
from resources.profiles import Profiled
from resources.settings import Profile
from tests.graph.desk import QUIET, settings_in
from trading.errors import BadSetting
from trading.evidence_ledger import draft_of_promotion, drafts_of_run
from trading.preflight import Denial
from trading.promotion import Outcome, promotion_of
from trading.replay_evidence import COUNCIL, as_configured, subject_of
from trading.testing import example_run
from trading_assets.definitions import resources_of


class Reachable(Profiled):
    """Have a live broker to be reached, and remember for whom one was built."""

    def __init__(self, settings):
        super().__init__(settings)
        self.reached = []

    def live_broker(self, book, capability):
        self.reached.append((book, capability.lane, capability.only_reduces.partition(":")[0]))
        return object()


@dg.op(required_resource_keys={"brokers"})
def reach(context):
    assert context.resources.brokers["us_five"] is not None


@dg.job
def reaching():
    reach()


def reached_by(profiled, tags):
    """Run something that takes the broker of a book; return its errors."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = reaching.graph.to_job(
            resource_defs={"brokers": resources_of(profiled)["brokers"]}
        ).execute_in_process(instance=instance, tags=tags, raise_on_error=False, run_config=QUIET)
    return [
        event.step_failure_data.error.cause.message for event in result.all_events if event.is_step_failure
    ]


LIVE = {
    "profile": Profile.LIVE,
    "live_allowed": True,
    "execution_enabled": True,
    "broker_account_no": "7",
    "broker_base_url": "https://broker.example",
}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    """Give the credentials of a live broker."""
    monkeypatch.setenv("TRADING_BROKER_APP_KEY", "key")
    monkeypatch.setenv("TRADING_BROKER_APP_SECRET", "hush")


def live(tmp_path, **changes):
    """Give a profile in which everything that can be switched on for live trading is."""
    return Reachable(settings_in(tmp_path, **{**LIVE, **changes}))


def promote(profiled, book, *, age_days=1, **changes):
    """File evidence of what a book trades that passes every gate while fresh, and the promotion on it."""
    now = datetime.now(UTC)
    last = profiled.calendars[book].between(date(2013, 1, 2), now.date())[-1]
    config = as_configured(profiled.books[book], COUNCIL)
    data_sha = profiled.evidence_data[book]
    subject = replace(subject_of(config, data_set_sha=data_sha, code_sha=craft_sha()), **changes)
    run = example_run(subject=subject, made_at=now - timedelta(days=age_days))
    run = replace(run, last=last)
    profiled.evidence.file(drafts_of_run(run), actor="ann", now=now)
    decision = promotion_of(
        subject,
        profiled.evidence.read(),
        profiled.promotion_rules[book].thresholds,
        as_of=now - timedelta(days=age_days - 1),
        last_session=last,
    )
    assert decision.outcome is Outcome.PROMOTED, decision.reasons
    signed = decision.signed(actor="ann", reason="read it", decided_at=now)
    profiled.evidence.file([draft_of_promotion(signed)], actor="ann", now=now)


@pytest.mark.parametrize(
    ("changes", "gone", "code"),
    [
        ({"execution_enabled": False}, "", "EXECUTION_DISABLED"),
        ({"live_allowed": False}, "", "REAL_EXECUTION_NOT_ALLOWED"),
        ({}, "TRADING_BROKER_APP_KEY", "MISSING_APP_KEY"),
        ({}, "TRADING_BROKER_APP_SECRET", "MISSING_APP_SECRET"),
        ({"broker_account_no": None}, "", "MISSING_ACCOUNT_NO"),
        ({"broker_base_url": "http://broker.example"}, "", "INVALID_BASE_URL"),
    ],
)
def test_what_preflight_denies_reaches_no_live_broker(tmp_path, monkeypatch, changes, gone, code):
    monkeypatch.delenv(gone or "TRADING_NOT_THERE", raising=False)
    profiled = live(tmp_path, **changes)

    (told,) = reached_by(profiled, {"trading/book": "us_five"})

    assert profiled.reached == []
    assert f"preflight denies live execution: {code}: " in told


def test_what_nobody_promoted_reaches_a_broker_that_only_reduces_what_is_held(tmp_path):
    profiled = live(tmp_path)

    assert reached_by(profiled, {"trading/book": "us_five"}) == []
    assert profiled.reached == [("us_five", "live", "NOT_PROMOTED")]


def test_beside_another_denial_a_missing_promotion_reaches_no_live_broker(tmp_path):
    profiled = live(tmp_path, execution_enabled=False)

    with pytest.raises(LiveRefused, match=r"EXECUTION_DISABLED: .*; NOT_PROMOTED: "):
        profiled.brokers_in({})["us_five"]
    assert profiled.reached == []


@pytest.mark.parametrize("tag", REPEATING_TAGS)
def test_a_run_that_repeats_the_past_reaches_no_broker_that_only_reduces_either(tmp_path, tag):
    profiled = live(tmp_path)

    with pytest.raises(LiveRefused, match="it repeats the past"):
        profiled.brokers_in({tag: "any"})["us_five"]
    assert profiled.reached == []


@pytest.mark.parametrize(
    ("denied", "only_reduces"),
    [((), False), ((Denial.NOT_PROMOTED,), True), ((Denial.PROMOTION_STALE,), True)],
)
def test_a_live_broker_that_is_built_keeps_why_it_only_reduces(tmp_path, denied, only_reduces):
    profiled = Profiled(settings_in(tmp_path, **LIVE))
    capability = live_capability(lane="live", run_tags={}, denied=denied)

    broker = profiled._routed("us_five", home=("alpaca_live",), capability=capability)

    assert bool(broker.only_reduces) is only_reduces
    assert broker.only_reduces.startswith("".join(denied))


@pytest.mark.parametrize(
    ("changes", "age_days", "code"),
    [
        ({"strategy_version": "another"}, 1, "NOT_PROMOTED"),
        ({"rules_sha": "another"}, 1, "NOT_PROMOTED"),
        ({"code_sha": "another"}, 1, "NOT_PROMOTED"),
        ({}, 31, "PROMOTION_STALE"),
    ],
    ids=["another version", "other rules", "other code", "stale evidence"],
)
def test_a_promotion_of_anything_else_or_on_old_evidence_lets_nothing_be_added(
    tmp_path, changes, age_days, code
):
    profiled = live(tmp_path)
    promote(profiled, "us_five", age_days=age_days, **changes)

    profiled.brokers_in({})["us_five"]
    assert profiled.reached == [("us_five", "live", code)]


def test_a_book_without_an_allowlist_reaches_no_live_broker(tmp_path):
    profiled = live(tmp_path)

    with pytest.raises(LiveRefused, match="ALLOWLIST_BLOCKED"):
        profiled.brokers_in({})["us_wide"]
    assert profiled.reached == []


def test_an_ordinary_run_of_the_live_profile_reaches_its_broker(tmp_path):
    profiled = live(tmp_path)
    promote(profiled, "us_five")

    assert reached_by(profiled, {"trading/book": "us_five"}) == []
    assert profiled.reached == [("us_five", "live", "")]


@pytest.mark.parametrize("tag", REPEATING_TAGS)
def test_a_run_that_repeats_the_past_reaches_no_live_broker_whatever_is_configured(tmp_path, tag):
    profiled = live(tmp_path)

    (told,) = reached_by(profiled, {tag: "any", "trading/book": "us_five"})

    assert profiled.reached == []
    assert f"run tagged {tag}: it repeats the past, and gets no live broker" in told


@pytest.mark.parametrize("lane", ["simulated", "paper", "replay:january", ""])
def test_no_other_lane_gets_what_a_live_broker_is_built_with(lane):
    with pytest.raises(LiveRefused, match="has no live broker"):
        live_capability(lane=lane, run_tags={})


@pytest.mark.parametrize("profile", [Profile.SIMULATED, Profile.PAPER])
def test_a_backfill_of_another_profile_has_a_broker_at_which_no_money_moves(tmp_path, profile):
    profiled = Reachable(settings_in(tmp_path, profile=profile))

    broker = profiled.brokers_in({"dagster/backfill": "any"})["us_five"]

    assert not broker.capabilities.is_live
    assert profiled.reached == []


def test_the_live_profile_has_no_broker_yet(tmp_path):
    profiled = Profiled(settings_in(tmp_path, **LIVE))
    promote(profiled, "us_five")

    with pytest.raises(BadSetting, match="no live broker is configured"):
        profiled.brokers_in({})["us_five"]
