"""What a person is told of a journal that is in a PostgreSQL: where it is, and whether it can be asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.cli import main

CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture
def checked(tmp_path, monkeypatch, capsys):
    """Give what `trading doctor` finds of a journal of that address."""

    def found(url):
        for name, text in (("STATE_DIR", tmp_path), ("CONFIG_DIR", CONFIG), ("JOURNAL_URL", url)):
            monkeypatch.setenv(f"TRADING_{name}", str(text))
        main(["doctor", "--json"])
        return next(row for row in json.loads(capsys.readouterr().out)["checks"] if row["check"] == "journal")

    return found


def test_the_doctor_names_server_and_database(postgres_server, checked):
    try:
        row = checked(postgres_server.create("looked_at"))
    finally:
        postgres_server.drop("looked_at")

    assert row["health"] == "ok"
    assert row["found"].endswith("/looked_at: nothing yet")


def test_the_doctor_says_so_where_the_server_has_no_such_database(postgres_server, checked):
    row = checked(postgres_server.url("nosuch"))

    assert row["health"] == "fail"
    assert "has no such database" in row["found"]
