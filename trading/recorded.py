"""A session as it was recorded, and decided again from that record by the functions that decide live.

What is compared: what was read, then candidates, intents, verdicts, advice and decisions as their tables have
them, and the intents, verdicts and stages of approval in the journal. How two tables are compared is
parity.py; who reads the record is resources/session_records.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple, Protocol

from trading.actions import CorporateAction
from trading.advice import Advice, admitted, ladder_of
from trading.approvals import DEGRADED_APPROVAL, ApprovalMode, ChainStage, StageRecord
from trading.books import BookConfig
from trading.candidates import Candidate, rank_candidates
from trading.decisions import Decision, DecisionRow, decide, decision_rows
from trading.errors import TradingError
from trading.gates import JOURNAL_FIELDS
from trading.inputs import InputRow, open_orders_of
from trading.intents import Intent
from trading.journal import JournalIntent
from trading.parity import Difference, Row, Tables, columns_of, first_difference, keyed
from trading.positions import BookRow, book_from_rows
from trading.quotes import Window, WindowReader, inputs_digest
from trading.session import TRADING, decision_inputs_sha, judge, morning_of, passing, propose
from trading.sessions import Calendar
from trading.values import IntentId
from trading.verdicts import Verdict, switches_seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Hold everything that was stored of a session's decision, and what it was decided on.

    `inputs` are the digests that candidates and decisions said they were made from, by table; `equities` what
    the book was worth at earlier closes, ascending, as many as were asked for. `verdicts_kept` and `chains`
    are the journal's, by intent; `hydrated` is how the inputs beside the window came, nothing where
    that was not kept yet; `decided_at` is when the decisions were registered.
    """

    session: date
    opening_sha: str
    decided_at: datetime
    opening_book: tuple[BookRow, ...]
    actions: tuple[CorporateAction, ...]
    equities: tuple[int, ...]
    inputs: Mapping[str, str]
    candidates: tuple[Candidate, ...]
    intents: tuple[Intent, ...]
    verdicts: tuple[Verdict, ...]
    advice: tuple[Advice, ...]
    decisions: tuple[DecisionRow, ...]
    intents_kept: tuple[JournalIntent, ...]
    verdicts_kept: Mapping[IntentId, tuple[Verdict, ...]]
    chains: Mapping[IntentId, tuple[StageRecord, ...]]
    hydrated: tuple[InputRow, ...] = ()


class SessionRecords(Protocol):
    """Give what was recorded of the sessions of one book."""

    def recorded(self, session: date, *, equities: int) -> Recorded | None:
        """Return a session with up to so many earlier equities, `None` where nothing was decided in it.

        Raises `LakeError` where a table is missing, altered or corrupt.
        """
        ...


class Relived(NamedTuple):
    """Hold how a session compares with itself decided again: the same, the first difference, or why not told.

    `detail` is one line for people.
    """

    session: date
    is_same: bool
    difference: Difference | None
    detail: str


def relived(
    session: date,
    *,
    config: BookConfig,
    lane: str,
    calendar: Calendar,
    windows: WindowReader,
    records: SessionRecords,
) -> Relived:
    """Return how a session compares with itself decided again from its record.

    A record that cannot be read, or quotes that are gone, are not the same; nothing decided is.
    """
    try:
        recorded = records.recorded(session, equities=config.rules.limits.on(session).drawdown_sessions)
        if recorded is None:
            return Relived(session, is_same=True, difference=None, detail="nothing was decided")
        window = windows.window_before(session, config.rules.window_sessions)
        found = session_difference(recorded, config=config, lane=lane, calendar=calendar, window=window)
    except TradingError as error:
        return Relived(session, is_same=False, difference=None, detail=str(error))
    if found is not None:
        return Relived(session, is_same=False, difference=found, detail=str(found))
    told = f"{len(recorded.candidates)} candidates, {len(recorded.intents)} intents, the same to the bit"
    return Relived(session, is_same=True, difference=None, detail=told)


def session_difference(
    recorded: Recorded, *, config: BookConfig, lane: str, calendar: Calendar, window: Window
) -> Difference | None:
    """Return where a session first differs from itself decided again, `None` where it is the same to the bit.

    `window` is that of the session as the lake has it now. The rules are those in force for the session by
    the reviewed files; switches, the mode of approval and the advice are those of the record: what was said
    is read and nobody is asked, and what of it may be followed is judged again.
    """
    again = decided_again(recorded, config=config, lane=lane, calendar=calendar, window=window)
    return first_difference(tables_of(recorded), again)


