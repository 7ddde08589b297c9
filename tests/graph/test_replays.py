"""Replays in the graph: one run, one materialization, each check once, nothing that could reach a broker."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from jobs.replay_job import REPLAY_TAG
from resources.dataset_files import dataset_of, write_manifest
from resources.live_capability import LiveRefused, live_capability
from resources.panels import data_set_of
from tests.graph.desk import CALENDAR, CONFIG, QUIET, Desk, failure_of
from trading.actions import CorporateAction
from trading.evidence_ledger import Role, missing_evidence, runs_with_rows
from trading.quotes import Panel, Quote
from trading.replay_checks import CHECKS
from trading.replaying import ReplayFile
from trading.scores import Score
from trading.trials import unrecorded

NAME = "two_years"
RANGE = {"first_session": "2012-12-03", "last_session": "2013-01-31"}
BOOKS = """
[us_five]
title = "Five names from May 2012"
source = "bokeh_stocks"
calendar = "XNYS"
currency = "USD"
account = "SIM-FIVE"
deposit = "1000000"
first_session = 2012-05-01
last_session = 2013-03-01
slippage_bps = 5
commission_bps = 1
participation_bps = 500
"""


class ReplayDesk(Desk):
    """Replay in the graph of a book with ten months of data."""

    def __init__(self, folder, **options):
        books = folder / "books.toml"
        books.write_text(BOOKS, encoding="utf-8")
        super().__init__(folder / "state", books_file=books, config_dir=CONFIG, **options)
        profiled, book = self.profiled, self.book
        source, calendar = profiled.sources[book], profiled.calendars[book]
        write_manifest(dataset_of(profiled.books[book], source=source, calendar=calendar), books)

    def replay(self, *, name=NAME, config=RANGE):
        self.instance.add_dynamic_partitions(f"{self.book}__replays", [name])
        return self.definitions.resolve_job_def(f"{self.book}__replay").execute_in_process(
            partition_key=name,
            instance=self.instance,
            raise_on_error=False,
            run_config={**QUIET, "ops": {f"{self.book}__replays": {"config": config}}},
        )


@pytest.fixture
def replay_desk(tmp_path):
    desks = []

    def open_desk(**options):
        desks.append(ReplayDesk(tmp_path, **options))
        return desks[-1]

    yield open_desk
    for desk in desks:
        desk.close()


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """Give a desk on which a replay ran to its end, and the run: to look at, not to change."""
    desk = ReplayDesk(tmp_path_factory.mktemp("replayed"))
    result = desk.replay()
    assert result.success, failure_of(result)
    yield desk, result
    desk.close()


def made_by(result, asset):
    """Give the partition and metadata of the only materialization of an asset in a run."""
    ((partition, metadata),) = [
        (event.partition, event.step_materialization_data.materialization.metadata)
        for event in result.all_events
        if event.is_step_materialization and event.asset_key.path[-1] == asset
    ]
    return partition, metadata


def test_a_range_is_one_materialization_and_each_check_is_evaluated_once(replayed):
    _, result = replayed
    evaluated = result.get_asset_check_evaluations()

    assert made_by(result, "replays")[0] == made_by(result, "scorecards")[0] == NAME
    assert sorted(one.check_name for one in evaluated) == sorted(CHECKS)
    assert all(one.passed and one.partition == NAME for one in evaluated)


def test_the_materialization_tells_years_reasons_and_what_took_how_long(replayed):
    _, result = replayed
    _, told = made_by(result, "replays")

    assert [record.data["year"] for record in told["years"].records] == [2012, 2013]
    assert told["sessions"].value == 41
    assert told["equity over the range"].value.startswith("<svg")
    assert len(told["equity over the range"].value) < 1000
    assert {"seconds, data", "seconds, engine", "seconds, artefacts"} <= set(told)
    assert {record.data["table"] for record in told["rows by table"].records} >= {
        "intents",
        "verdicts",
        "fills",
    }


def test_its_table_names_every_file_and_its_data_version_follows_them(replayed):
    desk, _ = replayed
    rows, pointer = desk.lake.read_rows(("us_five", "replays"), NAME, ReplayFile)

    manifest, tables = desk.profiled.replay_stores["us_five"].read(rows)
    assert pointer.inputs_sha == manifest["replay_sha"]
    assert len(tables["sessions"]["session"]) == 41
    assert len(rows) == 14


def test_a_scorecard_is_rows_a_record_and_a_page_that_needs_no_other_file(replayed):
    desk, result = replayed
    rows, pointer = desk.lake.read_rows(("us_five", "scorecards"), NAME, Score)
    _, told = made_by(result, "scorecards")
    page = Path(told["tear sheet"].value).read_text(encoding="utf-8")
    card = json.loads(Path(told["tear sheet"].value).with_name("scorecard.json").read_text(encoding="utf-8"))

    whole = {row.measure: row for row in rows if row.part == "whole"}
    assert whole["performance.sharpe"].value == card["performance"]["sharpe"]
    assert whole["closing_micros"].amount_micros == card["closing_micros"]
    assert {row.of for row in rows if row.part == "year"} == {"2012", "2013"}
    assert {row.part for row in rows} >= {"regime", "symbol", "strategy"}
    assert pointer.inputs_sha == desk.lake.require(("us_five", "replays"), NAME).inputs_sha
    assert page.count("<svg") == 4
    assert "<script" not in page
    assert re.findall(r"""(?:src|href)=["'](?!#)""", page) == []


