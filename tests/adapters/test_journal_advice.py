"""What a database's message is told as: what happened, and what a person does about it."""

from __future__ import annotations

import errno
import os

import pytest

from resources.journal.condition import advice
from resources.settings_model import SettingsModel

SERVER = 'connection to server at "10.0.0.7", port 5432 failed: '


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (f'{SERVER}FATAL:  database "trading" does not exist', "has no such database; create an empty one"),
        (f'{SERVER}FATAL:  password authentication failed for user "desk"', "refuses this user"),
        (f"{SERVER}fe_sendauth: no password supplied", "PGPASSFILE"),
        (f"{SERVER}Connection refused", "the server does not answer; start it"),
    ],
    ids=["no database", "wrong password", "no password", "no server"],
)
def test_a_server_that_answers_is_told_from_one_that_does_not(message, told):
    assert told in advice(message)
    assert ("does not answer" in advice(message)) is ("refused" in message)


def test_a_disk_that_fails_is_not_told_as_nothing_was_changed():
    assert "may be stored or not" in advice("disk I/O error")
    assert "make room on the disk" in advice("disk I/O error")
    assert "nothing was changed" in advice("database or disk is full")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "nothing was changed; make room on the disk"),
        (errno.EDQUOT, "nothing was changed; make room on the disk"),
        (errno.EIO, "mend the disk"),
        (errno.EROFS, "give it the right"),
        (errno.EACCES, "give it the right"),
        (errno.EPERM, "give it the right"),
    ],
)
def test_what_a_system_says_of_a_file_has_the_same_advice(number, told):
    assert told in advice(os.strerror(number))


def test_an_address_with_an_empty_password_has_none():
    url = "postgresql://desk:@10.0.0.7/trading"

    assert SettingsModel(journal_url=url).journal_url == url
