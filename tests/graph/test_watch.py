"""The watch on real runs of a real instance: what failed is told once, what is well again is over."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.sensor_definition import SensorType
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster_shared.error import SerializableErrorInfo

import sensors.watch
from resources.journal.reader import JournalReader
from resources.settings import Profile
from resources.watch_signs import last_beat
from sensors.watch import watch_sensor
from tests.graph.desk import CALENDAR, FIRST, QUIET, SESSIONS, Desk, copied
from trading.alert_log import alert_log_of, find_alert
from trading.clock import Phase
from trading.journal import RunControlAction
from trading.positions import opened_book
from trading.sessions import Calendar
from trading.slos import PAIRS, RAISED_BY, Judgement, Objective, PairBurn, judged
from trading.testing import example_call
from trading.timetable import DECIDE_BEFORE_OPEN
from trading_assets.definitions import automations_of, graph_of

LAST, BEFORE = SESSIONS[-1], SESSIONS[-2]


class Passing:
    """Tell a time that passes by a minute and a second a look, on the data's last day."""

    def __init__(self) -> None:
        self.at = CALENDAR.closes_at(LAST)

    def now(self, session: date, phase: Phase) -> datetime:
        return self.at

    def today(self, calendar: Calendar, last_data_session: date) -> date:
        return LAST


class Watch:
    """Evaluate the sensor of one desk, as the daemon would: with the cursor of the tick before."""

    def __init__(self, desk: Desk, *, home: Path, is_on_real_days: bool = False) -> None:
        self.desk = desk
        self.instance = instance_in(copied(home, desk.settings.profile_dir / "dagster"))
        self.cursor: str | None = None
        self.free_ratio = 0.5
        self.burning: list[PairBurn] = []
        self.incidents_open = 0
        self.clock = Passing()
        graphs = [graph_of(desk.profiled, book) for book in desk.profiled.lines]
        is_simulated = desk.settings.profile is Profile.SIMULATED and not is_on_real_days
        automations = {graph.name: automations_of(graph, is_simulated=is_simulated) for graph in graphs}
        self.sensor = watch_sensor(graphs, automations=automations, is_simulated=is_simulated)

    def beat(self) -> None:
        self.desk.profiled.watch_signs.beat()

    def disk_free_ratio(self) -> float:
        return self.free_ratio

    def burns(self) -> list[PairBurn]:
        return self.burning

    def judgement(self) -> Judgement:
        return judged([], incidents_open=self.incidents_open)

    def tick(self) -> str:
        """Look once; returns what it says of itself."""
        profiled = self.desk.profiled
        self.clock.at += timedelta(seconds=61)
        is_real = self.desk.settings.profile is not Profile.SIMULATED
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        said = self.sensor(
            context,
            journal=self.desk.journal,
            clocks=profiled.clocks if is_real else dict.fromkeys(profiled.lines, self.clock),
            alert_policy=profiled.alert_policy,
            alert_keeper=profiled.alert_keeper,
            notifier=profiled.notifier,
            watched=self,
            call_log=profiled.call_log,
            levels=self,
            tables=profiled.lineage,
        )
        self.cursor = said.cursor
        return said.skip_reason.skip_message

    def told(self) -> list[tuple[str, str, str]]:
        """Return code, subject and status of each alert that people were sent, on one channel."""
        messages = JournalReader(self.desk.settings.journal_url).outbox()
        return [
            (alert["code"], alert["labels"].get("about", ""), alert["status"])
            for one in messages
            if one.channel == "stdout"
            for alert in json.loads(one.body)["alerts"]
        ]


