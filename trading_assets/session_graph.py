"""The assets of one book, in the order of the flow: a quote becomes a candidate, an intent, an alert.

A second market is a second book: the same stages under another key prefix, calendar and sessions.
"""

from datetime import datetime, time, timedelta
from typing import Any

import dagster as dg

from trading.books import BookConfig
from trading.sessions import Calendar
from trading_assets.stage import BookGraph
from trading_assets.stages.advice import advice_stage
from trading_assets.stages.alerts import alerts_stage
from trading_assets.stages.broker_positions import broker_positions_stage
from trading_assets.stages.candidates import candidates_stage
from trading_assets.stages.corporate_actions import corporate_actions_stage
from trading_assets.stages.daily_report import daily_report_stage
from trading_assets.stages.decisions import decisions_stage
from trading_assets.stages.executions import executions_stage
from trading_assets.stages.input_envelopes import input_envelopes_stage
from trading_assets.stages.intents import intents_stage
from trading_assets.stages.market_quotes import market_quotes_stage
from trading_assets.stages.metrics import metrics_stage
from trading_assets.stages.opening_book import opening_book_stage
from trading_assets.stages.order_status import order_status_stage
from trading_assets.stages.positions import positions_stage
from trading_assets.stages.promotion_decisions import promotion_decisions_stage
from trading_assets.stages.replays import replays_stage
from trading_assets.stages.scorecards import scorecards_stage
from trading_assets.stages.sweeps import sweeps_stage
from trading_assets.stages.verdicts import verdicts_stage
from trading_assets.stages.weeks import weeks_stage

STAGES = (
    corporate_actions_stage,
    market_quotes_stage,
    opening_book_stage,
    input_envelopes_stage,
    candidates_stage,
    intents_stage,
    verdicts_stage,
    advice_stage,
    decisions_stage,
    executions_stage,
    order_status_stage,
    broker_positions_stage,
    positions_stage,
    metrics_stage,
    alerts_stage,
    daily_report_stage,
    replays_stage,
    scorecards_stage,
    sweeps_stage,
    promotion_decisions_stage,
    weeks_stage,
)
"""Every stage, in the order in which a session passes them; what goes over many sessions stands last."""

WEEKENDS = "0 0 * * 0,6"


def session_graph(graph: BookGraph) -> list[Any]:
    """Return the assets and checks of one book."""
    return [definition for stage in STAGES for definition in stage(graph)]


def book_graph(config: BookConfig, calendar: Calendar, *, lane: str, is_open_ended: bool) -> BookGraph:
    """Return what the stages of a book are built from, with its sessions as partitions.

    `is_open_ended`: the book goes on past its data, and offers the session that comes next.
    """
    return BookGraph(
        config=config,
        calendar=calendar,
        sessions=session_partitions(config, calendar, is_open_ended=is_open_ended),
        lane=lane,
    )


def session_partitions(
    config: BookConfig, calendar: Calendar, *, is_open_ended: bool
) -> dg.TimeWindowPartitionsDefinition:
    """Return one partition a session of the exchange: every day but weekends and holidays."""
    closed = [
        datetime.combine(day, time())
        for day in sorted(calendar.holidays)
        if day >= config.first_session and (is_open_ended or day <= config.last_session)
    ]
    return dg.TimeWindowPartitionsDefinition(
        start=config.first_session.isoformat(),
        end=None if is_open_ended else (config.last_session + timedelta(days=1)).isoformat(),
        fmt="%Y-%m-%d",
        cron_schedule="0 0 * * *",
        end_offset=1 if is_open_ended else 0,
        timezone=calendar.timezone,
        exclusions=[WEEKENDS, *closed],
    )
