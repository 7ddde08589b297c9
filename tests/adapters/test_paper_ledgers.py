"""Which paper ledgers are missed: those of accounts with orders, and only where the file is not there."""

from __future__ import annotations

import pytest

from resources.ledger_paths import ledger_of
from resources.paper_ledgers import lost_ledgers, refuse_lost
from trading.errors import BrokerUnavailable

ANSWERS = {
    "find_accounts_on_paper": [
        {"account": "FIVE", "lane": "simulated"},
        {"account": "WIDE", "lane": "simulated"},
        {"account": "WORK", "lane": "paper"},
    ],
    "find_last_on_paper": [
        {"account": "FIVE", "lane": "simulated", "session": "2013-03-01"},
        {"account": "WIDE", "lane": "simulated", "session": "2013-02-28"},
        {"account": "WORK", "lane": "paper", "session": "2026-11-20"},
    ],
}


class Told:
    """Answer as a journal in which two accounts have orders, and remember what was asked."""

    def __init__(self):
        self.asked = []

    def answers(self, questions):
        self.asked += questions
        return {name: ANSWERS[name] for name in questions}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "paper").mkdir()
    return tmp_path


def refuse(journal, folder, account, lane="simulated"):
    refuse_lost(journal, lane=lane, profile_dir=folder, account=account)


def test_an_account_with_orders_is_refused_in_the_words_of_every_look(folder):
    ledger_of(folder, "WIDE").write_bytes(b"SQLite")
    (told,) = lost_ledgers(Told(), lane="simulated", profile_dir=folder).values()

    with pytest.raises(BrokerUnavailable) as refused:
        refuse(Told(), folder, "FIVE")
    assert str(refused.value) == told
    assert told.startswith(f"paper broker {ledger_of(folder, 'FIVE')}: is missing or empty")
    assert "the last on 2013-03-01" in told


@pytest.mark.parametrize(
    ("account", "lane"),
    [("NEW", "simulated"), ("WORK", "simulated"), ("WORK", "live")],
    ids=["without orders", "with orders of another lane", "live"],
)
def test_an_account_that_has_no_orders_here_may_begin(folder, account, lane):
    refuse(Told(), folder, account, lane)


def test_a_ledger_that_is_there_costs_no_question(folder):
    journal = Told()
    ledger_of(folder, "FIVE").write_bytes(b"SQLite")
    refuse(journal, folder, "FIVE")

    assert journal.asked == []


def test_an_empty_file_is_no_ledger(folder):
    ledger_of(folder, "FIVE").touch()

    with pytest.raises(BrokerUnavailable, match="missing or empty"):
        refuse(Told(), folder, "FIVE")
    refuse(Told(), folder, "NEW")


def test_a_ledger_that_cannot_be_looked_at_is_left_to_who_opens_it(folder):
    path = ledger_of(folder, "FIVE")
    path.symlink_to(path)

    refuse(Told(), folder, "FIVE")


def test_a_folder_that_is_gone_loses_every_ledger_in_it(tmp_path):
    found = lost_ledgers(Told(), lane="simulated", profile_dir=tmp_path)

    assert list(found) == ["FIVE", "WIDE"]
