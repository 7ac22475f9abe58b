"""Any order of working, saving, dying, damaging, copying, archiving, rotating and failing disks.

Whatever happens, a session opens in a state it was in, with all that was acknowledged, unless files were
damaged since; and then it says so, and no bytes are gone. `RESILIENCE_FUZZ_S=600` goes on for ten minutes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crash_states import DATA
from session_crashes import CANARY, SESSION_FILES, lost, process
from session_worlds import began_in_format_0
from shelves import SID, begun, evaluated, typed
from simulations.virtual.disk import VirtualDisk
from simulations.virtual.medium import Medium
from store.credentials import Credentials
from store.documents import Drop, Edit, Patch, dump
from store.errors import StoreError
from store.keys import Protection
from store.outcomes import Corrupt, RolledBack, TooNew
from store.sessions import Session, Sessions
from store.sessions.repair import repair
from store.sessions.rotating import rotate
from vaults import MemoryVault

SECONDS = float(os.environ.get("RESILIENCE_FUZZ_S", "0"))

numbers = st.integers(0, 2**32)
edits = st.one_of(
    st.builds(
        lambda seed, size, w: typed(f"{CANARY} {Random(seed).randbytes(size).hex()}", f"w{w}"),
        numbers,
        st.sampled_from([3, 40, 400]),
        st.integers(0, 3),
    ),
    st.builds(lambda n: evaluated(n, f"{CANARY} {n}"), st.integers(0, 10**6)),
    st.builds(lambda n: Patch("statistics", {"edits": n}), st.integers(0, 10**6)),
    st.builds(lambda w: Drop("workspaces", f"w{w}"), st.integers(0, 3)),
)


class Life(RuleBasedStateMachine):
    """One session, its processes, and its disk."""

    def __init__(self) -> None:
        super().__init__()
        self.vault = MemoryVault()
        self.seeds = count(1000)  # others than those of the worlds
        self.disk = VirtualDisk(Medium(dirs=frozenset({DATA.parent})))
        self.protection = Protection.KEYRING
        self.session: Session | None = None
        self.sessions: Sessions | None = None
        self.copy: Session | None = None
        self.history: dict[int, set[bytes]] = {}
        self.saved = 0  # survives a power cut
        self.floor = 0  # what has to come back now: after a kill, what was written, too
        self.texts: set[str] = set()  # a private copy's, saved
        self.copies = 0
        self.damaged = False  # since the session was last opened

    @initialize(old=st.booleans())
    def begin(self, old: bool) -> None:  # noqa: FBT001 -- drawn
        """Begin with nothing, or with what the last version left."""
        if old:
            world = began_in_format_0()
            self.disk, self.protection = VirtualDisk(world.disk.medium()), Protection.INSECURE
            self.history, self.saved, self.floor = {3: {world.history[SID][3]}}, 3, 3

    # -- working ---------------------------------------------------------------------------

    @rule()
    @precondition(lambda self: self.session is None)
    def open(self) -> None:
        """A process begins, and opens the session, as it may be opened."""
        before, copied = self.disk.medium(), self._copied
        with self.troubles():
            self.sessions = self._process()
            self.session = self._opened(self.sessions)
        if self.session is None:
            return
        assert not lost(before, self.disk.medium())
        receipt, state = self.session.receipt, self.session.state
        if not self.damaged:
            assert receipt.revision >= self.floor, receipt
            assert not receipt.missing, receipt
        if receipt.merged or copied:
            texts = {each["code"] for each in state["workspaces"].values()}
            assert not receipt.merged or self.damaged or self.texts <= texts
            # One that was begun anew, because nothing true was left, is merged with when it is next opened.
            begun_anew = receipt.generation is None
            assert receipt.merged or self.copy is not None or self.failing or begun_anew
        elif receipt.revision:
            known = self.history[receipt.revision]
            if self.damaged:  # what damage took is numbered over: an older state under a later revision
                known = set[bytes]().union(*self.history.values())
            assert dump(state) in known, receipt
        self._note(self.session)
        self.saved = self.session.saved if self.damaged else max(self.saved, self.session.saved)
        self.damaged = False

    def _process(self) -> Sessions:
        return process(self.disk, self.vault, self.protection, seed=next(self.seeds))

    def _opened(self, sessions: Sessions) -> Session | None:
        if not any(each.session == SID and each.generation for each in sessions.listing()):
            if not any(each.session == SID for each in sessions.listing(archived=True)):
                assert not self.floor
                return begun(sessions)
            sessions.unarchive(SID)
        try:
            return sessions.open(SID, acknowledged=self.floor)
        except RolledBack:
            assert self.damaged  # cut off exactly between two records, it is a shorter log
            return sessions.open(SID, acknowledged=self.floor, accept_rollback=True)
        except TooNew:
            assert self.damaged  # a flip in the version of a file that was cut off: nothing vouches for it
            return None
        except Corrupt:
            assert self.damaged
            repair(sessions, SID)
            with suppress(StoreError):  # of a backup that was brought back a copy may have been merged into
                found = sessions.read(SID)
                self.history.setdefault(found.receipt.revision, set()).add(dump(found.state))
            self.saved = self.floor = 0
            return None

    @rule(edits=st.lists(edits, min_size=1, max_size=4))
    @precondition(lambda self: self.session is not None)
    def edit(self, edits: list[Edit]) -> None:
        """Somebody works."""
        for each in edits:
            self._session.edit(each)
            self._note(self._session)

    @rule(how=st.sampled_from([Session.write, Session.save, Session.save]))
    @precondition(lambda self: self.session is not None)
    def save(self, how: Callable[[Session], int]) -> None:
        """It is handed over, or made to last."""
        with self.troubles():
            revision = how(self._session)
            assert revision == self._session.revision == self._session.written
            assert how is Session.write or not self._session.dirty
        self.saved = max(self.saved, self._session.saved)

    @rule()
    @precondition(lambda self: self.session is not None)
    def prune(self) -> None:
        """Old generations go."""
        with self.troubles():
            assert self.sessions is not None
            self.sessions.prune(self._session)

    @rule(compact=st.booleans())
    @precondition(lambda self: self.session is not None)
    def close(self, compact: bool) -> None:  # noqa: FBT001 -- drawn
        """A process ends as it should."""
        with self.troubles():
            self._session.close(compact=compact)
            assert not self._session.dirty
        self.saved = self.floor = max(self.saved, self._session.saved)
        self.session = self.sessions = None

    # -- trouble ---------------------------------------------------------------------------

    @rule()
    def kill(self) -> None:
        """All processes are killed: what was written stays."""
        if self.session is not None:
            self.floor = max(self.saved, self.session.written)
        self._gone()
        self.disk.kill()

    @rule(seed=numbers)
    def cut_the_power(self, seed: int) -> None:
        """Only what was saved stays for certain. The disk is in order afterwards."""
        self._gone()
        self._heal()
        self.disk.power_cut(Random(seed))
        self.floor = self.saved

    @rule(kind=st.sampled_from(["full", "fails", "fails_at_sync"]))
    def disk_fails(self, kind: str) -> None:
        """From now on it refuses."""
        setattr(self.disk, kind, True)

    @rule()
    @precondition(lambda self: self.failing)
    def disk_heals(self) -> None:
        """And it takes again."""
        self._heal()

    @rule(pick=numbers, how=st.sampled_from(["flip", "cut", "zero", "empty"]))
    @precondition(lambda self: self.session is None and self.copy is None)
    def damage(self, pick: int, how: str) -> None:
        """One file of the session is not what was written."""
        medium = self.disk.medium()
        files = sorted(path for path in medium.files if path.name.startswith(f"{SID}-"))
        if not files:
            return
        path = files[pick % len(files)]
        data, place = medium.files[path], pick % max(1, len(medium.files[path]))
        changed = {
            "flip": data[:place] + bytes(each ^ 1 for each in data[place : place + 1]) + data[place + 1 :],
            "cut": data[:place],
            "zero": data[:place] + bytes(len(data[place : place + 64])) + data[place + 64 :],
            "empty": b"",
        }[how]
        self.disk = VirtualDisk(Medium({**medium.files, path: changed}, medium.dirs))
        self.damaged = True

    # -- everything else -------------------------------------------------------------------

    @rule()
    @precondition(lambda self: self.session is not None and self.session.written and not self._copied)
    def begin_copy(self) -> None:
        """A second process works on a private copy."""
        self.copies += 1
        self.texts.clear()
        with self.troubles():
            self.copy = self._process().copy(SID, f"c{self.copies:031x}")

    @rule(text=st.integers(0, 99))
    @precondition(lambda self: self.copy is not None)
    def work_on_copy(self, text: int) -> None:
        """It gains a workspace."""
        assert self.copy is not None
        code = f"{CANARY} copy {text} {self.copies} {len(self.texts)}"
        self.copy.edit(typed(code, f"c{self.copies}-{len(self.texts)}"))
        with self.troubles():
            self.copy.save()
            self.texts.add(code)

    @rule()
    @precondition(lambda self: self.copy is not None)
    def close_copy(self) -> None:
        """It ends, to be merged when the session is next opened."""
        assert self.copy is not None
        with self.troubles():
            self.copy.close()
        self.copy = None

    @rule()
    @precondition(lambda self: self.session is None and not self._copied and self.floor)
    def archive(self) -> None:
        """It is put away."""
        with self.troubles():
            self._process().archive(SID)

    @rule()
    @precondition(lambda self: self.session is None and self.copy is None)
    def rotate(self) -> None:
        """Every file gets a new key."""
        with self.troubles():
            sessions = self._process()
            rotate(sessions, Credentials(DATA, self.disk, sessions.keychain))

    def teardown(self) -> None:
        """No secret stands anywhere."""
        for path, data in self.disk.medium().files.items():
            assert CANARY.encode() not in data, path

    # -- inside ----------------------------------------------------------------------------

    @property
    def failing(self) -> bool:
        """Whether the disk may refuse."""
        return self.disk.full or self.disk.fails or self.disk.fails_at_sync

    @property
    def _copied(self) -> bool:
        """Whether there is a private copy, open or not yet merged."""
        names = self.disk.listing(DATA / "sessions") if DATA / "sessions" in self.disk.medium().dirs else {}
        return any(name.startswith("c") and name.endswith(SESSION_FILES) for name in names)

    @property
    def _session(self) -> Session:
        assert self.session is not None
        return self.session

    @contextmanager
    def troubles(self) -> Iterator[None]:
        """A failing disk may refuse anything, by name."""
        try:
            yield
        except (StoreError, OSError):
            if not self.failing:
                raise

    def _note(self, session: Session) -> None:
        self.history.setdefault(session.revision, set()).add(dump(session.state))

    def _heal(self) -> None:
        self.disk.full = self.disk.fails = self.disk.fails_at_sync = False

    def _gone(self) -> None:
        self.session = self.sessions = self.copy = None


@pytest.mark.timeout(SECONDS * 2 + 120)
def test_any_order_of_anything() -> None:
    """Short as a rule; for as long as the environment says."""
    began = time.monotonic()
    run_state_machine_as_test(Life, settings=settings(max_examples=70, stateful_step_count=30, deadline=None))
    while time.monotonic() - began < SECONDS:
        more = settings(max_examples=200, stateful_step_count=60, deadline=None, database=None)
        run_state_machine_as_test(Life, settings=more)
