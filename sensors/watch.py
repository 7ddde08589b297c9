"""The watch: one sensor that looks at what ended and what did not happen, and tells people by the policy.

Failed runs and checks (blocking or not), ticks that fail or hang, schedules and sensors that are stopped,
sessions nobody decided or settled, tables that are late, a full disk, what the advisor's model costs and
error budgets that burn. Each look leaves a sign of life, so that Prometheus misses a watch that has stopped.
It also delivers what waits in the outbox: at least once to the channel, once to the person; and where the
level rises to watch or incident it degrades trading, which a person ends. What it tells nobody is in
docs/how-to/answer_an_alert.md.
"""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import structlog
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    ScheduleInstigatorData,
    TickStatus,
)

from jobs.session_jobs import BOOK_TAG
from trading.advisor_calls import CallLog
from trading.alerts import (
    AlertKeeper,
    AlertPolicy,
    Deliverer,
    Subject,
    evaluate_watched,
    judged_watched,
)
from trading.clock import Clock, Phase
from trading.journal import Journal, RunControlAction
from trading.reporting import Tables
from trading.slos import RAISED_BY, Level, Levels, degrading
from trading.watching import (
    CheckSeen,
    RunSeen,
    Sighting,
    TickSeen,
    Wanted,
    Watched,
    sessions_begun,
    sighting_of_disk,
    sightings_of_burns,
    sightings_of_costs,
    sightings_of_runs,
    sightings_of_sessions,
    sightings_of_stale,
    sightings_of_stopped,
    sightings_of_ticks,
)
from trading_assets.stage import BookGraph

NAME = "watch"

INTERVAL_S = 60
"""How often it looks: no longer than a changed group of alerts waits to be told again."""

OVERLAP = timedelta(seconds=30)
"""How far behind the newest run that was seen it looks again: two may end within one clock's error."""

ASKED_WITHIN = timedelta(days=8)
"""How far back it looks for what the advisor's model was asked: a week, and what began in it."""

RUNS_AT_ONCE = 500
"""How many runs it looks at in one look; the others, as of a backfill that is cancelled, in the next ones."""

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
FAILED = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


TICKED = [TickStatus.FAILURE, TickStatus.SUCCESS, TickStatus.SKIPPED]


def watch_sensor(
    graphs: Sequence[BookGraph], *, automations: Mapping[str, Sequence[Any]], is_simulated: bool
) -> Any:
    """Return the sensor of all books of a desk.

    `automations` are each book's schedules and sensors.
    """
    by_name = {graph.name: graph for graph in graphs}

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells people of failed runs and checks, of ticks that fail or hang, of what is missed.",
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        *,
        journal: dg.ResourceParam[Journal],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
        alert_policy: dg.ResourceParam[AlertPolicy],
        alert_keeper: dg.ResourceParam[AlertKeeper],
        notifier: dg.ResourceParam[Deliverer],
        watched: dg.ResourceParam[Watched],
        call_log: dg.ResourceParam[CallLog],
        levels: dg.ResourceParam[Levels],
        tables: dg.ResourceParam[Tables],
    ) -> dg.SensorResult:
        today = {
            name: clocks[name].today(graph.calendar, graph.config.last_session)
            for name, graph in by_name.items()
        }
        now = max(
            clocks[name].now(_last_session(graph, today[name]), Phase.SETTLE)
            for name, graph in by_name.items()
        )
        # What waits goes out first: it hangs on nothing that is looked at below.
        sent = [*notifier.deliver(now)]
        # Runs that ended while it looks are found by the next look.
        cursor = _cursor_of(context.cursor)
        records = _ended_since(context.instance, cursor)
        states = context.instance.all_instigator_state()
        under_way, ticks = _last_ticks(context.instance, states, cursor.get("under_way", {}))
        on = max(today.values())
        found = [
            *sightings_of_runs(
                (_run_seen(context.instance, record, by_name) for record in records),
                today=lambda book: today.get(book, on),
                calendar=lambda book: by_name.get(book, graphs[0]).calendar,
            ),
            *sightings_of_ticks(ticks, on=on),
            sighting_of_disk(watched.disk_free_ratio(), on=on),
        ]
        found += sightings_of_costs(call_log.calls_of(since=now - ASKED_WITHIN), on=on)
        if not is_simulated:
            # A simulated day has no minutes over which anything could burn.
            found += sightings_of_burns(levels.burns(), on=on)
            for name, graph in by_name.items():
                asked: dict[str, Any] = {
                    "record_of": functools.cache(
                        lambda session, graph=graph: journal.session_record(**graph.where(session))
                    ),
                    "now": clocks[name].now(today[name], Phase.SETTLE),
                }
                found += sightings_of_sessions(name, graph.calendar, **asked)
                begun = sessions_begun(graph.calendar, **asked)
                found += sightings_of_stopped(
                    name, _wanted(automations[name], states), is_begun=bool(begun), on=on
                )
                found += sightings_of_stale(
                    name,
                    graph.calendar,
                    begun,
                    is_made=functools.partial(tables.is_made, name),
                    evidence_since=_started_at(f"{name}__evidence_schedule", states),
                    weeks_since=_started_at(f"{name}__week_schedule", states),
                    now=asked["now"],
                )
                # At once: an hour later the incidents that ask for it may be out of its window.
                journal.cool_down(
                    account=graph.config.account,
                    lane=graph.lane,
                    rules=graph.config.rules.cooldown,
                    now=clocks[name].now(today[name], Phase.SETTLE),
                )
        mended = [
            Sighting(metric, book, about, date.fromisoformat(session), 0.0, "")
            for metric, book, about, session in cursor["mended"]
        ]
        failing = {(one.metric, one.book, one.about) for one in found}
        told = alert_keeper.tell(alert_policy, now=now)
        over = [one for one in mended if (one.metric, one.book, one.about) not in failing]
        told += judge([*over, *found], keeper=alert_keeper, policy=alert_policy, now=now)
        sent += notifier.deliver(now)
        level = Level.NORMAL if is_simulated else _conducted(journal, levels, cursor, now=now)
        watched.beat()
        return dg.SensorResult(
            skip_reason=f"{len(records)} ended runs looked at, {told} messages stored, {len(sent)} sends",
            cursor=_cursor_after(cursor, records, found, under_way=under_way, level=level),
        )

    return sensor


