"""Record each replay of a book in the evidence ledger as a trial: its folder may go, that it was tried stays.

What the record says is `run_of_seen` in trading/replay_evidence.py; sweeps record theirs by
resources/sweeping.py, and what the records count for is trading/trials.py.
"""

from __future__ import annotations

from resources.craft import craft_sha
from resources.per_book import PerBook
from resources.profiles import Profiled
from trading.clock import Phase
from trading.datasets import DatasetUnknown
from trading.evidence_ledger import Bound, drafts_of_run
from trading.replay import DataSet
from trading.replay_evidence import run_of_seen, subject_of
from trading.replaying import Seen
from trading.trials import replays_recorded


class ReplayTrials:
    """Record the replays of one book; a `trading.replaying.TrialRecorder`."""

    def __init__(self, profiled: Profiled, book: str) -> None:
        """Record by the name of the profile's operator."""
        self._profiled = profiled
        self._book = book

    def record(self, seen: Seen) -> None:
        """Record a replay in the ledger, unless it is there already and says as much.

        Raises `JournalUnavailable` where the journal cannot be written: what is not recorded is not shown.
        """
        ledger = self._profiled.evidence
        if seen.replay_sha in replays_recorded(ledger.read().rows):
            return
        now = self._profiled.clocks[self._book].now(seen.config.last_session, Phase.SETTLE)
        subject = subject_of(
            seen.config,
            data_set_sha=data_set_sha_of(self._profiled, self._book, seen.data),
            code_sha=craft_sha(),
        )
        bound = Bound(subject=subject, replay_sha=seen.replay_sha, made_at=now)
        run = run_of_seen(seen, bound=bound)
        ledger.file(drafts_of_run(run), actor=self._profiled.settings.operator, now=now)


def data_set_sha_of(profiled: Profiled, book: str, data: DataSet) -> str:
    """Return what evidence names as a book's data set; the data that was read where it has none."""
    try:
        return profiled.evidence_data[book]
    except DatasetUnknown:
        return data.sha


def replay_trials_of(profiled: Profiled) -> PerBook[ReplayTrials]:
    """Return what records the replays of each book."""
    return PerBook(profiled.lines, lambda book: ReplayTrials(profiled, book))
