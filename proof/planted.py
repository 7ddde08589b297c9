"""The bugs that are planted for the kills: each breaks the order of things that the promise rests on.

A suite that does not find them would not find ours either. They are put into one forked child at a time
and never into the process that runs the suite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from proof import desk
from resources.journal.drafts import Draft
from resources.journal.store import SqlJournal
from trading import reconciliation
from trading.journal import JournalIntent
from trading.lifecycle import Stage
from trading.protocol import ABSENCES_NEEDED, request_of


class Plant(NamedTuple):
    """Hold one bug: the scenario that shows it, what puts it into this process, and what is found then.

    A violation has to say one of `shows`: a harness or a plant that breaks by itself finds nothing.
    """

    scenario: str
    put: Callable[[], None]
    shows: tuple[str, ...]


def _send_before_prepared() -> None:
    """Swap prepare and send: the order goes out before its row is on disk."""
    prepare = SqlJournal.prepare
    make = desk.broker_of
    lines: list[desk.Line] = []

    def remembered(*args: Any, **options: Any) -> desk.Line:
        lines.append(make(*args, **options))
        return lines[-1]

    def swapped(self: SqlJournal, intent_id: Any, **options: Any) -> Any:
        lines[-1].submit(request_of(self.intent(intent_id)), now=options["now"])
        return prepare(self, intent_id, **options)

    desk.broker_of = remembered
    SqlJournal.prepare = swapped  # type: ignore[method-assign]


def _lose_the_event() -> None:
    """Store an acknowledgement without its event: the events no longer tell where the intent is.

    The next event of the intent is then one that cannot come next (INV6); before there is one, the row is not
    what the events come to (INV7).
    """
    append = SqlJournal._append

    def forgetful(self: SqlJournal, conn: Any, now: Any, *drafts: Draft) -> None:
        kept = [draft for draft in drafts if draft.kind != "acknowledged"]
        if kept:
            append(self, conn, now, *kept)

    SqlJournal._append = forgetful  # type: ignore[method-assign]


def _take_silence_for_refusal() -> None:
    """End what was found prepared as if it was never sent, without asking the broker."""
    resolve = reconciliation.bring_on

    def guessing(run: Any, row: JournalIntent, means: Any) -> None:
        if row.stage is not Stage.PREPARED:
            resolve(run, row, means)
            return
        unknown = run.journal.mark_unknown(
            row.intent_id, epoch=row.epoch, reason="found_prepared", is_takeover=True, now=run.now
        )
        for _ in range(ABSENCES_NEEDED):
            run.journal.record_absence(row.intent_id, epoch=unknown.epoch, now=run.now)
        run.journal.conclude_absent(
            row.intent_id,
            epoch=unknown.epoch,
            reason="guessed",
            is_expired=False,
            settle_time_s=0,
            is_death_proven=True,
            now=run.now,
        )

    reconciliation.bring_on = guessing


PLANTED: dict[str, Plant] = {
    "an order sent before its row is on disk": Plant("plain", _send_before_prepared, ("was never prepared",)),
    "an acknowledgement stored without its event": Plant("plain", _lose_the_event, ("INV6", "INV7")),
    "a recovery that takes silence for a refusal": Plant(
        "plain", _take_silence_for_refusal, ("ended as failed",)
    ),
}