def judge(found: Iterable[Sighting], *, keeper: AlertKeeper, policy: AlertPolicy, now: datetime) -> int:
    """Store what changed by sightings, each judged by the rules of its metric; returns how many were told.

    What is well and did not fire is not stored: nothing changed.
    """
    firing = keeper.firing()
    log = structlog.get_logger(part="watch")
    for one in found:
        observed = {one.metric: one.observed}
        alerts = evaluate_watched(
            observed, policy.rules, book=one.book, session=one.session, about=one.about, detail=one.detail
        )
        codes = judged_watched(observed, policy.rules)
        if alerts:
            log.warning(
                "found",
                metric=one.metric,
                book=one.book,
                session=one.session.isoformat(),
                about=one.about,
                observed=one.observed,
                detail=one.detail,
                alerts=sorted(alert.code for alert in alerts),
                **({"run_id": one.run_id} if one.run_id else {}),
            )
        if alerts or any(Subject(code, one.book, one.about) in firing for code in codes):
            keeper.observe(
                alerts,
                codes=codes,
                policy=policy,
                book=one.book,
                session=one.session,
                about=one.about,
                run_id=one.run_id,
                now=now,
            )
    return keeper.tell(policy, now=now)


def _conducted(journal: Journal, levels: Levels, cursor: Mapping[str, Any], *, now: datetime) -> Level:
    """Degrade trading where the level rose since the look before; returns the level in force."""
    judgement = levels.judgement()
    before = Level[cursor.get("level", Level.NORMAL.name)]
    why = degrading(judgement, before=before, is_degraded=journal.run_control().is_degraded)
    if why:
        journal.set_run_control(RunControlAction.DEGRADE, actor=RAISED_BY, reason=why, now=now)
    return judgement.level


def _last_session(graph: BookGraph, today: date) -> date:
    """Return the session to ask a simulated clock for; a real one answers any."""
    return today if today in graph.calendar else graph.calendar.previous(today)


# ------------------------------------------------------------------------------------------ what has ended


def _cursor_of(text: str | None) -> dict[str, Any]:
    """Return where the last look ended; `seen` says when each run of the overlap before ended."""
    if not text:
        return {"after": None, "seen": {}, "mended": []}
    cursor: dict[str, Any] = json.loads(text)
    if isinstance(cursor["seen"], list):
        # So it was written before the instants were.
        cursor["seen"] = dict.fromkeys(cursor["seen"], cursor["after"])
    return cursor


def _cursor_after(
    cursor: Mapping[str, Any],
    records: Sequence[dg.RunRecord],
    found: Iterable[Sighting],
    *,
    under_way: Mapping[str, tuple[str, int]],
    level: Level,
) -> str:
    """Return where the next look begins; what was looked at within the overlap is not looked at twice."""
    ended = {record.dagster_run.run_id: record.update_timestamp.timestamp() for record in records}
    seen = cursor["seen"] | ended
    after = max(seen.values(), default=cursor["after"])
    mended = [[one.metric, one.book, one.about, one.session.isoformat()] for one in found if one.mended]
    return json.dumps(
        {
            "after": after,
            "seen": {run_id: at for run_id, at in seen.items() if at >= after - OVERLAP.total_seconds()},
            "mended": mended,
            "under_way": under_way,
            "level": level.name,
        }
    )


def _ended_since(instance: dg.DagsterInstance, cursor: Mapping[str, Any]) -> list[dg.RunRecord]:
    """Return the runs that ended since the last look, the earliest first, at most so many at once."""
    after, seen = None, cursor["seen"]
    if cursor["after"] is not None:
        after = datetime.fromtimestamp(cursor["after"], tz=UTC) - OVERLAP
    # However many ended within the overlap, there is room for what was not seen.
    records = instance.get_run_records(
        dg.RunsFilter(statuses=ENDED, updated_after=after),
        limit=RUNS_AT_ONCE + len(seen),
        order_by="update_timestamp",
        ascending=True,
    )
    return [record for record in records if record.dagster_run.run_id not in seen]


