"""What was recorded of a session: its tables in the lake, and the journal's side of them."""

from __future__ import annotations

from datetime import date
from typing import Any, Protocol, TypeVar

from resources.lake.accepted import LakeInputHistory
from resources.lake.store import Lake
from trading.actions import CorporateAction
from trading.advice import Advice
from trading.approvals import StageRecord
from trading.candidates import Candidate
from trading.decisions import DecisionRow
from trading.inputs import InputRow
from trading.intents import Intent
from trading.journal import JournalIntent, SessionRecord
from trading.positions import BookRow
from trading.recorded import Recorded
from trading.values import IntentId, Slot
from trading.verdicts import Verdict

Row = TypeVar("Row")


class KeptDecisions(Protocol):
    """Give what a journal keeps of decisions: the journal itself, or its reader."""

    def session_record(self, *, book: str, lane: str, session: date) -> SessionRecord | None:
        """Return how far a session has come."""
        ...

    def intents(self, *, book: str, lane: str, session: date) -> list[JournalIntent]:
        """Return a session's intents."""
        ...

    def verdicts(self, intent_id: IntentId) -> list[Verdict]:
        """Return what each guard said of an intent."""
        ...

    def chain(self, intent_id: IntentId) -> list[StageRecord]:
        """Return the stages of approval that an intent went through."""
        ...


class LakeSessionRecords:
    """Read the recorded sessions of a book; a `trading.recorded.SessionRecords`."""

    def __init__(self, *, lake: Lake, journal: KeptDecisions, book: str, lane: str) -> None:
        """Read the lake's current tables and the journal's rows of one book in one lane."""
        self._lake = lake
        self._journal = journal
        self._book = book
        self._lane = lane

    def recorded(self, session: date, *, equities: int) -> Recorded | None:
        """Return a session with up to so many earlier equities, `None` where nothing was decided in it."""
        where: dict[str, Any] = {"book": self._book, "lane": self._lane, "session": session}
        record = self._journal.session_record(**where)
        if record is None or record.decided_at is None:
            return None
        kept = tuple(row for row in self._journal.intents(**where) if row.intent.slot is Slot.REBALANCE)
        actions, _ = self._lake.read_rows((self._book, "corporate_actions"), None, CorporateAction)
        return Recorded(
            session=session,
            opening_sha=record.opening_sha,
            decided_at=record.decided_at,
            opening_book=self._rows("opening_book", session, BookRow),
            actions=actions,
            equities=self._equities(session, equities),
            inputs={name: self._inputs_of(name, session) for name in ("candidates", "decisions")},
            candidates=self._rows("candidates", session, Candidate),
            intents=self._rows("intents", session, Intent),
            verdicts=self._rows("verdicts", session, Verdict),
            advice=self._rows("advice", session, Advice),
            decisions=self._rows("decisions", session, DecisionRow),
            intents_kept=kept,
            verdicts_kept={row.intent_id: tuple(self._journal.verdicts(row.intent_id)) for row in kept},
            hydrated=self._hydrated(session),
            chains={row.intent_id: tuple(self._journal.chain(row.intent_id)) for row in kept},
        )

    def decided_sessions(self) -> tuple[date, ...]:
        """Return the sessions that have decisions in the lake, ascending."""
        return tuple(date.fromisoformat(key) for key in self._lake.partitions((self._book, "decisions")))

    def _rows(self, asset: str, session: date, row_type: type[Row]) -> tuple[Row, ...]:
        return self._lake.read_rows((self._book, asset), session.isoformat(), row_type)[0]

    def _hydrated(self, session: date) -> tuple[InputRow, ...]:
        """Return how a session's inputs were hydrated, nothing where it is from before that was kept."""
        return LakeInputHistory(lake=self._lake, book=self._book).inputs_of(session) or ()

    def _inputs_of(self, asset: str, session: date) -> str:
        return self._lake.require((self._book, asset), session.isoformat()).inputs_sha

    def _equities(self, session: date, count: int) -> tuple[int, ...]:
        """Return the last equities before a session; their pointers hold them."""
        asset = (self._book, "positions")
        earlier = [key for key in self._lake.partitions(asset) if key < session.isoformat()][-count:]
        return tuple(int(self._lake.require(asset, key).extra["equity_micros"]) for key in earlier)
