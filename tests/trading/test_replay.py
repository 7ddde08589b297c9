"""Replays as the craft makes them: by year as in one piece, gone on with, and held to checks that can fail.

On the last months of `us_five`, some of them in 2012 and some in 2013. Where replays are kept is tested in
tests/adapters, how the graph runs them in tests/graph.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from resources.market_data.bokeh_stocks import BokehStocks
from resources.panels import data_set_of
from resources.reviewed_config import book_config, read_books
from trading.benchmark import benchmark_of
from trading.errors import BadInput, BadSetting
from trading.guards import GUARDS
from trading.limits import Change, Limits
from trading.positions import opened_book
from trading.quotes import Panel, Quote
from trading.replay import (
    Asked,
    allowing_for_costs,
    chosen_strategy,
    chunks_of,
    config_of,
    joined,
    opening_state,
    replay_chunk,
    replayed_of,
    request_of,
    sessions_of,
    sessions_remembered,
    state_from_payload,
    texts_of,
)
from trading.replay_checks import CHECKS, replay_checks
from trading.replay_summary import months_of, reasons_of, summary_of, unfilled_years, years_of
from trading.replayed import COLUMNS, Replayed, table_of
from trading.scorecard import scorecard_of
from trading.scores import scores_of
from trading.session import run_sessions
from trading.simulation import FillModel
from trading.sweeps import MEASURES, measures_of
from trading.trials import AND
from trading.values import Symbol, canonical_json, micros_from_text

FIRST, LAST = date(2012, 11, 1), date(2013, 2, 1)
ASKED = Asked(first_session=FIRST, last_session=LAST)


@pytest.fixture(scope="module")
def config(xnys, config_dir):
    """Give `us_five` as it is configured."""
    line = read_books(config_dir / "books.toml")["us_five"]
    return book_config("us_five", line, config_dir=config_dir, source=BokehStocks(), calendar=xnys)


@pytest.mark.parametrize("told", ["1e22", "+1e+22", "1e-22", "-0.0", "1", "1.0", "0.1"])
def test_strategies_that_were_written_together_are_read_apart_again(config, told):
    asked = tuple(
        chosen_strategy(text, config.rules.strategies)
        for text in (f"momentum:full={told}", "mean_reversion:sessions=+7")
    )
    texts = AND.join(texts_of(asked)).split(AND)

    assert tuple(chosen_strategy(text, config.rules.strategies) for text in texts) == asked


def test_a_text_that_would_be_read_as_two_strategies_is_refused(config):
    with pytest.raises(BadInput, match=r"'up\+momentum' holds a \+, which joins strategies"):
        chosen_strategy("momentum:full=up+momentum", config.rules.strategies)


@pytest.fixture(scope="module")
def panel(xnys):
    """Give the bars of the range, its window and two months after it."""
    source, sessions = BokehStocks(), xnys.between(date(2012, 4, 2), date(2013, 3, 1))
    quotes = [
        Quote(
            Symbol(bar.symbol),
            date.fromisoformat(bar.session),
            *(micros_from_text(price) for price in (bar.open, bar.high, bar.low, bar.close)),
            int(bar.volume),
            "bokeh_stocks",
            "",
            xnys.opens_at(sessions[0]),
        )
        for bar in source.raw_bars(sessions[0], sessions[-1])
    ]
    return Panel.from_quotes(sessions, quotes)


def data_of(panel, xnys):
    """Give the data set of the range: 130 sessions before it, and nothing after it."""
    sessions = (*xnys.before(FIRST, 130), *xnys.between(FIRST, LAST))
    return data_set_of(panel, BokehStocks().actions(), sessions=sessions, calendar=xnys, source="test")


@pytest.fixture(scope="module")
def data(panel, xnys):
    return data_of(panel, xnys)


def replayed_in_chunks(config, request, data, xnys):
    """Give a replay year by year, each from the stored state of the one before."""
    config, state, parts = config_of(request, config), None, []
    for days in chunks_of(sessions_of(request, config, xnys)).values():
        part, state = replay_chunk(
            config,
            data=data,
            calendar=xnys,
            sessions=days,
            state=state or opening_state(config),
            approve=request.approve,
            light=request.light,
        )
        parts.append(part)
        state = state_from_payload(state.payload())
    return joined(parts)


@pytest.fixture(scope="module")
def request_(config):
    return request_of(ASKED, config, name="some_months")


@pytest.fixture(scope="module")
def replayed(config, request_, data, xnys):
    return replayed_in_chunks(config, request_, data, xnys)


@pytest.fixture(scope="module")
def checked(config, data, xnys, request_):
    """Give what evaluates every check on tables that claim to be this replay's."""

    def check(replayed, request=request_):
        return replay_checks(replayed, request=request, config=config, data=data, calendar=xnys)

    return check