def test_a_scorecard_of_data_that_changed_since_is_refused(replay_desk):
    desk = replay_desk()
    assert desk.replay().success
    data_sets = desk.profiled.data_sets["us_five"]
    actions = tuple(
        replace(action, dividend_micros=action.dividend_micros + 1) for action in data_sets.source.actions()
    )

    class Dearer:
        def __getattr__(self, name):
            return getattr(data_sets.source, name)

        def actions(self):
            return actions

    changed = replace(data_sets, source=Dearer())
    again = replay_desk(ports={"data_sets": lambda _: {"us_five": changed}})
    again.instance.add_dynamic_partitions("us_five__replays", [NAME])
    result = again.materialize("scorecards", session=NAME)

    assert "its data is other now than it was replayed on" in failure_of(result)[1]


def test_a_replay_is_recorded_as_a_trial_of_exactly_what_was_replayed(replayed):
    desk, _ = replayed
    ledger = desk.profiled.evidence.read()
    ((_, run),) = runs_with_rows(ledger.rows)
    (tried,) = run.candidates
    pointer = desk.lake.require(("us_five", "replays"), NAME)

    assert (run.name, tried.role, tried.sessions) == (f"replay {NAME}", Role.TRIAL, 41)
    assert tried.bound.replay_sha == pointer.inputs_sha
    assert [len(sha) for sha in tried.bound.subject.strategy_sha.split("+")] == [64, 64]
    assert tried.parameters["strategies"].startswith("mean_reversion:")
    assert missing_evidence(ledger) == ()
    assert unrecorded("us_five", desk.profiled.replay_stores["us_five"].whole(), ledger.rows) == ()


def test_a_replay_sends_nothing_and_leaves_no_order_in_the_journal(replayed):
    desk, _ = replayed

    assert desk.sent() == []
    assert desk.journal.open_intents(account="SIM-FIVE", lane="simulated") == []
    assert desk.journal.open_intents(account="SIM-FIVE", lane="replay") == []


def test_nothing_in_a_replays_run_could_reach_a_broker(replayed):
    desk, _ = replayed
    job = desk.definitions.resolve_job_def("us_five__replay")
    needed = {requirement.key for requirement in job.graph.get_resource_requirements(job.asset_layer)}

    assert (
        needed & {"brokers", "executor_locks", "journal", "alert_keeper", "notifier", "live_quotes"} == set()
    )
    assert "data_sets" in needed
    with pytest.raises(LiveRefused, match="repeats the past"):
        live_capability(lane="live", run_tags=job.tags)
    assert REPLAY_TAG in job.tags


def test_a_run_that_was_ended_midway_is_gone_on_with_by_the_next_one(replay_desk, replayed):
    class EndsAfterAYear:
        def __init__(self, store):
            self._store = store
            self.code_sha = store.code_sha

        @contextmanager
        def keeping(self, request, **of):
            with self._store.keeping(request, **of) as kept:
                put = kept.put

                def put_one(*arguments):
                    put(*arguments)
                    raise KeyboardInterrupt

                kept.put = put_one
                yield kept

    ports = {"replay_stores": lambda p: {"us_five": EndsAfterAYear(p.replay_stores["us_five"])}}
    desk = replay_desk(ports=ports)
    assert not desk.replay().success
    assert desk.lake.pointer(("us_five", "replays"), NAME) is None

    result = replay_desk().replay()

    assert result.success, failure_of(result)
    _, told = made_by(result, "replays")
    assert told["years kept from an earlier run"].value == 1
    files = {path: sha for path, sha in desk.files().items() if not path.endswith("current.json")}
    whole = replayed[0].files()
    assert files == {path: whole[path] for path in files}
    assert {path.rsplit("/", 1)[-1] for path in files} >= {
        "manifest.json",
        "scorecard.json",
        "tear_sheet.html",
    }


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"first_session": "2011-12-01"}, "the data covers 2012-05-01"),
        ({"first_session": "December"}, "write it as YYYY-MM-DD"),
        ({"strategies": ["moment"]}, "no file trading/strategies/moment.py"),
        ({"slippage_bps": -3}, "slippage -3"),
    ],
)
def test_what_cannot_be_replayed_ends_the_run_with_one_line(replay_desk, config, told):
    result = replay_desk().replay(config=config)

    stage, why = failure_of(result)
    assert stage == "replays"
    assert told in why
    assert "\n" not in why.strip()


