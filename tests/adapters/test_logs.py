"""Logs: JSON lines with ids, and no secret in any."""

import errno
import fcntl
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr

from resources import logs
from resources.logs import FILES_KEPT, configure_logging, log_of, with_ids

AT = datetime(2013, 2, 28, 14, tzinfo=UTC)

PROJECT = Path(__file__).resolve().parents[2]

LINES = 3_000
"""What one of two processes writes: about a megabyte in all."""

FILES_AT_LEAST = 10

WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path

from resources import logs

logs.FILE_BYTES_MAX, logs.FILES_KEPT = 40_000, 100
path, name, count = sys.argv[1:]
logs.configure_logging(Path(path))
log = logs.log_of("executor")
for number in range(int(count)):
    log.info("event", writer=name, number=number, padding="x" * (number % 150))
"""


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "simulated" / "logs" / "trading.jsonl"
    configure_logging(path, now=lambda: AT)
    yield lambda: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
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
    configure_logging(tmp_path / "quiet.jsonl", level="WARNING", now=lambda: AT)
    log_of("executor").info("unheard")
    log_of("executor").warning("heard")

    assert [json.loads(line)["event"] for line in (tmp_path / "quiet.jsonl").read_text().splitlines()] == [
        "heard"
    ]


def test_a_full_file_makes_room_for_the_next_and_loses_no_line(tmp_path, lines, monkeypatch):
    monkeypatch.setattr(logs, "FILE_BYTES_MAX", 400)
    configure_logging(tmp_path / "small.jsonl", now=lambda: AT)
    for number in range(12):
        log_of("executor").info("event", number=number)

    files = sorted(tmp_path.glob("small.jsonl*"))
    assert len(files) > 2
    assert {json.loads(line)["number"] for file in files for line in file.read_text().splitlines()} == set(
        range(12)
    )


def test_only_so_many_full_files_are_kept_and_the_oldest_gives_way(tmp_path, lines, monkeypatch):
    monkeypatch.setattr(logs, "FILE_BYTES_MAX", 200)
    configure_logging(tmp_path / "small.jsonl", now=lambda: AT)
    for number in range(40):
        log_of("executor").info("event", number=number)

    kept = ["small.jsonl", *(f"small.jsonl.{place}" for place in range(1, FILES_KEPT + 1))]
    numbers = [
        json.loads(line)["number"]
        for name in reversed(kept)
        for line in (tmp_path / name).read_text().splitlines()
    ]
    assert sorted(path.name for path in tmp_path.glob("small.jsonl*")) == kept
    assert numbers == list(range(numbers[0], 40))


def test_no_line_leaves_a_file_open(lines, tmp_path):
    log_of("graph").info("event")
    opened = [file.readlink() for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]

    assert len(lines()) == 1
    assert not [path for path in opened if path.is_relative_to(tmp_path)]


def test_two_processes_that_fill_one_file_many_times_lose_no_line_and_tear_none(tmp_path):
    """Each writes so much that both make room many times; the files kept hold all of it."""
    path = tmp_path / "shared.jsonl"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, str(LINES)], cwd=PROJECT)
        for name in ("one", "two")
    ]

    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    files = list(tmp_path.glob("shared.jsonl*"))
    found = [[json.loads(line) for line in file.read_text("utf-8").splitlines()] for file in files]
    assert sorted((line["writer"], line["number"]) for lines in found for line in lines) == [
        (name, number) for name in ("one", "two") for number in range(LINES)
    ]
    # Both were at it at once, and room was made often enough that they met there.
    assert len(files) > FILES_AT_LEAST
    assert any(len({line["writer"] for line in lines}) == len(writers) for lines in found)


def test_a_line_that_cannot_be_written_is_told_of_and_stops_nobody(tmp_path, lines, capfd):
    folder = tmp_path / "gone"
    configure_logging(folder / "trading.jsonl", now=lambda: AT)
    folder.rmdir()
    log_of("executor").info("event")

    assert "a line of the log was not written" in capfd.readouterr().err


def test_a_line_that_cannot_be_written_stops_nobody_where_stderr_is_full_too(tmp_path, lines, monkeypatch):
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = tmp_path / "gone"
    configure_logging(folder / "trading.jsonl", now=lambda: AT)
    folder.rmdir()
    monkeypatch.setattr(sys, "stderr", Full())
    log_of("executor").info("event")
    monkeypatch.setattr(sys, "stderr", None)
    log_of("executor").info("event")

    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_told_of_and_stops_nobody(tmp_path, capfd):
    (tmp_path / "logs").write_text("a file where the folder belongs", encoding="utf-8")
    try:
        configure_logging(tmp_path / "logs" / "trading.jsonl", now=lambda: AT)
        log_of("executor").info("event")
    finally:
        structlog.reset_defaults()

    told = capfd.readouterr().err
    assert "the log's folder was not made" in told
    assert "a line of the log was not written" in told


def test_a_writer_that_is_stopped_while_it_holds_the_log_stops_nobody_else(lines, tmp_path, monkeypatch):
    log_of("executor").info("before")
    monkeypatch.setattr(logs, "FILE_BYTES_MAX", 1)
    path = tmp_path / "simulated" / "logs" / "trading.jsonl"
    stopped = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(stopped, fcntl.LOCK_EX)
    configure_logging(path, now=lambda: AT)
    log_of("executor").info("meanwhile")
    os.close(stopped)

    # Only who holds the log makes room.
    assert [line["event"] for line in lines()] == ["before", "meanwhile"]
    log_of("executor").info("after")
    assert [line["event"] for line in lines()] == ["after"]


def test_a_child_that_was_forked_during_a_line_does_not_keep_the_log(tmp_path):
    going, gone = os.pipe()
    with logs._held(tmp_path):
        child = os.fork()
        if child == 0:
            os.read(going, 1)
            os._exit(0)
    try:
        with logs._held(tmp_path) as is_ours:
            assert is_ours
    finally:
        os.write(gone, b"!")
        os.waitpid(child, 0)
        os.close(going)
        os.close(gone)


def test_a_line_that_a_full_disk_took_in_part_is_taken_back(lines, monkeypatch, capfd):
    log_of("executor").info("whole")
    write = os.write
    monkeypatch.setattr(os, "write", lambda opened, content: write(opened, content[:20]))
    log_of("executor").info("torn")
    monkeypatch.undo()
    log_of("executor").info("after")

    assert [line["event"] for line in lines()] == ["whole", "after"]
    assert "No space left" in capfd.readouterr().err


def test_a_process_that_was_given_no_log_says_nothing(capfd):
    structlog.reset_defaults()
    with with_ids(book="us_five"):
        log_of("executor").warning("event")

    assert capfd.readouterr() == ("", "")
