"""Logs: JSON lines with ids, and no secret in any."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr

from resources import logs
from resources.logs import configure_logging, log_of, with_ids

AT = datetime(2013, 2, 28, 14, tzinfo=UTC)


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "simulated" / "logs" / "trading.jsonl"
    close = configure_logging(path, now=lambda: AT)
    yield lambda: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    close()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_an_event_is_one_json_line_with_time_level_part_and_values(lines):
    log_of("executor").info("order_submitted", symbol="BRK.B", quantity=3)

    assert lines() == [
        {
            "at": "2013-02-28T14:00:00+00:00",
            "level": "info",
            "part": "executor",
            "event": "order_submitted",
            "symbol": "BRK.B",
            "quantity": 3,
        }
    ]


def test_ids_bound_around_an_event_are_in_its_line_and_not_in_the_next(lines):
    with with_ids(book="us_five", session=AT.date()), with_ids(intent_id="i-1"):
        log_of("executor").warning("order_unknown")
    log_of("executor").info("done")

    first, second = lines()
    assert (first["book"], first["session"], first["intent_id"]) == ("us_five", "2013-02-28", "i-1")
    assert not {"book", "session", "intent_id"} & set(second)


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "api_key",
        "APCA-API-SECRET-KEY",
        "access_token",
        "Authorization",
        "webhook_url",
        "email_url",
        "Set-Cookie",
        "appKey_app_key",
    ],
)
def test_what_lies_under_a_secrets_name_is_starred_out_however_deep(lines, key):
    log_of("http").info("request", **{key: "hush-1"}, headers={key: "hush-2", "list": [{key: ["hush-3"]}]})

    assert "hush" not in json.dumps(lines())
    assert lines()[0][key] == "**********"


def test_counts_and_ids_are_no_secrets(lines):
    log_of("llm").info(
        "asked", prompt_tokens=12, token=3, intent_key="k-1", idempotency_key="k-2", keys=["a"]
    )

    line = lines()[0]
    assert (line["prompt_tokens"], line["token"], line["intent_key"], line["idempotency_key"]) == (
        12,
        3,
        "k-1",
        "k-2",
    )


def test_a_secret_value_keeps_itself_under_any_name(lines):
    log_of("http").info("request", url=SecretStr("hush"))

    assert "hush" not in json.dumps(lines())


def test_an_error_is_logged_with_its_trace_and_without_local_values(lines):
    hidden = "hu" + "sh"
    try:
        int(hidden[:0])
    except ValueError:
        log_of("executor").exception("failed")

    (line,) = lines()
    assert "ValueError: invalid literal for int()" in line["exception"]
    assert "hush" not in json.dumps(line)


def test_lines_under_the_level_are_not_written(tmp_path, lines):
    close = configure_logging(tmp_path / "quiet.jsonl", level="WARNING", now=lambda: AT)
    log_of("executor").info("unheard")
    log_of("executor").warning("heard")
    close()

    assert [json.loads(line)["event"] for line in (tmp_path / "quiet.jsonl").read_text().splitlines()] == [
        "heard"
    ]


def test_a_full_file_makes_room_for_the_next_and_loses_no_line(tmp_path, lines, monkeypatch):
    monkeypatch.setattr(logs, "FILE_BYTES_MAX", 400)
    close = configure_logging(tmp_path / "small.jsonl", now=lambda: AT)
    for number in range(12):
        log_of("executor").info("event", number=number)
    close()

    files = sorted(tmp_path.glob("small.jsonl*"))
    assert len(files) > 2
    assert {json.loads(line)["number"] for file in files for line in file.read_text().splitlines()} == set(
        range(12)
    )


def test_a_line_after_the_end_is_kept_and_leaves_no_file_open(tmp_path):
    path = tmp_path / "trading.jsonl"
    close = configure_logging(path, now=lambda: AT)
    log_of("graph").info("within")
    close()
    log_of("graph").info("after")
    structlog.reset_defaults()
    opened = [file.readlink() for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]

    assert [json.loads(line)["event"] for line in path.read_text("utf-8").splitlines()] == ["within", "after"]
    assert path not in opened