def test_the_lakes_quotes_and_the_sources_are_one_data_set(desk):
    """What was imported is what the source is judged to: the same rows, hence the same digest."""
    sets = desk.profiled.data_sets["us_five"]
    first, last = date(2013, 2, 20), date(2013, 2, 28)
    of_lake = sets.data_set(first, last)
    sessions = (*CALENDAR.before(first, 130), *CALENDAR.between(first, last))
    panel: Panel = sets._of_source()
    of_source = data_set_of(
        panel, sets.source.actions(), sessions=sessions, calendar=CALENDAR, source="bokeh_stocks"
    )

    assert of_lake.source == "lake"
    assert of_lake.sha == of_source.sha
    assert sets.data_set(date(2012, 2, 20), last).source == "bokeh_stocks"


FEW = (date(2013, 2, 20), date(2013, 2, 28))
"""A range whose sessions, and those that its decisions read, are in the lake."""


def rewritten(desk, changed):
    """Write a session's quotes of the range into the lake anew, each as `changed` gives it."""
    asset, session = (desk.book, "market_quotes"), str(FEW[0])
    quotes, pointer = desk.lake.read_rows(asset, session, Quote)
    desk.lake.write_rows(asset, session, Quote, map(changed, quotes), extra=pointer.extra)


def test_quotes_in_the_lake_of_another_source_are_not_replayed(desk):
    sets = desk.profiled.data_sets["us_five"]
    rightly = sets.data_set(*FEW)
    rewritten(desk, lambda one: one._replace(close_micros=one.close_micros + 10_000, source_sha="ab" * 32))

    found = sets.data_set(*FEW)

    assert rightly.source == "lake"
    assert found.source.startswith("bokeh_stocks (the lake holds quotes or actions that are not of it")
    assert found.sha == rightly.sha
    assert sets.data_set(*FEW).source == found.source


def test_quotes_in_the_lake_that_were_altered_and_say_that_they_are_the_sources_are_not_replayed(desk):
    sets = desk.profiled.data_sets[desk.book]
    assert sets.data_set(*FEW).source == "lake"
    rewritten(desk, lambda one: one._replace(close_micros=one.close_micros + 10_000))

    found = desk.profiled.data_sets[desk.book].data_set(*FEW)

    assert found.source.startswith("bokeh_stocks (the lake holds quotes or actions that are not of it")


def test_quotes_in_the_lake_are_not_replayed_once_the_source_is_another(desk):
    sets = desk.profiled.data_sets["us_five"]
    assert sets.data_set(*FEW).source == "lake"

    class Changed:
        def __getattr__(self, name):
            return getattr(sets.source, name)

        def source_sha(self):
            return "ab" * 32

    assert replace(sets, source=Changed()).data_set(*FEW).source.startswith("bokeh_stocks (")


def test_quotes_in_the_lake_are_not_replayed_with_actions_that_are_not_the_sources(desk):
    sets = desk.profiled.data_sets["us_five"]
    rightly = sets.data_set(*FEW)
    asset = (desk.book, "corporate_actions")
    actions, _ = desk.lake.read_rows(asset, None, CorporateAction)
    dearer = [replace(one, dividend_micros=one.dividend_micros + 1) for one in actions]
    desk.lake.write_rows(asset, None, CorporateAction, dearer)

    found = sets.data_set(*FEW)

    assert found.source.startswith("bokeh_stocks (")
    assert (found.sha, found.actions) == (rightly.sha, rightly.actions)


def test_a_session_is_told_of_though_a_replay_is_called_like_a_file_of_the_lake(desk):
    named = desk.lake.root / desk.book / "replays" / "current.json"
    named.mkdir(parents=True)

    told = {row.asset for row in desk.profiled.lineage.lineage(desk.book, FEW[0])}

    assert told == {"corporate_actions", "market_quotes", "quarantined_quotes"}
