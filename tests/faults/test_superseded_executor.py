"""An executor that lost its intent to another does no harm; found by racing processes without a lock.

It follows a working order; before it books the fill, another takes the intent over. The fill is refused
because the row moved on, not because it is wrong, and the next run books it. So nobody needs to be told, and
nothing needs to halt.
"""

from __future__ import annotations

from proof.desk import ACCOUNT, BOOK, CLOSE, DECIDED_AT, IN_TIME, LANE, PRICE, SESSION, deposited, passes
from resources.journal.store import SqlJournal
from trading.errors import JournalError
from trading.executions import Desk, execute_session
from trading.testing import FakeBroker, NoAuditLog, OpenLock, example_decision, example_intent

OF = {"book": BOOK, "lane": LANE, "session": SESSION}


class TakenOverBeforeItsFill(FakeBroker):
    """Let another executor take the intent over while this one is told of its fills."""

    def __init__(self, journal: SqlJournal) -> None:
        super().__init__(fills_at_micros=PRICE)
        self.journal = journal

    def fills(self, client_order_id, *, now):
        (row,) = self.journal.intents(**OF)
        if row.stage == "working" and not self.journal.fills(**OF) and row.epoch == 1:
            self.journal.mark_unknown(row.intent_id, epoch=1, reason="taken", is_takeover=True, now=now)
        return super().fills(client_order_id, now=now)


def test_a_fill_that_comes_too_late_for_one_executor_halts_nobody(tmp_path):
    decision = example_decision(example_intent("AAPL"), not_after=CLOSE, account=ACCOUNT, lane=LANE)
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        journal.opening_book(**OF, previous=None, opened=deposited(), now=DECIDED_AT)
        journal.register(**OF, decisions=[decision], verdicts=[], decisions_sha="d", now=DECIDED_AT)
        desk = Desk(
            journal=journal,
            broker=TakenOverBeforeItsFill(journal),
            lock=OpenLock(),
            audit=NoAuditLog(),
            clock=lambda: IN_TIME,
            account=ACCOUNT,
            lane=LANE,
            holder="test",
        )
        for _ in range(2):
            try:
                execute_session(
                    desk,
                    book=BOOK,
                    session=SESSION,
                    since=SESSION,
                    book_at_open=deposited(),
                    review=passes,
                    send_by=CLOSE,
                )
            except JournalError:
                # The first one lost its intent, and may say so.
                continue
        (row,) = journal.intents(**OF)

        assert (row.state, row.filled_quantity) == ("executed", 10)
        assert journal.incidents() == []
        assert journal.halts() == []
        assert not journal.run_control().kill_switch_on
