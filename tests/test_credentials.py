"""CURVE keys and tokens at rest: kept, replaced, forgotten; and never in plain sight, wherever one looks."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from commanding import files, flip, loose_modes, words_of
from shelves import shelf
from store.credentials import (
    COPY,
    MAX_SECRET_LETTERS,
    NAME,
    BadCredential,
    Credentials,
    CurveKeys,
    Token,
    is_there,
)
from store.disk import RealDisk
from store.errors import StoreError
from store.keys import Keychain
from store.outcomes import Busy, Corrupt, LockedKey, MissingKey, SessionError
from vaults import MemoryVault

CANARY = "ThisTokenMustNotBeSeenAnywhere0123456789"
CURVE = CurveKeys("s" * 40, "p" * 40, "CanarySecretKey" + "k" * 25)
TOKEN = Token(CANARY)


@pytest.fixture
def keychain(tmp_path: Path) -> Keychain:
    """Keys in a keyring, so that no secret has any business on this disk."""
    return shelf(tmp_path, vault=MemoryVault()).keychain


@pytest.fixture
def credentials(tmp_path: Path, keychain: Keychain) -> Credentials:
    """With two things in it."""
    found = Credentials(tmp_path, RealDisk(), keychain)
    found.set("10.0.0.2:5555", CURVE)
    found.set("token of the lab", TOKEN)
    return found


def test_what_was_set_is_got_by_everybody_with_the_key(
    credentials: Credentials, tmp_path: Path, keychain: Keychain
) -> None:
    """Also after a restart."""
    for each in (credentials, Credentials(tmp_path, RealDisk(), keychain)):
        assert each.names() == ["10.0.0.2:5555", "token of the lab"]
        assert each.get("10.0.0.2:5555") == CURVE
        assert each.get("token of the lab") == TOKEN
        assert each.get("nothing") is None
    assert is_there(RealDisk(), tmp_path)


def test_setting_replaces_and_removing_forgets(credentials: Credentials) -> None:
    """One by one; removing what is not there is no error."""
    credentials.set("10.0.0.2:5555", TOKEN)
    assert credentials.get("10.0.0.2:5555") == TOKEN
    assert credentials.remove("10.0.0.2:5555") is True
    assert credentials.remove("10.0.0.2:5555") is False
    assert credentials.names() == ["token of the lab"]


def test_nothing_stored_is_no_error(tmp_path: Path, keychain: Keychain) -> None:
    """And makes no file."""
    before = files(tmp_path)
    found = Credentials(tmp_path, RealDisk(), keychain)
    assert (found.names(), found.get("x"), found.remove("x")) == ([], None, False)
    assert files(tmp_path) == before
    assert not is_there(RealDisk(), tmp_path)


# -- nothing in plain sight ----------------------------------------------------------------


class Recording(RealDisk):
    """Remembers every byte that any file was ever given, also of those that are gone."""

    def __init__(self) -> None:
        self.written = b""
        self.names: list[str] = []

    def create(self, path: Path) -> int:
        self.names.append(str(path))
        return super().create(path)

    def write(self, handle: int, data: bytes | memoryview) -> int:
        self.written += bytes(data)
        return super().write(handle, data)


def test_no_byte_that_was_ever_written_shows_a_secret(tmp_path: Path) -> None:
    """Part files and files since replaced included; nor do names; and everything is for its owner alone."""
    disk = Recording()
    keychain = shelf(tmp_path / "data", disk, vault=MemoryVault()).keychain
    found = Credentials(tmp_path / "data", disk, keychain)
    found.set("a", CURVE)
    found.set("b", TOKEN)
    found.remove("a")
    assert disk.written
    for secret in (CANARY, CURVE.secret, CURVE.public, CURVE.server):
        for form in (secret, secret[:12], secret.encode().hex()):
            assert form.encode() not in disk.written
            assert form not in "".join(disk.names)
            assert not any(form.encode() in data for data in files(tmp_path).values())
    assert loose_modes(tmp_path / "data") == []


def test_no_word_about_them_shows_a_secret(credentials: Credentials, tmp_path: Path) -> None:
    """Neither representations nor exceptions, whatever goes wrong."""
    said = [repr(credentials), str(credentials), repr(CURVE), str(TOKEN), f"{TOKEN!r}"]
    for name in (NAME, COPY):
        flip(tmp_path / name)
    calls: list[Callable[[], object]] = [
        lambda: credentials.get("10.0.0.2:5555"),
        lambda: credentials.set("x", TOKEN),
        lambda: credentials.set("", TOKEN),
        lambda: credentials.set("x", Token("")),
        lambda: credentials.set("x", replace(CURVE, secret=CANARY * 10_000)),
    ]
    for call in calls:
        with pytest.raises((SessionError, BadCredential)) as caught:
            call()
        said += words_of(caught.value)
        said += traceback.format_exception(caught.value)
    for secret in (CANARY, CURVE.secret):
        assert not any(secret in words for words in said)


# -- damage, keys, others ------------------------------------------------------------------


@pytest.mark.parametrize("which", [NAME, COPY])
@pytest.mark.parametrize("how", ["flipped", "gone", "empty", "garbage"])
def test_one_damaged_file_costs_nothing(
    credentials: Credentials, tmp_path: Path, which: str, how: str
) -> None:
    """The other says the same; the next change puts the damaged one aside and both are well again."""
    path = tmp_path / which
    if how == "flipped":
        flip(path)
    elif how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if how == "empty" else b"garbage")
    assert credentials.get("10.0.0.2:5555") == CURVE
    there = path.read_bytes() if path.exists() else None
    credentials.set("more", TOKEN)
    assert len(credentials.names()) == 3
    kept = [data for name, data in files(tmp_path).items() if name.startswith("quarantine/")]
    assert kept == ([] if there is None else [there])
    for each in (NAME, COPY):
        (tmp_path / each).rename(tmp_path / "aside")
        assert len(credentials.names()) == 3
        (tmp_path / "aside").rename(tmp_path / each)


def test_both_damaged_is_corrupt_and_nothing_is_written_over(
    credentials: Credentials, tmp_path: Path
) -> None:
    """Every flipped bit of both is noticed, and what is there stays for whoever can still read it."""
    whole = {name: (tmp_path / name).read_bytes() for name in (NAME, COPY)}
    for where in range(0, min(map(len, whole.values())), 7):
        for name, data in whole.items():
            (tmp_path / name).write_bytes(data)
            flip(tmp_path / name, where)
        before = files(tmp_path)
        with pytest.raises(SessionError):
            credentials.get("10.0.0.2:5555")
        with pytest.raises(SessionError):
            credentials.set("x", TOKEN)
        assert files(tmp_path) == before


def test_what_was_removed_is_in_neither_file(credentials: Credentials, tmp_path: Path) -> None:
    """Even if the main file is lost afterwards."""
    credentials.remove("token of the lab")
    (tmp_path / NAME).unlink()
    assert credentials.names() == ["10.0.0.2:5555"]


def test_a_removal_the_disk_refused_halfway_can_be_asked_for_again(
    credentials: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused at any step: the old ones are there, and the next attempt forgets in both."""
    for step in range(1, 13):
        calls = 0
        for name in ("create", "write", "sync", "rename", "sync_dir"):
            real = getattr(RealDisk, name)

            def counted(*arguments: object, real: object = real, step: int = step) -> object:
                nonlocal calls
                calls += 1
                if calls == step + 1:
                    raise OSError(5, "refused")
                return real(*arguments)  # type: ignore[operator]  # any of the disk's calls

            monkeypatch.setattr(RealDisk, name, counted)
        said = ""
        try:
            credentials.set("a", TOKEN)
        except StoreError as problem:
            said = str(problem)
        monkeypatch.undo()
        assert CANARY not in said
        assert credentials.get("10.0.0.2:5555") == CURVE
        credentials.set("a", TOKEN)
        credentials.remove("a")
        (tmp_path / NAME).unlink()
        assert "a" not in credentials.names()
        credentials.set("b", TOKEN)