def same(first: Replayed, second: Replayed) -> bool:
    return all(
        np.array_equal(first[table][column], second[table][column])
        for table, columns in COLUMNS.items()
        for column in columns
    )


def test_a_replay_by_years_is_the_sessions_in_one_piece(config, data, xnys, replayed):
    sessions = xnys.between(FIRST, LAST)
    results = run_sessions(
        config, panel=data.panel, actions=data.actions, calendar=xnys, sessions=sessions, approve=True
    )
    whole = replayed_of(
        results,
        book="us_five",
        opening=opened_book(currency="USD", deposit_micros=config.deposit_micros),
        opening_micros=config.deposit_micros,
    )

    assert len(chunks_of(sessions)) == 2
    assert same(replayed, whole)
    assert replayed.opening_micros == config.deposit_micros
    for table in ("intents", "verdicts", "refusals", "fills", "positions", "marks"):
        assert len(replayed[table]["session"]) > 0, table


def test_a_state_is_the_same_after_it_was_stored(config, data, xnys, request_):
    days = xnys.between(FIRST, date(2012, 12, 31))
    _, state = replay_chunk(
        config,
        data=data,
        calendar=xnys,
        sessions=days,
        state=opening_state(config),
        approve=True,
        light=False,
    )

    assert state.book.positions
    assert len(state.equities) == len(days)
    assert state_from_payload(state.payload()) == state


def test_as_many_closes_are_remembered_as_any_limit_ever_looks_back(config):
    limits = config.rules.limits
    change = type(limits.changes[0]) if limits.changes else None

    assert sessions_remembered(replace(limits, changes=())) == limits.drawdown_sessions
    if change is not None:
        later = change(effective_from=LAST, reason="longer", values=(("drawdown_sessions", 500),))
        assert sessions_remembered(replace(limits, changes=(later,))) == 500


def test_a_light_replay_keeps_the_same_sessions_and_fills_and_has_no_data_for_the_rest(
    config, data, xnys, checked, replayed
):
    request = request_of(replace(ASKED, light=True), config, name="light")
    light = replayed_in_chunks(config, request, data, xnys)

    for table in COLUMNS:
        kept = table in {"sessions", "fills"}
        assert len(light[table]["session"]) == (len(replayed[table]["session"]) if kept else 0)
    assert np.array_equal(light["sessions"]["equity_micros"], replayed["sessions"]["equity_micros"])
    checks = {check.name: check for check in checked(light, request)}
    assert checks["fills_are_within_volume_at_their_cost"].passed
    assert not checks["value_is_conserved_in_every_session"].passed
    assert checks["value_is_conserved_in_every_session"].no_data


# ------------------------------------------------------------------------------------ what it is held to


def test_every_check_of_a_real_replay_holds(checked, replayed):
    checks = checked(replayed)

    assert [check.name for check in checks] == list(CHECKS)
    assert [check.name for check in checks if not check.passed] == []
    assert min(check.looked_at for check in checks) > 10


def with_column(replayed: Replayed, table: str, column: str, change) -> Replayed:
    values = replayed[table][column].copy()
    change(values)
    return replace(replayed, tables={**replayed.tables, table: {**replayed[table], column: values}})


def without_row(replayed: Replayed, table: str, row: int) -> Replayed:
    columns = {name: np.delete(values, row) for name, values in replayed[table].items()}
    return replace(replayed, tables={**replayed.tables, table: columns})


def add(row, amount):
    def change(values):
        values[row] += amount

    return change


def turned(values):
    values[:2] = values[1::-1].copy()