def instance_in(home: Path) -> dg.DagsterInstance:
    """Return a Dagster instance with its own storage in a folder."""
    return dg.DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}})


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Give the folder of an instance in which nothing happened yet: to make one takes longer than a look."""
    folder = tmp_path_factory.mktemp("dagster")
    instance_in(folder).dispose()
    return folder


@pytest.fixture
def watch_on(desk_on, home):
    """Give what opens a watch on a desk of this test, with an instance whose ticks are kept."""
    opened: list[Watch] = []

    def open_watch(*, is_on_real_days: bool = False, **options: Any) -> Watch:
        opened.append(Watch(desk_on(**options), home=home, is_on_real_days=is_on_real_days))
        return opened[-1]

    yield open_watch
    for one in opened:
        one.instance.dispose()


@pytest.fixture
def watch(watch_on) -> Watch:
    return watch_on()


def checked(watch: Watch, *, session, passed: bool, blocking: bool = False, fails: bool = False) -> None:
    """Run a job that makes a table of the book and checks it, as its partition of a session."""
    key = dg.AssetKey(["us_five", "market_quotes"])

    @dg.asset(key=key)
    def market_quotes() -> None:
        if fails:
            raise dg.Failure("the source is out of reach")

    @dg.asset_check(asset=key, blocking=blocking)
    def quotes_are_fresh() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=passed, severity=dg.AssetCheckSeverity.WARN, description="2 rows late"
        )

    dg.materialize(
        [market_quotes, quotes_are_fresh],
        instance=watch.instance,
        raise_on_error=False,
        run_config=QUIET,
        tags={"trading/book": "us_five", "dagster/partition": str(session)},
    )


CHECK = "market_quotes:quotes_are_fresh"
TOLD_LATER = {"trading/book": "us_five", "dagster/partition": str(CALENDAR.sessions[100])}
"""The tags of a run of history: whether it failed is told to nobody."""


def test_a_check_that_blocks_nothing_is_told_once_and_again_when_it_holds(watch):
    watch.tick()
    checked(watch, session=BEFORE, passed=False)

    for _ in range(3):
        watch.tick()

    assert watch.told() == [("check_failed", CHECK, "firing")]
    checked(watch, session=LAST, passed=True)
    for _ in range(3):
        watch.tick()
    assert watch.told() == [("check_failed", CHECK, "firing"), ("check_failed", CHECK, "resolved")]


def test_a_look_that_is_repeated_since_its_cursor_was_lost_tells_nothing_twice(watch):
    checked(watch, session=BEFORE, passed=False)
    for _ in range(3):
        watch.cursor = None
        watch.tick()

    assert watch.told() == [("check_failed", CHECK, "firing")]


def test_a_failed_run_is_told_with_its_own_words_and_is_over_with_the_next_good_one(watch):
    checked(watch, session=BEFORE, passed=True, fails=True)
    watch.tick()

    (message,) = [
        one for one in JournalReader(watch.desk.settings.journal_url).outbox() if one.channel == "stdout"
    ]
    (alert,) = json.loads(message.body)["alerts"]
    assert (alert["code"], alert["owner"]) == ("run_failed", "platform")
    assert alert["message"].endswith("the source is out of reach")
    log = alert_log_of(watch.desk.journal.events(after=0, limit=10_000))
    assert watch.instance.get_run_by_id(find_alert(log, "run_failed").run_id).is_failure
    checked(watch, session=LAST, passed=True)
    watch.tick()
    assert [status for _, _, status in watch.told()] == ["firing", "resolved"]


def test_more_runs_that_end_at_once_than_one_look_takes_hide_no_failure_after_them(watch, monkeypatch):
    monkeypatch.setattr(sensors.watch, "RUNS_AT_ONCE", 2)
    for _ in range(7):
        watch.instance.add_run(
            dg.DagsterRun(job_name="us_five__session", status=dg.DagsterRunStatus.CANCELED, tags=TOLD_LATER)
        )
    checked(watch, session=LAST, passed=False)
    for _ in range(5):
        watch.tick()

    assert ("check_failed", CHECK, "firing") in watch.told()
    assert watch.tick().startswith("0 ended runs looked at")
    assert len(json.loads(watch.cursor)["seen"]) == 8


def test_a_cursor_that_named_runs_without_their_instants_is_read_on(watch):
    checked(watch, session=BEFORE, passed=False)
    watch.tick()
    cursor = json.loads(watch.cursor)
    watch.cursor = json.dumps(cursor | {"seen": list(cursor["seen"])})

    assert watch.tick().startswith("0 ended runs looked at")


def test_a_failure_that_is_mended_before_anybody_looked_is_told_and_over(watch):
    for passed in (False, True):
        checked(watch, session=BEFORE, passed=passed)
    watch.tick()
    told = watch.told()
    checked(watch, session=LAST, passed=True)
    watch.tick()

    assert told == [("check_failed", CHECK, "firing")]
    assert watch.told() == [*told, ("check_failed", CHECK, "resolved")]


def test_what_repeats_a_session_long_past_is_told_to_nobody(watch):
    checked(watch, session=CALENDAR.sessions[100], passed=False, fails=True)
    watch.tick()

    assert watch.told() == []


def test_a_full_disk_is_told_and_each_look_leaves_a_sign_of_life(watch):
    folder = watch.desk.settings.profile_dir
    assert last_beat(folder) is None
    watch.free_ratio = 0.04
    watch.tick()
    first = last_beat(folder)
    watch.tick()

    assert watch.told() == [("disk_low", "state folder", "firing")]
    assert first < last_beat(folder)


def test_a_look_that_finds_something_is_a_line_of_the_log_and_one_that_finds_nothing_is_none(watch):
    watch.tick()
    watch.free_ratio = 0.04
    watch.tick()
    watch.free_ratio = 0.5
    watch.tick()

    lines = map(json.loads, watch.desk.settings.log_file.read_text(encoding="utf-8").splitlines())
    assert [
        (line["metric"], line["about"], line["observed"], line["alerts"], line["level"])
        for line in lines
        if (line["part"], line["event"]) == ("watch", "found")
    ] == [("disk.free_ratio", "state folder", 0.04, ["disk_low"], "warning")]


def test_a_look_that_fails_leaves_no_sign_of_life(watch):
    def broken() -> float:
        raise OSError("no such disk")

    watch.disk_free_ratio = broken
    with pytest.raises(OSError, match="no such disk"):
        watch.tick()

    assert last_beat(watch.desk.settings.profile_dir) is None


class Starter:
    """Keep the state and ticks of one schedule or sensor in an instance, as its daemon would.

    `since` is when a schedule was started, in seconds since 1970; what has none is a sensor.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        name: str,
        status: InstigatorStatus,
        *,
        since: float | None = None,
    ) -> None:
        self.instance = instance
        repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "desk")
        origin = RemoteInstigatorOrigin(repository, name)
        if since is None:
            data = SensorInstigatorData(sensor_type=SensorType.STANDARD)
            self.state = InstigatorState(origin, InstigatorType.SENSOR, status, data)
        else:
            schedule = ScheduleInstigatorData("0 0 * * *", start_timestamp=since)
            self.state = InstigatorState(origin, InstigatorType.SCHEDULE, status, schedule)
        instance.add_instigator_state(self.state)

    def becomes(self, status: InstigatorStatus) -> None:
        self.state = self.state.with_status(status)
        self.instance.update_instigator_state(self.state)

    def ticks(self, status: TickStatus, at: float, *, error: str = "") -> InstigatorTick:
        told = {"error": SerializableErrorInfo(error, [], None)} if error else {}
        return self.instance.create_tick(
            TickData(
                self.state.instigator_origin_id,
                self.state.instigator_name,
                InstigatorType.SENSOR,
                status,
                at,
                selector_id=self.state.selector_id,
                **told,
            )
        )


