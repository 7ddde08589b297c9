"""Which row type each asset's table holds: the typed schemas of the lake, in the order of the flow."""

from typing import Any

from trading.actions import CorporateAction
from trading.advice import Advice
from trading.advisor_calls import AdvisorCall
from trading.alerts import AlertRow
from trading.broker_positions import BrokerPositionRow
from trading.candidates import Candidate
from trading.compliance import Finding
from trading.decisions import DecisionRow
from trading.inputs import InputRow
from trading.intents import Intent
from trading.metrics import MetricRow
from trading.orders import ExecutionRow, OrderStatusRow
from trading.positions import BookRow
from trading.promotion import PromotionRow
from trading.quotes import Quarantined, Quote
from trading.replaying import ReplayFile
from trading.reporting import ReportFile
from trading.scores import Score
from trading.sweeping import SweepRow
from trading.verdicts import Verdict

ROW_TYPES: dict[str, type[Any]] = {
    "corporate_actions": CorporateAction,
    "market_quotes": Quote,
    "quarantined_quotes": Quarantined,
    "opening_book": BookRow,
    "input_envelopes": InputRow,
    "candidates": Candidate,
    "intents": Intent,
    "verdicts": Verdict,
    "advice": Advice,
    "advisor_calls": AdvisorCall,
    "decisions": DecisionRow,
    "executions": ExecutionRow,
    "order_status": OrderStatusRow,
    "broker_positions": BrokerPositionRow,
    "positions": BookRow,
    "metrics": MetricRow,
    "alerts": AlertRow,
    "daily_report": ReportFile,
    "replays": ReplayFile,
    "scorecards": Score,
    "sweeps": SweepRow,
    "promotion_decisions": PromotionRow,
    "weekly_health": ReportFile,
    "weekly_audit": Finding,
}

OF_WEEKS = ("weekly_health", "weekly_audit")
"""The tables of which a partition is a week."""

OF_OTHER_JOBS = frozenset(
    {
        "corporate_actions",
        "market_quotes",
        "quarantined_quotes",
        "replays",
        "scorecards",
        "sweeps",
        "promotion_decisions",
        *OF_WEEKS,
    }
)
"""The tables that no run of a session makes."""

OF_SESSIONS = tuple(
    name
    for name in ROW_TYPES
    if name not in {"replays", "scorecards", "sweeps", "promotion_decisions", *OF_WEEKS}
)
"""The tables that a session comes from or leaves behind; replays and what is made of them are of none."""

REMEDIES = {
    "corporate_actions": "trading quotes import --book {book}",
    "market_quotes": "trading quotes import --book {book} --through {partition}",
    "quarantined_quotes": "trading quotes import --book {book} --through {partition}",
    "replays": "trading replay --book {book} --name {partition}",
    "scorecards": "trading replay --book {book} --name {partition}",
    "sweeps": "trading sweep --book {book} --name {partition} --grid STRATEGY.PARAMETER=VALUE,VALUE",
} | {
    name: "trading run-once --book {book} --session {partition}"
    for name in ROW_TYPES
    if name not in OF_OTHER_JOBS
}
"""The command that makes a missing table."""