def tables_of(recorded: Recorded) -> Tables:
    """Return a record as tables, in the order of the flow: what was read first, the journal's side last."""
    kept = sorted(recorded.intents_kept, key=lambda row: row.intent.intent_key)
    return {
        "inputs": {
            "quotes and actions": {"sha": recorded.inputs["candidates"]},
            "opening book": {"sha": recorded.opening_sha},
            "everything, rules and limits too": {"sha": recorded.inputs["decisions"]},
        },
        **_decided_tables(
            recorded.candidates, recorded.intents, recorded.verdicts, recorded.advice, recorded.decisions
        ),
        "journal intents": {row.intent.intent_key: _kept_row(row.intent, row) for row in kept},
        "journal verdicts": keyed(
            [verdict for row in kept for verdict in recorded.verdicts_kept[row.intent_id]],
            "intent_key",
            "guard",
        ),
        "journal stages": _stage_rows(
            {row.intent.intent_key: recorded.chains[row.intent_id] for row in kept}
        ),
    }


def decided_again(
    recorded: Recorded, *, config: BookConfig, lane: str, calendar: Calendar, window: Window
) -> Tables:
    """Return the same tables from the session decided again on what was recorded."""
    rules, session = config.rules, recorded.session
    open_orders = open_orders_of(recorded.hydrated)
    opening = book_from_rows(recorded.opening_book)
    candidates = rank_candidates(window, rules.scanner, open_orders=open_orders)
    proposed = propose(
        book_name=config.name,
        window=window,
        candidates=candidates,
        opening=opening,
        actions=recorded.actions,
        rules=rules,
    )
    seen = [switches_seen(verdicts) for verdicts in recorded.verdicts_kept.values()]
    verdicts = judge(
        proposed.intents,
        window=window,
        at_open=proposed.at_open,
        morning=morning_of(window, at_open=proposed.at_open, rules=rules, equities=recorded.equities),
        rules=rules,
        switches=next((switches for switches in seen if switches is not None), TRADING),
        now=recorded.decided_at,
    )
    inputs_sha = decision_inputs_sha(
        window=window,
        opening_sha=opening.sha(),
        actions=recorded.actions,
        rules=rules,
        open_orders=open_orders,
    )
    mode, is_degraded = mode_recorded(recorded.chains)
    step = ladder_of(recorded.advice)
    advice = admitted(recorded.advice, passing(proposed.intents, verdicts), ladder=step)
    decisions = decide(
        proposed.intents,
        verdicts,
        advice,
        account=config.account,
        lane=lane,
        ladder=step,
        limits=rules.limits.on(session),
        not_after=calendar.closes_at(session),
        inputs_sha=inputs_sha,
        approvals=rules.approvals,
        mode=mode,
        is_degraded=is_degraded,
        now=recorded.decided_at,
    )
    kept = sorted(decisions, key=lambda decision: decision.intent.intent_key)
    of_intent = keyed(verdicts, "intent_key", "guard")
    return {
        "inputs": {
            "quotes and actions": {"sha": inputs_digest(window.inputs)},
            "opening book": {"sha": opening.sha()},
            "everything, rules and limits too": {"sha": inputs_sha},
        },
        **_decided_tables(candidates, proposed.intents, verdicts, advice, decision_rows(decisions)),
        "journal intents": {row.intent.intent_key: _kept_row(row.intent, row) for row in kept},
        "journal verdicts": dict(sorted(of_intent.items(), key=lambda item: item[0].partition("/")[0])),
        "journal stages": _stage_rows({row.intent.intent_key: row.chain for row in kept}),
    }


def mode_recorded(chains: Mapping[IntentId, Sequence[StageRecord]]) -> tuple[ApprovalMode, bool]:
    """Return the mode of approval that decisions were made in, and whether trading was degraded.

    Where no intent came as far as that stage the mode decided nothing, and is `auto`.
    """
    for chain in chains.values():
        for record in chain:
            if record.stage is ChainStage.PERSON and not record.actor:
                return ApprovalMode(record.policy), record.detail == DEGRADED_APPROVAL
    return ApprovalMode.AUTO, False


def _decided_tables(
    candidates: Sequence[Candidate],
    intents: Sequence[Intent],
    verdicts: Sequence[Verdict],
    advice: Sequence[Advice],
    decisions: Sequence[DecisionRow],
) -> dict[str, Mapping[str, Row]]:
    return {
        "candidates": keyed(candidates, "symbol"),
        "intents": keyed(intents, "intent_key"),
        "verdicts": keyed(verdicts, "intent_key", "guard"),
        "advice": keyed(advice, "intent_key"),
        "decisions": keyed(decisions, "intent_key"),
    }


def _kept_row(intent: Intent, row: JournalIntent | Decision) -> Row:
    """Return what the journal keeps of a decision: what was wished, and the fields a gate compares."""
    found = {name: getattr(row, name) for name in JOURNAL_FIELDS if name != "payload_hash"}
    return {**{f"wished {name}": value for name, value in columns_of(intent).items()}, **found}


def _stage_rows(chains: Mapping[str, Sequence[StageRecord]]) -> dict[str, Row]:
    """Return the stages that the decision itself made, by intent and stage; later answers are none of it."""
    rows: dict[str, Row] = {}
    for key, chain in chains.items():
        for record in chain:
            if record.at == chain[0].at and not record.actor:
                rows[f"{key}/{record.stage.value}"] = columns_of(record)
    return rows