ALTERED = [
    ("every_session_is_there_once", lambda r: without_row(r, "sessions", 20)),
    ("every_session_is_there_once", lambda r: with_column(r, "sessions", "session", turned)),
    ("value_is_conserved_in_every_session", lambda r: with_column(r, "sessions", "cash_micros", add(30, 1))),
    (
        "value_is_conserved_in_every_session",
        lambda r: with_column(r, "sessions", "equity_micros", add(5, -1)),
    ),
    ("value_is_conserved_in_every_session", lambda r: with_column(r, "positions", "quantity", add(0, 1))),
    ("value_is_conserved_in_every_session", lambda r: with_column(r, "positions", "cost_micros", add(9, 1))),
    ("value_is_conserved_in_every_session", lambda r: without_row(r, "fills", 0)),
    (
        "value_is_conserved_in_every_session",
        lambda r: with_column(r, "sessions", "dividend_micros", add(slice(None), 1)),
    ),
    (
        "fills_are_within_volume_at_their_cost",
        lambda r: with_column(r, "fills", "quantity", add(0, 10**9)),
    ),
    ("fills_are_within_volume_at_their_cost", lambda r: with_column(r, "fills", "price_micros", add(1, -1))),
    (
        "fills_are_within_volume_at_their_cost",
        lambda r: with_column(r, "fills", "commission_micros", add(1, -1)),
    ),
    ("nothing_went_unjudged", lambda r: without_row(r, "verdicts", 0)),
    ("nothing_went_unjudged", lambda r: without_row(r, "refusals", 0)),
    ("nothing_went_unjudged", lambda r: without_row(r, "intents", filled(r))),
    ("intents_are_sized_on_earlier_closes", lambda r: with_column(r, "intents", "price_micros", add(0, 1))),
]


def filled(replayed: Replayed) -> int:
    """Give the row of an intent that was filled."""
    keys = replayed["intents"]["intent_key"].tolist()
    return keys.index(replayed["fills"]["intent_key"][0].item())


@pytest.mark.parametrize(("name", "alter"), ALTERED, ids=lambda case: case if isinstance(case, str) else "")
def test_a_replay_that_was_altered_is_found_by_the_check_that_it_breaks(checked, replayed, name, alter):
    checks = checked(alter(replayed))

    assert name in [check.name for check in checks if not check.passed]


def test_a_fill_of_what_a_guard_refused_for_good_is_found(checked, replayed):
    key = replayed["fills"]["intent_key"][0].item()
    session = replayed["fills"]["session"][0]
    refusal = table_of(
        "refusals", [(session, key, "IBM", "symbol_cap", "symbol_notional_cap_exceeded", 2, 1, 0, 0)]
    )
    place = replayed["verdicts"]["intent_key"].tolist().index(key)
    bit = np.uint64(1 << [name for name, _ in GUARDS].index("symbol_cap"))

    def unset(values):
        values[place] ^= bit

    altered = with_column(replayed, "verdicts", "passed", unset)
    refusals = {name: np.concatenate([refusal[name], altered["refusals"][name]]) for name in refusal}
    altered = replace(altered, tables={**altered.tables, "refusals": refusals})
    (found,) = [check for check in checked(altered) if not check.passed]

    assert found.name == "nothing_went_unjudged"
    assert [broken.found for broken in found.broken] == ["refused by a guard"]


def test_an_intent_sized_on_its_own_sessions_close_is_found(checked, panel, replayed):
    """Size as a reader off by one would: on the close of the session that is decided."""
    peeked = replayed["intents"]["price_micros"].copy()
    for row, (session, symbol) in enumerate(
        zip(replayed["intents"]["session"].tolist(), replayed["intents"]["symbol"].tolist(), strict=True)
    ):
        peeked[row] = panel.close[panel.sessions.index(session), panel.symbols.index(symbol)]
    ahead = with_column(replayed, "intents", "price_micros", lambda values: np.copyto(values, peeked))
    checks = checked(ahead)

    (found,) = [check for check in checks if not check.passed]
    assert found.name == "intents_are_sized_on_earlier_closes"
    assert len(found.broken) > len(peeked) * 0.9