SENSOR = "us_five__approvals_sensor"


def test_a_sensor_whose_last_tick_failed_is_told_until_one_succeeds(watch):
    sensor = Starter(watch.instance, SENSOR, InstigatorStatus.RUNNING)
    sensor.ticks(TickStatus.FAILURE, 1.0, error="no such file")
    watch.tick()
    watch.tick()
    assert watch.told() == [("tick_failed", SENSOR, "firing")]
    sensor.ticks(TickStatus.SKIPPED, 2.0)
    watch.tick()

    assert watch.told()[-1] == ("tick_failed", SENSOR, "resolved")


def test_a_tick_that_is_still_under_way_after_ten_looks_is_told_once_until_it_ends(watch):
    sensor = Starter(watch.instance, SENSOR, InstigatorStatus.RUNNING)
    for at in range(1, 12):
        # One tick after the other is seen at its work: none of them hangs.
        tick = sensor.ticks(TickStatus.STARTED, float(at))
        watch.tick()
    for _ in range(9):
        watch.tick()
    assert watch.told() == []

    for _ in range(3):
        watch.tick()
    assert watch.told() == [("tick_hangs", SENSOR, "firing")]
    watch.instance.update_tick(tick.with_status(TickStatus.SKIPPED))
    watch.tick()

    assert watch.told() == [("tick_hangs", SENSOR, "firing"), ("tick_hangs", SENSOR, "resolved")]


