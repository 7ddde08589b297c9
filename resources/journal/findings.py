"""What must not be: incidents and findings, the halts that they bring, and what people do about them.

How an incident is put beside one alike is incidents.py; the halt of all trading is control.py.
"""

from __future__ import annotations

from datetime import date, datetime

import sqlalchemy as sa

from resources.journal import schema
from resources.journal.arguments import check_person
from resources.journal.control import EXECUTOR, Control
from resources.journal.drafts import Draft
from resources.journal.incidents import Put, actions_known, put_incident
from resources.journal.queries import halts_in_force, run_control_in_force
from resources.journal.statements import row_of
from trading.audit import instant_text
from trading.errors import BadInput, IllegalTransition, StaleVersion, UnknownId
from trading.incident_log import ACKNOWLEDGED, ACTED, DONE, PLANNED, RESOLVED
from trading.journal import Halt, RunControlAction
from trading.protocol import halt_reason


class Findings(Control):
    """Keep incidents and halts, and what people say of them."""

    def record_incident(
        self, *, kind: str, account: str, intent_id: str, detail: str, is_halting: bool, now: datetime
    ) -> None:
        """Store something that must not be; a halting one halts trading as well."""
        with self._writing() as conn:
            put = self._put_incident(
                conn,
                kind=kind,
                account=account,
                intent_id=intent_id,
                detail=detail,
                is_standing=is_halting,
                now=now,
            )
            if is_halting:
                self._halt_for(conn, f"{kind}: {put.detail}", now=now)

    def record_finding(
        self,
        *,
        kind: str,
        account: str,
        symbol: str,
        intent_id: str,
        detail: str,
        is_standing: bool,
        now: datetime,
    ) -> None:
        """Store what does not agree with the broker, and halt the instrument, or the account without one."""
        with self._writing() as conn:
            self._find(
                conn,
                kind=kind,
                account=account,
                symbol=symbol,
                intent_id=intent_id,
                detail=detail,
                is_standing=is_standing,
                now=now,
            )

    def halts(self) -> list[Halt]:
        """Return the accounts and instruments that are halted, by account then symbol."""
        with self._reading() as conn:
            return halts_in_force(conn)

    def lift_halt(
        self,
        *,
        account: str,
        symbol: str,
        actor: str,
        reason: str,
        now: datetime,
        expected: Halt | None = None,
    ) -> None:
        """End the halt of an account or an instrument, as a named person."""
        check_person(actor, reason)
        with self._writing() as conn:
            what = f"{account} {symbol}".strip()
            in_force = [h for h in halts_in_force(conn) if (h.account, h.symbol) == (account, symbol)]
            if not in_force:
                raise UnknownId(f"halt of {what}: there is none; `trading status` lists what is halted")
            if expected is not None and in_force != [expected]:
                raise StaleVersion(f"halt of {what}: is {in_force[0].reason!r} meanwhile; look again")
            self._put_halt(conn, account, symbol, is_on=False, actor=actor, reason=reason, now=now)

    def acknowledge_incident(self, *, incident_id: int, actor: str, reason: str, now: datetime) -> None:
        """Store that a named person has taken an incident on; an event alone, since it ends nothing."""
        self._say_of_incident(ACKNOWLEDGED, incident_id, actor=actor, reason=reason, now=now)

    def act_on_incident(
        self, *, incident_id: int, is_end: bool, actor: str, reason: str, now: datetime
    ) -> None:
        """Store what a named person did about an incident, or with `is_end` that it is over."""
        kind = RESOLVED if is_end else ACTED
        self._say_of_incident(kind, incident_id, actor=actor, reason=reason, now=now)

    def plan_action(
        self, *, incident_id: int, owner: str, due_on: date, actor: str, reason: str, now: datetime
    ) -> int:
        """Store what somebody is to do about an incident; returns the action's number in it."""
        check_person(actor, reason)
        with self._writing() as conn:
            account = _account_of_incident(conn, incident_id)
            number = 1 + sum(1 for of, _ in actions_known(conn) if of == incident_id)
            body = {
                "incident_id": incident_id,
                "account": account,
                "action": number,
                "owner": owner,
                "due_on": due_on.isoformat(),
            }
            self._append(conn, now, Draft(PLANNED, actor=actor, reason=reason, body=body))
            return number

    def finish_action(self, *, incident_id: int, action: int, actor: str, reason: str, now: datetime) -> None:
        """Store that an action is done, and what came of it."""
        check_person(actor, reason)
        with self._writing() as conn:
            account = _account_of_incident(conn, incident_id)
            known = actions_known(conn).get((incident_id, action))
            if known is None:
                raise UnknownId(f"action {action} of incident {incident_id}: there is none")
            if known.done_at is not None:
                raise IllegalTransition(
                    f"action {action} of incident {incident_id}: {known.done_by} has done it already"
                )
            body = {"incident_id": incident_id, "account": account, "action": action}
            self._append(conn, now, Draft(DONE, actor=actor, reason=reason, body=body))

    def _say_of_incident(
        self, kind: str, incident_id: int, *, actor: str, reason: str, now: datetime
    ) -> None:
        check_person(actor, reason)
        with self._writing() as conn:
            body = {"incident_id": incident_id, "account": _account_of_incident(conn, incident_id)}
            self._append(conn, now, Draft(kind, actor=actor, reason=reason, body=body))

    def _put_incident(
        self,
        conn: sa.Connection,
        *,
        kind: str,
        account: str,
        intent_id: str,
        detail: str,
        is_standing: bool,
        now: datetime,
    ) -> Put:
        return put_incident(
            conn,
            lambda draft: self._append(conn, now, draft),
            kind=kind,
            account=account,
            intent_id=intent_id,
            detail=detail,
            is_standing=is_standing,
            now=now,
        )

    def _find(
        self,
        conn: sa.Connection,
        *,
        kind: str,
        account: str,
        symbol: str,
        intent_id: str,
        detail: str,
        is_standing: bool,
        now: datetime,
    ) -> None:
        """Record an incident, and halt what it is about unless that is halted already."""
        if not account:
            raise BadInput(f"{kind}: a finding names its account")
        put = self._put_incident(
            conn,
            kind=kind,
            account=account,
            intent_id=intent_id,
            detail=detail,
            is_standing=is_standing,
            now=now,
        )
        if not (put.is_new or is_standing):
            return
        in_force = [h for h in halts_in_force(conn) if (h.account, h.symbol) == (account, symbol)]
        if put.is_new or not in_force:
            # A new finding changes the halt in force: who ends the one they saw has not seen this.
            reason = halt_reason(in_force[0].reason if in_force else "", f"{kind}: {put.detail}")
            self._put_halt(conn, account, symbol, is_on=True, actor=EXECUTOR, reason=reason, now=now)

    def _put_halt(
        self,
        conn: sa.Connection,
        account: str,
        symbol: str,
        *,
        is_on: bool,
        actor: str,
        reason: str,
        now: datetime,
    ) -> None:
        table = schema.halts
        values = {"is_on": int(is_on), "actor": actor, "reason": reason, "changed_at": instant_text(now)}
        where = (table.c.account == account, table.c.symbol == symbol)
        if conn.execute(table.update().where(*where).values(**values)).rowcount == 0:
            conn.execute(table.insert().values(account=account, symbol=symbol, **values))
        kind = "halted" if is_on else "halt_lifted"
        body = {"account": account, "symbol": symbol}
        self._append(conn, now, Draft(kind, actor=actor, reason=reason, body=body))

    def _halt_for(self, conn: sa.Connection, reason: str, *, now: datetime) -> None:
        """Halt trading for an incident, unless its very halt is in force."""
        control = run_control_in_force(conn)
        if (control.kill_switch_on, control.actor, control.reason) != (True, EXECUTOR, reason):
            self._set_control(conn, RunControlAction.HALT, actor=EXECUTOR, reason=reason, now=now)


def _account_of_incident(conn: sa.Connection, incident_id: int) -> str:
    known = row_of(conn, schema.incidents, incident_id=incident_id)
    if known is None:
        raise UnknownId(f"incident {incident_id}: there is none; `trading incidents` lists them")
    return str(known["account"])
