"""The key that signs: made once, kept from others, never made anew where something was signed."""

from __future__ import annotations

import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from resources.audit_keys import (
    NEW_NAME,
    PRIVATE_NAME,
    PUBLIC_NAME,
    has_key,
    put_in_use,
    signatory_of,
    signing_key,
)
from trading.errors import BadSetting


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "keys"


def key_in_use(folder):
    """Give a key that has signed."""
    key = signing_key(folder, may_make=True)
    put_in_use(folder)
    return key


def test_a_key_is_made_once_and_only_its_owner_can_read_it(folder):
    assert not has_key(folder)
    first = key_in_use(folder)
    private = (folder / PRIVATE_NAME).read_bytes()
    again = signing_key(folder, may_make=True)

    assert stat.S_IMODE((folder / PRIVATE_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in folder.iterdir()) == [PRIVATE_NAME, PUBLIC_NAME]
    assert (folder / PRIVATE_NAME).read_bytes() == private
    assert again.signatory.key_id == first.signatory.key_id


def test_a_new_key_is_the_same_after_a_crash_and_in_use_once_it_has_signed(folder):
    put_in_use(folder)
    first = signing_key(folder, may_make=True)
    assert not has_key(folder)
    again = signing_key(folder, may_make=True)
    put_in_use(folder)
    put_in_use(folder)

    assert has_key(folder)
    assert again.signatory.key_id == first.signatory.key_id == signing_key(folder, may_make=False)[0].key_id
    assert sorted(path.name for path in folder.iterdir()) == [PRIVATE_NAME, PUBLIC_NAME]


def test_a_new_key_takes_the_place_of_none_that_signed(folder, tmp_path):
    key = key_in_use(folder)
    signing_key(tmp_path / "other", may_make=True)
    (tmp_path / "other" / NEW_NAME).rename(folder / NEW_NAME)
    put_in_use(folder)

    assert signing_key(folder, may_make=False).signatory.key_id == key.signatory.key_id
    (folder / PRIVATE_NAME).unlink()
    with pytest.raises(BadSetting, match="is not of the key beside it"):
        signing_key(folder, may_make=True)


def test_the_public_half_alone_tells_a_signature(folder, tmp_path):
    key = key_in_use(folder)
    taken_away = signatory_of((folder / PUBLIC_NAME).rename(tmp_path / "copy.pub"))
    signature = key.sign(b"said")

    assert taken_away.key_id == key.signatory.key_id
    assert taken_away.is_signed(b"said", signature)
    assert not taken_away.is_signed(b"unsaid", signature)
    assert not taken_away.is_signed(b"said", b"")
    assert not taken_away.is_signed(b"said", signature + b"\0")


def test_a_lost_public_half_is_written_again(folder):
    key = key_in_use(folder)
    (folder / PUBLIC_NAME).unlink()
    signing_key(folder, may_make=False)

    assert signatory_of(folder / PUBLIC_NAME).key_id == key.signatory.key_id


def test_a_key_is_not_made_anew_where_one_signed(folder):
    with pytest.raises(BadSetting, match="is missing"):
        signing_key(folder, may_make=False)
    key_in_use(folder)
    (folder / PRIVATE_NAME).unlink()
    with pytest.raises(BadSetting, match="is missing"):
        signing_key(folder, may_make=True)

    assert not (folder / PRIVATE_NAME).exists()


def test_a_key_that_others_can_read_signs_nothing(folder):
    key_in_use(folder)
    (folder / PRIVATE_NAME).chmod(0o640)
    with pytest.raises(BadSetting, match="others can read it"):
        signing_key(folder, may_make=False)


def test_halves_that_are_no_pair_are_told(folder, tmp_path):
    key_in_use(folder)
    key_in_use(tmp_path / "other")
    (tmp_path / "other" / PUBLIC_NAME).replace(folder / PUBLIC_NAME)
    with pytest.raises(BadSetting, match="is not of the key beside it"):
        signing_key(folder, may_make=False)


def elliptic() -> tuple[bytes, bytes]:
    key = generate_private_key(SECP256R1())
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n", *elliptic()]
)
def test_a_file_that_is_no_key_is_told_without_its_content(folder, content):
    key_in_use(folder)
    (folder / PRIVATE_NAME).write_bytes(content)
    (folder / PUBLIC_NAME).write_bytes(content)
    with pytest.raises(BadSetting) as private:
        signing_key(folder, may_make=False)
    with pytest.raises(BadSetting):
        signatory_of(folder / PUBLIC_NAME)

    assert "c2VjcmV0" not in str(private.value)


def test_a_missing_public_key_is_told(folder):
    with pytest.raises(BadSetting, match="put back the copy that was taken away"):
        signatory_of(folder / PUBLIC_NAME)