def test_a_tick_that_hangs_hides_no_failure_before_it(watch):
    sensor = Starter(watch.instance, SENSOR, InstigatorStatus.RUNNING)
    sensor.ticks(TickStatus.FAILURE, 1.0, error="no such file")
    sensor.ticks(TickStatus.STARTED, 2.0)
    watch.tick()

    assert watch.told() == [("tick_failed", SENSOR, "firing")]


def test_a_sensor_that_is_stopped_is_told_once_of_a_book_in_use_until_it_runs(watch_on):
    paper = watch_on(profile=Profile.PAPER)
    sensor = Starter(paper.instance, "us_five__reconciliation_sensor", InstigatorStatus.STOPPED)
    paper.tick()
    assert paper.told() == []

    begin(paper)
    for _ in range(3):
        paper.tick()
    assert stopped_of(paper) == [(sensor.state.instigator_name, "firing")]
    sensor.becomes(InstigatorStatus.RUNNING)
    paper.clock.at += timedelta(minutes=2)
    paper.tick()

    assert {about for _, about in firing(paper) if about.endswith("_sensor")} == set()


def test_what_nobody_started_is_told_once_somebody_started_another_schedule_of_the_book(watch_on):
    paper = watch_on(profile=Profile.PAPER)
    begin(paper)
    paper.tick()
    assert stopped_of(paper) == []

    for what in ("decide", "settle", "evidence"):
        Starter(paper.instance, f"us_five__{what}_schedule", InstigatorStatus.RUNNING)
    paper.tick()
    paper.tick()

    lacking = {("schedule_stopped", name) for name in (SENSOR, "us_five__week_schedule")}
    assert {one for one in firing(paper) if one[0] == "schedule_stopped"} == lacking


def test_on_a_simulated_desk_what_is_stopped_is_told_to_nobody(watch):
    begin(watch, lane="simulated", today=LAST)
    Starter(watch.instance, "us_five__decide_schedule", InstigatorStatus.STOPPED)
    Starter(watch.instance, "us_five__settle_schedule", InstigatorStatus.RUNNING)
    watch.tick()

    assert watch.told() == []


def stopped_of(watch: Watch) -> list[tuple[str, str]]:
    return [(about, status) for code, about, status in watch.told() if code == "schedule_stopped"]


def firing(watch: Watch) -> set[tuple[str, str]]:
    return {(one.code, one.about) for one in watch.desk.profiled.alert_keeper.firing()}


def begin(watch: Watch, *, lane: str = "paper", today: date | None = None) -> None:
    """Begin the book three sessions ago, and come no more."""
    on = today or watch.desk.profiled.clocks["us_five"].today(CALENDAR, LAST)
    begun = CALENDAR.before(on, 3)[0]
    opened = opened_book(currency="USD", deposit_micros=10**12)
    where: dict[str, Any] = {"book": "us_five", "lane": lane, "session": begun}
    watch.desk.journal.opening_book(**where, previous=None, opened=opened, now=CALENDAR.opens_at(begun))