def test_what_comes_after_the_range_is_no_part_of_its_data(panel, data, xnys):
    later = panel.sessions.index(LAST) + 1
    arrays = {name: getattr(panel, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for array in arrays.values():
        array[later:] *= 3

    assert data.panel.sessions[-1] == LAST
    assert data_of(replace(panel, **arrays), xnys).sha == data.sha
    arrays["close"][later - 1] += 1
    assert data_of(replace(panel, **arrays), xnys).sha != data.sha


# ------------------------------------------------------------------------------------------- the request


def test_a_replays_digest_is_of_all_that_it_comes_from_and_not_of_its_name(config, request_):
    def sha(request, **changes):
        return request.replay_sha(**{"data_sha": "d", "rules_sha": "r", "code_sha": "c", **changes})

    others = [
        replace(request_, last_session=date(2013, 1, 31)),
        replace(request_, costs=FillModel(0, 0, 500)),
        replace(request_, strategies=("momentum",)),
        replace(request_, deposit_micros=1),
        replace(request_, approve=False),
        replace(request_, light=True),
    ]
    shas = {sha(other) for other in others}
    shas |= {sha(request_, **{name: "x"}) for name in ("data_sha", "rules_sha", "code_sha")}

    assert sha(replace(request_, name="other")) == sha(request_)
    assert len(shas | {sha(request_)}) == 10


def test_without_a_name_a_replay_is_called_by_its_range_and_by_what_differs(config):
    plain = request_of(ASKED, config, name="")
    other = request_of(replace(ASKED, slippage_bps=50), config, name="")

    assert plain.name == "2012-11-01_2013-02-01"
    assert other.name.startswith("2012-11-01_2013-02-01_")
    assert other.costs.slippage_bps == 50
    assert request_of(Asked(), config, name="all").first_session == config.first_session


@pytest.mark.parametrize("name", ["Upper", "a/b", "-x", ".x", "x" * 65, "a b", "current.json", "v1.2", "x\n"])
def test_a_name_that_is_no_folder_is_refused(config, name):
    with pytest.raises(BadInput, match="replay name"):
        request_of(ASKED, config, name=name)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Asked(first_session=date(1999, 1, 4)), "the data covers 2000-03-01"),
        (Asked(last_session=date(2013, 3, 4)), "the data covers"),
        (Asked(first_session=date(2013, 1, 26), last_session=date(2013, 1, 27)), "no session of XNYS"),
        (Asked(first_session=LAST, last_session=FIRST), "ends before it begins"),
        (replace(ASKED, slippage_bps=-1), "slippage -1"),
        (replace(ASKED, deposit_micros=0), "positive deposit"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_the_reason(config, xnys, asked, told):
    with pytest.raises(BadInput, match=told):
        sessions_of(request_of(asked, config, name="x"), config, xnys)


def test_chosen_strategies_vote_with_their_parameters_and_a_motion_can_carry(config):
    asked = replace(ASKED, strategies=("momentum:lookback=60,full=0.2",))
    changed = config_of(request_of(asked, config, name="x"), config)

    (momentum,) = changed.rules.strategies
    assert dict(momentum.parameters) == {"lookback": 60, "skip": 5, "full": 0.2}
    assert momentum.weight == 0.5
    assert changed.rules.council.quorum == changed.rules.council.exit_quorum == 1
    assert config_of(request_of(ASKED, config, name="x"), config) == config


@pytest.mark.parametrize(("slippage_bps", "commission_bps"), [(300, 0), (3_000, 500)])
def test_no_replay_spends_more_cash_than_there_is_however_dear_its_fills(
    config, data, xnys, slippage_bps, commission_bps
):
    """All of the equity is to be held, and cash alone stops a buy."""
    wanted = {"position_bps": 10_000, "cap_bps": 10_000, "reserve_bps": 0, "step_bps": 3_000}
    shares = ("position_weight", "symbol_weight", "drawdown", "daily_loss", "var", "volume_share")
    amounts = ("order_notional", "gross_notional", "net_notional", "usual_order_notional")
    loose = {
        "symbol_caps_bps": (),
        "order_quantity_max": 10**9,
        **{f"{share}_bps_max": 10_000 for share in shares},
        **{name: 10**13 for name in Limits.__dataclass_fields__ if name.startswith(amounts)},
    }
    rules = replace(
        config.rules,
        allocation=replace(config.rules.allocation, **wanted),
        limits=replace(config.rules.limits, **loose),
    )
    asked = replace(ASKED, slippage_bps=slippage_bps, commission_bps=commission_bps)
    own = replace(config, rules=rules)
    dear = replayed_in_chunks(own, request_of(asked, own, name="dear"), data, xnys)

    assert dear["fills"]["quantity"].any()
    assert "buying_power" in dear["refusals"]["guard"].tolist()
    assert dear["sessions"]["cash_micros"].min() >= 0


def test_a_book_whose_limit_allows_for_its_fills_is_replayed_as_it_is(config):
    limits = config.rules.limits
    assert allowing_for_costs(config) is config
    later = Change(effective_from=LAST, reason="wider", values=(("cost_bps", 30), ("lot", 1)))
    rules = replace(config.rules, limits=replace(limits, changes=(later,)))
    dear = replace(config, rules=rules, costs=FillModel(25, 1, 500))

    allowing = allowing_for_costs(dear).rules.limits
    assert limits.cost_bps == 20
    assert (allowing.cost_bps, allowing.on(LAST).cost_bps) == (27, 30)
    assert allowing_for_costs(replace(dear, costs=FillModel(40, 0, 500))).rules.limits.on(LAST).cost_bps == 40


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("no such", BadInput),
        ("momentum:60", BadInput),
        ("momentum:lookback=nan", BadInput),
        ("momentum:full=-inf", BadInput),
        ("momentum:full=1e999", BadInput),
        ("momentums", BadSetting),
        ("momentum:stride=1", BadSetting),
    ],
)
def test_a_strategy_that_is_none_is_refused(config, text, error):
    with pytest.raises(error):
        config_of(request_of(replace(ASKED, strategies=(text,)), config, name="x"), config)


