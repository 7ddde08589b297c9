"""The journal on SQLite or PostgreSQL: `SqlJournal(url)` implements trading.journal.Journal.

Each changing call is one transaction: read the row, ask trading.lifecycle whether the step may follow,
compare and set, append the event with its hash, commit. Here the subjects are put together, each of them a
file: sessions.py, approvals.py, preparations.py, outcomes.py, fills.py, findings.py, control.py, flattens.py,
outbox.py, asking.py, on steps.py and transactions.py. Not here: how rows read (records.py), the schema
(schema.py), what a caller may ask (trading.journal).
"""

from __future__ import annotations

from resources.journal.approvals import Approvals
from resources.journal.arguments import checks_arguments
from resources.journal.asking import Asking
from resources.journal.control import Control
from resources.journal.fills import Fills
from resources.journal.findings import Findings
from resources.journal.flattens import Flattens
from resources.journal.outbox import Outbox
from resources.journal.outcomes import Outcomes
from resources.journal.preparations import Preparations
from resources.journal.sessions import BookSessions


@checks_arguments
class SqlJournal(
    BookSessions, Approvals, Preparations, Outcomes, Fills, Findings, Control, Flattens, Outbox, Asking
):
    """Keep the live state in a SQL database.

    `url` is `sqlite:////absolute/path/journal.db` (an empty or missing file becomes a journal) or
    `postgresql://…`. Waits at most `busy_timeout_s` for another writer. Raises
    `JournalUnavailable` where the database cannot be trusted with an order: not reachable, not ours, of
    a newer schema, not syncing every commit to disk, or gone or empty while its audit log (`log`) or what
    lies beside that tells of events. `heard` is told each step of an intent once it is stored, and must not
    raise: nobody could tell that from a step that was not stored.
    """
