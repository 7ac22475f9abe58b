"""Errors name the fault, the place and the way out."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from store.errors import (
    ADVICE,
    DiskError,
    RecordTooLarge,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnreadable,
    disk_error,
    naming,
)

HERE = Path("journal")


@pytest.mark.parametrize(
    ("code", "writing", "reading"),
    [
        (errno.ENOSPC, StoreFull, StoreFull),
        (errno.EDQUOT, StoreFull, StoreFull),
        (errno.EROFS, StoreReadOnly, StoreUnreadable),
        (errno.EACCES, StoreReadOnly, StoreUnreadable),
        (errno.EPERM, StoreReadOnly, StoreUnreadable),
        (errno.ENOTDIR, StoreUnreadable, StoreUnreadable),
        (errno.EIO, DiskError, StoreUnreadable),
        (errno.EMFILE, DiskError, StoreUnreadable),
        (errno.EINVAL, DiskError, StoreUnreadable),
    ],
)
def test_each_refusal_has_its_name_and_its_advice(
    code: int, writing: type[DiskError], reading: type[DiskError]
) -> None:
    """The kind, the path, the number and a sentence of advice that is not the general one."""
    for kind, is_reading in ((writing, False), (reading, True)):
        found = disk_error("write the journal", HERE, OSError(code, "x"), reading=is_reading)
        assert type(found) is kind
        assert (found.what, found.path, found.errno) == ("write the journal", HERE, code)
        assert found.advice == ADVICE[code]
        for part in ("write the journal", "journal", os.strerror(code), found.advice):
            assert part in str(found)


def test_an_unknown_refusal_still_says_what_to_do() -> None:
    """Any number gets a sentence; none at all counts as a fault of the device."""
    assert "another data directory" in disk_error("x", HERE, OSError(errno.ETXTBSY, "x")).advice
    assert disk_error("x", HERE, OSError("no number")).errno == errno.EIO


def test_the_operating_systems_error_stays_attached() -> None:
    """Whoever wants the original finds it as the cause."""
    original = OSError(errno.EIO, "x")
    with pytest.raises(DiskError) as caught, naming("sync", HERE):
        raise original
    assert caught.value.__cause__ is original


@pytest.mark.parametrize(
    "error",
    [
        StoreFull("write", HERE, errno.ENOSPC),
        StoreClosed("use", HERE),
        RecordTooLarge(9, 5),
        StoreReadOnly("w"),
    ],
)
def test_errors_survive_pickling(error: StoreError) -> None:
    """They cross process borders with their data and prose."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 -- what this test itself dumped
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_mistakes_of_the_caller_say_what_to_change() -> None:
    """No disk is blamed for them."""
    assert "70000 bytes of 65536" in str(RecordTooLarge(70000, 65536))
    assert "Open the directory again" in str(StoreClosed("use the journal", HERE))
    assert "without read_only" in str(StoreReadOnly("write the journal", HERE))