def test_a_check_that_somebody_runs_alone_is_told_once_though_its_run_names_no_book(watch):
    key = dg.AssetKey(["us_five", "market_quotes"])

    @dg.asset_check(asset=key, blocking=True)
    def quotes_are_fresh() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, description="2 rows late")

    checks = frozenset({dg.AssetCheckKey(key, "quotes_are_fresh")})
    job = (
        dg.Definitions(
            assets=[dg.AssetSpec(key)], asset_checks=[quotes_are_fresh], executor=dg.in_process_executor
        )
        .resolve_implicit_global_asset_job_def()
        .get_subset(asset_selection=set(), asset_check_selection=set(checks))
    )
    run = watch.instance.add_run(
        dg.DagsterRun(job_name=job.name, run_config=QUIET, asset_check_selection=checks)
    )
    execute_run(InMemoryJob(job), run, watch.instance)
    for _ in range(3):
        watch.tick()

    assert run.asset_selection is None
    assert sorted(watch.told()) == [("check_failed", CHECK, "firing"), ("run_failed", job.name, "firing")]
    assert {one.book for one in watch.desk.profiled.alert_keeper.firing()} == {"us_five"}


def test_a_failed_run_of_no_book_is_told_of_the_desk(watch):
    @dg.op
    def breaks() -> None:
        raise dg.Failure("nothing to do")

    @dg.job
    def somebodys() -> None:
        breaks()

    somebodys.execute_in_process(instance=watch.instance, raise_on_error=False, run_config=QUIET)
    watch.tick()
    watch.tick()

    assert watch.told() == [("run_failed", "somebodys", "firing")]


def test_a_session_that_nobody_decided_is_told_on_real_days_only_once_the_book_is_begun(watch_on):
    """A paper desk, whose wall is the real one: the book was begun a week ago, and nobody came since."""
    paper = watch_on(profile=Profile.PAPER)
    paper.tick()
    assert paper.told() == []

    begin(paper)
    paper.tick()
    paper.tick()

    assert sorted(paper.told()) == [
        ("session_missed", "decide", "firing"),
        ("session_missed", "settle", "firing"),
    ]


def test_what_a_settled_session_and_its_week_lack_is_told_once_until_it_is_made(watch_on, imported):
    """Nobody looks at the evidence, nor back on the week, and the run died right after its settlement."""
    watch = watch_on(is_on_real_days=True, state=imported.folder)
    desk, week = watch.desk, "2013-W08"
    for what in ("evidence", "week"):
        Starter(watch.instance, f"us_five__{what}_schedule", InstigatorStatus.RUNNING, since=0.0)
    for phase in ("decide", "execute"):
        assert desk.run(phase, FIRST).success
    settle = ("market_quotes", "quarantined_quotes", "order_status", "broker_positions", "positions")
    assert desk.materialize(*settle, session=FIRST).success
    watch.clock.at = CALENDAR.closes_at(FIRST) + timedelta(minutes=58)
    watch.tick()
    assert stale_of(watch) == []
    for _ in range(3):
        watch.tick()
    lacked = [("daily_report", "firing"), ("promotion_decisions", "firing")]
    assert stale_of(watch) == lacked
    for what in ("settle", "evidence"):
        assert desk.run(what, FIRST).success
    for _ in range(3):
        watch.tick()
    ended = [*lacked, ("daily_report", "resolved"), ("promotion_decisions", "resolved")]
    assert stale_of(watch) == ended

    # The first decision of the next week.
    watch.clock.at = CALENDAR.opens_at(date(2013, 2, 25)) - DECIDE_BEFORE_OPEN
    for _ in range(3):
        watch.tick()
    missed = [*ended, ("weekly_audit", "firing"), ("weekly_health", "firing")]
    assert stale_of(watch) == missed
    desk.instance.add_dynamic_partitions("us_five__weeks", [week])
    looked_back = desk.definitions.resolve_job_def("us_five__week").execute_in_process(
        partition_key=week, instance=desk.instance, run_config=QUIET
    )
    assert looked_back.success
    for _ in range(3):
        watch.tick()
    assert stale_of(watch) == [*missed, ("weekly_audit", "resolved"), ("weekly_health", "resolved")]


