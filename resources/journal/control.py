"""What holds for all trading: kill switch, pause, modes, retries, cooldowns; and quotes that people release.

Halts of one account or instrument are findings.py; what selling everything registers is flattens.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from resources.journal import records, schema
from resources.journal.arguments import check_person
from resources.journal.drafts import Draft
from resources.journal.queries import Of, book_session, last_cooldowns, next_number, run_control_in_force
from resources.journal.statements import asked, insert, row_of, update
from resources.journal.transactions import Transactions
from trading.approvals import ApprovalMode
from trading.audit import instant_from_text, instant_text
from trading.control import CHANGING, CooldownDue, controlled, cooldown_due, state_of
from trading.control import transition as control_transition
from trading.errors import BadInput, GateClosed, StaleVersion, UnknownId
from trading.journal import Cooldown, CooldownRules, QuoteRelease, RunControl, RunControlAction
from trading.lifecycle import Refusal

EXECUTOR = "executor"
"""Who halts trading where an incident does."""


class Control(Transactions):
    """Keep what people, and too many failures, let trading do."""

    def run_control(self) -> RunControl:
        """Return the run control in force."""
        with self._reading() as conn:
            return run_control_in_force(conn)

    def set_run_control(
        self,
        action: RunControlAction,
        *,
        actor: str,
        reason: str,
        now: datetime,
        expected: RunControl | None = None,
    ) -> RunControl:
        """Halt, pause, resume, degrade or restore; compare and set where `expected` is given."""
        check_person(actor, reason)
        if action not in CHANGING:
            raise BadInput(f"{action}: switches nothing for all trading")
        with self._writing() as conn:
            found = run_control_in_force(conn)
            if expected is not None and found != expected:
                raise StaleVersion(
                    f"{action}: run control was set by {found.actor} ({found.reason}) meanwhile; look again"
                )
            return self._set_control(conn, action, actor=actor, reason=reason, now=now)

    def set_approval_mode(
        self, mode: ApprovalMode | None, *, actor: str, reason: str, now: datetime
    ) -> RunControl:
        """Store the mode that people want approvals in."""
        check_person(actor, reason)
        with self._writing() as conn:
            before = run_control_in_force(conn).approval_mode
            self._put_mode(
                conn,
                records.APPROVAL,
                before=before.value if before else "",
                after=mode.value if mode else "",
                actor=actor,
                reason=reason,
                now=now,
            )
            return run_control_in_force(conn)

    def record_retry(
        self, *, book: str, lane: str, session: date, actor: str, reason: str, now: datetime
    ) -> None:
        """Store that a person has a session's execution tried again."""
        check_person(actor, reason)
        of = Of(book, lane, session.isoformat())
        with self._writing() as conn:
            if book_session(conn, of) is None:
                raise UnknownId(f"session {session} of {book} {lane}: nothing of it was ever run")
            cools = any(cooldown.is_active(now) for cooldown in last_cooldowns(conn))
            state = state_of(run_control_in_force(conn), is_cooling=cools)
            after = control_transition(state, RunControlAction.RETRY)
            if isinstance(after, Refusal):
                raise GateClosed(f"{after.code}: {after.message}")
            body = {"state": state.value}
            self._append(conn, now, Draft("retried", *of, actor=actor, reason=reason, body=body))

    def cool_down(self, *, account: str, lane: str, rules: CooldownRules, now: datetime) -> Cooldown | None:
        """Begin a cooldown where enough executions of an account have failed, or incidents have come."""
        with self._reading() as conn:
            known = row_of(conn, schema.cooldowns, account=account, lane=lane)
            due = _cooldown_due(conn, known, account=account, lane=lane, rules=rules, now=now)
        if due is None:
            last = None if known is None else records.cooldown_of(known)
            return last if last is not None and last.is_active(now) else None
        with self._writing() as conn:
            known = row_of(conn, schema.cooldowns, account=account, lane=lane)
            due = _cooldown_due(conn, known, account=account, lane=lane, rules=rules, now=now)
            if due is not None:
                self._put_cooldown(
                    conn,
                    "cooldown_began",
                    {
                        "account": account,
                        "lane": lane,
                        "failures": due.times,
                        "began_at": instant_text(now),
                        "until": instant_text(due.until),
                    },
                    actor=EXECUTOR,
                    reason=due.reason,
                    now=now,
                )
            row = row_of(conn, schema.cooldowns, account=account, lane=lane)
            return None if row is None else records.cooldown_of(row)

    def end_cooldown(self, *, account: str, lane: str, actor: str, reason: str, now: datetime) -> Cooldown:
        """End an account's cooldown before its time, as a named person."""
        check_person(actor, reason)
        with self._writing() as conn:
            known = row_of(conn, schema.cooldowns, account=account, lane=lane)
            if known is None or not records.cooldown_of(known).is_active(now):
                raise UnknownId(f"cooldown of {account}: there is none; `trading status` lists what is held")
            values = {name: known[name] for name in ("account", "lane", "failures", "began_at")}
            self._put_cooldown(
                conn,
                "cooldown_ended",
                {**values, "until": instant_text(now)},
                actor=actor,
                reason=reason,
                now=now,
            )
            return records.cooldown_of(
                {**values, "until": instant_text(now), "actor": actor, "reason": reason}
            )

    def cooldowns(self) -> list[Cooldown]:
        """Return the last cooldown of each account, by account."""
        with self._reading() as conn:
            return last_cooldowns(conn)

    def release_quote(self, *, row_id: str, actor: str, reason: str, now: datetime) -> bool:
        """Store that a person vouches for a quarantined row; returns whether that was new."""
        check_person(actor, reason)
        table = schema.quote_releases
        with self._writing() as conn:
            if conn.execute(sa.select(table.c.row_id).where(table.c.row_id == row_id)).first() is not None:
                return False
            conn.execute(
                table.insert().values(
                    row_id=row_id,
                    seq=next_number(conn, table.c.seq),
                    actor=actor,
                    reason=reason,
                    released_at=instant_text(now),
                )
            )
            self._append(
                conn, now, Draft("quote_released", actor=actor, reason=reason, body={"row_id": row_id})
            )
            return True

    def quote_releases(self) -> list[QuoteRelease]:
        """Return all released rows, in the order released."""
        return [
            records.release_of(row)
            for row in self._rows(sa.select(schema.quote_releases).order_by(schema.quote_releases.c.seq))
        ]

    def _set_control(
        self, conn: sa.Connection, action: RunControlAction, *, actor: str, reason: str, now: datetime
    ) -> RunControl:
        table = schema.run_control
        before = run_control_in_force(conn)
        after = controlled(before, action, actor=actor, reason=reason, now=now)
        if isinstance(after, Refusal):
            is_stopped = before.kill_switch_on or before.paused
            by = f" (by {before.actor}: {before.reason})" if is_stopped else ""
            raise GateClosed(f"{action}: {after.code}: {after.message}{by}")
        if action in {RunControlAction.DEGRADE, RunControlAction.RESTORE}:
            self._put_mode(
                conn,
                records.DEGRADE,
                before=records.ON if before.is_degraded else records.OFF,
                after=records.ON if after.is_degraded else records.OFF,
                actor=actor,
                reason=reason,
                now=now,
            )
            return after
        values = {
            "kill_switch_on": int(after.kill_switch_on),
            "paused": int(after.paused),
            "actor": actor,
            "reason": reason,
            "changed_at": instant_text(now),
        }
        if conn.execute(table.update().values(**values)).rowcount == 0:
            conn.execute(table.insert().values(scope="all", **values))
        body = {"action": action.value, "before": _switches(before), "after": _switches(after)}
        self._append(conn, now, Draft("run_control", actor=actor, reason=reason, body=body))
        return after

    def _put_mode(
        self,
        conn: sa.Connection,
        name: str,
        *,
        before: str,
        after: str,
        actor: str,
        reason: str,
        now: datetime,
    ) -> None:
        table = schema.modes
        values = {"value": after, "actor": actor, "reason": reason, "changed_at": instant_text(now)}
        if update(conn, table, values, name=name) == 0:
            insert(conn, table, {"name": name, **values})
        body = {"mode": name, "before": before, "after": after}
        self._append(conn, now, Draft("mode_set", actor=actor, reason=reason, body=body))

    def _put_cooldown(
        self,
        conn: sa.Connection,
        kind: str,
        values: Mapping[str, Any],
        *,
        actor: str,
        reason: str,
        now: datetime,
    ) -> None:
        """Store a cooldown's row with its event; failures before that event count no more."""
        table = schema.cooldowns
        row = {
            **values,
            "actor": actor,
            "reason": reason,
            "changed_seq": next_number(conn, schema.events.c.seq),
        }
        where = {name: values[name] for name in ("account", "lane")}
        if update(conn, table, row, **where) == 0:
            insert(conn, table, row)
        body = {name: values[name] for name in ("account", "failures", "began_at", "until")}
        self._append(conn, now, Draft(kind, lane=values["lane"], actor=actor, reason=reason, body=body))


def _cooldown_due(
    conn: sa.Connection,
    known: records.Row | None,
    *,
    account: str,
    lane: str,
    rules: CooldownRules,
    now: datetime,
) -> CooldownDue | None:
    """Return whether an account has to cool down now; what was before its last one began counts no more."""
    after = 0 if known is None else known["changed_seq"]
    failed = asked(conn, "find_failures", account=account, lane=lane, after=after, most=rules.failures_max)
    since = instant_text(now - timedelta(seconds=rules.incidents_window_s))
    incidents = map(records.event_of, asked(conn, "find_recent_incidents", after=after, since=since))
    return cooldown_due(
        [instant_from_text(row["at"]) for row in failed],
        [event.at for event in incidents if event.body["account"] in {account, ""}],
        None if known is None else records.cooldown_of(known),
        rules,
        now=now,
    )


def _switches(control: RunControl) -> dict[str, bool]:
    return {"kill_switch_on": control.kill_switch_on, "paused": control.paused}
