"""A session is decided once: a try on changed rules is refused before it writes, a halt repaints nothing."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import pytest

from console.launcher import Launcher
from tests.graph.desk import CONFIG, FIRST, failure_of, settings_in
from trading.errors import RecordsUnavailable
from trading.journal import RunControlAction

NOW = datetime(2013, 3, 1, 22, tzinfo=UTC)


def test_a_decided_session_is_not_decided_again_on_other_strategies_and_no_table_moves(
    whole_session, desk_on, tmp_path
):
    first, _ = whole_session
    config = shutil.copytree(CONFIG, tmp_path / "config")
    strategies = config / "strategies.toml"
    strategies.write_text(strategies.read_text().replace("lookback = 126", "lookback = 100"))
    desk = desk_on(first.settings.state_dir, config_dir=config)
    before = desk.current()

    stage, told = failure_of(desk.run("session", FIRST))

    assert stage == "candidates"
    assert "the first decision stands, nothing was written" in told
    assert desk.current() == before


def test_a_settled_session_is_told_again_whole_while_trading_is_halted(whole_session, desk_on):
    first, _ = whole_session
    desk = desk_on(first.settings.state_dir)
    before, sent = desk.current(), desk.sent()
    desk.journal.set_run_control(RunControlAction.HALT, actor="anna", reason="test", now=NOW)

    result = desk.run("session", FIRST)

    assert result.success, failure_of(result)
    assert (desk.current(), desk.sent()) == (before, sent)


def test_damaged_records_of_runs_are_told_as_such_and_name_what_to_do(tmp_path):
    launcher = Launcher(settings_in(tmp_path))
    history = tmp_path / "simulated" / "dagster" / "history"
    history.mkdir(parents=True)
    for name in ("runs.db", "runs/index.db"):
        (history / name).parent.mkdir(exist_ok=True)
        (history / name).write_bytes(b"not a database" * 1000)

    with pytest.raises(
        RecordsUnavailable, match=r"move the damaged folder away: .* the journal and the lake stay"
    ):
        launcher.run_job("us_five", "decide", FIRST)


def test_a_run_that_a_wrong_file_keeps_from_beginning_names_it_and_whose_mistake_it_is(tmp_path):
    config = shutil.copytree(CONFIG, tmp_path / "config")
    (config / "alerts.toml").write_text("fail_on = nobody")
    launcher = Launcher(settings_in(tmp_path / "state", config_dir=config))
    run = launcher.run_job("us_five", "decide", FIRST)
    launcher.profiled.journal.close()
    launcher.instance.dispose()

    assert (run.success, run.stage, run.refused_by) == (False, "resources", "BadSetting")
    assert run.message.startswith(f"{config / 'alerts.toml'}: ")
