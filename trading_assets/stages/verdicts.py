"""Verdicts: what every guard says of every intent, on the exposure that would result."""

from collections.abc import Mapping
from datetime import date, datetime
from functools import partial
from typing import Any

import dagster as dg

from trading.actions import effective_in
from trading.clock import Clock, Phase
from trading.control import cooling
from trading.journal import Journal
from trading.positions import BookHistory, book_at_open, book_from_rows
from trading.quotes import WindowReader
from trading.session import judge, last_closes, morning_of
from trading.verdicts import Switches, Verdict, switches_seen
from trading_assets.stage import (
    SUPERVISOR,
    BookGraph,
    column_schema,
    refusals_kept,
    session_of,
    table_of,
)


def verdicts_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **graph.asset_arguments("verdicts", group=SUPERVISOR),
        ins={name: graph.rows_of(name) for name in ("intents", "opening_book", "corporate_actions")},
        deps=[graph.earlier_quotes()],
        metadata={"dagster/column_schema": column_schema(Verdict)},
    )
    def verdicts(
        context: dg.AssetExecutionContext,
        intents: Any,
        opening_book: Any,
        corporate_actions: Any,
        windows: dg.ResourceParam[Mapping[str, WindowReader]],
        journal: dg.ResourceParam[Journal],
        book_history: dg.ResourceParam[Mapping[str, BookHistory]],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
        execution_enabled: dg.ResourceParam[bool],
    ) -> dg.Output[Any]:
        """One row is one guard's word on one intent: passed or not, what it saw, its limit, what would pass.

        All are stored, not only the first that stops.
        """
        session = session_of(context)
        rules = graph.config.rules
        now = clocks[graph.name].now(session, Phase.DECIDE)
        with refusals_kept(
            journal, graph, session, "verdicts", clock=partial(clocks[graph.name].now, session, Phase.DECIDE)
        ):
            window = windows[graph.name].window_before(session, rules.window_sessions)
            at_open = book_at_open(
                book_from_rows(opening_book),
                effective_in(corporate_actions, session),
                last_close_micros=last_closes(window),
            )
            rows = judge(
                intents,
                window=window,
                at_open=at_open,
                morning=morning_of(
                    window,
                    at_open=at_open,
                    rules=rules,
                    equities=[equity for _, equity in book_history[graph.name].equities_before(session)],
                ),
                rules=rules,
                switches=_switches(graph, journal, session, execution_enabled=execution_enabled, now=now),
                now=now,
            )
        failed = [row for row in rows if not row.passed]
        return dg.Output(
            rows,
            metadata={
                "verdicts": len(rows),
                "refusals": len(failed),
                "limits": rules.limits.on(session).sha(),
                "why not": table_of(
                    [
                        {
                            "symbol": row.symbol,
                            "guard": row.guard,
                            "reason": row.reason,
                            "observed": row.observed,
                            "limit": row.limit,
                            "largest that passes": row.largest_quantity,
                        }
                        for row in failed
                    ]
                ),
            },
        )

    return [verdicts]


def _switches(
    graph: BookGraph, journal: Journal, session: date, *, execution_enabled: bool, now: datetime
) -> Switches:
    """Return the run control of a decision: the one it was made under, else the one in force."""
    for row in journal.intents(book=graph.name, lane=graph.lane, session=session):
        seen = switches_seen(journal.verdicts(row.intent_id))
        if seen is not None:
            return seen
    control = journal.run_control()
    held = cooling(journal.cooldowns(), account=graph.config.account, lane=graph.lane, now=now)
    return Switches(
        kill_switch_on=control.kill_switch_on,
        paused=control.paused,
        cooldown_active=held is not None,
        # Whether the broker agrees is asked where something is sent: nothing is, before the open.
        is_reconciled=True,
        execution_enabled=execution_enabled,
        is_degraded=control.is_degraded,
    )