def stale_of(watch: Watch) -> list[tuple[str, str]]:
    return [(about, status) for code, about, status in watch.told() if code == "asset_stale"]


def test_a_dear_day_of_the_advisor_is_told_once_and_over_with_the_next_cheap_one(watch):
    log = watch.desk.profiled.call_log
    watch.tick()
    assert watch.told() == []

    dear = example_call(cost_micros=1_000_000)
    log.record(dear)
    watch.tick()
    watch.tick()
    fired = [("advisor_day_cost_high", "", "firing"), ("advisor_session_cost_high", "", "firing")]
    assert sorted(watch.told()) == fired

    later = dear.at + timedelta(days=1)
    log.record(dear._replace(call_id="call-2", at=later, session=later.date(), cost_micros=10))
    watch.tick()
    watch.tick()
    assert sorted(watch.told()) == sorted(
        (code, about, status) for code, about, _ in fired for status in ("firing", "resolved")
    )


def test_a_budget_that_burns_is_told_of_its_objective_and_is_over_when_a_count_says_that_it_does_not(
    watch_on,
):
    paper = watch_on(profile=Profile.PAPER)
    pair = PAIRS[0]
    burns = ("error_budget_burn_1h_high", "latency")
    paper.burning = [PairBurn(Objective.LATENCY, pair, 20.0), PairBurn(Objective.FRESHNESS, pair, 14.4)]
    paper.tick()
    paper.tick()
    fires = [firing(paper)]
    # Nothing was counted since: nobody knows whether it still burns.
    paper.burning = [PairBurn(Objective.LATENCY, pair, None)]
    paper.tick()
    fires.append(firing(paper))
    paper.burning = [PairBurn(Objective.LATENCY, pair, 0.0)]
    paper.tick()

    assert paper.told() == [(*burns, "firing")]
    assert fires == [{burns}] * 2
    assert firing(paper) == set()


def test_a_level_that_rises_degrades_trading_once_and_what_a_person_restores_stays_restored(watch_on):
    paper = watch_on(profile=Profile.PAPER)
    paper.tick()
    assert paper.desk.journal.run_control().is_degraded is False

    paper.incidents_open = 1
    paper.tick()
    degraded = paper.desk.journal.run_control()
    paper.desk.journal.set_run_control(
        RunControlAction.RESTORE, actor="anna", reason="looked", now=paper.clock.at
    )
    paper.tick()
    restored = paper.desk.journal.run_control()
    paper.incidents_open = 0
    paper.tick()
    paper.incidents_open = 1
    paper.tick()

    assert (degraded.is_degraded, degraded.degraded_by) == (True, RAISED_BY)
    assert degraded.degraded_reason == "level watch: 1 incident is open"
    assert restored.is_degraded is False
    assert paper.desk.journal.run_control().is_degraded is True


def test_on_simulated_days_no_level_degrades_anything(watch):
    watch.incidents_open = 1
    watch.tick()

    assert watch.desk.journal.run_control().is_degraded is False


def test_what_waits_goes_out_also_where_the_look_itself_fails(watch, monkeypatch):
    watch.desk.journal.enqueue(
        dedup_key="waits",
        channel="stdout",
        severity="critical",
        subject="[critical] us_five: intents_stuck",
        body='{"alerts":[]}',
        now=watch.clock.at,
    )
    monkeypatch.setattr(watch, "disk_free_ratio", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        watch.tick()

    (message,) = JournalReader(watch.desk.settings.journal_url).outbox()
    assert message.status == "delivered"
