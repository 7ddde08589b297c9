"""Sweeps in the graph: one partition is one sweep, equal to the bit to one on the command line."""

from __future__ import annotations

import json
import re
from datetime import date

import pytest

from console.cli import main
from resources.sweeping import NAMED, PAGE, BookSweeper
from tests.graph.desk import CONFIG, QUIET, Desk, failure_of
from trading.errors import BadInput
from trading.evidence_ledger import Kind
from trading.sweeping import AskedSweep, SweepRow, rows_of_sweep, run_sweep

GRID = {"grids": ["momentum.lookback=40,80"], "first_session": "2012-12-03", "last_session": "2013-01-31"}


class SweepDesk(Desk):
    def sweep(self, name, config, *, workers=1):
        self.instance.add_dynamic_partitions(f"{self.book}__sweeps", [name])
        return self.definitions.resolve_job_def(f"{self.book}__sweep").execute_in_process(
            partition_key=name,
            instance=self.instance,
            raise_on_error=False,
            run_config={**QUIET, "ops": {f"{self.book}__sweeps": {"config": {**config, "workers": workers}}}},
        )

    def in_process(self, asked):
        """Sweep without Dagster, as the command line does."""
        profiled = self.profiled
        return run_sweep(
            asked,
            profiled.books[self.book],
            name="",
            calendar=profiled.calendars[self.book],
            sweeper=BookSweeper(profiled, self.book),
            workers=1,
            tell=lambda _: None,
        )


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Give a desk on which a sweep ran to its end in the graph, and the run: to look at, not to change."""
    desk = SweepDesk(tmp_path_factory.mktemp("swept"), config_dir=CONFIG)
    result = desk.sweep("lookbacks", GRID)
    assert result.success, failure_of(result)
    yield desk, result
    desk.close()


def test_a_sweep_in_the_graph_finds_what_one_beside_it_finds_to_the_bit(swept, tmp_path):
    desk, _ = swept
    rows, _ = desk.lake.read_rows(("us_five", "sweeps"), "lookbacks", SweepRow)
    other = SweepDesk(tmp_path, config_dir=CONFIG)
    alone = other.in_process(
        AskedSweep(
            grids=("momentum.lookback=40,80",),
            first_session=date(2012, 12, 3),
            last_session=date(2013, 1, 31),
        )
    )
    other.close()

    assert rows == rows_of_sweep(alone)
    assert rows[0].sharpe > rows[1].sharpe
    for name in (f"{row.replay_sha}.{kind}" for row in rows for kind in ("json", "npy")):
        here = desk.settings.profile_dir / "sweeps" / name
        there = other.settings.profile_dir / "sweeps" / name
        assert here.read_bytes() == there.read_bytes()


def test_a_sweep_leaves_a_page_that_compares_its_variants_and_tells_of_luck(swept):
    desk, _ = swept
    place = desk.settings.profile_dir / "sweeps" / NAMED / "us_five" / "lookbacks"
    page = (place / PAGE).read_text("utf-8")

    assert page.count("<svg") == 2
    assert "deflated sharpe" in page
    assert "momentum.lookback=40" in page
    assert "momentum.lookback=80" in page
    assert "<script" not in page
    bars = page[page.index("sharpe by place") :]
    ticks = re.findall(r">([\d.]+)</text>", bars[: bars.index(">place</text>")])
    assert ticks == ["1", "2"]
    whole = json.loads((place / "sweep.json").read_text("utf-8"))
    assert whole["together"]["variants"] == 2


def test_a_sweep_in_the_graph_records_its_trials(swept):
    desk, _ = swept
    rows = desk.profiled.evidence.read().rows

    assert [row.kind for row in rows] == [Kind.RUN, Kind.CANDIDATE, Kind.CANDIDATE]


def test_a_name_is_one_sweeps_and_a_grid_that_is_none_ends_in_one_line(swept):
    desk, _ = swept

    other = desk.sweep("lookbacks", {**GRID, "grids": ["momentum.lookback=50,60"]})
    assert "the name is that of another sweep" in failure_of(other)[1]
    bad = desk.sweep("nothing", {**GRID, "grids": ["astrology.moon=1,2"]})
    assert failure_of(bad) == (
        "sweeps",
        "us_five sweep nothing: grid astrology.moon: no council has a strategy 'astrology'",
    )


def test_the_command_line_starts_a_named_sweep_in_the_graph(swept, monkeypatch, capsys):
    desk, _ = swept
    monkeypatch.setenv("TRADING_STATE_DIR", str(desk.settings.state_dir))
    words = ("2012-12-03..2013-01-31", "--book", "us_five", "--workers", "1", "--json")

    code = main(["sweep", *words, "--grid", "momentum.lookback=40,80", "--name", "again"])
    named = json.loads(capsys.readouterr().out)
    assert main(["sweep", *words, "--grid", "momentum.lookback=40,80"]) == code == 0
    unnamed = json.loads(capsys.readouterr().out)

    assert {name: named[name] for name in unnamed} == unnamed
    assert named["page"].endswith("again/sweep.html")
    assert main(["sweep", *words[:-1], "--grid", "momentum.lookback=40,80"]) == 0
    # CAGR and volatility in per cent, as on the page; the Sharpe ratio as a number.
    assert re.search(
        r"^momentum.lookback=40 +-?[\d.]+% +[\d.]+% +-?[\d.]+ ", capsys.readouterr().out, re.MULTILINE
    )
    assert main(["sweep", *words, "--grid", "momentum.lookback=1,2", "--name", "again"]) == 2
    assert "the name is that of another sweep" in capsys.readouterr().out


def test_a_name_that_could_be_no_folder_is_refused(swept):
    desk, _ = swept
    with pytest.raises(BadInput, match="sweep name"):
        run_sweep(
            AskedSweep(grids=("momentum.lookback=40,80",)),
            desk.profiled.books["us_five"],
            name="../up",
            calendar=desk.profiled.calendars["us_five"],
            sweeper=BookSweeper(desk.profiled, "us_five"),
            workers=1,
            tell=lambda _: None,
        )
