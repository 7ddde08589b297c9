"""Candidates: the symbols worth a look in a session, from the quotes of the sessions before it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

import dagster as dg

from trading.actions import CorporateAction
from trading.alerts import AlertKeeper, AlertPolicy, Deliverer
from trading.candidates import Candidate, rank_candidates, selected, why_no_candidate
from trading.clock import Clock, Phase
from trading.errors import Refused, TradingError
from trading.inputs import InputsNotReady, InputStatus, envelope_of
from trading.journal import Journal
from trading.quotes import AcceptedQuotes, Window, WindowReader, inputs_digest
from trading.reporting import Tables
from trading.session import decision_inputs_sha
from trading.signal_continuity import SignalKeeper
from trading.values import Symbol
from trading_assets.continuity import Told, keep_window
from trading_assets.stage import (
    INPUTS_SHA,
    SCANNER,
    SELECTED,
    WHY_NONE,
    BookGraph,
    column_schema,
    refusals_kept,
    session_of,
    table_of,
)


def candidates_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **graph.asset_arguments("candidates", group=SCANNER),
        ins={name: graph.rows_of(name) for name in ("corporate_actions", "input_envelopes")},
        deps=[graph.earlier_quotes()],
        metadata={"dagster/column_schema": column_schema(Candidate)},
    )
    def candidates(
        context: dg.AssetExecutionContext,
        corporate_actions: Any,
        input_envelopes: Any,
        windows: dg.ResourceParam[Mapping[str, WindowReader]],
        journal: dg.ResourceParam[Journal],
        tables: dg.ResourceParam[Tables],
        accepted_quotes: dg.ResourceParam[Mapping[str, AcceptedQuotes]],
        signal_keeper: dg.ResourceParam[SignalKeeper],
        alert_policy: dg.ResourceParam[AlertPolicy],
        alert_keeper: dg.ResourceParam[AlertKeeper],
        notifier: dg.ResourceParam[Deliverer],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> dg.Output[Any]:
        """One row is one symbol scanned before the open: its score by component, its rank, why it is chosen.

        Strategies vote on the selected ones.
        """
        session = session_of(context)
        rules, now = graph.config.rules, clocks[graph.name].now(session, Phase.DECIDE)

        def keep(scanned: Sequence[Candidate] | None) -> str:
            """Store what the look gave, unless the session is decided: then its window stands."""
            record = journal.session_record(**graph.where(session))
            if record is not None and record.decided_at is not None:
                return ""
            looked = keep_window(
                graph,
                session,
                signals=signal_keeper,
                accepted=accepted_quotes[graph.name],
                inputs=input_envelopes,
                scanned=scanned,
                told=Told(policy=alert_policy, keeper=alert_keeper, notifier=notifier),
                now=now,
            ).looked
            return f"{looked.state}{f': {looked.reason}' if looked.reason else ''}"

        with refusals_kept(
            journal,
            graph,
            session,
            "candidates",
            clock=partial(clocks[graph.name].now, session, Phase.DECIDE),
        ):
            try:
                window = windows[graph.name].window_before(session, rules.window_sessions)
                envelope = envelope_of(input_envelopes)
                if envelope.status is not InputStatus.READY:
                    raise InputsNotReady(envelope)
            except TradingError:
                keep(None)
                raise
            _refuse_another_decision(
                graph, session, window, corporate_actions, envelope.open_orders, journal, tables
            )
            rows = rank_candidates(window, rules.scanner, open_orders=envelope.open_orders)
            signals = keep(rows)
        chosen = selected(rows)
        return dg.Output(
            rows,
            metadata={
                "scanned": len(rows),
                "signals": signals,
                SELECTED: str(len(chosen)),
                "quotes as of": str(window.sessions[-1]),
                "inputs used": ", ".join(envelope.used),
                "input fallbacks": "; ".join(envelope.fallbacks),
                "open orders": ", ".join(sorted(envelope.open_orders)),
                WHY_NONE: why_no_candidate(rows),
                INPUTS_SHA: inputs_digest(window.inputs),
                "candidates": table_of(
                    [
                        {
                            "rank": row.rank,
                            "symbol": row.symbol,
                            "score": round(row.score, 3),
                            "trend": round(row.trend, 3),
                            "strength": round(row.strength, 3),
                            "activity": round(row.activity, 3),
                            "calm": round(row.calm, 3),
                            "regime": row.regime,
                        }
                        for row in chosen
                    ]
                ),
            },
        )

    return [candidates]


def _refuse_another_decision(
    graph: BookGraph,
    session: date,
    window: Window,
    actions: Sequence[CorporateAction],
    open_orders: Collection[Symbol],
    journal: Journal,
    tables: Tables,
) -> None:
    """Refuse to decide a session again on anything else, before a table of it is written anew."""
    record = journal.session_record(**graph.where(session))
    before = tables.inputs_of(graph.name, "decisions", session)
    if record is None or record.decided_at is None or not before:
        return
    now = decision_inputs_sha(
        window=window,
        opening_sha=record.opening_sha,
        actions=actions,
        rules=graph.config.rules,
        open_orders=open_orders,
    )
    if now != before:
        raise Refused(
            "the session is decided, and its quotes, actions, strategies, rules or limits have changed "
            "since: the first decision stands, nothing was written; put back what it was decided on, cancel "
            "what was approved by `trading orders cancel ID`, or try the change on a later session or in "
            "another TRADING_STATE_DIR"
        )