def test_without_the_key_it_is_said_which_is_missing(
    credentials: Credentials, tmp_path: Path, keychain: Keychain
) -> None:
    """Locked, or another directory's keys."""
    del credentials
    locked = Keychain.open(tmp_path, RealDisk(), MemoryVault())
    with pytest.raises(LockedKey):
        Credentials(tmp_path, RealDisk(), locked).get("10.0.0.2:5555")
    other = shelf(tmp_path / "other", seed=3, vault=MemoryVault()).keychain
    with pytest.raises(MissingKey) as caught:
        Credentials(tmp_path, RealDisk(), other).names()
    assert str(keychain.active_id) in str(caught.value)


def test_two_writers_do_not_lose_each_others_changes(credentials: Credentials) -> None:
    """The second is told that it is busy, and what the first keeps is there."""
    with credentials.locked(), pytest.raises(Busy):
        credentials.set("x", TOKEN)
    credentials.set("x", TOKEN)
    assert "x" in credentials.names()


def test_what_cannot_be_kept_is_refused(credentials: Credentials) -> None:
    """Names and values beyond their bounds."""
    for name, value in (("", TOKEN), ("x" * 257, TOKEN), ("x", Token("y" * (MAX_SECRET_LETTERS + 1)))):
        with pytest.raises(BadCredential):
            credentials.set(name, value)
    assert len(credentials.names()) == 2


def test_a_file_of_another_kind_is_not_taken_for_credentials(tmp_path: Path, keychain: Keychain) -> None:
    """Bytes that are no sealed file at all."""
    (tmp_path / NAME).write_bytes(b"{}")
    with pytest.raises(Corrupt):
        Credentials(tmp_path, RealDisk(), keychain).names()
