"""A session's batch as the gates see it: the one way in which checks and the executor gather the facts."""

from collections.abc import Sequence
from datetime import date

from trading.actions import CorporateAction
from trading.decisions import DecisionRow
from trading.errors import Refused
from trading.gates import BatchFacts, Gate, decision_gates
from trading.inputs import InputHistory, open_orders_of
from trading.journal import Journal
from trading.positions import BookRow, book_from_rows
from trading.quotes import WindowReader
from trading.session import decision_inputs_sha
from trading.verdicts import Verdict
from trading_assets.stage import BookGraph


def batch_gates(
    graph: BookGraph,
    session: date,
    *,
    decisions: Sequence[DecisionRow],
    verdicts: Sequence[Verdict],
    opening_book: Sequence[BookRow],
    corporate_actions: Sequence[CorporateAction],
    hydrated: InputHistory,
    windows: WindowReader,
    journal: Journal,
) -> tuple[Gate, ...]:
    """Return every gate's answer on a session's batch, from the journal and the lake as they are now."""
    where = graph.where(session)
    rules = graph.config.rules
    record = journal.session_record(**where)
    inputs_sha = problem = ""
    try:
        inputs_sha = decision_inputs_sha(
            window=windows.window_before(session, rules.window_sessions),
            opening_sha=book_from_rows(opening_book).sha(),
            actions=corporate_actions,
            rules=rules,
            open_orders=open_orders_of(hydrated.inputs_of(session) or ()),
        )
    except Refused as refusal:
        problem = str(refusal)
    return decision_gates(
        BatchFacts(
            decisions=decisions,
            verdicts=verdicts,
            intents=journal.intents(**where),
            orders=journal.orders(**where),
            control=journal.run_control(),
            limits=rules.limits.on(session),
            inputs_sha=inputs_sha,
            inputs_problem=problem,
            is_settled=record is not None and record.settled_at is not None,
        )
    )
