"""The reviewed file of routes: what it gives, and each contradiction that it is refused for."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources.route_file import DEFAULT, Traded, read_routes
from resources.settings import Profile
from trading.errors import BadSetting
from trading.routing import EMBEDDED_PAPER

BOOKS = {"us_five": Traded("SIM-FIVE", "XNYS"), "us_wide": Traded("SIM-WIDE", "XNYS")}
EVERYTHING = """
[[routes]]
account = "*"
market = "*"
strategy = "*"
adapters = ["embedded_paper"]
reason = "nobody's money"
"""


def route(**keys) -> str:
    told = {
        "account": "SIM-FIVE",
        "market": "*",
        "strategy": "*",
        "adapters": ["embedded_paper"],
        "reason": "r",
    }
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in {**told, **keys}.items()]
    return "\n".join(["", "[[routes]]", *lines, ""])


def reaches(adapter: str, account: str, **keys: str) -> str:
    told = [f'{name} = "{value}"' for name, value in {"account": account, **keys}.items()]
    return "\n".join(["", f"[adapters.{adapter}]", *told, ""])


@pytest.fixture
def read(tmp_path):
    def given(content: str, profile: Profile = Profile.SIMULATED, **options):
        path = tmp_path / "routes.toml"
        path.write_text(content, encoding="utf-8")
        return read_routes(path, profile=profile, books=BOOKS, **options)

    return given


def adapters_of(routes, account: str, strategy: str = "council") -> tuple[str, ...]:
    return routes.table.line_for(account=account, market="XNYS", strategy=strategy).adapters


def test_without_a_file_every_order_goes_to_the_embedded_paper_broker(tmp_path):
    routes = read_routes(tmp_path / "none.toml", profile=Profile.PAPER, books=BOOKS)

    assert routes.table.lines == (DEFAULT,)
    assert adapters_of(routes, "SIM-WIDE") == (EMBEDDED_PAPER,)


def test_the_shipped_file_gives_each_book_the_embedded_paper_broker_and_no_fallback():
    path = Path("config/routes.toml")
    for profile in (Profile.SIMULATED, Profile.PAPER):
        routes = read_routes(path, profile=profile, books=BOOKS)
        assert {adapters_of(routes, traded.account) for traded in BOOKS.values()} == {(EMBEDDED_PAPER,)}


def test_an_account_has_its_own_route_and_an_adapter_what_it_was_opened_with(read):
    routes = read(
        EVERYTHING
        + route(adapters=["paper_exchange", "embedded_paper"])
        + reaches("paper_exchange", "SIM-FIVE", opening_cash="250000.5")
    )

    assert adapters_of(routes, "SIM-FIVE") == ("paper_exchange", "embedded_paper")
    assert adapters_of(routes, "SIM-WIDE") == ("embedded_paper",)
    assert routes.openings == {"paper_exchange": 250_000_500_000}


def test_a_line_of_one_profile_is_none_in_another(read):
    content = (
        EVERYTHING + route(profile="live", adapters=["alpaca_live"]) + reaches("alpaca_live", "SIM-FIVE")
    )

    assert adapters_of(read(content, Profile.LIVE), "SIM-FIVE") == ("alpaca_live",)
    assert adapters_of(read(content, Profile.PAPER), "SIM-FIVE") == ("embedded_paper",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            EVERYTHING + route(adapters=["lean"]),
            r"\[routes 2\] adapters: 'lean' is no adapter; known are embedded",
        ),
        (EVERYTHING + route(adapters=[]), "names no adapter"),
        (EVERYTHING + route(reason=" "), "has no reason"),
        (EVERYTHING + EVERYTHING, "neither is more specific"),
        (EVERYTHING + route() + route(account="*", market="XNYS"), "neither is more specific"),
        (route(), "no route for book us_wide"),
        (EVERYTHING.replace('strategy = "*"', 'strategy = "council"'), "no route for book us_five"),
        (
            route(profile="live") + EVERYTHING.replace("reason", 'profile = "live"\nreason'),
            "no route for book",
        ),
        (EVERYTHING + route(account="SIM-FVE"), "account = 'SIM-FVE': no book has it"),
        (EVERYTHING + route(market="XNAS"), "market = 'XNAS': no book has it"),
        (EVERYTHING + route(adapters=["paper_exchange"]), "reaches one account; say which"),
        (
            EVERYTHING
            + route(adapters=["embedded_paper", "paper_exchange"])
            + reaches("paper_exchange", "SIM-WIDE"),
            "paper_exchange reaches account SIM-WIDE alone, the line is for 'SIM-FIVE'",
        ),
        (
            route(account="*", adapters=["paper_exchange"]) + reaches("paper_exchange", "SIM-FIVE"),
            r"the line is for '\*'",
        ),
        (
            EVERYTHING + route(adapters=["alpaca_live"]) + reaches("alpaca_live", "SIM-FIVE"),
            'alpaca_live moves real money; its line needs profile = "live"',
        ),
        (
            EVERYTHING
            + route(adapters=["alpaca_live"], profile="paper")
            + reaches("alpaca_live", "SIM-FIVE"),
            "moves real money",
        ),
        (
            EVERYTHING
            + route(adapters=["alpaca_live", "embedded_paper"], profile="live")
            + reaches("alpaca_live", "SIM-FIVE"),
            "are live and paper in one route",
        ),
        (
            EVERYTHING + reaches("embedded_paper", "SIM-FIVE"),
            r"\[adapters.embedded_paper\]: nothing reads it",
        ),
        (EVERYTHING + reaches("lean", "SIM-FIVE"), r"\[adapters.lean\]: nothing reads it"),
        (EVERYTHING + reaches("paper_exchange", "SIM-NONE"), "account = 'SIM-NONE': is of no book"),
        (EVERYTHING + reaches("paper_exchange", "SIM-FIVE", opening_cash="much"), "opening_cash"),
        (EVERYTHING + route(fallback="none"), r"\[routes 2\] fallback = 'none': Extra inputs"),
        (EVERYTHING.replace('reason = "nobody\'s money"', ""), r"\[routes 1\] reason: missing"),
        ("", r"\[routes\]: missing"),
        ("routes = 1", "routes"),
        ("[[", "routes.toml"),
    ],
)
def test_a_contradiction_is_refused_and_named(read, content, told):
    with pytest.raises(BadSetting, match=told):
        read(content)


def test_a_shipped_books_line_stands_where_only_other_books_are_traded(read, tmp_path):
    content = EVERYTHING + route(account="SIM-WIDE")
    path = tmp_path / "routes.toml"
    path.write_text(content, encoding="utf-8")

    routes = read_routes(
        path, profile=Profile.PAPER, books={"us_five": BOOKS["us_five"]}, shipped=BOOKS.values()
    )

    assert adapters_of(routes, "SIM-FIVE") == ("embedded_paper",)