def _run_seen(instance: dg.DagsterInstance, record: dg.RunRecord, graphs: Mapping[str, BookGraph]) -> RunSeen:
    run = record.dagster_run
    book = _book_of(run, graphs)
    checks, why = [], ""
    for one in instance.all_logs(
        run.run_id,
        of_type={dg.DagsterEventType.ASSET_CHECK_EVALUATION, dg.DagsterEventType.STEP_FAILURE},
    ):
        event = one.dagster_event
        if event is None:
            continue
        if event.is_step_failure:
            data = event.step_failure_data
            told = data.user_failure_data.description if data.user_failure_data else None
            why = why or told or (data.error.message if data.error else "")
            continue
        seen = event.asset_check_evaluation_data
        checks.append(
            CheckSeen(
                book=seen.asset_key.path[0] if seen.asset_key.path[0] in graphs else book,
                asset=seen.asset_key.path[-1],
                check=seen.check_name,
                session=_session_of(seen.partition or run.tags.get("dagster/partition", "")),
                passed=seen.passed,
                detail=seen.description or "",
            )
        )
    return RunSeen(
        run_id=run.run_id,
        job=run.job_name.removeprefix(f"{book}__") or run.job_name,
        book=book,
        session=_session_of(run.tags.get("dagster/partition", "")),
        failed=run.status in FAILED,
        detail=f"run {run.run_id[:8]} {why}".strip(),
        checks=tuple(checks),
    )


def _book_of(run: dg.DagsterRun, graphs: Mapping[str, BookGraph]) -> str:
    """Return the book of a run: by its tag, its job's name or what somebody chose in the UI, be it a check.

    Empty where that is of no book, or of several.
    """
    named = run.tags.get(BOOK_TAG) or run.job_name.split("__", maxsplit=1)[0]
    if named in graphs:
        return named
    assets = {*(run.asset_selection or ()), *(one.asset_key for one in run.asset_check_selection or ())}
    chosen = {key.path[0] for key in assets} & set(graphs)
    return chosen.pop() if len(chosen) == 1 else ""


def _session_of(partition: str) -> date | None:
    """Return the session of a partition; a week or a name is none, though `2013-W09` reads as a Monday."""
    try:
        found = date.fromisoformat(partition)
    except ValueError:
        return None
    return found if found.isoformat() == partition else None


def _last_ticks(
    instance: dg.DagsterInstance,
    states: Iterable[InstigatorState],
    before: Mapping[str, Sequence[Any]],
) -> tuple[dict[str, tuple[str, int]], list[TickSeen]]:
    """Return the ticks under way, and how the last tick of each other schedule and sensor has ended.

    Of one under way: its id, and for how many looks in a row it has been; `before` is what the last look saw.
    """
    under_way: dict[str, tuple[str, int]] = {}
    found = []
    for state in states:
        if state.instigator_name == NAME or not state.is_running:
            continue
        name, latest, looks = state.instigator_name, _last_tick(instance, state, None), 0
        ended = latest
        if latest is not None and latest.status is TickStatus.STARTED:
            tick_id, looks_before = before.get(name, ("", 0))
            looks = looks_before + 1 if tick_id == str(latest.tick_id) else 1
            under_way[name] = (str(latest.tick_id), looks)
            ended = _last_tick(instance, state, TICKED)
        if latest is None:
            continue
        error = ended.error if ended is not None else None
        found.append(
            TickSeen(
                name=name,
                failed=ended is not None and ended.status is TickStatus.FAILURE,
                detail=error.message if error is not None else "",
                under_way_looks=looks,
            )
        )
    return under_way, found


def _last_tick(
    instance: dg.DagsterInstance, state: InstigatorState, statuses: Sequence[TickStatus] | None
) -> InstigatorTick | None:
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1, statuses=statuses)
    return next(iter(ticks), None)


def _wanted(declared: Sequence[Any], states: Iterable[InstigatorState]) -> list[Wanted]:
    """Return a book's schedules and sensors as they are declared and as a person has left them."""
    left: dict[str, bool] = {}
    for state in states:
        if state.status in {InstigatorStatus.RUNNING, InstigatorStatus.STOPPED}:
            # A graph that was moved leaves a second state of the same name.
            name = state.instigator_name
            left[name] = left.get(name, False) or state.is_running
    return [
        Wanted(
            one.name,
            runs_by_default=one.default_status.value == InstigatorStatus.RUNNING.value,
            is_running=left.get(one.name),
        )
        for one in declared
    ]


def _started_at(name: str, states: Iterable[InstigatorState]) -> datetime | None:
    """Return when a schedule was started that runs, `None` where it does not run."""
    found = [
        datetime.fromtimestamp(state.instigator_data.start_timestamp or 0.0, tz=UTC)
        for state in states
        if state.instigator_name == name
        and state.is_running
        and isinstance(state.instigator_data, ScheduleInstigatorData)
    ]
    return max(found, default=None)