def test_a_parameter_that_a_strategy_cannot_bear_is_blamed_on_whoever_asked_for_it(config, data, xnys):
    request = request_of(replace(ASKED, strategies=("momentum:full=0",)), config, name="x")

    with pytest.raises(BadSetting) as refusal:
        replayed_in_chunks(config, request, data, xnys)

    told = str(refusal.value)
    assert "raised ValueError" in told
    assert told.endswith("it was asked for as 'momentum:full=0': give another value there")
    assert "config/strategies.toml" not in told


def test_a_parameter_that_a_strategy_needs_is_blamed_on_whoever_named_one_that_is_not_configured(config):
    alone = replace(config, rules=replace(config.rules, strategies=()))

    with pytest.raises(BadSetting, match=r"parameters \{\} of 'momentum' do not fit"):
        config_of(request_of(replace(ASKED, strategies=("momentum",)), alone, name="x"), alone)


def test_a_parameter_that_a_strategy_does_not_take_is_blamed_on_whoever_asked_for_it(config):
    asked = replace(ASKED, strategies=("momentum:stride=1",))

    with pytest.raises(BadSetting, match=r"'stride': 1\} of 'momentum:stride=1' do not fit"):
        config_of(request_of(asked, config, name="x"), config)


def test_a_strategy_named_twice_is_refused(config):
    asked = replace(ASKED, strategies=("momentum", "momentum:skip=2"))

    with pytest.raises(BadInput, match="named twice"):
        config_of(request_of(asked, config, name="x"), config)


# -------------------------------------------------------------------------------------- what is told of it


def test_years_are_told_by_hand_worked_numbers():
    days = ["2001-12-28", "2001-12-31", "2002-01-02"]
    sessions = table_of(
        "sessions",
        [
            (np.datetime64(day), equity, equity, 0, 0, 2, blocked, fills, 30, 3, 2, 1)
            for day, equity, blocked, fills in zip(days, [120, 90, 99], [0, 1, 2], [1, 1, 4], strict=True)
        ],
    )
    tables = {name: table_of(name, []) for name in COLUMNS} | {"sessions": sessions}
    told = years_of(Replayed(book="b", currency="USD", opening_micros=100, tables=tables))

    assert [(year.year, year.sessions, year.opening_micros, year.closing_micros) for year in told] == [
        (2001, 2, 100, 90),
        (2002, 1, 90, 99),
    ]
    assert [round(year.return_ratio, 9) for year in told] == [-0.1, 0.1]
    assert [year.drawdown_ratio for year in told] == [0.25, 0.0]
    assert [(year.fills, year.blocked, year.traded_micros, year.dividend_micros) for year in told] == [
        (2, 1, 60, 2),
        (4, 2, 30, 1),
    ]


