"""How often people would be told for nothing: a replayed year of real bars, looked at every hour of it.

Schedules tick by their own cron lines in exchange time, over weekends, holidays, half days and changes of the
clock, and what a tick means is what the product says. Each session that is decided and settled so leaves its
metrics, which are held to the reviewed policy, and every hour the watch looks with its own rules: at runs,
checks, ticks, schedules, sessions, tables, the disk, what models cost and the budget of availability.

Which alerts there should be is reckoned a second time and simply: what the market did from fills, equities
and verdicts, with the thresholds as they stand in the file, and what is wrong with the desk from what was put
in. An alert that is not among them is false, one of them that nobody was told of is missing. A message is
needed while one of its lines is new or was last said a repeat interval ago, whatever the keeper believes.

The year is lived as it was, when nothing is wrong with the desk; again with faults put in; and once more with
the rules on the market at a tenth of their thresholds, so that there is much to reckon.
"""

from __future__ import annotations

import json
import time
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dagster._utils.schedules import cron_string_iterator
from structlog.testing import capture_logs

from proof.suite import Progress, Size, Told
from resources.alert_policy import load_alert_policy
from resources.calendars import load_calendar
from resources.market_data.bokeh_stocks import BokehStocks
from resources.market_data.bytetheory import Bytetheory
from resources.quality_rules import load_quality_limits, load_releases
from resources.reviewed_config import book_config, read_books
from sensors.watch import ASKED_WITHIN, judge
from trading.advisor_calls import AdvisorCall
from trading.alert_log import (
    AlertEvent,
    AlertLog,
    Message,
    alert_log_of,
    messages_due,
    observed,
    subjects_firing,
)
from trading.alerts import (
    SIGNALS_LATCHED,
    AlertPolicy,
    AlertRow,
    Subject,
    evaluate,
    evaluate_watched,
    judged,
    judged_watched,
    tell,
)
from trading.decisions import Decision, Outcome, decision_rows
from trading.guards import BPS
from trading.journal import JournalEvent, SessionRecord
from trading.metrics import SessionFacts, session_metrics
from trading.orders import ExecutionRow, Fill, OrderStatusRow
from trading.positions import book_rows
from trading.quality import dates_of, judge_range
from trading.quotes import Panel
from trading.session import SessionResult, run_sessions
from trading.sessions import Calendar
from trading.signal_continuity import Poll, Window, due_at, session_state_at, window_of
from trading.slos import PAIRS, Objective, SessionTimes, available, pair_burn
from trading.testing import example_call
from trading.timetable import Tick, decide_cron, decide_tick, settle_crons, settle_tick, week_cron
from trading.values import Side
from trading.watching import (
    CheckSeen,
    RunSeen,
    Sighting,
    TickSeen,
    Wanted,
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
from trading.weeks import is_over, week_of_date

CONFIG = Path(__file__).resolve().parents[1] / "config"
YEARS = {
    "us_five": (date(2012, 1, 1), date(2012, 12, 31)),
    "us_wide": (date(2009, 9, 1), date(2010, 8, 20)),
}
"""Which sessions of which book are lived: a year of clean bars, and one of dirty ones."""

SOURCES = {"bokeh_stocks": BokehStocks, "bytetheory": Bytetheory}
POLICY = load_alert_policy(CONFIG / "alerts.toml")

PLANTED_IN, AUTUMN = "us_five", (date(2012, 10, 15), date(2012, 11, 16))
"""Where bugs are planted: two days closed by a storm, and the end of summer time."""

SUMMER_TIME = "Etc/GMT+4"
"""New York's clock in summer, the whole year."""

FAULT_EVERY = 6
"""So many sessions lie between two faults: one is over, and no budget burns by two, when the next begins."""

LOOK = timedelta(hours=1)
RECKONED_BACK = 12
"""Sessions back that availability is counted: more than the longest window of a pair of burns has."""

SETTLE_SCHEDULE, DECIDE_SCHEDULE = "settle_schedule", "decide_schedule"

OF_THE_MARKET = frozenset(
    {
        "drawdown_high",
        "execution_blocked_rate_high",
        "portfolio_guard_blocked_ratio_high",
        "portfolio_guard_strategy_budget_exceeded_high",
        "slippage_high",
        "quarantined_ratio_high",
    }
)
"""Rules about what the market, its data and the strategies did: whether one should speak is reckoned."""

NERVOUS_SHARE = Fraction(1, 10)
NERVOUS = replace(
    POLICY,
    rules=tuple(
        replace(rule, threshold=float(NERVOUS_SHARE * Fraction(str(rule.threshold))))
        if rule.code in OF_THE_MARKET
        else rule
        for rule in POLICY.rules
    ),
)
"""The policy with its rules on the market at a tenth of their thresholds."""

OF_THE_ACCOUNT = frozenset(
    {
        "buying_power",
        "daily_loss",
        "drawdown",
        "exposure_priced",
        "exposure_sound",
        "gross_exposure",
        "leverage",
        "net_exposure",
        "position_limit",
        "shorts",
        "strategy_budget",
        "symbol_cap",
        "value_at_risk",
    }
)
"""The guards that look at the account and the whole book, written down a second time."""

PLANTED = (
    "the watch takes every weekday for a session, schedules go by the summer's clock all year, "
    "rules on the market speak at a tenth of their thresholds, rules on the desk are gone, "
    "and nobody remembers what people were told"
)


class Year(NamedTuple):
    """Hold sessions of a book as they were, and the exchange's calendar.

    `rows` are the rows that a session's source had, `accepted` those of them that became quotes;
    `equities_before` are those at the closes of earlier sessions.
    """

    book: str
    results: Sequence[SessionResult]
    calendar: Calendar
    deposit_micros: int
    rows: Mapping[date, int]
    accepted: Mapping[date, int]
    equities_before: tuple[int, ...] = ()

    def part(self, first: date, last: date) -> Year:
        """Return the sessions of a part of the year, which begins where the ones before have ended."""
        before = [result for result in self.results if result.session < first]
        return self._replace(
            results=[result for result in self.results if first <= result.session <= last],
            equities_before=tuple(result.equity_micros for result in before),
        )


class Wrong(StrEnum):
    """Say what is wrong with the desk for a while."""

    DECIDED_LATE = "decided late"
    SETTLED_LATE = "settled late"
    RUN = "a run fails"
    CHECK = "a check fails"
    TICK = "a tick fails"
    HANG = "a tick hangs"
    STOPPED = "a schedule is stopped"
    DISK = "the disk is full"
    COST = "a question is dear"
    REPORT = "a report is missing"


TOLD_AS: Mapping[Wrong, tuple[str, str]] = {
    Wrong.DECIDED_LATE: ("session_missed", "decide"),
    Wrong.SETTLED_LATE: ("session_missed", "settle"),
    Wrong.RUN: ("run_failed", "settle"),
    Wrong.CHECK: ("check_failed", "positions:book_adds_up"),
    Wrong.TICK: ("tick_failed", DECIDE_SCHEDULE),
    Wrong.HANG: ("tick_hangs", DECIDE_SCHEDULE),
    Wrong.STOPPED: ("schedule_stopped", SETTLE_SCHEDULE),
    Wrong.DISK: ("disk_low", "state folder"),
    Wrong.COST: ("advisor_session_cost_high", ""),
    Wrong.REPORT: ("asset_stale", "daily_report"),
}
"""By which alert people should be told of each fault, and about what."""

Faults = Mapping[date, Wrong]
"""What is wrong on which session."""

Begun = tuple[str, str, date]
"""That an alert begins: its code, what it is about, and the day in New York."""


class Noise(NamedTuple):
    """Hold what people were told, beside what they should have been told.

    `false` began and should not have, `missing` should have begun and did not.
    """

    looks: int
    alerts: Counter[Begun]
    due: Counter[Begun]
    messages: int
    with_an_end: int
    duplicates: int

    @property
    def false(self) -> Counter[Begun]:
        """Return the alerts that nothing was the matter with."""
        return self.alerts - self.due

    @property
    def missing(self) -> Counter[Begun]:
        """Return what nobody was told of."""
        return self.due - self.alerts


@dataclass(frozen=True, slots=True, kw_only=True)
class Bugs:
    """Hold what is done wrong on purpose; nothing by default."""

    watched_by: Calendar | None = None
    ticks_in: str = ""
    policy: AlertPolicy = POLICY
    forgets_what_was_told: bool = False


def run(size: Size, progress: Progress) -> Told:
    """Look at the years of the books in turn; the size is how many of their sessions."""
    began = time.monotonic()
    parts: dict[str, int | str] = {}
    violations: list[str] = []
    uncaught: list[str] = []
    done = 0
    for book in YEARS:
        if done == size.points:
            break
        year = year_of(book, size.points - done)
        done += len(year.results)
        for name, noise in noises_of(year, seed=size.seed):
            parts |= {
                f"{name}: looks": noise.looks,
                f"{name}: false alerts": f"{noise.false.total():,} of {noise.alerts.total():,}",
                f"{name}: missing alerts": f"{noise.missing.total():,} of {noise.due.total():,}",
                f"{name}: duplicate messages": f"{noise.duplicates:,} of {noise.messages:,}",
                f"{name}: messages that tell of an end": noise.with_an_end,
            }
            violations += violations_of(noise, name)
        if book == PLANTED_IN:
            uncaught = uncaught_in(year.part(*AUTUMN), seed=size.seed)
        progress(done)
    return Told(
        points=done,
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug=PLANTED,
        is_planted_bug_caught=not uncaught,
        violations=(*(f"planted, and not found: {bug}" for bug in uncaught), *violations),
        parts=parts,
    )


def noises_of(year: Year, *, seed: int) -> Iterator[tuple[str, Noise]]:
    """Return what people would have been told of a year as it was, with faults, and by nervous rules."""
    yield year.book, noise_of(year)
    faults = faults_of(year, seed=seed)
    yield f"{year.book} with {len(faults)} faults", noise_of(year, faults=faults)
    yield f"{year.book} at a tenth of the thresholds", noise_of(year, is_nervous=True)


def uncaught_in(year: Year, *, seed: int) -> list[str]:
    """Return which planted bugs nobody would notice in a part of the year."""
    faults = faults_of(year, seed=seed)
    deaf = replace(POLICY, rules=tuple(rule for rule in POLICY.rules if rule.code in OF_THE_MARKET))
    is_caught = {
        "every weekday a session": bool(
            noise_of(year, bugs=Bugs(watched_by=_without_holidays(year.calendar))).false
        ),
        "the summer's clock": bool(noise_of(year, bugs=Bugs(ticks_in=SUMMER_TIME)).false),
        "a threshold of another size": bool(noise_of(year, bugs=Bugs(policy=NERVOUS)).false),
        "rules on the desk are gone": bool(noise_of(year, faults=faults, bugs=Bugs(policy=deaf)).missing),
        "what was told is forgotten": bool(
            noise_of(year, faults=faults, bugs=Bugs(forgets_what_was_told=True)).duplicates
        ),
    }
    return [bug for bug, caught in is_caught.items() if not caught]


def violations_of(noise: Noise, where: str) -> Iterator[str]:
    """Return a sentence for each alert that was false or missing, and one for duplicates."""
    for (code, about, on), count in noise.false.items():
        yield f"{code} {about} fired {count} times on {on} {where}, though nothing was wrong"
    for (code, about, on), count in noise.missing.items():
        yield f"{code} {about} was to be told {count} times on {on} {where}"
    if noise.duplicates:
        yield f"{noise.duplicates} messages told what was told already {where}"


def year_of(book: str, count: int) -> Year:
    """Return the last sessions of a book's year, lived by the session step on its real bars."""
    line = read_books(CONFIG / "books.toml")[book]
    source = SOURCES[line.source]()
    calendar = load_calendar(line.calendar, CONFIG / "calendars")
    config = book_config(book, line, config_dir=CONFIG, source=source, calendar=calendar)
    sessions = calendar.between(*YEARS[book])[-count:]
    read = (*calendar.before(sessions[0], config.rules.window_sessions), *sessions)
    days = judge_range(
        sessions=read,
        raw=source.raw_bars(*dates_of(calendar, first=read[0], last=read[-1])),
        calendar=calendar,
        previous={},
        actions=source.actions(),
        released={release.row_id for release in load_releases(CONFIG / "releases.toml")},
        limits=load_quality_limits(CONFIG / "quality.toml"),
        source_sha=source.source_sha(),
    )
    results = run_sessions(
        config,
        panel=Panel.from_quotes(read, [quote for day in days for quote in day.accepted]),
        actions=source.actions(),
        calendar=calendar,
        sessions=sessions,
        approve=True,
    )
    return Year(
        book,
        results,
        calendar,
        config.deposit_micros,
        rows={day.session: len(day.accepted) + len(day.quarantined) for day in days},
        accepted={day.session: len(day.accepted) for day in days},
    )


def faults_of(year: Year, *, seed: int) -> Faults:
    """Return what is wrong on every sixth session, each kind in its turn; the seed says which is first."""
    kinds = list(Wrong)
    places = range(FAULT_EVERY // 2, len(year.results), FAULT_EVERY)
    return {
        year.results[place].session: kinds[(turn + seed) % len(kinds)] for turn, place in enumerate(places)
    }


# ------------------------------------------------------------------------------------- what should be told


def due_alerts(year: Year, faults: Faults, *, share: Fraction) -> Counter[Begun]:
    """Return the alerts that there should be, reckoned without the product's metrics and rules.

    Rules on the market speak at a `share` of the thresholds of the reviewed file.
    """
    due = Counter((*TOLD_AS[wrong], session) for session, wrong in faults.items())
    with (CONFIG / "alerts.toml").open("rb") as file:
        rules = tomllib.load(file)["rules"]
    thresholds = {rule["code"]: share * Fraction(str(rule["threshold"])) for rule in rules}
    firing: set[str] = set()
    peak = max((year.deposit_micros, *year.equities_before))
    for result in year.results:
        peak = max(peak, result.equity_micros)
        for code, value in _reckoned(year, result, peak).items():
            if value is None:
                continue
            if value <= thresholds[code]:
                firing.discard(code)
            elif code not in firing:
                firing.add(code)
                due[code, "", result.session] += 1
    return due


def _reckoned(year: Year, result: SessionResult, peak: int) -> Mapping[str, Fraction | None]:
    """Return what a session's rules on the market judge, exact; `None` where there was nothing."""
    decided = result.decided
    blocked = [one for one in decided.decisions if one.outcome is Outcome.BLOCKED]
    reviewed, stopped, over_budget = set(), set(), 0
    for verdict in decided.verdicts:
        if verdict.guard in OF_THE_ACCOUNT:
            reviewed.add(verdict.intent_key)
            if not verdict.passed:
                stopped.add(verdict.intent_key)
        over_budget += verdict.guard == "strategy_budget" and not verdict.passed
    wanted_at = {one.intent_id: one.intent.price_micros for one in decided.decisions}
    paid = [(fill, fill.quantity * fill.price_micros) for fill in result.fills]
    costs = sum(
        Fraction(fill.price_micros - wanted_at[fill.intent_id], wanted_at[fill.intent_id])
        * (worth if fill.side is Side.BUY else -worth)
        for fill, worth in paid
    )
    rows = year.rows[result.session]
    return {
        "drawdown_high": Fraction(peak - result.equity_micros, peak),
        "execution_blocked_rate_high": _share(len(blocked), len(decided.proposed.intents)),
        "portfolio_guard_blocked_ratio_high": _share(len(stopped), len(reviewed)),
        "portfolio_guard_strategy_budget_exceeded_high": Fraction(over_budget),
        "slippage_high": 10_000 * costs / sum(worth for _, worth in paid) if paid else None,
        "quarantined_ratio_high": _share(rows - year.accepted[result.session], rows),
    }


def _share(part: int, of: int) -> Fraction | None:
    return Fraction(part, of) if of else None


# ------------------------------------------------------------------------------------- what is told


def noise_of(
    year: Year, *, faults: Faults | None = None, bugs: Bugs | None = None, is_nervous: bool = False
) -> Noise:
    """Return what people would have been told of a year, and what they should have been told.

    Where it `is_nervous`, rules on the market speak at a tenth of their thresholds.
    """
    lived = _Lived(year, faults or {}, bugs or Bugs(policy=NERVOUS if is_nervous else POLICY))
    with capture_logs():
        lived.live()
    kept = lived.kept
    return Noise(
        looks=lived.looks,
        alerts=kept.alerts,
        due=due_alerts(year, faults or {}, share=NERVOUS_SHARE if is_nervous else Fraction(1)),
        messages=kept.messages,
        with_an_end=kept.with_an_end,
        duplicates=kept.duplicates,
    )


class _Lived:
    """Live a year as a desk does: ticks decide and settle, and every hour the watch looks."""

    def __init__(self, year: Year, faults: Faults, bugs: Bugs) -> None:
        self.kept = _Kept(year.calendar, bugs)
        self.looks = 0
        self._year, self._faults, self._bugs = year, faults, bugs
        self._calendar = year.calendar
        self._results = {result.session: result for result in year.results}
        self._records: dict[date, SessionRecord] = {}
        self._times: dict[date, SessionTimes] = {}
        self._equities = list(year.equities_before)
        self._made: set[tuple[str, str]] = set()
        self._calls: list[AdvisorCall] = []
        self._runs: list[RunSeen] = []
        self._window: Window | None = None
        self._began = self._calendar.opens_at(year.results[0].session) - timedelta(hours=12)

    def live(self) -> None:
        """Let everything happen in its order, and the watch look in between."""
        acts = {
            "decide": self._decide,
            "settle": self._settle,
            "run again": self._run_again,
            "look back": self._look_back,
        }
        at = self._began.replace(minute=0)
        for when, what, session in self._happenings():
            while at <= when:
                self._look(at)
                at += LOOK
            acts[what](session, when)
        for _ in range(3):
            self._look(at)
            at += LOOK

    def _happenings(self) -> list[tuple[datetime, str, date]]:
        """Return what happens, ascending: what the schedules' ticks start, and what people do late."""
        calendar, found = self._calendar, {}
        crons = [("decide", decide_cron(calendar), decide_tick)]
        crons += [("settle", cron, settle_tick) for cron in settle_crons(calendar)]
        crons.append(("look back", week_cron(calendar), lambda _, at: Tick(_day_of(calendar, at), "")))
        until = calendar.closes_at(self._year.results[-1].session) + timedelta(hours=6)
        for what, cron, meaning in crons:
            zone = self._bugs.ticks_in or calendar.timezone
            for tick in cron_string_iterator(self._began.timestamp(), cron, zone):
                at = tick.astimezone(UTC)
                if at > until:
                    break
                session = meaning(calendar, at).session
                if session in self._results or what == "look back":
                    found[what, session] = at
        for session, wrong in self._faults.items():
            if wrong is Wrong.DECIDED_LATE:
                found["decide", session] = calendar.opens_at(session) + timedelta(hours=2)
            if wrong is Wrong.SETTLED_LATE:
                found["settle", session] = calendar.closes_at(session) + timedelta(hours=3)
            if wrong in {Wrong.RUN, Wrong.CHECK, Wrong.REPORT}:
                found["run again", session] = calendar.closes_at(session) + timedelta(hours=2, minutes=30)
        return sorted((at, what, session) for (what, session), at in found.items())

    def _decide(self, session: date, at: datetime) -> None:
        self._window = _look_for_signals(
            self.kept,
            self._year,
            self._results[session],
            self._window,
            at=at,
            policy=self._bugs.policy,
        )
        self._records[session] = _record(self._year.book, session, decided_at=at)
        self._times[session] = SessionTimes(session, at, None)
        cost_micros = 300_000 if self._faults.get(session) is Wrong.COST else 20_000
        self._calls.append(
            example_call(
                call_id=str(session), at=at, session=session, book=self._year.book, cost_micros=cost_micros
            )
        )
        self._runs.append(_run_of(self._year.book, session, "decide"))

    def _settle(self, session: date, at: datetime) -> None:
        result, policy, wrong = self._results[session], self._bugs.policy, self._faults.get(session)
        quotes, rows = self._year.accepted[session], self._year.rows[session]
        metrics = session_metrics(
            _facts(
                result,
                self._equities,
                self._year.deposit_micros,
                quotes_count=quotes,
                quarantined_count=rows - quotes,
            )
        )
        tell(
            evaluate(metrics, policy.rules, book=self._year.book),
            codes=judged(metrics, policy.rules),
            keeper=self.kept,
            policy=policy,
            book=self._year.book,
            session=session,
            now=at,
        )
        self._equities.append(result.equity_micros)
        record = self._records.get(session) or _record(self._year.book, session, decided_at=None)
        self._records[session] = replace(record, settled_at=at)
        self._times[session] = SessionTimes(session, record.decided_at, at)
        self._runs.append(
            _run_of(
                self._year.book,
                session,
                "settle",
                failed=wrong is Wrong.RUN,
                check_fails=wrong is Wrong.CHECK,
            )
        )

        made = {"positions", "daily_report", "promotion_decisions"} - (
            {"daily_report"} if wrong is Wrong.REPORT else set()
        )
        self._made |= {(asset, str(session)) for asset in made}

    def _run_again(self, session: date, _: datetime) -> None:
        self._made.add(("daily_report", str(session)))
        self._runs.append(_run_of(self._year.book, session, "settle"))

    def _look_back(self, _: date, at: datetime) -> None:
        weeks = {week_of_date(session) for session in sorted(self._records)[-RECKONED_BACK:]}
        over = [week.name for week in weeks if is_over(week, self._calendar, now=at)]
        self._made |= {(asset, name) for asset in ("weekly_health", "weekly_audit") for name in over}

    def _look(self, at: datetime) -> None:
        """Look as sensors/watch.py does, at everything that it looks at."""
        self.looks += 1
        judge(self._found(at), keeper=self.kept, policy=self._bugs.policy, now=at)
        self._runs.clear()

    def _found(self, at: datetime) -> Iterator[Sighting]:
        on, wrong = _day_of(self._calendar, at), self._wrong_at(at)
        watched_by = self._bugs.watched_by or self._calendar
        yield from sightings_of_runs(self._runs, today=lambda _: on, calendar=lambda _: watched_by)
        ticks = [
            TickSeen(DECIDE_SCHEDULE, wrong is Wrong.TICK, "", 11 if wrong is Wrong.HANG else 0),
            TickSeen(SETTLE_SCHEDULE, failed=False, detail="", under_way_looks=0),
        ]
        yield from sightings_of_ticks(ticks, on=on)
        yield sighting_of_disk(0.03 if wrong is Wrong.DISK else 0.5, on=on)
        self._calls = [call for call in self._calls if call.at >= at - ASKED_WITHIN]
        yield from sightings_of_costs(self._calls, on=on)
        last = {session: self._times[session] for session in sorted(self._times)[-RECKONED_BACK:]}
        counted = list(available(last, watched_by, now=at).values())
        burns = [pair_burn(counted, objective=Objective.AVAILABILITY, pair=pair, now=at) for pair in PAIRS]
        yield from sightings_of_burns(burns, on=on)
        yield from sightings_of_sessions(self._year.book, watched_by, record_of=self._records.get, now=at)
        wanted = [
            Wanted(DECIDE_SCHEDULE, runs_by_default=False, is_running=True),
            Wanted(SETTLE_SCHEDULE, runs_by_default=False, is_running=wrong is not Wrong.STOPPED),
        ]
        begun = sessions_begun(watched_by, record_of=self._records.get, now=at)
        yield from sightings_of_stopped(self._year.book, wanted, is_begun=bool(begun), on=on)
        yield from sightings_of_stale(
            self._year.book,
            watched_by,
            begun,
            is_made=lambda asset, partition: (asset, partition) in self._made,
            evidence_since=self._began,
            weeks_since=self._began,
            now=at,
        )

    def _wrong_at(self, at: datetime) -> Wrong | None:
        """Return what is wrong at an instant: a fault lasts as long as its session."""
        on = _day_of(self._calendar, at)
        if on not in self._faults:
            return None
        is_now = self._calendar.opens_at(on) <= at < self._calendar.closes_at(on)
        return self._faults[on] if is_now else None


def _day_of(calendar: Calendar, at: datetime) -> date:
    return at.astimezone(ZoneInfo(calendar.timezone)).date()


def _run_of(
    book: str, session: date, job: str, *, failed: bool = False, check_fails: bool = False
) -> RunSeen:
    check = CheckSeen(book, "positions", "book_adds_up", session, passed=not check_fails, detail="")
    return RunSeen(
        run_id=f"{job} {session}",
        job=job,
        book=book,
        session=session,
        failed=failed,
        detail="",
        checks=(check,) if job == "settle" and not failed else (),
    )


def _look_for_signals(
    kept: _Kept,
    year: Year,
    result: SessionResult,
    earlier: Window | None,
    *,
    at: datetime,
    policy: AlertPolicy,
) -> Window:
    """Look for signals before a decision, as the graph does, on the quotes that were there."""
    calendar = year.calendar
    before, due = calendar.previous(result.session), due_at(calendar, at)
    rows = len(result.decided.candidates)
    poll = Poll(
        looked_at=at,
        session_state=session_state_at(calendar, at),
        is_configured=True,
        universe=rows,
        invalid="",
        cursor=earlier.read_to if earlier is not None else None,
        tail=before,
        rows=rows,
        signals=rows,
        due=due[0] if due else None,
        due_at=due[1] if due else None,
    )
    window = window_of(poll, book=year.book, session=result.session, earlier=earlier)
    seen = {SIGNALS_LATCHED: float(window.after.is_set)}
    tell(
        evaluate_watched(seen, policy.rules, book=year.book, session=result.session),
        codes=judged_watched(seen, policy.rules),
        keeper=kept,
        policy=policy,
        book=year.book,
        session=result.session,
        now=at,
    )
    return window


class _Kept:
    """Keep what a journal would: events, what is known by them, and what people were told.

    What of it was needed is counted from the messages themselves, as people read them.
    """

    def __init__(self, calendar: Calendar, bugs: Bugs) -> None:
        self.messages = self.with_an_end = self.duplicates = 0
        self.alerts: Counter[Begun] = Counter()
        self._calendar, self._bugs = calendar, bugs
        self._stored = 0
        self._log = AlertLog()
        self._said: dict[tuple[str, str, str], datetime] = {}

    def observe(
        self,
        alerts: Sequence[AlertRow],
        *,
        codes: Collection[str],
        policy: AlertPolicy,
        book: str,
        session: date,
        now: datetime,
        about: str = "",
        run_id: str = "",
    ) -> None:
        """Store what changed by a look, and count what begins."""
        events = observed(
            self._log,
            alerts,
            codes=codes,
            policy=policy,
            book=book,
            session=session,
            about=about,
            run_id=run_id,
        )
        for event in events:
            if event.body["is_firing"]:
                labels = event.body["labels"]
                day = _day_of(self._calendar, now)
                self.alerts[labels["alertname"], labels.get("about", ""), day] += 1
        self._store(events, now)

    def firing(self) -> frozenset[Subject]:
        """Return what fires."""
        return subjects_firing(self._log)

    def tell(self, policy: AlertPolicy, *, now: datetime) -> int:
        """Tell what is due; returns how many groups were told."""
        known = replace(self._log, told={}) if self._bugs.forgets_what_was_told else self._log
        due = messages_due(known, policy, now=now)
        for message in due:
            self._count(message, repeat_after=timedelta(seconds=policy.route.repeat_interval_s), now=now)
        self._store([message.event for message in due], now)
        return len(due)

    def _count(self, message: Message, *, repeat_after: timedelta, now: datetime) -> None:
        lines = json.loads(message.body)["alerts"]
        said = [(line["fingerprint"], line["starts_at"], line["status"]) for line in lines]
        self.messages += 1
        self.with_an_end += any(status == "resolved" for _, _, status in said)
        self.duplicates += all(line in self._said and now - self._said[line] < repeat_after for line in said)
        self._said |= dict.fromkeys(said, now)

    def _store(self, events: Iterable[AlertEvent], at: datetime) -> None:
        added = [
            JournalEvent(
                seq=self._stored + place,
                at=at,
                kind=event.kind,
                book=event.book,
                lane="replay",
                session=event.session,
                intent_id="",
                actor=event.actor,
                reason=event.reason,
                body=event.body,
                prev_hash="",
                hash="",
            )
            for place, event in enumerate(events, start=1)
        ]
        self._stored += len(added)
        self._log = alert_log_of(added, self._log)


def _facts(
    result: SessionResult,
    equities: Sequence[int],
    deposit_micros: int,
    *,
    quotes_count: int,
    quarantined_count: int,
) -> SessionFacts:
    """Return what a session of the step left, as the rows of its tables."""
    decided = result.decided
    filled = {fill.intent_id: fill for fill in result.fills}
    refused = {one.intent.intent_key for one in result.refused}
    status = []
    for decision in decided.decisions:
        if decision.outcome in {Outcome.BLOCKED, Outcome.VETOED}:
            continue
        fill = filled.get(decision.intent_id)
        shares = fill.quantity if fill else 0
        state = "executed" if fill else "rejected" if decision.intent.intent_key in refused else "expired"
        status.append(
            OrderStatusRow(
                session=result.session,
                symbol=decision.intent.symbol,
                side=decision.intent.side,
                intent_id=decision.intent_id,
                client_order_id=fill.client_order_id if fill else "",
                intent_state=state,
                status="filled" if fill else "none",
                terminal=True,
                progress_bps=10_000 * shares // decision.quantity if decision.quantity else 0,
                quantity=decision.quantity,
                filled_quantity=shares,
                notional_micros=shares * fill.price_micros if fill else 0,
                commission_micros=fill.commission_micros if fill else 0,
                complete=shares == decision.quantity,
                reason="",
            )
        )
    return SessionFacts(
        session=result.session,
        quotes_count=quotes_count,
        quarantined_count=quarantined_count,
        candidates=decided.candidates,
        intents_count=len(decided.proposed.intents),
        verdicts=decided.verdicts,
        advice=decided.advice,
        decisions=decision_rows(decided.decisions),
        executions=tuple(
            _execution(result.session, decision, filled[decision.intent_id])
            for decision in decided.decisions
            if decision.intent_id in filled
        ),
        order_status=tuple(status),
        positions=book_rows(result.closing, session=result.session, marks=result.marks),
        previous_equities_micros=tuple(equities),
        deposits_micros=deposit_micros,
    )


def _execution(session: date, decision: Decision, fill: Fill) -> ExecutionRow:
    arrival, intent = decision.intent.price_micros, decision.intent
    worse = (fill.price_micros - arrival) * (1 if intent.side is Side.BUY else -1)
    return ExecutionRow(
        session=session,
        symbol=intent.symbol,
        side=intent.side,
        intent_id=decision.intent_id,
        state="executed",
        stage="",
        reason="",
        client_order_id=fill.client_order_id,
        broker_order_id="",
        submitted_quantity=decision.quantity,
        filled_quantity=fill.quantity,
        average_price_micros=fill.price_micros,
        commission_micros=fill.commission_micros,
        arrival_price_micros=arrival,
        slippage_bps=worse / arrival * BPS,
        status="filled",
        expected_adapter="replay",
        actual_adapter="replay",
        fallback_reason="",
        fallback_count=0,
    )


def _record(book: str, session: date, *, decided_at: datetime | None) -> SessionRecord:
    return SessionRecord(
        book=book,
        lane="replay",
        session=session,
        opening_sha="0" * 64,
        decided_at=decided_at,
        decisions_sha="",
        settled_at=None,
        carried_by="",
        closing=None,
        closing_sha="",
        refused="",
    )


def _without_holidays(calendar: Calendar) -> Calendar:
    first, last = calendar.sessions[0], calendar.sessions[-1]
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return replace(calendar, sessions=tuple(day for day in days if day.weekday() < 5), holidays={})
