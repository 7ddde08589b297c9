"""Alerts in a real journal: told once by however many look, and the same again from the log alone."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest

from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.journal.drafts import Draft
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from trading.alert_log import alert_log_of, observed
from trading.alerts import AlertRow, Severity, fingerprint_of, tell
from trading.errors import BadInput
from trading.rebuild import rebuild

ROOT = Path(__file__).resolve().parents[2]
POLICY = load_alert_policy(ROOT / "config" / "alerts.toml")
NOW = datetime(2013, 2, 28, 21, 30, tzinfo=UTC)
SESSION = date(2013, 2, 28)
ALERT = AlertRow(
    session=SESSION,
    book="us_five",
    code="drawdown_high",
    severity=Severity.WARNING,
    metric="pnl.drawdown",
    observed=0.25,
    threshold=0.1,
    message="pnl.drawdown is 0.25, above 0.1 (ratio)",
    runbook="docs/runbooks/drawdown_high.md",
    fingerprint=fingerprint_of(book="us_five", code="drawdown_high", severity=Severity.WARNING),
)


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'journal.db'}"


def told(url: str, alerts: list[AlertRow], *, at: datetime = NOW) -> int:
    """Look once, as a run does: with a connection of its own."""
    with SqlJournal(url) as journal:
        return tell(
            alerts,
            codes=["drawdown_high"],
            keeper=JournalAlerts(journal),
            policy=POLICY,
            book="us_five",
            session=SESSION,
            now=at,
        )


def test_an_alert_is_one_message_a_channel_however_often_it_is_seen(url):
    counts = [told(url, [ALERT], at=NOW + timedelta(minutes=5 * number)) for number in range(3)]

    messages = JournalReader(url).outbox()
    assert counts == [1, 0, 0]
    assert [message.channel for message in messages] == list(POLICY.delivery.channels)
    assert {message.subject for message in messages} == {"[warning] us_five 2013-02-28: drawdown_high"}
    assert '"owner":"risk"' in messages[0].body


def test_of_two_who_look_at_once_one_tells(url):
    SqlJournal(url).close()
    ready, counts = Barrier(2), []

    def look() -> None:
        ready.wait()
        counts.append(told(url, [ALERT]))

    threads = [Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(counts) == [0, 1]
    assert len(JournalReader(url).outbox()) == len(POLICY.delivery.channels)


def test_the_rows_of_messages_come_back_from_events_that_tell_of_alerts(url):
    told(url, [ALERT])
    with SqlJournal(url) as journal:
        kept = JournalAlerts(journal)
        kept.acknowledge("drawdown_high", actor="ada", reason="known", now=NOW)
        silence = kept.silence(
            ["book=us_five"], lasts=timedelta(hours=1), actor="ada", reason="known", now=NOW
        )
        kept.end_silence(silence, actor="bob", reason="over", now=NOW + timedelta(minutes=1))
    told(url, [], at=NOW + timedelta(minutes=5))

    events = JournalReader(url).events(after=0, limit=1000)
    kinds = [event.kind for event in events]
    assert len(rebuild(events)["outbox"]) == 2 * len(POLICY.delivery.channels)
    assert kinds.count("alert") == kinds.count("alerts_told") == 2
    assert {"alert_acknowledged", "silence_set", "silence_ended"} <= set(kinds)
    assert alert_log_of(events).alerts[ALERT.fingerprint].ends_at == NOW + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("actor", "reason"), [("", "known"), ("ada", " "), ("ada", "a\0b"), ("ada", "x" * 501)]
)
def test_nobody_silences_namelessly_or_without_a_reason(url, actor, reason):
    with SqlJournal(url) as journal, pytest.raises(BadInput):
        JournalAlerts(journal).silence(
            ["book=us_five"], lasts=timedelta(hours=1), actor=actor, reason=reason, now=NOW
        )


def events_folded(monkeypatch) -> list[int]:
    """Count the events that each fold is given."""
    counts: list[int] = []

    def counting(events, before=None):
        counts.append(len(events))
        return alert_log_of(events, before)

    monkeypatch.setattr("resources.alert_fold.alert_log_of", counting)
    return counts


def test_a_look_reads_what_is_new_since_the_last_one_and_knows_what_all_events_tell(url, monkeypatch):
    counts = events_folded(monkeypatch)
    with SqlJournal(url) as journal:
        keeper = JournalAlerts(journal)
        for minute in range(20):
            told(url, [ALERT] if minute % 2 == 0 else [], at=NOW + timedelta(minutes=2 * minute))
            if minute == 10:
                JournalAlerts(journal).silence(
                    ["book=us_wide"], lasts=timedelta(hours=1), actor="ada", reason="known", now=NOW
                )
            counts.clear()
            firing = keeper.firing()

            events = JournalReader(url).events(after=0, limit=1000)
            assert keeper._fold._last.log == alert_log_of(events)
            assert bool(firing) is (minute % 2 == 0)
            assert sum(counts) <= 3
    counts.clear()
    with SqlJournal(url) as journal:
        keeper = JournalAlerts(journal)
        keeper.firing()
        keeper.firing()
    assert len(counts) == 1


def test_a_journal_that_was_put_back_to_an_earlier_day_is_read_anew(url, tmp_path):
    path, kept = tmp_path / "journal.db", tmp_path / "kept.db"
    told(url, [ALERT])
    shutil.copy(path, kept)
    with SqlJournal(url) as journal:
        keeper = JournalAlerts(journal)
        assert keeper.firing()
    told(url, [], at=NOW + timedelta(minutes=5))
    with SqlJournal(url) as journal:
        keeper._journal = journal
        assert not keeper.firing()
    shutil.copy(kept, path)
    with SqlJournal(url) as journal:
        keeper._journal = journal
        assert keeper.firing()


def test_what_a_transaction_took_back_is_not_known(url):
    def cut_off(keeper: JournalAlerts) -> None:
        with keeper._at(NOW) as (log, append, _):
            for event in observed(
                log, [ALERT], codes=["drawdown_high"], policy=POLICY, book="us_five", session=SESSION
            ):
                append(Draft(event.kind, body=event.body))
            raise RuntimeError("power")

    with SqlJournal(url) as journal:
        keeper = JournalAlerts(journal)
        with pytest.raises(RuntimeError, match="power"):
            cut_off(keeper)

        assert keeper.firing() == frozenset()
