"""Alerts asked of a journal again and again, on both engines: each of its events is read once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from resources.alert_fold import AlertFold
from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from trading.alert_log import alert_log_of
from trading.alerts import evaluate_watched

POLICY = load_alert_policy(Path(__file__).resolve().parents[2] / "config" / "alerts.toml")
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
SESSION = date(2013, 2, 28)


class CountedReader:
    """Ask a journal, and remember how many events were read of it."""

    def __init__(self, database) -> None:
        self._reader, self.read = database.reader(), 0

    def alert_events(self, *, first: int):
        found = self._reader.alert_events(first=first)
        self.read += len(found)
        return found


def look(database, observed: float, *, minutes: int) -> None:
    """Judge the runs of a book some minutes later, and store the messages that are due."""
    found = evaluate_watched({"runs.failed": observed}, POLICY.rules, book="us_five", session=SESSION)
    with database.open() as journal:
        keeper, now = JournalAlerts(journal), NOW + timedelta(minutes=minutes)
        keeper.observe(
            found, codes={"run_failed"}, policy=POLICY, book="us_five", session=SESSION, now=now, run_id="r-1"
        )
        keeper.tell(POLICY, now=now)


def whole(database):
    return alert_log_of(database.reader().alert_events(first=0))


def test_an_event_that_was_read_is_not_read_again_and_says_the_same(database):
    fold, journal = AlertFold(), CountedReader(database)
    for minutes, observed in enumerate((1, 0, 1, 0)):
        look(database, observed, minutes=minutes * 5)
        assert fold.of(journal) == whole(database)
        before = journal.read
        assert fold.of(journal) == whole(database)
        # The last one is asked for once more, since it names all before it.
        assert journal.read == before + 1

    (known,) = whole(database).alerts.values()
    assert (known.run_id, known.ends_at) == ("r-1", NOW + timedelta(minutes=15))


def test_another_journal_in_the_place_of_one_is_read_whole(new_database):
    first, other = new_database(), new_database()
    for database, at in ((first, 0), (other, 60)):
        for minutes, observed in enumerate((1, 0, 1)):
            look(database, observed, minutes=at + minutes * 5)
    empty, fold = new_database(), AlertFold()

    told = [fold.of(database.reader()) for database in (first, other, empty, first)]

    assert told == [whole(database) for database in (first, other, empty, first)]
    assert len({str(one) for one in told}) == 3
