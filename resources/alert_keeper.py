"""What is known of alerts, in the journal: each look, deed and message is one transaction of its events.

Two processes that look at once do so one after the other, so that nobody is told twice. What follows from
what is trading/alert_log.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from resources.alert_fold import AlertFold
from resources.journal import records, schema
from resources.journal.drafts import Draft
from resources.journal.incidents import open_alerted, resolve_alerted
from resources.journal.messages import put_message
from resources.journal.store import SqlJournal
from trading.alert_log import (
    KINDS,
    AlertEvent,
    AlertLog,
    acknowledgement,
    ended_without_rule,
    messages_due,
    observed,
    silencing,
    subjects_firing,
    unsilencing,
)
from trading.alerts import AlertPolicy, AlertRow, Subject
from trading.errors import BadInput
from trading.journal import JournalEvent

REASON_CHARACTERS_MAX = 500


class JournalAlerts:
    """Keep what is known of alerts in a journal; the port is `trading.alerts.AlertKeeper`."""

    def __init__(self, journal: SqlJournal, *, accounts: Mapping[str, str] | None = None) -> None:
        """Take the journal; `accounts` says which account each book trades in, for an incident is of one."""
        self._journal = journal
        self._accounts = accounts or {}
        self._fold = AlertFold()

    def observe(
        self,
        alerts: Sequence[AlertRow],
        *,
        codes: Collection[str],
        policy: AlertPolicy,
        book: str,
        session: date,
        now: datetime,
        about: str = "",
        run_id: str = "",
    ) -> None:
        """Store what changed by a look at a book that judged the rules of `codes` and found `alerts`.

        An alert that begins opens an incident where the policy says so, one that ends ends it.
        """
        with self._at(now) as (log, append, conn):
            events = observed(
                log,
                alerts,
                codes=codes,
                policy=policy,
                book=book,
                session=session,
                about=about,
                run_id=run_id,
            )
            _append_all(append, events)
            resolve_alerted(conn, append, _ends(events))
            for event in events:
                if event.body["is_firing"] and event.body["labels"]["severity"] in policy.opens_incident:
                    open_alerted(conn, append, event, account=self._accounts.get(book, ""), now=now)

    def firing(self) -> frozenset[Subject]:
        """Return what fires, by code, book and subject."""
        with self._journal.looking() as conn:
            return subjects_firing(self._fold.of(_Transaction(conn)))

    def tell(self, policy: AlertPolicy, *, now: datetime) -> int:
        """Store the messages that are due, one a group and channel; returns how many groups were told.

        What fires by a rule that the policy has no more ends here, since no look at anything would end it.
        """
        with self._at(now) as (log, append, conn):
            unjudged = ended_without_rule(log, policy)
            _append_all(append, unjudged)
            resolve_alerted(conn, append, _ends(unjudged))
            known = self._fold.of(_Transaction(conn)) if unjudged else log
            messages = messages_due(known, policy, now=now)
            for message in messages:
                for channel in policy.delivery.channels:
                    put_message(
                        conn,
                        append,
                        dedup_key=message.dedup_key,
                        channel=channel,
                        severity=message.severity.value,
                        subject=message.subject,
                        body=message.body,
                        now=now,
                    )
                _append_all(append, [message.event])
            return len(messages)

    def acknowledge(self, wanted: str, *, actor: str, reason: str, now: datetime) -> str:
        """Store that somebody knows of an alert, by code or fingerprint; returns its fingerprint.

        Raises `UnknownId`, `BadInput` or `IllegalTransition` as `alert_log.acknowledgement` does.
        """
        _check_person(actor, reason)
        with self._at(now) as (log, append, _):
            event = acknowledgement(log, wanted, actor=actor, reason=reason)
            _append_all(append, [event])
            return str(event.body["fingerprint"])

    def silence(
        self, matchers: Sequence[str], *, lasts: timedelta, actor: str, reason: str, now: datetime
    ) -> str:
        """Store that people are not told of matching alerts for a while; returns the silence's id."""
        _check_person(actor, reason)
        event = silencing(matchers, lasts=lasts, actor=actor, reason=reason, now=now)
        with self._at(now) as (_, append, _):
            _append_all(append, [event])
        return str(event.body["silence_id"])

    def end_silence(self, silence_id: str, *, actor: str, reason: str, now: datetime) -> None:
        """Store that a silence ends before its time; raises `UnknownId` where none is in force."""
        _check_person(actor, reason)
        with self._at(now) as (log, append, _):
            _append_all(append, [unsilencing(log, silence_id, actor=actor, reason=reason, now=now)])

    @contextmanager
    def _at(self, now: datetime) -> Iterator[tuple[AlertLog, Callable[[Draft], None], sa.Connection]]:
        """Give what is known, what appends an event, and the transaction of both."""
        with self._journal.appending(now) as (conn, append):
            yield self._fold.of(_Transaction(conn)), append, conn


class _Transaction(NamedTuple):
    """Read the events of alerts in a transaction."""

    conn: sa.Connection

    def alert_events(self, *, first: int) -> list[JournalEvent]:
        events = schema.events
        told = sa.select(events).where(events.c.kind.in_(KINDS), events.c.seq >= first)
        rows = self.conn.execute(told.order_by(events.c.seq)).mappings()
        return [records.event_of(row) for row in rows]


def _ends(events: Iterable[AlertEvent]) -> dict[str, str]:
    """Return why each alert is over that events end, by fingerprint; empty: it was seen well again."""
    return {event.body["fingerprint"]: event.reason for event in events if not event.body["is_firing"]}


def _append_all(append: Callable[[Draft], None], events: Iterable[AlertEvent]) -> None:
    for event in events:
        append(
            Draft(
                event.kind,
                book=event.book,
                session=event.session,
                actor=event.actor,
                reason=event.reason,
                body=event.body,
            )
        )


def _check_person(actor: str, reason: str) -> None:
    if not actor.strip() or not reason.strip():
        raise BadInput("an alert is acknowledged or silenced by a named person, with a reason")
    if "\0" in actor + reason or len(reason) > REASON_CHARACTERS_MAX:
        raise BadInput(f"reason: at most {REASON_CHARACTERS_MAX} characters, none of them NUL")
