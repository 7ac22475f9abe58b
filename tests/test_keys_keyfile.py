"""The key file: what it says comes back, and anything else is corrupt or too new, never an exception."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journals import Logging
from store.disk import RealDisk
from store.errors import StoreUnreadable
from store.keys import Protection, keyfile
from store.keys.keyfile import EntryState, KeyEntry, KeyFile, check_of, decode, encode
from store.keys.passphrase import Stretch
from store.outcomes import Corrupt, SessionError, TooNew

SECRET = bytes(range(32))
IDS = ("00112233445566aa", "00112233445566bb")
STRETCH = Stretch(b"s" * 16, 64, 1, 1)


def entry(place: int = 0, state: EntryState = EntryState.ACTIVE) -> KeyEntry:
    """Return a key without its secret."""
    return KeyEntry(IDS[place], state, check_of(IDS[place], SECRET))


FILES = {
    "keyring": KeyFile(Protection.KEYRING, (entry(), entry(1, EntryState.INCOMING))),
    "insecure": KeyFile(Protection.INSECURE, (replace(entry(), secret=SECRET),)),
    "passphrase": KeyFile(
        Protection.PASSPHRASE,
        (replace(entry(), box=b"b" * 60), replace(entry(1, EntryState.RETIRED), box=b"c" * 60)),
        STRETCH,
    ),
    "volatile": KeyFile(Protection.VOLATILE),
}
INSECURE = encode(FILES["insecure"])


def sealed(fields: dict[str, object]) -> bytes:
    """Return a file with the right checksum, whatever it says."""
    return keyfile._whole(fields)  # type: ignore[arg-type]  # wrong types are what is wanted


def fields_of(name: str) -> dict[str, object]:
    """Return the JSON object of one of the files, without its checksum."""
    fields: dict[str, object] = json.loads(encode(FILES[name]))
    del fields["check"]
    return fields


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_is_read(name: str) -> None:
    """Each protection has its own shape."""
    assert decode(encode(FILES[name])) == FILES[name]
    assert (SECRET.hex() in encode(FILES[name]).decode()) is False
    assert (keyfile._text(SECRET) in encode(FILES[name]).decode()) == (name == "insecure")


def test_what_a_later_version_adds_is_kept() -> None:
    """In the file, and in each key, under the same format."""
    fields = fields_of("keyring")
    fields["zeal"] = {"deep": [1]}
    fields["keys"][0]["made_at"] = 17  # type: ignore[index]  # it is a list of objects
    file = decode(sealed(fields))
    assert json.loads(encode(file)) == json.loads(sealed(fields))


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_is_corrupt(name: str) -> None:
    """None makes it too new, or another key file."""
    data = encode(FILES[name])
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corrupt):
            decode(bytes(damaged))


@pytest.mark.parametrize("name", FILES)
def test_every_cut_is_corrupt(name: str) -> None:
    """And every byte too many."""
    data = encode(FILES[name])
    for damaged in [*(data[:size] for size in range(len(data))), data + b"\n", data + data]:
        with pytest.raises(Corrupt):
            decode(damaged)


def test_a_later_format_is_too_new() -> None:
    """Whatever else it changes, its checksum included."""
    with pytest.raises(TooNew, match="format 2"):
        decode(sealed({**fields_of("keyring"), "format": 2}))
    with pytest.raises(TooNew):
        decode(b'{"format": 3, "keys": "elsewhere"}')


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 0},
        {"format": True},
        {"format": "1"},
        {"format": None},
        {"protection": "hope"},
        {"protection": None},
        {"active": None},
        {"active": IDS[1]},
        {"keys": None},
        {"keys": []},
        {"keys": ["key"]},
        {"keys": [{}]},
        {"keys": [{"id": IDS[0], "state": "active", "check": 5}]},
        {"keys": [{"id": IDS[0], "state": "lost", "check": ""}]},
        {"keys": [{"id": "0", "state": "active", "check": ""}], "active": "0"},
        {"keys": [{"id": IDS[0], "state": "active", "check": ""}] * 2},
        {"keys": [{"id": IDS[0], "state": "active", "check": "", "secret": keyfile._text(SECRET)}]},
        {"keys": [{"id": IDS[0], "state": "active", "check": "", "box": "AAAA"}]},
        {"keys": [{"id": IDS[0], "state": "active", "check": "", "box": 5}]},
        {"keys": [{"id": f"{n:016x}", "state": "retired", "check": ""} for n in range(65)]},
        {"protection": "volatile"},
        {"protection": "insecure"},
        {"protection": "passphrase"},
        {"argon2id": {"salt": keyfile._text(b"s" * 16), "memory_kib": 64, "iterations": 1, "lanes": 1}},
    ],
)
def test_what_makes_no_sense_is_corrupt(changes: dict[str, object]) -> None:
    """Even with its checksum right."""
    with pytest.raises(Corrupt):
        decode(sealed({**fields_of("keyring"), **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_kib": 1024 * 1024 + 1},
        {"memory_kib": 7},
        {"memory_kib": -1},
        {"memory_kib": True},
        {"memory_kib": "64"},
        {"iterations": 0},
        {"iterations": 101},
        {"lanes": 0},
        {"lanes": 65},
        {"lanes": 9},
        {"salt": ""},
        {"salt": "!"},
        {"salt": None},
    ],
)
def test_parameters_of_a_passphrase_are_bounded(changes: dict[str, object]) -> None:
    """A file must not make its reader take all memory, or stretch for a day."""
    fields = fields_of("passphrase")
    fields["argon2id"] = {**fields["argon2id"], **changes}  # type: ignore[dict-item]  # it is an object
    with pytest.raises(Corrupt):
        decode(sealed(fields))
    del fields["argon2id"]["salt"]  # type: ignore[attr-defined]  # as above
    with pytest.raises(Corrupt):
        decode(sealed(fields))


def test_a_secret_that_is_not_the_key_is_corrupt() -> None:
    """The check beside it tells."""
    fields = fields_of("insecure")
    fields["keys"][0]["secret"] = keyfile._text(bytes(32))  # type: ignore[index]  # as above
    with pytest.raises(Corrupt) as caught:
        decode(sealed(fields))
    assert caught.value.__context__ is None  # it would hold what was being read


@given(data=st.binary(max_size=300))
def test_any_bytes_are_corrupt_or_too_new(data: bytes) -> None:
    """Never another exception."""
    for each in (data, INSECURE + data, data + INSECURE, INSECURE[:100] + data + INSECURE[100:]):
        try:
            decode(each)
        except SessionError:
            continue
        assert each == INSECURE


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["active", *IDS]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "state", "check", "box", "secret", "salt"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(
    changes=st.dictionaries(
        st.sampled_from(["format", "protection", "active", "keys", "argon2id", "more"]), VALUES, max_size=4
    )
)
def test_any_json_with_the_right_checksum_is_named_too(changes: dict[str, object]) -> None:
    """Or makes sense, and is then written as it was read."""
    try:
        file = decode(sealed({**fields_of("keyring"), **changes}))
    except SessionError:
        return
    assert decode(encode(file)) == file


def test_too_much_is_not_parsed() -> None:
    """And deep nesting is no way around."""
    for data in (b"[" * 60_000, b" " * (keyfile.MAX_BYTES + 1), b'{"a":' * 10_000):
        with pytest.raises(Corrupt):
            decode(data)


def test_the_file_and_its_copy_are_equal_and_durable(tmp_path: Path) -> None:
    """First the file, then the copy, each synced, renamed, and its name synced."""
    disk = Logging()
    keyfile.write(disk, tmp_path, FILES["insecure"])
    assert keyfile.read(disk, tmp_path) == FILES["insecure"]
    assert (tmp_path / "keys").read_bytes() == (tmp_path / "keys.bak").read_bytes() == INSECURE
    steps = [name for name, _ in disk.calls("create", "write", "sync", "rename", "sync_dir")]
    assert steps == ["create", "write", "sync", "rename", "sync_dir"] * 2


def test_a_disk_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """It is not taken for a first start."""
    disk = Logging()
    disk.refuse["read"] = errno.EIO
    with pytest.raises(StoreUnreadable):
        keyfile.read(disk, tmp_path)
    assert keyfile.read(RealDisk(), tmp_path) is None
