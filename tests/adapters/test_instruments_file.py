"""The reviewed names: the shipped file is read, a mistake is named, and rows come under their symbols."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from resources.calendars import load_calendar
from resources.instruments import load_instruments
from resources.market_data.bar_folder import BarFolder
from resources.market_data.translated import Translated
from resources.paper_broker.broker import PaperBroker
from resources.reviewed_config import read_restrictions
from tests.adapters.broker_rules import MODEL, Market, request
from trading.errors import BadSetting, BrokerRejected, UnknownSession
from trading.orders import OrderStatus
from trading.quality import SYMBOL_PATTERN

CONFIG = Path(__file__).resolve().parents[2] / "config"
SHIPPED = CONFIG / "instruments.toml"
NEW_YORK = load_calendar("XNYS", CONFIG / "calendars")


def test_the_shipped_names_are_read():
    names = load_instruments(SHIPPED, "XNYS")

    assert names.symbol_of("META", date(2023, 1, 3)) == "FB"
    assert names.symbol_of("META", date(2021, 12, 1)) == "METV"
    assert load_instruments(SHIPPED, "XKRX").listed == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[instrument]]\n", "known is"),
        ('[[instruments]]\nmarket = "XNYS"\nsymbol = "A"\nreason = "r"\n', "names: missing"),
        (
            '[[instruments]]\nmarket = "XNYS"\nsymbol = "BRK/B"\nreason = "r"\nnames = [{name = "BRK.B"}]\n',
            "BRK.B",
        ),
        (
            '[[instruments]]\nmarket = "XNYS"\nsymbol = "A"\nreason = "r"\nnames = [{name = "A", to = 1}]\n',
            "to",
        ),
        ("not toml", "instruments.toml"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path, text, told):
    path = tmp_path / "instruments.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(BadSetting, match=told):
        load_instruments(path, "XNYS")


def test_rows_of_one_instrument_under_three_notations_and_two_names_are_one_history(tmp_path):
    (tmp_path / "bars.csv").write_text(
        "symbol,date,open,high,low,close,volume\n"
        "BRK/B,2022-06-08,1,1,1,1,1\n"
        "BRK-B,2022-06-09,1,1,1,1,1\n"
        "FB,2022-06-08,1,1,1,1,1\n"
        "META,2022-06-09,1,1,1,1,1\n"
        "FB,2022-06-10,1,1,1,1,1\n",
        encoding="utf-8",
    )
    (tmp_path / "actions.csv").write_text(
        "symbol,effective_on,kind,numerator,denominator,dividend\nMETA,2022-06-10,split,2,1,\n",
        encoding="utf-8",
    )
    source = Translated(BarFolder(tmp_path), load_instruments(SHIPPED, "XNYS"))
    symbols = [row.symbol for row in source.raw_bars(date.min, date.max)]

    assert sorted(symbols[:2]) == ["BRK.B", "FB"]
    assert sorted(symbols[2:4]) == ["BRK.B", "FB"]
    assert not SYMBOL_PATTERN.fullmatch(symbols[4]), "somebody else's bars are quarantined"
    assert [action.symbol for action in source.actions()] == ["FB"]


def test_a_restriction_holds_in_any_notation_and_under_no_name_that_nothing_is_stored_by(tmp_path):
    path = tmp_path / "restricted.toml"
    (tmp_path / "instruments.toml").write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    line = '[[restricted]]\npolicy = 1\nsymbol = "{}"\nfrom = 2022-07-01\nreason = "deal"\n'
    path.write_text(line.format("BRK/B"), encoding="utf-8")
    assert [one.symbol for one in read_restrictions("us_five", path)] == ["BRK.B"]

    path.write_text(line.format("META"), encoding="utf-8")
    with pytest.raises(BadSetting, match="is stored as FB or METV"):
        read_restrictions("us_five", path)


HALF_DAY = date(2012, 11, 23)


def test_on_a_half_day_an_order_ends_at_the_early_close_and_later_ones_are_refused(tmp_path):
    broker = PaperBroker(
        tmp_path / "SIM.db",
        account="SIM",
        deposit_micros=10**12,
        market=Market(THIN=400),
        fill_model=MODEL,
        calendar=NEW_YORK,
    )
    before = datetime(2012, 11, 23, 13, 0, tzinfo=UTC)
    early_close = datetime(2012, 11, 23, 18, 0, tzinfo=UTC)
    assert NEW_YORK.closes_at(HALF_DAY) == early_close

    taken = broker.submit(request("THIN", session=HALF_DAY), now=before)
    ended = broker.order_by_client_order_id(taken.client_order_id, now=early_close)

    assert ended.status is OrderStatus.CANCELLED
    with pytest.raises(BrokerRejected, match="session_over"):
        broker.submit(request("THIN", session=HALF_DAY, client_order_id="ta-late"), now=early_close)


@pytest.mark.parametrize(
    "closed", [date(2012, 11, 22), date(2012, 11, 24)], ids=["Thanksgiving", "a Saturday"]
)
def test_a_closed_market_has_no_session_to_trade_in(closed):
    with pytest.raises(UnknownSession, match=r"Thanksgiving|weekend"):
        NEW_YORK.opens_at(closed)
