"""The replay engine: compiled it comes to what plain Python comes to, and its code is that of these rules."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from resources.compiled_rules import compiled_rules
from resources.replay_engine import ReplayEngine, Strategy, bars_of, opening_of, world_of
from trading.actions import ActionKind, CorporateAction
from trading.guards import REASONS
from trading.kernel import Record, Ways, recorded
from trading.limits import Change
from trading.quotes import Panel
from trading.simulation import FillModel
from trading.testing import example_limits
from trading.values import Symbol, digest

SESSIONS = tuple(date(2011, 1, 3) + timedelta(days=row) for row in range(420))
SYMBOLS = tuple(Symbol(f"S{number}") for number in range(8))


def drawn_world(*, keeps=True):
    """Give a world in which guards refuse, cut, rank and wait: gaps, splits, dividends, changing limits."""
    rng = np.random.default_rng(12)
    shape = (len(SESSIONS), len(SYMBOLS))
    closes = np.rint(80e6 * np.exp(np.cumsum(rng.normal(0, 0.015, shape), axis=0))).astype(np.int64)
    opens = np.rint(closes * rng.uniform(0.98, 1.02, shape)).astype(np.int64)
    unquoted = rng.random(shape) < 0.01
    panel = Panel(
        sessions=SESSIONS,
        symbols=SYMBOLS,
        open=np.where(unquoted, 0, opens),
        high=closes,
        low=closes,
        close=np.where(unquoted, 0, closes),
        volume=rng.integers(100, 20_000, shape),
    )
    limits = example_limits(
        order_notional_micros_max=10**12,
        auto_approve_notional_micros=2 * 10**10,
        usual_order_notional_micros=10**10,
        volume_share_bps_max=1_000,
        symbol_weight_bps_max=3_000,
        drawdown_bps_max=1_500,
        changes=(Change(effective_from=SESSIONS[300], reason="calmer", values=(("var_bps_max", 130),)),),
    )
    actions = [
        CorporateAction(
            effective_on=SESSIONS[row],
            symbol=SYMBOLS[column],
            kind=kind,
            numerator=3 if kind is ActionKind.SPLIT else 1,
            denominator=2 if kind is ActionKind.SPLIT else 1,
            dividend_micros=0 if kind is ActionKind.SPLIT else 900_000,
        )
        for row, column, kind in [
            (120, 1, ActionKind.SPLIT),
            (200, 1, ActionKind.DIVIDEND),
            (260, 4, ActionKind.DIVIDEND),
            (330, 4, ActionKind.SPLIT),
        ]
    ]
    return world_of(
        bars_of(panel),
        limits=limits,
        costs=FillModel(slippage_bps=5, commission_bps=1, participation_bps=2_000),
        opening=opening_of(len(SYMBOLS), deposit_micros=10**12),
        ways=Ways(
            first=70,
            end=len(SESSIONS),
            window_sessions=260,
            scenarios_min=60,
            approves=True,
            cuts=True,
            keeps=keeps,
            wishes_max=20,
        ),
        strategy="council",
        symbols=SYMBOLS,
        sessions=SESSIONS,
        actions=actions,
    )


def drawn_strategy():
    rng = np.random.default_rng(34)
    rows = [
        (row, int(rng.integers(8)), int(rng.choice([1, 1, 1, -1])), int(rng.integers(1, 1_500)))
        for row in range(70, len(SESSIONS), 2)
        for _ in range(5)
    ]
    wishes = np.array(rows, dtype=np.int64)
    return Strategy(name="drawn", decide=recorded, memory=lambda _: Record(wishes, np.zeros(1, np.int64)))


def same(one, other):
    return all(
        ours.tolist() == theirs.tolist()
        for table in ("sessions", "intents", "refusals", "fills", "positions")
        for ours, theirs in zip(getattr(one, table), getattr(other, table), strict=True)
    )


def digest_of(run):
    tables = ("sessions", "intents", "refusals", "fills", "positions")
    return digest([[column.tolist() for column in getattr(run, table)] for table in tables])


ELSEWHERE = """
import importlib.util
import sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("here", sys.argv[1])
here = importlib.util.module_from_spec(spec)
spec.loader.exec_module(here)
engine = here.ReplayEngine(folder=Path(sys.argv[2]))
print(here.digest_of(engine.run(here.drawn_world(), here.drawn_strategy())))
"""


@pytest.mark.timeout(1200)  # half a minute of compiling, on a machine that others may use as well
def test_a_compiled_replay_equals_a_plain_one_to_the_unit(tmp_path):
    plain = ReplayEngine(folder=tmp_path, is_compiled=False)
    compiled = ReplayEngine(folder=tmp_path)

    told = plain.run(drawn_world(), drawn_strategy())

    assert same(compiled.run(drawn_world(), drawn_strategy()), told)
    light = compiled.run(drawn_world(keeps=False), drawn_strategy())
    assert light.sessions.equity_micros.tolist() == told.sessions.equity_micros.tolist()
    assert len(light.fills.session) == len(told.fills.session) > 150
    reasons = {REASONS[code] for code in told.refusals.code}
    assert {"var_limit", "shorts_not_allowed", "volume_share_exceeded", "quote_stale"} <= reasons
    kept = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.suffix for path in kept} == {".nbc", ".nbi", ".py"}

    # Another process, with other hashes and another clock, reads the machine code and comes to the same.
    elsewhere = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, __file__, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": ".", "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.strip() == digest_of(told)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == kept


def test_an_edited_guard_or_strategy_asks_for_other_machine_code(tmp_path, monkeypatch):
    package, strategy = tmp_path / "trading", tmp_path / "mine.py"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "guards.py").write_text("LIMIT = 1\n", encoding="utf-8")
    strategy.write_text("LOOKBACK = 60\n", encoding="utf-8")
    monkeypatch.setattr("trading.__file__", str(package / "__init__.py"))

    folders = [compiled_rules(tmp_path, strategy).folder, compiled_rules(tmp_path, strategy).folder]
    (package / "guards.py").write_text("LIMIT = 2\n", encoding="utf-8")
    folders.append(compiled_rules(tmp_path, strategy).folder)
    strategy.write_text("LOOKBACK = 90\n", encoding="utf-8")
    folders.append(compiled_rules(tmp_path, strategy).folder)

    assert folders[0] == folders[1]
    assert len(set(folders)) == 3


def test_a_replay_takes_the_limits_of_each_session():
    world = drawn_world()

    assert world.rules.era_of[[0, 299, 300, 419]].tolist() == [0, 0, 1, 1]
    assert world.rules.own[0, :, 0].tolist() == [3_000] * 8
    assert replace(example_limits(), var_bps_max=130).caps(SYMBOLS[0], "council").var_bps_max in (
        world.rules.eras[1].tolist()
    )
