"""A real replay is filed as evidence and judged: what passes, what is missing, and what changed since."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import sys
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import pyarrow as pa
import pytest
from pyarrow import parquet

import trading.strategies
from console import promoting
from console.cli import main
from resources.lake.store import Lake
from resources.profiles import Profiled
from resources.replay_trials import replay_trials_of
from resources.settings import load_settings
from resources.sweeping import VariantFiles, run_variants, sweeps_folder, swept_book
from tests.console.test_replaying import brittle
from trading.errors import BadSetting
from trading.replay import Asked, request_of
from trading.replaying import ReplayFile, run_replay
from trading.strategies.plugin import load_strategy
from trading.sweeping import AskedSweep, variants_asked
from trading.values import digest

__all__ = ["brittle"]

ROOT = Path(__file__).resolve().parents[2]
FIRST, LAST = date(2012, 12, 10), date(2013, 1, 31)


class Spoken(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def keep_replay(name, *, is_recorded=True, **asked):
    """Replay, record and keep a range as a run of the graph does."""
    profiled = Profiled(load_settings())
    config = profiled.books["us_five"]
    window = {"first_session": FIRST, "last_session": LAST}
    request = request_of(Asked(**{**window, **asked}), config, name=name)
    finished = run_replay(
        config,
        request,
        data_sets=profiled.data_sets["us_five"],
        calendar=profiled.calendars["us_five"],
        store=profiled.replay_stores["us_five"],
        trials=replay_trials_of(profiled)["us_five"] if is_recorded else None,
        tell=lambda _: None,
        clock=perf_counter,
    )
    Lake(profiled.settings.lake_root).write_rows(
        ("us_five", "replays"), name, ReplayFile, finished.files, inputs_sha=finished.replay_sha
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Make a state folder with a replay over a turn of the year, a light one, and the first as evidence."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADING_STATE_DIR", str(folder))
        keep_replay("autumn")
        keep_replay("sketch", light=True)
        assert main(["evidence", "file", "autumn", "--grid", "momentum.lookback=63,126"]) == 0
    return folder


@pytest.fixture
def state(kept, tmp_path, monkeypatch):
    folder = tmp_path / "state"
    shutil.copytree(kept, folder)
    monkeypatch.setenv("TRADING_STATE_DIR", str(folder))
    return folder


@pytest.fixture
def speak(state, capsys):
    def speak_words(*words):
        code = main(words)
        spoken = capsys.readouterr()
        return Spoken(code, spoken.out, spoken.err)

    return speak_words


@pytest.fixture
def without_stresses(monkeypatch):
    """File without worse worlds, each of which is one replay more: which trials count asks none of them."""
    monkeypatch.setattr(promoting, "usual_scenarios", tuple)


counts_trials = pytest.mark.usefixtures("without_stresses")


def gates(spoken):
    return {gate["gate"]: gate["standing"] for gate in spoken.json["gates"]}


def test_a_replay_is_filed_with_what_was_tried_and_with_worse_worlds(speak):
    # Whether a choice fits the past too well is judged of 64 sessions or more.
    keep_replay("quarter", first_session=date(2012, 11, 26), last_session=date(2013, 3, 1))
    assert speak("evidence", "file", "quarter", "--grid", "momentum.lookback=63,126").code == 0
    shown = speak("evidence", "show", "quarter", "--json").json
    kinds = [part["kind"] for part in shown["parts"]]
    names = {part["name"] for part in shown["parts"]}

    assert kinds.count("candidate") == 2
    assert names >= {"quarter (chosen)", "momentum.lookback=63 (trial)", "costs", "spread", "halt"}
    chosen = shown["parts"][0]["metrics"]
    assert chosen["sessions"] == 66
    assert chosen["fills"] > 0
    assert 0 <= chosen["pbo"] <= 1
    worlds = {part["name"]: part["metrics"]["total_return"] for part in shown["parts"]}
    assert worlds["costs"] < chosen["total_return"]


@counts_trials
@pytest.mark.usefixtures("brittle")
def test_a_rule_that_raised_after_its_first_year_stands_in_the_way_of_no_filing(speak):
    """Its replay kept a year, so that it was seen and counts; that it cannot be made again is told."""
    with pytest.raises(BadSetting, match="before the session of 2013-01-02: no year like this"):
        keep_replay("brittle", strategies=("momentum", "brittle"))

    filed = speak("evidence", "file", "autumn", "--grid", "momentum.lookback=63,126", "--json")

    assert filed.code == 0, filed.err
    assert (filed.json["counted"], filed.json["not_again"]) == (3, 1)
    assert "counted, and cannot be made again: strategy 'brittle'" in filed.err
    assert "before the session of 2013-01-02: no year like this" in filed.err


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ("nope.x=1", "grid nope.x: no council has a strategy 'nope'"),
        ("momentum.lookback=63,inf", "strategy 'momentum:lookback=inf': inf is no finite number"),
    ],
)
def test_a_trial_that_cannot_be_made_is_refused_before_anything_is_replayed(speak, grid, told):
    filed = speak("evidence", "file", "autumn", "--grid", grid)

    assert (filed.code, told in filed.err) == (2, True), filed
    assert "sessions" not in filed.err


@pytest.mark.parametrize(
    ("column", "told"),
    [("equity_micros", "value_is_conserved"), ("slippage_micros", "not what it replays to")],
)
def test_tables_that_were_altered_with_their_hashes_are_no_evidence(speak, state, column, told):
    (record_path,) = state.glob("simulated/lake/us_five/replays/autumn/*/kept/2012.json")
    record = json.loads(record_path.read_text("utf-8"))
    (file,) = (file for file in record["files"] if file["table"] == "sessions")
    path = state / "simulated" / "lake" / file["path"]
    table = parquet.read_table(path)
    place = table.column_names.index(column)
    doubled = pa.array([2 * value for value in table.column(column).to_pylist()], type=pa.int64())
    parquet.write_table(table.set_column(place, column, doubled), path)
    file["sha"] = hashlib.sha256(path.read_bytes()).hexdigest()
    record["record_sha"] = digest({key: record[key] for key in record if key != "record_sha"})
    record_path.write_text(json.dumps(record), encoding="utf-8")

    filed = speak("evidence", "file", "autumn", "--grid", "momentum.lookback=63,100")

    assert (filed.code, told in filed.err) == (4, True), filed


@counts_trials
def test_a_smaller_grid_hides_no_earlier_sweep_and_says_what_it_counted(speak):
    """Whoever swept widely and then files with few trials is told of the same luck as with all of them."""
    swept = ("--grid", "momentum.lookback=40,80", "--book", "us_five", "--workers", "1")
    assert speak("sweep", f"{FIRST}..{LAST}", *swept).code == 0

    few = speak("evidence", "file", "autumn", "--json").json
    many = speak("evidence", "file", "autumn", "--grid", "momentum.lookback=40,63,80,126", "--json").json

    assert (few["counted"], few["trials"], few["not_again"]) == (4, 3, 0)
    assert (many["counted"], many["rows"]) == (4, 0)
    first, *_, second = (part["metrics"] for part in chosen_parts(speak))
    assert (first["trials"], second["trials"]) == (2.0, 4.0)
    assert first["deflated_sharpe"] != second["deflated_sharpe"]


@counts_trials
@pytest.mark.parametrize(
    ("padding", "counted"),
    [
        (("--grid", "momentum.lookback=63,126,5001,5002,5003"), 5),
        (("--grid", "momentum.lookback=63,126", "--grid", "momentum.full=0.1,0.1000000000001"), 4),
    ],
    ids=["mute", "copies"],
)
def test_trials_that_are_none_count_for_luck_and_make_no_choice_look_good(speak, padding, counted):
    """One that never had an opinion loses to whatever gained; copies of one trial stand above the median."""
    assert speak("evidence", "file", "autumn", *padding, "--json").json["counted"] == counted

    plain, padded = (part["metrics"] for part in chosen_parts(speak))
    assert (plain["overfitting_trials"], padded["overfitting_trials"]) == (2.0, 2.0)
    assert padded["pbo"] == plain["pbo"]
    assert padded["deflated_sharpe"] <= plain["deflated_sharpe"]


@counts_trials
def test_a_replay_that_intended_nothing_was_chosen_from_nothing(speak):
    """Beside it the others fared as they did; that tells nothing of what it would have done."""
    keep_replay("mute", strategies=("momentum:lookback=5000",))
    assert speak("evidence", "file", "mute", "--grid", "momentum.lookback=60,80").code == 0

    metrics = chosen_parts(speak)[-1]["metrics"]
    assert (metrics["intents"], metrics["pbo"], metrics["deflated_sharpe"]) == (0, None, None)
    assert metrics["trials"] > 2


def filed_runs(speak):
    """Give the runs that were filed as evidence, without those that record what was tried."""
    runs = speak("evidence", "list", "--json").json["runs"]
    return [run for run in runs if not run["name"].startswith(("replay ", "sweep "))]


def chosen_parts(speak):
    runs = filed_runs(speak)
    shown = [speak("evidence", "show", run["run_id"], "--json").json for run in runs]
    return [part for one in shown for part in one["parts"] if part["name"].endswith("(chosen)")]


@counts_trials
def test_a_kept_replay_of_other_parameters_is_a_trial_too(speak):
    """A kept replay of other strategies is one that somebody looked at."""
    keep_replay("alone", strategies=("momentum:lookback=20",))

    filed = speak("evidence", "file", "autumn", "--json").json
    assert (filed["counted"], filed["trials"]) == (3, 2)


def folder_of(state, name):
    return state / "simulated" / "lake" / "us_five" / "replays" / name


@counts_trials
def test_a_trial_counts_though_its_folder_is_removed(speak, state):
    keep_replay("alone", strategies=("momentum:lookback=20",))
    shutil.rmtree(folder_of(state, "alone"))

    filed = speak("evidence", "file", "autumn", "--json").json

    assert (filed["counted"], filed["trials"], filed["others"]) == (3, 2, 0)
    assert speak("evidence", "check", "--json").json["verdict"].startswith("INCOMPLETE")


@counts_trials
def test_a_replay_that_was_recorded_nowhere_counts_as_long_as_it_is_kept_and_never_twice(speak):
    """As one does that was made before replays were recorded, or whose process was killed."""
    keep_replay("alone", is_recorded=False, strategies=("momentum:lookback=20",))
    assert speak("evidence", "file", "autumn", "--json").json["counted"] == 3

    keep_replay("alone", strategies=("momentum:lookback=20",))
    assert speak("evidence", "file", "autumn", "--json").json["counted"] == 3


def sweep_unrecorded(grid):
    """Try and keep variants as a sweep does whose terminal was closed before it recorded them."""
    profiled = Profiled(load_settings())
    asked = AskedSweep(first_session=FIRST, last_session=LAST, grids=(grid,), against=(), by="sharpe")
    variants = variants_asked(asked, profiled.books["us_five"])
    run_variants(
        variants,
        swept_book(profiled, variants),
        files=VariantFiles(sweeps_folder(profiled)),
        workers=1,
        tell=lambda *_: None,
        record=lambda _: None,
    )


@counts_trials
def test_what_a_sweep_showed_before_it_was_killed_counts_as_long_as_it_is_kept_and_never_twice(speak):
    sweep_unrecorded("momentum.lookback=40,80")
    assert speak("evidence", "file", "autumn", "--json").json["counted"] == 4

    again = ("--grid", "momentum.lookback=40,80", "--book", "us_five", "--workers", "1")
    assert speak("sweep", f"{FIRST}..{LAST}", *again).code == 0
    filed = speak("evidence", "file", "autumn", "--json").json
    assert (filed["counted"], filed["trials"], filed["others"]) == (4, 3, 0)


@pytest.fixture
def own_strategies(tmp_path, monkeypatch):
    """Give a folder that strategies are looked for in too, and what writes one anew as an edit does."""
    folder = tmp_path / "strategies"
    folder.mkdir()
    monkeypatch.setattr(trading.strategies, "__path__", [*trading.strategies.__path__, str(folder)])
    source = (ROOT / "trading" / "strategies" / "momentum.py").read_text("utf-8") + "\n# our own\n"
    written = set()

    def write(name, edit=""):
        forget(name)
        written.add(name)
        (folder / f"{name}.py").write_text(source + edit, encoding="utf-8")
        importlib.invalidate_caches()
        return folder / f"{name}.py"

    def forget(name):
        sys.modules.pop(f"trading.strategies.{name}", None)
        vars(trading.strategies).pop(name, None)

    yield write
    for name in written:
        forget(name)


@counts_trials
def test_each_edit_that_was_replayed_under_one_version_is_a_trial(speak, own_strategies):
    own_strategies("mine")
    keep_replay("first", strategies=("mine:lookback=50,skip=5,full=0.1",), last_session=date(2012, 12, 31))
    own_strategies("mine", "# edited\n")
    keep_replay("second", strategies=("mine:lookback=50,skip=5,full=0.1",), last_session=date(2013, 1, 2))

    filed = speak("evidence", "file", "autumn", "--json").json

    assert (filed["counted"], filed["others"], filed["trials"]) == (4, 2, 1)
    assert filed["not_again"] == 1


@pytest.mark.parametrize(
    "imported",
    [
        "from trading.strategies.beside import signals",
        "from trading.strategies import beside\nsignals = beside.signals",
        "import trading.strategies.beside as beside\nsignals = beside.signals",
        "from .beside import signals",
        "from . import beside\nsignals = beside.signals",
    ],
)
def test_an_edit_in_a_file_that_a_strategy_imports_is_another_strategy(own_strategies, imported):
    parameters = {"lookback": 50, "skip": 5, "full": 0.1}
    shas = []
    for edit in ("", "# edited\n", ""):
        own_strategies("beside", edit)
        own_strategies("mine", f"\n{imported}\n")
        shas.append(load_strategy("mine", weight=1.0, parameters=parameters).file_sha)

    assert shas[0] == shas[2] != shas[1]


@counts_trials
def test_a_strategy_that_was_renamed_is_told_of_what_was_tried_under_its_first_name(speak, own_strategies):
    first = own_strategies("mine")
    keep_replay("first", strategies=("mine:lookback=50,skip=5,full=0.1",), last_session=date(2012, 12, 31))
    own_strategies("yours")
    first.unlink()
    del sys.modules["trading.strategies.mine"]
    keep_replay("second", strategies=("yours:lookback=60,skip=5,full=0.1",))

    filed = speak("evidence", "file", "second", "--json").json
    spoken = speak("evidence", "file", "second").out

    assert (filed["counted"], filed["others"], filed["not_again"]) == (4, 2, 1)
    assert (
        "4 trials that were ever recorded: 2 of this strategy, 2 of others on us_five or its data" in spoken
    )
    assert "1 of them count without being made again" in spoken


@counts_trials
def test_the_same_rules_at_other_costs_are_no_other_trial(speak):
    keep_replay("dear", slippage_bps=50)

    filed = speak("evidence", "file", "autumn", "--json").json
    dear = speak("evidence", "file", "dear", "--json").json

    assert (filed["counted"], filed["not_again"]) == (2, 0)
    assert (dear["counted"], dear["not_again"]) == (2, 0)


@counts_trials
def test_a_replay_that_failed_before_its_first_year_stands_in_no_filings_way(speak):
    with pytest.raises(BadSetting, match="give another value there"):
        keep_replay("mistyped", strategies=("momentum:full=0",))

    filed = speak("evidence", "file", "autumn", "--json")

    assert filed.code == 0, filed.err
    assert (filed.json["counted"], filed.json["trials"]) == (2, 1)


def test_a_replay_that_is_filed_with_other_trials_is_judged_and_listed_all_the_same(speak):
    assert speak("evidence", "file", "autumn").code == 0
    assert len(filed_runs(speak)) == 1
    assert speak("evidence", "file", "autumn", "--grid", "momentum.lookback=100,126").code == 0

    assert [run["name"] for run in filed_runs(speak)] == ["autumn", "autumn"]
    assert speak("promote", "council", "--book", "us_five").code == 4


def test_a_replay_in_which_nobody_approved_is_no_evidence(speak):
    keep_replay("alone", approve=False)

    filed = speak("evidence", "file", "alone")
    assert (filed.code, "nobody approved in it" in filed.err) == (2, True)


def test_a_replay_with_another_deposit_is_evidence_of_another_book(speak):
    keep_replay("small", deposit_micros=50_000 * 10**6)
    assert speak("evidence", "file", "small").code == 0

    judged = speak("promote", "council", "--book", "us_five", "--json").json
    assert [run["name"] for run in filed_runs(speak)] == ["autumn", "small"]
    assert judged["run"] == "autumn"


def test_the_same_replay_filed_again_changes_nothing(speak):
    again = speak("evidence", "file", "autumn", "--grid", "momentum.lookback=63,126", "--json")

    assert (again.code, again.json["rows"], again.json["trials"]) == (0, 0, 1)


def test_a_strategy_is_judged_gate_by_gate_and_nothing_is_filed_by_looking(speak):
    judged = speak("promote", "council", "--book", "us_five", "--json")

    assert (judged.code, judged.json["outcome"], judged.json["is_filed"]) == (4, "refused", False)
    standing = gates(judged)
    assert {standing[name] for name in ("same_data_set", "rules_unchanged", "code_unchanged")} == {"passed"}
    assert {standing[name] for name in ("sessions", "folds")} == {"refused"}
    assert judged.json["gates"][0]["standing"] == "refused"
    # A tenth of the volume binds no order of so small a book; it was run all the same.
    details = {gate["gate"]: gate["detail"] for gate in judged.json["gates"]}
    assert "liquidity" not in details["stresses_differ"]
    assert speak("evidence", "list", "--json").json["promotions"] == []


def test_a_decision_is_filed_by_name_and_with_a_reason_whatever_it_is(speak):
    assert speak("promote", "council", "--book", "us_five", "--confirm").code == 2
    words = ("--confirm", "--reason", "read it", "--as", "ann")
    assert speak("promote", "council", "--book", "us_five", *words).code == 4
    assert speak("promote", "council", "--book", "us_five", *words).code == 4

    (promotion,) = speak("evidence", "list", "--json").json["promotions"]
    assert (promotion["outcome"], promotion["actor"], promotion["reason"]) == ("refused", "ann", "read it")
    assert "sessions" in promotion["failed"]
    assert speak("verify", "--json").json["violations"] == []


def test_a_strategy_of_which_nothing_is_filed_is_refused_as_missing(speak):
    judged = speak("promote", "momentum", "--book", "us_five", "--json")

    assert judged.code == 4
    assert gates(judged)["run_filed"] == "refused"
    unknown = speak("promote", "astrology", "--book", "us_five")
    assert (unknown.code, "configured are mean_reversion, momentum" in unknown.err) == (2, True)


@pytest.mark.parametrize(
    "change",
    [
        ("rules.toml", "band_bps = ", "band_bps = 1"),
        ("strategies.toml", "lookback = 126", "lookback = 127"),
    ],
    ids=["a rule", "a parameter"],
)
def test_what_was_changed_since_makes_evidence_stale(speak, tmp_path, monkeypatch, change):
    name, old, new = change
    shutil.copytree(ROOT / "config", tmp_path / "config")
    text = (tmp_path / "config" / name).read_text("utf-8")
    assert old in text
    (tmp_path / "config" / name).write_text(text.replace(old, new, 1), "utf-8")
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(tmp_path / "config"))

    assert gates(speak("promote", "council", "--book", "us_five", "--json"))["rules_unchanged"] == "refused"
    refused = speak("evidence", "file", "autumn", "--book", "us_five")
    assert (refused.code, "have changed since" in refused.err) == (2, True)


def test_a_light_replay_or_none_is_no_evidence(speak):
    assert "is light" in speak("evidence", "file", "sketch").err
    assert speak("evidence", "file", "nothing").code == 2
