"""Flattens: what somebody was shown of selling all of a book, and the intents that ordering it registers.

How those execute is preparations.py, as for any intent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from resources.journal import records, schema
from resources.journal.arguments import check_person
from resources.journal.batch import check_batch, check_flatten_batch, insert_decided, intent_row, registration
from resources.journal.drafts import Draft
from resources.journal.queries import Of, book_session, required, run_control_in_force
from resources.journal.statements import asked, insert, row_of, update
from resources.journal.transactions import Transactions
from trading.audit import instant_text
from trading.control import state_of
from trading.control import transition as control_transition
from trading.decisions import Decision
from trading.errors import ApprovalRefused, GateClosed, IllegalTransition, OutOfOrder, UnknownId
from trading.journal import FlattenCommand, JournalIntent, RunControl, RunControlAction
from trading.lifecycle import Refusal
from trading.verdicts import Verdict


class Flattens(Transactions):
    """Keep flattens in their two steps, previewed and ordered."""

    def preview_flatten(
        self,
        *,
        command_id: str,
        book: str,
        lane: str,
        account: str,
        session: date,
        plan: str,
        actor: str,
        now: datetime,
    ) -> FlattenCommand:
        """Store what somebody was shown of a flatten; the same plan again changes nothing."""
        check_person(actor, "a preview")
        of = Of(book, lane, session.isoformat())
        with self._writing() as conn:
            _check_flatten(run_control_in_force(conn))
            known = row_of(conn, schema.flatten_commands, command_id=command_id)
            if known is None:
                insert(
                    conn,
                    schema.flatten_commands,
                    {
                        "command_id": command_id,
                        **of._asdict(),
                        "account": account,
                        "plan": plan,
                        "previewed_by": actor,
                        "previewed_at": instant_text(now),
                        "ordered_by": "",
                        "reason": "",
                        "ordered_at": None,
                    },
                )
                body = {"command_id": command_id, "account": account, "plan": plan}
                self._append(conn, now, Draft("flatten_previewed", *of, actor=actor, body=body))
                known = row_of(conn, schema.flatten_commands, command_id=command_id)
            if known is None:
                raise IllegalTransition(f"flatten {command_id}: was not stored")
            return records.flatten_of(known)

    def order_flatten(
        self,
        *,
        command_id: str,
        decisions: Sequence[Decision],
        verdicts: Sequence[Verdict],
        actor: str,
        reason: str,
        now: datetime,
    ) -> list[JournalIntent]:
        """Register the intents of a previewed flatten, once, as a named person."""
        check_person(actor, reason)
        with self._writing() as conn:
            row = row_of(conn, schema.flatten_commands, command_id=command_id)
            if row is None:
                raise UnknownId(
                    f"flatten {command_id}: nobody previewed it; `trading flatten` shows it first"
                )
            command = records.flatten_of(row)
            _check_flatten(run_control_in_force(conn))
            if command.ordered_by:
                raise ApprovalRefused(
                    f"flatten {command_id}: ordered by {command.ordered_by} already; preview it again"
                )
            of = Of(command.book, command.lane, command.session.isoformat())
            check_batch(decisions, of)
            check_flatten_batch(decisions, command)
            known = book_session(conn, of)
            if known is None or known["opening"] is None or known["settled_at"] is not None:
                raise OutOfOrder(f"{command.book} {command.session}: is not an open session")
            rows = [intent_row(decision, now, actor=actor) for decision in decisions]
            told = insert_decided(conn, decisions, verdicts, rows)
            ordered = {"ordered_by": actor, "reason": reason, "ordered_at": instant_text(now)}
            update(conn, schema.flatten_commands, ordered, command_id=command_id)
            body = {"command_id": command_id, "intents": [decision.intent_id for decision in decisions]}
            drafts = [Draft("flatten_ordered", *of, actor=actor, reason=reason, body=body)]
            drafts += [
                registration(decision, row, told[decision.intent_id], actor=actor, flatten_command=command_id)
                for decision, row in zip(decisions, rows, strict=True)
            ]
            self._append(conn, now, *drafts)
            return [required(conn, decision.intent_id) for decision in decisions]

    def flatten_commands(self, *, book: str, lane: str, session: date) -> list[FlattenCommand]:
        """Return a session's flattens, previewed and ordered, in the order previewed."""
        of = Of(book, lane, session.isoformat())
        with self._reading() as conn:
            return [records.flatten_of(row) for row in asked(conn, "find_flattens", **of._asdict())]


def _check_flatten(control: RunControl) -> None:
    after = control_transition(state_of(control), RunControlAction.FLATTEN)
    if isinstance(after, Refusal):
        raise GateClosed(f"flatten: {after.code}: {after.message}")