def test_years_of_intents_without_a_fill_are_told_with_the_guard_that_refused_most():
    days = ["2001-12-28", "2002-01-02", "2003-01-02", "2004-01-02", "2006-01-03"]
    counts = [(3, 1), (4, 0), (5, 0), (0, 0), (6, 0)]
    sessions = [
        (np.datetime64(day), 9, 9, 0, 0, intents, 0, fills, 0, 0, 0, 0)
        for day, (intents, fills) in zip(days, counts, strict=True)
    ]
    refusals = [
        (np.datetime64(day), f"key-{number}", "A", guard, reason, 1, 0, 0, 0)
        for day in days
        for number, (guard, reason) in enumerate(
            [
                ("fat_finger", "fat_finger_soft"),
                ("fat_finger", "fat_finger_soft"),
                ("order_notional", "max_notional_exceeded"),
            ]
        )
    ]
    tables = {name: table_of(name, []) for name in COLUMNS}
    tables |= {"sessions": table_of("sessions", sessions), "refusals": table_of("refusals", refusals)}
    replayed = Replayed(book="b", currency="USD", opening_micros=9, tables=tables)
    why = "intents and no fill; the guard order_notional refused most: max_notional_exceeded"

    assert unfilled_years(replayed) == (f"2002 to 2003: 9 {why}", f"2006: 6 {why}")
    assert summary_of(replayed)["warnings"] == list(unfilled_years(replayed))


def test_a_year_and_a_month_that_begin_with_nothing_have_no_return():
    days = ["2001-12-28", "2001-12-31", "2002-01-02"]
    sessions = table_of("sessions", [(np.datetime64(day), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) for day in days])
    tables = {name: table_of(name, []) for name in COLUMNS} | {"sessions": sessions}
    ruined = Replayed(book="b", currency="USD", opening_micros=100, tables=tables)

    told = [(year.return_ratio, year.drawdown_ratio) for year in years_of(ruined)]
    assert told == [(-1.0, 1.0), (None, None)]
    assert [ratio for *_, ratio in months_of(ruined)] == [-1.0, None]
    assert [year["return_ratio"] for year in summary_of(ruined)["years"]] == ["-1.000000", None]


def test_months_are_told_by_hand_worked_numbers(replayed):
    told = months_of(replayed)
    table = replayed["sessions"]
    closes = dict(zip(table["session"].tolist(), table["equity_micros"].tolist(), strict=True))

    assert [(year, month) for year, month, _ in told] == [(2012, 11), (2012, 12), (2013, 1), (2013, 2)]
    assert told[0][2] == closes[date(2012, 11, 30)] / replayed.opening_micros - 1
    assert told[2][2] == closes[date(2013, 1, 31)] / closes[date(2012, 12, 31)] - 1


def test_scores_are_every_number_of_a_scorecard_once(data, replayed):
    card = scorecard_of(replayed, actions=data.actions, benchmark=benchmark_of(data.panel, data.actions))
    rows = scores_of(card)
    of = {(row.part, row.of, row.measure): row for row in rows}

    assert len(of) == len(rows)
    assert of["whole", "", "performance.sharpe"].value == round(card.performance.sharpe, 9)
    assert of["whole", "", "trading.traded_micros"].amount_micros == card.trading.traded_micros
    assert of["year", "2013", "trading.fills"].value == card.years[1].trading.fills
    assert of["whole", "", "beside.beta"].value == round(card.beside.beta, 9)
    assert of["strategy", "council", "pnl_micros"].amount_micros == card.strategies[0].pnl_micros
    assert all(row.value is None or row.amount_micros is None for row in rows)


def test_every_measure_that_a_sweep_may_be_ranked_by_is_one_of_a_real_replay(data, replayed):
    card = scorecard_of(replayed, actions=data.actions)
    assert set(MEASURES) == set(measures_of(card.performance, card.trading))


def test_a_replay_without_sessions_is_told_without_a_year():
    empty = Replayed(
        book="b", currency="USD", opening_micros=5, tables={name: table_of(name, []) for name in COLUMNS}
    )

    assert years_of(empty) == ()
    told = summary_of(empty)
    assert (told["sessions"], told["closing_micros"], told["equity"]) == (0, 5, [])


def test_the_summary_is_exact_and_as_long_whatever_the_range(replayed):
    told = summary_of(replayed)

    assert canonical_json(told)
    assert told["equity"][0][0] == "2012-11-01"
    assert told["equity"][-1] == ["2013-02-01", told["closing_micros"]]
    assert len(told["equity"]) <= 60
    assert told["reasons"] == dict(reasons_of(replayed))
    assert sum(told["reasons"].values()) == told["rows"]["refusals"]
