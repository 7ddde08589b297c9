"""A journal that an older version left: every look says what to do, and doing it is enough."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from console.cli import main
from resources.journal.condition import SCHEMA_REVISION
from resources.journal.database import migrate

ROOT = Path(__file__).resolve().parents[2]


def test_an_older_journal_is_named_with_the_command_that_brings_it_up_to_date(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(ROOT / "config"))
    path = tmp_path / "simulated" / "journal.db"
    path.parent.mkdir()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrate(connection, to="0003")
    engine.dispose()

    assert main(["status"]) == 6
    assert "schema 0003" in (told := capsys.readouterr().err)
    assert "`trading db upgrade`" in told
    assert main(["db", "upgrade"]) == 0
    assert SCHEMA_REVISION in capsys.readouterr().out
    assert main(["status"]) == 0
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select version_num from alembic_version").fetchone() == (SCHEMA_REVISION,)
